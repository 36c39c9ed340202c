//! The daemons of a lab: their names, command lines and signs of readiness. It starts nothing.
//!
//! Every daemon has its own run directory, so the tools of OVS and OVN find theirs by
//! `OVS_RUNDIR` and `OVN_RUNDIR` alone.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::binaries::Binaries;
use crate::error::{Error, Result};
use crate::machine::Datapath;
use crate::netns;
use crate::plan::{Host, Plan};
use crate::probe::http;
use crate::process::Identity;

/// Port of the Northbound database on the central host.
pub const NORTHBOUND_PORT: u16 = 6641;
/// Port of the Southbound database on the central host.
pub const SOUTHBOUND_PORT: u16 = 6642;
/// Where the translator answers for its health, on the central host's loopback.
pub const TRANSLATOR_HEALTH: &str = "127.0.0.1:9470";

/// What a daemon does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// ovsdb-server of the Northbound database.
    Nb,
    /// ovsdb-server of the Southbound database.
    Sb,
    /// ovn-northd.
    Northd,
    /// meridian-translator.
    Translator,
    /// ovsdb-server of a host.
    Ovsdb,
    /// ovs-vswitchd of a host.
    Vswitchd,
    /// ovn-controller of a host.
    Controller,
    /// meridian-node of a host.
    Agent,
}

const CENTRAL: [Role; 4] = [Role::Nb, Role::Sb, Role::Northd, Role::Translator];
const HOST: [Role; 4] = [Role::Ovsdb, Role::Vswitchd, Role::Controller, Role::Agent];

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Nb => "nb",
            Self::Sb => "sb",
            Self::Northd => "northd",
            Self::Translator => "translator",
            Self::Ovsdb => "ovsdb",
            Self::Vswitchd => "vswitchd",
            Self::Controller => "controller",
            Self::Agent => "agent",
        }
    }

    fn ours(self) -> bool {
        matches!(self, Self::Translator | Self::Agent)
    }
}

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

    /// Its command line.
    pub fn command(&self, plan: &Plan, binaries: &Binaries, datapath: Datapath) -> Result<Vec<String>> {
        let run = self.run_dir(plan);
        let in_run = |name: &str| run.join(name).display().to_string();
        let unix = |name: &str| format!("unix:{}", in_run(name));
        let listen = |port: u16| {
            let any = if plan.options.families.v6() { "[::]" } else { "0.0.0.0" };
            format!("--remote=ptcp:{port}:{any}")
        };
        // Their console is our log; syslog is somebody else's.
        let quiet = ["-vconsole:info", "-vsyslog:off", "-vfile:off"].map(str::to_owned);
        let mut command: Vec<String> = match self.role {
            Role::Nb => vec![
                "ovsdb-server".into(),
                in_run("ovnnb_db.db"),
                format!("--remote=punix:{}", in_run("ovnnb_db.sock")),
                listen(NORTHBOUND_PORT),
                format!("--unixctl={}", in_run("ovnnb_db.ctl")),
                format!("--pidfile={}", in_run("ovnnb_db.pid")),
            ],
            Role::Sb => vec![
                "ovsdb-server".into(),
                in_run("ovnsb_db.db"),
                format!("--remote=punix:{}", in_run("ovnsb_db.sock")),
                listen(SOUTHBOUND_PORT),
                format!("--unixctl={}", in_run("ovnsb_db.ctl")),
                format!("--pidfile={}", in_run("ovnsb_db.pid")),
            ],
            Role::Northd => vec![
                "ovn-northd".into(),
                format!("--ovnnb-db={}", unix("ovnnb_db.sock")),
                format!("--ovnsb-db={}", unix("ovnsb_db.sock")),
                format!("--pidfile={}", in_run("ovn-northd.pid")),
            ],
            Role::Ovsdb => vec![
                "ovsdb-server".into(),
                in_run("conf.db"),
                format!("--remote=punix:{}", in_run("db.sock")),
                format!("--pidfile={}", in_run("ovsdb-server.pid")),
            ],
            Role::Vswitchd => vec![
                "ovs-vswitchd".into(),
                unix("db.sock"),
                format!("--pidfile={}", in_run("ovs-vswitchd.pid")),
            ],
            Role::Controller => vec![
                "ovn-controller".into(),
                unix("db.sock"),
                format!("--pidfile={}", in_run("ovn-controller.pid")),
            ],
            Role::Translator => return Ok(translator(plan, &binaries.translator()?)),
            Role::Agent => {
                let host = self.host.as_ref().expect("an agent runs on a host");
                return Ok(agent(plan, host, datapath, &binaries.agent()?));
            }
        };
        command.extend(quiet);
        Ok(command)
    }

    /// Whether the daemon, running as `process`, can be used.
    pub fn ready(&self, plan: &Plan, process: Identity) -> bool {
        let run = self.run_dir(plan);
        let answers = |name: &str| UnixStream::connect(run.join(name)).is_ok();
        match self.role {
            Role::Nb => answers("ovnnb_db.sock"),
            Role::Sb => answers("ovnsb_db.sock"),
            Role::Ovsdb => answers("db.sock"),
            Role::Northd => answers(&format!("ovn-northd.{}.ctl", process.pid)),
            Role::Vswitchd => answers(&format!("ovs-vswitchd.{}.ctl", process.pid)),
            Role::Controller => answers(&format!("ovn-controller.{}.ctl", process.pid)),
            Role::Translator => translator_ready(plan),
            Role::Agent => {
                let host = self.host.as_ref().expect("an agent runs on a host");
                answers("node.sock") && conflist(plan, host).is_some()
            }
        }
    }
}

/// The folder into which a host's agent installs the plugin.
pub fn cni_bin_dir(plan: &Plan, host: &Host) -> PathBuf {
    plan.host_dir(host).join("cni-bin")
}

/// The folder into which a host's agent writes its network configuration.
pub fn cni_conf_dir(plan: &Plan, host: &Host) -> PathBuf {
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

fn translator(plan: &Plan, program: &Path) -> Vec<String> {
    let list = |networks: Vec<ipnetwork::IpNetwork>| {
        let texts: Vec<_> = networks.iter().map(ToString::to_string).collect();
        texts.join(",")
    };
    vec![
        program.display().to_string(),
        "run".into(),
        format!("--manifests={}", plan.cluster_dir().display()),
        format!(
            "--northbound=unix:{}",
            plan.central_run().join("ovnnb_db.sock").display()
        ),
        format!("--cluster-cidr={}", list(plan.cluster_cidrs())),
        format!("--service-cidr={}", list(plan.service_cidrs())),
        format!("--listen={TRANSLATOR_HEALTH}"),
    ]
}

fn translator_ready(plan: &Plan) -> bool {
    let address = TRANSLATOR_HEALTH.parse().expect("a socket address");
    netns::within(&plan.central(), || http::get(address, "/readyz")).is_ok_and(|answer| answer.status == 200)
}

fn agent(plan: &Plan, host: &Host, datapath: Datapath, program: &Path) -> Vec<String> {
    let run = plan.host_dir(host).join("run");
    vec![
        program.display().to_string(),
        "run".into(),
        format!("--southbound={}", plan.central_remote(SOUTHBOUND_PORT)),
        format!("--node-name={}", host.name),
        format!("--encap-ip={}", plan.encap_ip(host)),
        format!("--datapath={datapath}"),
        format!("--ovs=unix:{}", run.join("db.sock").display()),
        format!("--socket={}", run.join("node.sock").display()),
        format!("--cni-bin-dir={}", cni_bin_dir(plan, host).display()),
        format!("--cni-conf-dir={}", cni_conf_dir(plan, host).display()),
    ]
}
