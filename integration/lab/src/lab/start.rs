//! One daemon at a time: started, awaited, and set up as the machine's own scripts would.

use std::fs;

use super::Lab;
use crate::command::Cmd;
use crate::component::{Component, Role, SOUTHBOUND_PORT};
use crate::error::{Error, LogTail, Result};
use crate::kubernetes::layout::layout;
use crate::kubernetes::{identity, node};
use crate::machine::Datapath;
use crate::plan::Host;
use crate::process::Daemon;
use crate::{links, wait};

impl Lab {
    /// Starts every daemon that should run and does not; gives their number.
    pub fn repair(&self) -> Result<usize> {
        let mut started = 0;
        for component in Component::all(&self.plan) {
            if self.processes.running(&component.pid_name()).is_none() {
                self.ui
                    .step(&format!("start {component} again"), || self.start(&component))?;
                started += 1;
            }
        }
        Ok(started)
    }

    /// Starts one daemon and waits until it can be used.
    pub fn start(&self, component: &Component) -> Result<()> {
        let run = component.run_dir(&self.plan);
        fs::create_dir_all(&run).map_err(Error::file("create", &run))?;
        if let Some((schema, file)) = component.database(&self.plan)
            && !file.exists()
        {
            Cmd::new("ovsdb-tool").arg("create").arg(&file).arg(schema).run()?;
        }
        self.before_start(component)?;
        let log = component.log(&self.plan);
        let netns = component.netns(&self.plan);
        let process = self.processes.start(&Daemon {
            name: &component.pid_name(),
            command: component.command(&self.plan, &self.binaries, self.state.datapath)?,
            env: component.environment(&self.plan)?,
            site: component.site(&self.plan, &netns)?,
            cgroup: component.cgroup(&self.plan),
            log: log.clone(),
        })?;
        let end = wait::until(wait::PATIENCE, || {
            if component.ready(&self.plan, process) {
                return Some(true);
            }
            (!process.alive()).then_some(false)
        });
        match end {
            Some(true) => self.after_start(component),
            Some(false) => Err(Error::Ended {
                component: component.to_string(),
                log: LogTail::of(&log),
            }),
            None => Err(Error::Timeout {
                what: format!("{component} ready"),
                after: wait::PATIENCE,
                log: LogTail::of(&log),
            }),
        }
    }

    /// What must be there for the daemon to start at all.
    fn before_start(&self, component: &Component) -> Result<()> {
        if self.plan.options.kubernetes.is_none() {
            return Ok(());
        }
        let account = match component.role {
            Role::Init => {
                let host = component.host.as_ref();
                self.journal.create_cgroup(&component.netns(&self.plan))?;
                return layout(&self.plan, host).write(&component.layout_file(&self.plan));
            }
            Role::Translator => "meridian-translator",
            Role::Agent => "meridian-node",
            _ => return Ok(()),
        };
        match component.init(&self.plan) {
            Some(init) => identity::install(self, init, account),
            None => Ok(()),
        }
    }

    /// What the machine's own set-up would do once the daemon is there.
    fn after_start(&self, component: &Component) -> Result<()> {
        let Some(host) = &component.host else {
            return Ok(());
        };
        match component.role {
            Role::Ovsdb => self.configure_ovs(host),
            Role::Vswitchd => {
                self.physical_bridge(host)?;
                links::tunnel_address(&self.plan, host, self.state.datapath)
            }
            Role::Containerd => match component.init(&self.plan) {
                Some(init) => node::import_images(&self.plan, self.distribution()?, host, init),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// What an operator sets on a host before any network plugin comes: the datapath. In a bare
    /// lab, also what the agent would set.
    fn configure_ovs(&self, host: &Host) -> Result<()> {
        let mut settings = Vec::new();
        if self.state.datapath == Datapath::Netdev {
            settings.push("external_ids:ovn-bridge-datapath-type=netdev".to_owned());
        }
        if self.plan.options.bare {
            settings.extend([
                format!("external_ids:system-id={}", host.name),
                format!("external_ids:hostname={}", host.name),
                format!(
                    "external_ids:ovn-remote=\"{}\"",
                    self.plan.central_remote(SOUTHBOUND_PORT)
                ),
                "external_ids:ovn-encap-type=geneve".to_owned(),
                format!("external_ids:ovn-encap-ip=\"{}\"", self.plan.encap_ip(host)),
            ]);
        }
        self.vsctl(host, &["--no-wait", "init"])?;
        if settings.is_empty() {
            return Ok(());
        }
        let mut args = vec!["--no-wait", "set", "Open_vSwitch", "."];
        args.extend(settings.iter().map(String::as_str));
        self.vsctl(host, &args).map(drop)
    }

    fn physical_bridge(&self, host: &Host) -> Result<()> {
        if self.state.datapath == Datapath::System {
            return Ok(());
        }
        let (bridge, uplink) = (links::PHYSICAL_BRIDGE, links::UPLINK);
        let args = [
            "--may-exist",
            "add-br",
            bridge,
            "--",
            "set",
            "Bridge",
            bridge,
            "datapath_type=netdev",
            "fail_mode=standalone",
            "--",
            "--may-exist",
            "add-port",
            bridge,
            uplink,
        ];
        self.vsctl(host, &args)?;
        // A restarted ovs-vswitchd finds the bridge in its database: nothing to wait for above.
        let name = self.plan.netns(&host.name);
        let device = format!("{bridge} on {}", host.name);
        wait::for_some(&device, wait::PATIENCE, || {
            let args = ["link", "show", "dev", bridge];
            Cmd::new("ip").args(args).netns(&name).run().ok()
        })
        .map(drop)
    }
}
