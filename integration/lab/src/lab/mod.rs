//! One lab: up, down, and the way to what is in it.

mod build;
mod start;
mod state;
mod teardown;

use std::path::Path;

use crate::binaries::Binaries;
use crate::command::Cmd;
use crate::component::{Component, Role};
use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::lock::Lock;
use crate::machine::{self, Datapath};
use crate::plan::{Host, Options, Plan};
use crate::process::{MARK, Processes};
use crate::ui::Ui;
use state::State;
pub use teardown::down;

/// Labs live here, one folder each.
pub const ROOT: &str = "/run/meridian-lab";

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
        if let Some(parts) = &options.kubernetes {
            machine::check_kubernetes()?;
            parts.check()?;
        }
        teardown::refuse_strangers(dir)?;
        let lock = Lock::acquire(dir)?;
        if let Some(state) = State::read(dir)?.filter(|state| state.complete) {
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
            ui.step("clear away the remains of an unfinished lab", || {
                teardown::clear(dir, false)
            })?;
        }
        let state = State {
            hosts: (1..=options.hosts).collect(),
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
        let lab = Self::inspect(dir, binaries, ui)?;
        if lab.state.complete {
            return Ok(lab);
        }
        Err(Error::State {
            what: format!("the lab in {} was never finished", dir.display()),
            next: "meridian-lab up".into(),
        })
    }

    /// Opens a lab to look around in, be it finished or not.
    pub fn inspect(dir: &Path, binaries: Binaries, ui: Ui) -> Result<Self> {
        teardown::refuse_strangers(dir)?;
        let lock = Lock::acquire(dir)?;
        if let Some(state) = State::read(dir)? {
            return Ok(Self::assemble(dir, state, binaries, ui, lock));
        }
        lock.remove(dir);
        Err(Error::State {
            what: format!("no lab in {}", dir.display()),
            next: "meridian-lab up".into(),
        })
    }

    fn assemble(dir: &Path, state: State, binaries: Binaries, ui: Ui, lock: Lock) -> Self {
        Self {
            plan: Plan::new(state.options.clone(), dir, state.hosts.clone()),
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

    /// Writes down that a host is there, or no longer.
    pub(crate) fn record_host(&mut self, host: &Host, present: bool) -> Result<()> {
        self.plan.set_host(host, present);
        self.state.hosts = self.plan.hosts().iter().map(|host| host.index).collect();
        self.state.save(&self.plan.dir)
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
        teardown::clear(&dir, false)?;
        self.lock.remove(&dir);
        Ok(())
    }

    /// Runs ovs-vsctl against a host.
    pub fn vsctl(&self, host: &Host, args: &[&str]) -> Result<String> {
        self.ovs(host, "ovs-vsctl", args)
    }

    /// Runs a tool of Open vSwitch against a host (`ovs-vsctl`, `ovs-ofctl`, `ovs-appctl`).
    pub fn ovs(&self, host: &Host, tool: &str, args: &[&str]) -> Result<String> {
        let component = Component::on(host, Role::Vswitchd);
        Cmd::new(tool)
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
}
