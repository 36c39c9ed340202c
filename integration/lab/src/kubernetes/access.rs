//! Ways to the API for people and for the lab itself.
//!
//! `admin.kubeconfig` names the API by its own address and works inside the lab's networks;
//! `kubeconfig` names a port of the machine's loopback, which the lab forwards.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use super::control_plane;
use super::distribution::Distribution;
use super::kubeconfig::Kubeconfig;
use super::pki::Pair;
use crate::command::Cmd;
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::plan::Plan;

/// Below the lab's folder, the kubeconfig for programs outside the lab's networks.
const CONFIG: &str = "kubernetes/kubeconfig";
/// The port that is forwarded, if nobody has it.
const USUAL_PORT: u16 = 6443;

/// Writes both kubeconfigs and settles the forwarded port.
pub(crate) fn write_files(plan: &Plan, authority: &str, admin: &Pair) -> Result<()> {
    let port = free_port()?;
    let path = port_file(plan);
    fs::write(&path, port.to_string()).map_err(Error::file("write", &path))?;
    let context = format!("meridian-lab-{}", plan.options.name);
    let server = format!("https://127.0.0.1:{port}");
    for (server, path) in [
        (control_plane::api_url(plan), admin_file(plan)),
        (server, plan.dir.join(CONFIG)),
    ] {
        Kubeconfig {
            server: &server,
            authority,
            context: &context,
            client: admin,
        }
        .write(&path)?;
    }
    Ok(())
}

/// Where the forwarder listens.
pub(crate) fn forwarded(plan: &Plan) -> Result<SocketAddr> {
    let path = port_file(plan);
    let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    let port: u16 = text.trim().parse().map_err(|_| Error::Malformed {
        path,
        reason: format!("{text:?} is no port"),
    })?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

fn admin_file(plan: &Plan) -> PathBuf {
    plan.kubernetes_dir().join("admin.kubeconfig")
}

fn port_file(plan: &Plan) -> PathBuf {
    plan.kubernetes_dir().join("port")
}

/// Whoever takes it before the forwarder does makes `up` fail with the forwarder's log.
fn free_port() -> Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    bind(USUAL_PORT)
        .or_else(|_| bind(0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::net("find a free port"))
}

impl Lab {
    /// The parts of the lab's Kubernetes; a lab without has none.
    pub fn distribution(&self) -> Result<&Distribution> {
        self.plan().options.kubernetes.as_ref().ok_or_else(|| Error::State {
            what: format!("lab {:?} has no Kubernetes", self.plan().options.name),
            next: "meridian-lab down, then meridian-lab up --kubernetes".into(),
        })
    }

    /// The kubeconfig that works anywhere on the machine, through a forwarded port.
    pub fn kubeconfig(&self) -> PathBuf {
        self.plan().dir.join(CONFIG)
    }

    /// The kubeconfig that works inside the lab's networks.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        admin_file(self.plan())
    }

    /// Runs kubectl as the cluster's administrator and gives back what it printed.
    pub fn kubectl<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<String> {
        self.kubectl_command()?.args(args).run()
    }

    /// Applies manifests: YAML, several documents if need be.
    pub fn kubectl_apply(&self, manifests: &str) -> Result<String> {
        self.kubectl_command()?
            .args(["apply", "--filename=-"])
            .input(manifests)
            .run()
    }

    fn kubectl_command(&self) -> Result<Cmd> {
        let program = self.distribution()?.program("kubectl");
        Ok(Cmd::new(program)
            .envs([("KUBECONFIG", self.admin_kubeconfig())])
            .netns(&self.plan().central()))
    }
}
