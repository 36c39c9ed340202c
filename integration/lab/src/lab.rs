//! One lab: up, down, what runs, and the restart of what does not.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::binaries::Binaries;
use crate::command::Cmd;
use crate::component::{Component, Role, SOUTHBOUND_PORT};
use crate::error::{Error, LogTail, Result};
use crate::journal::Journal;
use crate::machine::{self, Datapath};
use crate::plan::{Host, Options, Plan};
use crate::process::{Daemon, Lock, MARK, Processes};
use crate::ui::Ui;
use crate::{links, netns, parallel, wait};

/// Labs live here, one folder each.
pub const ROOT: &str = "/run/meridian-lab";

/// What is kept of a lab: enough to work on it from another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    options: Options,
    datapath: Datapath,
    /// Set at the end of `up`: without it the lab is a ruin, to be cleared away.
    complete: bool,
}

/// A lab, held under its lock.
#[derive(Debug)]
pub struct Lab {
    state: State,
    plan: Plan,
    processes: Processes,
    journal: Journal,
    binaries: Binaries,
    ui: Ui,
    lock: Lock,
}

/// What `up` found or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upped {
    /// Everything is new.
    Built,
    /// It ran already; this many daemons had to be started again.
    Reused(usize),
}

impl Lab {
    /// Brings a lab up, or what is missing of one that is up.
    pub fn up(
        dir: &Path,
        options: Options,
        datapath: Option<Datapath>,
        binaries: Binaries,
        ui: Ui,
    ) -> Result<(Self, Upped)> {
        machine::check()?;
        if !options.bare {
            binaries.check()?;
        }
        let lock = Lock::acquire(dir)?;
        if let Some(state) = read_state(dir)?.filter(|state| state.complete) {
            if state.options != options {
                return Err(Error::State {
                    what: format!("lab {:?} is up with other options", state.options.name),
                    next: "meridian-lab down, then up again".into(),
                });
            }
            let lab = Self::assemble(dir, state, binaries, ui, lock);
            let repaired = lab.repair()?;
            return Ok((lab, Upped::Reused(repaired)));
        }
        if dir.exists() {
            ui.step("clear away the remains of an unfinished lab", || clear(dir, false))?;
        }
        let state = State {
            options,
            datapath: datapath.unwrap_or_else(Datapath::detect),
            complete: false,
        };
        let mut lab = Self::assemble(dir, state, binaries, ui, lock);
        lab.build()?;
        Ok((lab, Upped::Built))
    }

    /// Opens a lab that is up.
    pub fn open(dir: &Path, binaries: Binaries, ui: Ui) -> Result<Self> {
        let lock = Lock::acquire(dir)?;
        match read_state(dir)? {
            Some(state) if state.complete => Ok(Self::assemble(dir, state, binaries, ui, lock)),
            found => {
                if !dir.exists() {
                    lock.remove(dir);
                }
                Err(Error::State {
                    what: match found {
                        None => format!("no lab in {}", dir.display()),
                        Some(_) => format!("the lab in {} was never finished", dir.display()),
                    },
                    next: "meridian-lab up".into(),
                })
            }
        }
    }

    fn assemble(dir: &Path, state: State, binaries: Binaries, ui: Ui, lock: Lock) -> Self {
        Self {
            plan: Plan {
                options: state.options.clone(),
                dir: dir.to_owned(),
            },
            processes: Processes::of(dir),
            journal: Journal::of(dir),
            state,
            binaries,
            ui,
            lock,
        }
    }

    /// Names, addresses and paths of the lab.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The lab's processes.
    pub fn processes(&self) -> &Processes {
        &self.processes
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(crate) fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Where progress goes.
    pub fn ui(&self) -> Ui {
        self.ui
    }

    /// The datapath of its ovs-vswitchds.
    pub fn datapath(&self) -> Datapath {
        self.state.datapath
    }

    /// Lets others work on the lab; it stays up.
    pub fn close(self) {}

    /// Takes the lab down: afterwards nothing of it is left.
    pub fn down(self) -> Result<()> {
        let dir = self.plan.dir;
        clear(&dir, false)?;
        self.lock.remove(&dir);
        Ok(())
    }

    fn build(&mut self) -> Result<()> {
        let dir = &self.plan.dir;
        fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        for sub in ["cluster", "workloads", "pods", "tmp"] {
            let sub = dir.join(sub);
            fs::create_dir_all(&sub).map_err(Error::file("create", &sub))?;
        }
        self.save()?;
        self.build_machines()?;
        if !self.plan.options.bare {
            self.build_cluster()?;
        }
        self.state.complete = true;
        self.save()
    }

    fn build_machines(&self) -> Result<()> {
        let (ui, plan, hosts) = (self.ui, &self.plan, self.plan.hosts());
        let what = format!("{} hosts, OVN central and a switch in namespaces", hosts.len());
        ui.step(&what, || {
            links::fabric(plan, &self.journal)?;
            // `None` is OVN central's host.
            parallel::each(hosts.iter().map(Some).chain([None]), |host| match host {
                Some(host) => links::host(plan, &self.journal, host, self.state.datapath),
                None => links::central(plan, &self.journal),
            })
        })?;
        ui.step("OVN central: Northbound, Southbound, ovn-northd", || {
            parallel::each([Role::Nb, Role::Sb], |role| self.start(&Component::central(role)))?;
            self.start(&Component::central(Role::Northd))
        })?;
        let words = match self.state.datapath {
            Datapath::System => "kernel datapath",
            Datapath::Netdev => "userspace datapath",
        };
        let what = format!("Open vSwitch and ovn-controller on each host ({words})");
        ui.step(&what, || {
            parallel::each(&hosts, |host| {
                for role in [Role::Ovsdb, Role::Vswitchd, Role::Controller] {
                    self.start(&Component::on(host, role))?;
                }
                Ok(())
            })
        })
    }

    fn build_cluster(&self) -> Result<()> {
        crate::cluster::nodes::write(self)?;
        self.ui.step("meridian-translator", || {
            self.start(&Component::central(Role::Translator))
        })?;
        self.ui.step("meridian-node on each host", || {
            parallel::each(&self.plan.hosts(), |host| self.start(&Component::on(host, Role::Agent)))
        })
    }

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
        let log = component.log(&self.plan);
        let process = self.processes.start(&Daemon {
            name: &component.pid_name(),
            command: component.command(&self.plan, &self.binaries, self.state.datapath)?,
            env: component.env(&self.plan),
            netns: &component.netns(&self.plan),
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
            let args = ["-n", &name, "link", "show", "dev", bridge];
            Cmd::new("ip").args(args).run().ok()
        })
        .map(drop)
    }

    /// Runs ovs-vsctl against a host.
    pub fn vsctl(&self, host: &Host, args: &[&str]) -> Result<String> {
        let component = Component::on(host, Role::Vswitchd);
        Cmd::new("ovs-vsctl")
            .arg("--timeout=30")
            .args(args)
            .envs(component.env(&self.plan))
            .envs([(MARK, &self.plan.dir)])
            .run()
    }

    /// Runs a tool of OVN against the central databases (`ovn-nbctl`, `ovn-sbctl`).
    pub fn ovn(&self, tool: &str, args: &[&str]) -> Result<String> {
        Cmd::new(tool)
            .arg("--timeout=30")
            .args(args)
            .envs(Component::central(Role::Nb).env(&self.plan))
            .run()
    }

    fn save(&self) -> Result<()> {
        let path = state_path(&self.plan.dir);
        let text = serde_json::to_vec_pretty(&self.state).expect("plain data");
        let new = path.with_extension("new");
        fs::write(&new, text).map_err(Error::file("write", &new))?;
        fs::rename(&new, &path).map_err(Error::file("replace", &path))
    }
}

/// Takes down whatever is in `dir`: a lab, the ruin of one, or nothing. With `keep_logs` the logs
/// stay.
pub fn down(dir: &Path, keep_logs: bool) -> Result<bool> {
    let lock = Lock::acquire(dir)?;
    let found = dir.exists();
    clear(dir, keep_logs)?;
    lock.remove(dir);
    if let Some(root) = dir.parent() {
        // The last lab takes the common folder along; others keep it from being removed.
        fs::remove_dir(root).ok();
    }
    Ok(found)
}

/// Ends, removes and forgets; goes on after errors and tells them all.
fn clear(dir: &Path, keep_logs: bool) -> Result<()> {
    let mut errors = Vec::new();
    if let Err(e) = Processes::of(dir).kill_all() {
        errors.push(e);
    }
    match Journal::of(dir).namespaces() {
        Ok(names) => errors.extend(parallel::each(&names, |name| netns::remove(name)).err()),
        Err(e) => errors.push(e),
    }
    if errors.is_empty() {
        errors.extend(remove_files(dir, keep_logs).err());
    }
    Error::all(errors)
}

fn remove_files(dir: &Path, keep_logs: bool) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if keep_logs && path.file_name().is_some_and(|n| n == "log") {
            continue;
        }
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(Error::file("remove", &path))?;
    }
    if !keep_logs {
        fs::remove_dir(dir).map_err(Error::file("remove", dir))?;
    }
    Ok(())
}

fn state_path(dir: &Path) -> PathBuf {
    dir.join("lab.json")
}

fn read_state(dir: &Path) -> Result<Option<State>> {
    let path = state_path(dir);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::Malformed {
            path,
            reason: e.to_string(),
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file("read", &path)(e)),
    }
}
