//! Commands for labs with Kubernetes.

use std::os::unix::process::CommandExt as _;
use std::process::{Command as Process, ExitCode};

use anyhow::Context as _;
use meridian_lab::component::{Component, Role};
use meridian_lab::lab::Lab;
use meridian_lab::netns;
use meridian_lab::process::Identity;

use super::args::Node;
use super::{Context, run, show};

/// The end of `up`: names, and how to go on.
pub(super) fn up(context: &Context, lab: &Lab) -> anyhow::Result<()> {
    lab.await_dns()?;
    let ui = context.ui;
    ui.note(&format!("export KUBECONFIG={}", lab.kubeconfig().display()));
    ui.note("kubectl get nodes, or: meridian-lab kubectl -- get nodes");
    Ok(())
}

/// Becomes kubectl, on the control plane's host: the lab's lock is not held by it.
pub(super) fn kubectl(context: &Context, args: &[String]) -> anyhow::Result<ExitCode> {
    let lab = run::inspect(context)?;
    let program = lab.distribution()?.program("kubectl");
    let mut process = Process::new(&program);
    process.args(args).env("KUBECONFIG", lab.admin_kubeconfig());
    let netns = lab.plan().central();
    lab.close();
    netns::enter(&netns)?;
    Err(process.exec()).with_context(|| format!("cannot run {}", program.display()))
}

/// Adds, reboots or removes a host.
pub(super) fn node(context: &Context, action: &Node) -> anyhow::Result<ExitCode> {
    let mut lab = run::open(context)?;
    match action {
        Node::Add { host } => {
            lab.add_node(host)?;
            show::line(&format!("{host} is Ready"))
        }
        Node::Reboot { host } => {
            lab.reboot_node(host)?;
            show::line(&format!("{host} is Ready again"))
        }
        Node::Remove { host } => {
            lab.remove_node(host)?;
            show::line(&format!("{host} is gone"))
        }
    }
}

/// The first process of the host somebody means, where hosts have one.
pub(super) fn first_process(lab: &Lab, target: &str) -> Option<Identity> {
    let component = match lab.plan().host(target) {
        Some(host) => Component::on(&host, Role::Init),
        None if target == "central" => Component::central(Role::Init),
        None => return None,
    };
    component.init(lab.plan())
}

/// The same program on a host: a child of nsenter's, because processes do not move between hosts.
pub(super) fn on_host(init: Identity, process: &Process) -> Process {
    let mut nsenter = Process::new("nsenter");
    nsenter
        .arg(format!("--target={}", init.pid))
        .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--"])
        .arg(process.get_program())
        .args(process.get_args());
    for (name, value) in process.get_envs() {
        if let Some(value) = value {
            nsenter.env(name, value);
        }
    }
    nsenter
}
