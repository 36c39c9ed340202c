//! The daemons of a lab: their names, command lines and signs of readiness. It starts nothing.
//!
//! Every daemon has its own run directory, so the tools of OVS and OVN find theirs by
//! `OVS_RUNDIR` and `OVN_RUNDIR` alone.

mod command;
mod role;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::host::Site;
use crate::host::cgroup::Cgroup;
use crate::kubernetes::node;
use crate::plan::{Host, Plan};
use crate::process::{Identity, Processes};
pub use role::Role;
use role::{CENTRAL, HOST};

/// Port of the Northbound database on the central host.
pub const NORTHBOUND_PORT: u16 = 6641;
/// Port of the Southbound database on the central host.
pub const SOUTHBOUND_PORT: u16 = 6642;
/// Where the translator answers for its health, on the central host's loopback.
pub const TRANSLATOR_HEALTH: &str = "127.0.0.1:9470";

/// One daemon of a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// What it does.
    pub role: Role,
    /// On which host; none for OVN central's.
    pub host: Option<Host>,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_ref().map_or("central", |h| h.name.as_str());
        write!(f, "{host}/{}", self.role.name())
    }
}

impl Component {
    /// A daemon of OVN central.
    pub fn central(role: Role) -> Self {
        Self { role, host: None }
    }

    /// A daemon of a host.
    pub fn on(host: &Host, role: Role) -> Self {
        Self {
            role,
            host: Some(host.clone()),
        }
    }

    /// All daemons of a lab, in the order in which they start.
    pub fn all(plan: &Plan) -> Vec<Self> {
        let hosts = plan.hosts();
        CENTRAL
            .into_iter()
            .map(Self::central)
            .chain(
                hosts
                    .iter()
                    .flat_map(|host| HOST.into_iter().map(|role| Self::on(host, role))),
            )
            .filter(|c| !(plan.options.bare && c.role.ours()))
            .filter(|c| plan.options.kubernetes.is_some() || !c.role.kubernetes())
            .collect()
    }

    /// The daemons a person means: `translator`, `node-1/agent`, `agent` (on every host),
    /// `node-1` (everything there), `all`.
    pub fn select(plan: &Plan, text: &str) -> Result<Vec<Self>> {
        let found: Vec<_> = Self::all(plan)
            .into_iter()
            .filter(|c| {
                let full = c.to_string();
                let (host, role) = full.split_once('/').expect("a name has two parts");
                [full.as_str(), host, role, "all"].contains(&text)
            })
            .collect();
        if found.is_empty() {
            let all: Vec<_> = Self::all(plan).iter().map(ToString::to_string).collect();
            return Err(Error::State {
                what: format!("{text:?} is no component of this lab"),
                next: format!("one of: {}", all.join(", ")),
            });
        }
        Ok(found)
    }

    /// The namespace it lives in.
    pub fn netns(&self, plan: &Plan) -> String {
        self.host
            .as_ref()
            .map_or_else(|| plan.central(), |host| plan.netns(&host.name))
    }

    /// The first process of its host, where hosts have one that runs.
    pub fn init(&self, plan: &Plan) -> Option<Identity> {
        plan.options.kubernetes.as_ref()?;
        let init = Self {
            role: Role::Init,
            host: self.host.clone(),
        };
        Processes::of(&plan.dir).running(&init.pid_name())
    }

    /// Where it is born, given the name of its network namespace.
    pub(crate) fn site<'a>(&self, plan: &Plan, netns: &'a str) -> Result<Site<'a>> {
        if plan.options.kubernetes.is_none() {
            return Ok(Site::Network(netns));
        }
        match self.role {
            Role::Forward => Ok(Site::Machine),
            Role::Init => Ok(Site::Boot(netns)),
            _ => self.init(plan).map(Site::Host).ok_or_else(|| Error::State {
                what: format!("{self} has no host: its first process does not run"),
                next: "meridian-lab up, which starts what ended".into(),
            }),
        }
    }

    /// The cgroup it belongs to, where hosts have one.
    pub(crate) fn cgroup(&self, plan: &Plan) -> Option<Cgroup> {
        let on_host = plan.options.kubernetes.is_some() && self.role != Role::Forward;
        on_host.then(|| node::cgroup(plan, self.host.as_ref()))
    }

    /// What its host looks like; see [`crate::host::mounts`].
    pub(crate) fn layout_file(&self, plan: &Plan) -> PathBuf {
        let name = self.host.as_ref().map_or("central", |host| &host.name);
        plan.kubernetes_dir().join(format!("{name}.layout"))
    }

    /// Its folder: run directory and database.
    pub fn run_dir(&self, plan: &Plan) -> PathBuf {
        self.host
            .as_ref()
            .map_or_else(|| plan.central_run(), |host| plan.host_dir(host).join("run"))
    }

    /// The name of its pid file.
    pub fn pid_name(&self) -> String {
        self.to_string().replace('/', ".")
    }

    /// Its log.
    pub fn log(&self, plan: &Plan) -> PathBuf {
        plan.log(&self.to_string())
    }

    /// The database it serves: schema and file.
    pub fn database(&self, plan: &Plan) -> Option<(&'static str, PathBuf)> {
        let (schema, file) = match self.role {
            Role::Nb => ("/usr/share/ovn/ovn-nb.ovsschema", "ovnnb_db.db"),
            Role::Sb => ("/usr/share/ovn/ovn-sb.ovsschema", "ovnsb_db.db"),
            Role::Ovsdb => ("/usr/share/openvswitch/vswitch.ovsschema", "conf.db"),
            _ => return None,
        };
        Some((schema, self.run_dir(plan).join(file)))
    }

    /// Variables with which the tools of OVS and OVN find the daemons of this host.
    pub fn env(&self, plan: &Plan) -> BTreeMap<String, String> {
        let run = self.run_dir(plan).display().to_string();
        ["OVS_RUNDIR", "OVN_RUNDIR", "OVS_DBDIR", "OVN_DBDIR"]
            .into_iter()
            .map(|var| (var.to_owned(), run.clone()))
            .collect()
    }
}

/// The folder into which a host's agent installs the plugin.
pub fn cni_bin_dir(plan: &Plan, host: &Host) -> PathBuf {
    plan.host_dir(host).join("cni-bin")
}

/// The folder into which a host's agent writes its network configuration.
pub fn cni_conf_dir(plan: &Plan, host: &Host) -> PathBuf {
    if plan.options.kubernetes.is_some() {
        return node::cni_conf_dir(plan, host);
    }
    plan.host_dir(host).join("cni-conf")
}

/// The network configuration of a host: the first in order of names, as runtimes choose it.
pub fn conflist(plan: &Plan, host: &Host) -> Option<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(cni_conf_dir(plan, host))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "conflist"))
        .collect();
    files.sort();
    files.into_iter().next()
}
