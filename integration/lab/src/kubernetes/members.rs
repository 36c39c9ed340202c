//! Hosts that come, go, and lose power.

use std::fs;

use super::node;
use crate::component::{Component, Role};
use crate::error::{Error, Result};
use crate::host::cgroup::Cgroup;
use crate::journal::Item;
use crate::lab::Lab;
use crate::plan::{Host, MAX_HOSTS, Plan};
use crate::{links, netns, wait};

impl Lab {
    /// Adds a host (`node-4`) to a lab with Kubernetes, and waits until it is Ready.
    pub fn add_node(&mut self, name: &str) -> Result<()> {
        self.distribution()?;
        let host = parse(name)?;
        if self.plan().host(name).is_some() {
            return Err(Error::State {
                what: format!("{name} is there already"),
                next: "meridian-lab status".into(),
            });
        }
        // Before anything of it exists: whatever happens, `down` and `remove` know of it.
        self.record_host(&host, true)?;
        let lab = &*self;
        lab.ui().step(&format!("{name}: a new host"), || {
            node::write_files(lab.plan(), lab.distribution()?, &host)?;
            links::host(lab.plan(), lab.journal(), &host, lab.datapath())
        })?;
        lab.power_on(&host)?;
        lab.ui().step(&format!("{name} Ready"), || {
            lab.await_nodes(std::slice::from_ref(&host))
        })
    }

    /// Kills everything on a host at once, as a loss of power does, and starts it again. Its disk
    /// and the database of its Open vSwitch are as they were; /run, its network and all processes
    /// are gone.
    pub fn reboot_node(&self, name: &str) -> Result<()> {
        let host = self.node(name)?;
        self.ui()
            .step(&format!("{name}: power off"), || self.power_off(&host))?;
        // What is reported of the time before the loss of power counts no more.
        let before = self.heartbeat(&host)?;
        self.ui().step(&format!("{name}: power on"), || {
            links::host(self.plan(), self.journal(), &host, self.datapath())
        })?;
        self.power_on(&host)?;
        self.ui().step(&format!("{name} Ready"), || {
            let what = format!("a sign of life of {name}'s kubelet");
            wait::for_some(&what, wait::PATIENCE, || {
                self.heartbeat(&host).is_ok_and(|now| now != before).then_some(())
            })?;
            self.await_nodes(std::slice::from_ref(&host))
        })
    }

    /// When the host's kubelet last said how it is.
    fn heartbeat(&self, host: &Host) -> Result<String> {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].lastHeartbeatTime}"#;
        self.kubectl(["get", "node", &host.name, "--output", path])
    }

    /// Takes a host away without a warning, and deletes its Node.
    pub fn remove_node(&mut self, name: &str) -> Result<()> {
        let host = self.node(name)?;
        let lab = &*self;
        lab.ui().step(&format!("{name}: gone"), || {
            lab.power_off(&host)?;
            lab.kubectl(["delete", "node", name, "--ignore-not-found"])?;
            lab.unroute_slices(&host)?;
            Item::Folder(lab.plan().disk(&host)).remove()?;
            Item::Folder(lab.plan().host_dir(&host)).remove()
        })?;
        self.record_host(&host, false)
    }

    fn node(&self, name: &str) -> Result<Host> {
        self.distribution()?;
        self.plan().host(name).ok_or_else(|| {
            let hosts = self.plan().hosts();
            let names: Vec<_> = hosts.iter().map(|host| host.name.as_str()).collect();
            Error::State {
                what: format!("there is no host {name}"),
                next: format!("one of: {}", names.join(", ")),
            }
        })
    }

    fn power_on(&self, host: &Host) -> Result<()> {
        for component in Component::all(self.plan())
            .into_iter()
            .filter(|c| c.host.as_ref() == Some(host))
        {
            self.ui()
                .step(&format!("start {component}"), || self.start(&component))?;
        }
        Ok(())
    }

    fn power_off(&self, host: &Host) -> Result<()> {
        let (plan, processes) = (self.plan(), self.processes());
        // The first process takes the others along, those of pods included.
        processes.crash(&Component::on(host, Role::Init).pid_name())?;
        for component in Component::all(plan).iter().filter(|c| c.host.as_ref() == Some(host)) {
            processes.crash(&component.pid_name())?;
            processes.forget(&component.pid_name())?;
        }
        netns::remove(&plan.netns(&host.name))?;
        unplugged(plan, host)?;
        Cgroup::new(&plan.netns(&host.name)).remove()?;
        forget_run(plan, host)
    }
}

/// The kernel takes a namespace's interfaces away some time after the namespace; their far ends
/// must be gone before the host is plugged in again.
fn unplugged(plan: &Plan, host: &Host) -> Result<()> {
    let what = format!("the end of {}'s cables", host.name);
    wait::for_some(&what, wait::PATIENCE, || {
        let gone = links::far_ends(host)
            .iter()
            .all(|end| !links::exists(&plan.fabric(), end));
        gone.then_some(())
    })
}

/// Empties what the host has in /run; the database of its Open vSwitch is no part of that.
fn forget_run(plan: &Plan, host: &Host) -> Result<()> {
    let dir = plan.host_dir(host).join("run");
    let Ok(entries) = fs::read_dir(&dir) else {
        return Ok(());
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_none_or(|e| e != "db") {
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
    }
    Ok(())
}

fn parse(name: &str) -> Result<Host> {
    let index = name.strip_prefix("node-").and_then(|index| index.parse().ok());
    match index.map(Host::of) {
        Some(host) if host.name == name && (1..=MAX_HOSTS).contains(&host.index) => Ok(host),
        _ => Err(Error::State {
            what: format!("{name:?} is no name for a host"),
            next: format!("node-1 to node-{MAX_HOSTS}"),
        }),
    }
}
