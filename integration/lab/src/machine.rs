//! What the machine under the lab can do: checked before anything is made, so that a lack is told
//! with its remedy and not as some program's failure.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::command::Cmd;
use crate::error::{Error, Result};

/// Programs the lab runs and the Debian package that has each.
const PROGRAMS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("setsid", "util-linux"),
    ("ethtool", "ethtool"),
    ("nft", "nftables"),
    ("ovsdb-server", "openvswitch-switch"),
    ("ovsdb-tool", "openvswitch-switch"),
    ("ovs-vsctl", "openvswitch-switch"),
    ("ovs-vswitchd", "openvswitch-switch"),
    ("ovn-northd", "ovn-central"),
    ("ovn-nbctl", "ovn-central"),
    ("ovn-sbctl", "ovn-central"),
    ("ovn-controller", "ovn-host"),
];

/// Programs and files that a lab with Kubernetes needs beside those.
const FOR_KUBERNETES: &[(&str, &str)] = &[
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/loopback", "containernetworking-plugins"),
    ("curl", "curl"),
    ("nsenter", "util-linux"),
    ("tar", "tar"),
];

/// Which datapath ovs-vswitchd uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Datapath {
    /// The kernel module.
    System,
    /// ovs-vswitchd itself: needs no module.
    Netdev,
}

impl std::fmt::Display for Datapath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::Netdev => "netdev",
        })
    }
}

impl Datapath {
    /// The kernel's where it has one, with its Geneve.
    pub fn detect() -> Self {
        let has = |module: &str| {
            Path::new("/sys/module").join(module).exists() || Cmd::new("modprobe").args(["-q", module]).run().is_ok()
        };
        if has("openvswitch") && has("geneve") {
            Self::System
        } else {
            Self::Netdev
        }
    }
}

/// Fails unless we are root, may make namespaces, and every program is there.
pub fn check() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::Machine {
            what: "the lab makes network namespaces and needs root".into(),
            next: "run it with sudo".into(),
        });
    }
    installed(PROGRAMS)?;
    let unshared = std::thread::spawn(|| nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET));
    match unshared.join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(Error::Machine {
            what: format!("the kernel refuses a network namespace: {e}"),
            next: "run on a machine or container with CAP_SYS_ADMIN".into(),
        }),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Fails unless what hosts with Kubernetes need is there.
pub fn check_kubernetes() -> Result<()> {
    installed(FOR_KUBERNETES)
}

fn installed(programs: &[(&str, &str)]) -> Result<()> {
    let mut missing: Vec<_> = programs.iter().filter(|(p, _)| find(p).is_none()).collect();
    if !missing.is_empty() {
        let programs: Vec<_> = missing.iter().map(|(p, _)| *p).collect();
        let what = format!("not installed: {}", programs.join(", "));
        missing.dedup_by_key(|(_, package)| *package);
        let packages: Vec<_> = missing.iter().map(|(_, p)| *p).collect();
        return Err(Error::Machine {
            what,
            next: format!("apt-get install {}", packages.join(" ")),
        });
    }
    Ok(())
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        // A shell of an ordinary user has no sbin in its path.
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}
