//! Command lines of daemons, and their signs of readiness.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::{
    Component, NORTHBOUND_PORT, Role, SOUTHBOUND_PORT, TRANSLATOR_HEALTH, cni_bin_dir, cni_conf_dir, conflist,
};
use crate::binaries::Binaries;
use crate::error::{Error, Result};
use crate::host::{self, init};
use crate::kubernetes::chart::Programs;
use crate::kubernetes::{Distribution, control_plane, forward, node};
use crate::machine::Datapath;
use crate::netns;
use crate::plan::{Host, Plan};
use crate::probe::http;
use crate::process::Identity;

/// The agent's socket on a host with Kubernetes, as everywhere.
const AGENT_SOCKET: &str = "/run/meridian/node.sock";

impl Component {
    /// Its environment beside the inherited one: with these the tools of OVS and OVN find the
    /// daemons of its host.
    pub fn environment(&self, plan: &Plan) -> Result<BTreeMap<String, String>> {
        let mut env = self.env(plan);
        if plan.options.kubernetes.is_some() {
            env.extend(match (self.role, &self.host) {
                (Role::Translator, _) => Programs::read(plan)?.translator(plan).1,
                (Role::Agent, Some(host)) => Programs::read(plan)?.node(plan, host).1,
                _ => BTreeMap::new(),
            });
        }
        Ok(env)
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
            Role::Vswitchd => supervised(
                plan,
                self.its_host(),
                datapath,
                &binaries.lab()?,
                [
                    "ovs-vswitchd".into(),
                    unix("db.sock"),
                    format!("--pidfile={}", in_run("ovs-vswitchd.pid")),
                ],
            ),
            Role::Controller => vec![
                "ovn-controller".into(),
                unix("db.sock"),
                format!("--pidfile={}", in_run("ovn-controller.pid")),
            ],
            Role::Init => {
                return Ok(vec![
                    binaries.lab()?.display().to_string(),
                    "init".into(),
                    self.layout_file(plan).display().to_string(),
                ]);
            }
            Role::Etcd | Role::Apiserver | Role::ControllerManager | Role::Scheduler => {
                return Ok(control_plane::command(plan, distribution(plan)?, self.role));
            }
            Role::Containerd | Role::Kubelet => {
                return Ok(node::command(plan, distribution(plan)?, self.its_host(), self.role));
            }
            Role::Forward => return forward::command(plan, &binaries.lab()?),
            Role::Translator => return translator(plan, &binaries.translator()?),
            Role::Agent => return agent(plan, self.its_host(), datapath, &binaries.agent()?),
        };
        command.extend(quiet);
        Ok(command)
    }

    /// Whether the daemon, running as `process`, can be used.
    pub fn ready(&self, plan: &Plan, process: Identity) -> bool {
        let run = self.run_dir(plan);
        let answers = |name: &str| UnixStream::connect(run.join(name)).is_ok();
        // A daemon calls itself by the pid it has where it lives.
        let pid = process.inner_pid();
        match self.role {
            Role::Init => host::outside(process, init::READY).exists(),
            Role::Etcd | Role::Apiserver | Role::ControllerManager | Role::Scheduler => {
                control_plane::ready(plan, self.role)
            }
            Role::Containerd | Role::Kubelet => self
                .init(plan)
                .is_some_and(|init| node::ready(plan, self.its_host(), init, self.role)),
            Role::Forward => forward::ready(plan),
            Role::Nb => answers("ovnnb_db.sock"),
            Role::Sb => answers("ovnsb_db.sock"),
            Role::Ovsdb => answers("db.sock"),
            Role::Northd => answers(&format!("ovn-northd.{pid}.ctl")),
            // The process is its supervisor.
            Role::Vswitchd => std::fs::read_to_string(run.join("ovs-vswitchd.pid"))
                .is_ok_and(|pid| answers(&format!("ovs-vswitchd.{}.ctl", pid.trim()))),
            Role::Controller => answers(&format!("ovn-controller.{pid}.ctl")),
            Role::Translator => translator_ready(plan),
            Role::Agent => self.agent_ready(plan),
        }
    }

    fn agent_ready(&self, plan: &Plan) -> bool {
        let socket = self.agent_socket(plan);
        let socket = match self.init(plan) {
            Some(init) => host::outside(init, &socket.display().to_string()),
            None => socket,
        };
        UnixStream::connect(socket).is_ok() && conflist(plan, self.its_host()).is_some()
    }

    /// The agent's socket as its host knows it.
    pub fn agent_socket(&self, plan: &Plan) -> PathBuf {
        if plan.options.kubernetes.is_some() {
            return AGENT_SOCKET.into();
        }
        self.run_dir(plan).join("node.sock")
    }

    fn its_host(&self) -> &Host {
        self.host.as_ref().expect("this daemon runs on a host")
    }
}

/// A switch that is started again when it crashes.
fn supervised<const N: usize>(
    plan: &Plan,
    host: &Host,
    datapath: Datapath,
    lab: &Path,
    switch: [String; N],
) -> Vec<String> {
    let mut command = vec![lab.display().to_string(), "supervise".into()];
    if datapath == Datapath::Netdev {
        command.extend(plan.tunnel_ips(host).iter().map(|ip| format!("--address={ip}")));
    }
    command.push("--".into());
    command.extend(switch);
    command
}

/// The parts of the Kubernetes that a component of Kubernetes belongs to.
fn distribution(plan: &Plan) -> Result<&Distribution> {
    plan.options.kubernetes.as_ref().ok_or_else(|| Error::State {
        what: format!("lab {:?} has no Kubernetes", plan.options.name),
        next: "meridian-lab up --kubernetes".into(),
    })
}

fn translator(plan: &Plan, program: &Path) -> Result<Vec<String>> {
    let program = program.display().to_string();
    if plan.options.kubernetes.is_some() {
        let (args, _) = Programs::read(plan)?.translator(plan);
        return Ok(std::iter::once(program).chain(args).collect());
    }
    let list = |networks: Vec<ipnetwork::IpNetwork>| {
        let texts: Vec<_> = networks.iter().map(ToString::to_string).collect();
        texts.join(",")
    };
    Ok(vec![
        program,
        "run".into(),
        format!("--manifests={}", plan.cluster_dir().display()),
        format!(
            "--northbound=unix:{}",
            plan.central_run().join("ovnnb_db.sock").display()
        ),
        format!("--cluster-cidr={}", list(plan.cluster_cidrs())),
        format!("--service-cidr={}", list(plan.service_cidrs())),
        format!("--listen={TRANSLATOR_HEALTH}"),
    ])
}

fn translator_ready(plan: &Plan) -> bool {
    let address = TRANSLATOR_HEALTH.parse().expect("a socket address");
    netns::within(&plan.central(), || http::get(address, "/readyz")).is_ok_and(|answer| answer.status == 200)
}

fn agent(plan: &Plan, host: &Host, datapath: Datapath, program: &Path) -> Result<Vec<String>> {
    let program = program.display().to_string();
    if plan.options.kubernetes.is_some() {
        let (args, _) = Programs::read(plan)?.node(plan, host);
        return Ok(std::iter::once(program).chain(args).collect());
    }
    let run = plan.host_dir(host).join("run");
    Ok(vec![
        program,
        "run".into(),
        format!("--southbound={}", plan.central_remote(SOUTHBOUND_PORT)),
        format!("--node-name={}", host.name),
        format!("--encap-ip={}", plan.encap_ip(host)),
        format!("--datapath={datapath}"),
        format!("--ovs=unix:{}", run.join("db.sock").display()),
        format!("--socket={}", run.join("node.sock").display()),
        format!("--cni-bin-dir={}", cni_bin_dir(plan, host).display()),
        format!("--cni-conf-dir={}", cni_conf_dir(plan, host).display()),
    ])
}
