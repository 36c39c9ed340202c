//! Which folders of the machine each host sees, and where.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;

use crate::host::mounts::{Bind, Layout};
use crate::plan::{Host, Plan};

/// What a host keeps over a reboot: folders of its disk and where it sees them.
const DISK: &[(&str, &str)] = &[
    ("containerd", "/var/lib/containerd"),
    ("kubelet", "/var/lib/kubelet"),
    ("cni", "/var/lib/cni"),
    ("pod-logs", "/var/log/pods"),
    ("container-logs", "/var/log/containers"),
    ("cni-conf", "/etc/cni"),
    ("cni-bin", "/opt/cni"),
    ("etc-kubernetes", "/etc/kubernetes"),
    ("etc-containerd", "/etc/containerd"),
    ("meridian", "/var/lib/meridian"),
];

/// The folder of a host's disk that it sees at `path`.
pub(crate) fn on_disk(plan: &Plan, host: &Host, path: &str) -> PathBuf {
    let (folder, _) = DISK
        .iter()
        .find(|(_, seen)| *seen == path)
        .unwrap_or_else(|| unreachable!("{path} is no part of a disk"));
    plan.disk(host).join(folder)
}

/// All folders of a host's disk.
pub(crate) fn disk_folders(plan: &Plan, host: &Host) -> impl Iterator<Item = PathBuf> {
    let disk = plan.disk(host);
    DISK.iter().map(move |(folder, _)| disk.join(folder))
}

/// The layout of a host, or of the central one.
pub(crate) fn layout(plan: &Plan, host: Option<&Host>) -> Layout {
    match host {
        Some(host) => node(plan, host),
        None => central(plan),
    }
}

fn central(plan: &Plan) -> Layout {
    Layout {
        name: "central".into(),
        hosts: names("central", &plan.central_ips()),
        binds: vec![
            same(&plan.central_run()),
            same(&plan.kubernetes_dir()),
            bind(plan.central_run(), "/run/ovn"),
        ],
    }
}

fn node(plan: &Plan, host: &Host) -> Layout {
    let run = plan.host_dir(host).join("run");
    let mut binds = vec![
        same(&plan.host_dir(host)),
        // Where the tools of OVS and OVN, and Meridian, look unless told otherwise.
        bind(run.clone(), "/run/openvswitch"),
        bind(run, "/run/ovn"),
    ];
    let disk = plan.disk(host);
    binds.extend(DISK.iter().map(|(folder, seen)| bind(disk.join(folder), seen)));
    Layout {
        name: host.name.clone(),
        hosts: names(&host.name, &plan.node_ips(host)),
        binds,
    }
}

fn bind(from: PathBuf, to: &str) -> Bind {
    Bind { from, to: to.into() }
}

/// A folder of the lab under its own name: the daemons' paths are the same inside and outside.
fn same(path: &Path) -> Bind {
    Bind {
        from: path.to_owned(),
        to: path.to_owned(),
    }
}

fn names(name: &str, ips: &[IpNetwork]) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost\n");
    for ip in ips {
        writeln!(text, "{} {name}", ip.ip()).ok();
    }
    text
}
