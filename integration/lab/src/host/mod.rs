//! A host as a machine of its own, as far as namespaces go: processes, mounts, name and network
//! are its own, and it has a cgroup. Its first process ([`init`]) is what makes it exist: kill
//! that one, and the kernel ends all others, pods included, and takes the mounts away.
//!
//! ```text
//!  meridian-lab ── a thread enters or makes the namespaces ── starts a child there, and ends
//! ```
//!
//! The lab's own threads never change theirs. This module knows nothing of what runs on a host.

pub mod cgroup;
pub mod init;
pub mod mounts;

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{Error, Result};
use crate::netns;
use crate::process::Identity;

/// Where a process is born.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site<'a> {
    /// Where the lab itself is.
    Machine,
    /// In a network namespace, all else as the lab's own.
    Network(&'a str),
    /// As the first process of a new host with this network namespace.
    Boot(&'a str),
    /// On the host with this first process.
    Host(Identity),
}

/// The namespaces of a host beside that of its network. Mounts come last: what names the others
/// is gone from sight then.
const NAMESPACES: [(&str, CloneFlags); 5] = [
    ("net", CloneFlags::CLONE_NEWNET),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("mnt", CloneFlags::CLONE_NEWNS),
];

impl Site<'_> {
    /// Runs `work` where children are born as the site says. `work` itself should do nothing but
    /// start one: threads cannot be made there.
    pub fn within<T: Send>(self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        match self {
            Self::Machine => work(),
            Self::Network(name) => netns::within(name, work),
            Self::Boot(name) => netns::within(name, || {
                let new = NAMESPACES[1..].iter().map(|(_, flag)| *flag).collect();
                unshare(new).map_err(|e| Error::Machine {
                    what: format!("the kernel refuses namespaces for a host: {e}"),
                    next: "run on a machine or container with CAP_SYS_ADMIN".into(),
                })?;
                work()
            }),
            Self::Host(init) => on_own_thread(|| {
                enter(init)?;
                work()
            }),
        }
    }
}

/// A path of a host's own, as seen from the machine.
pub fn outside(init: Identity, path: &str) -> PathBuf {
    Path::new("/proc")
        .join(init.pid.to_string())
        .join("root")
        .join(path.trim_start_matches('/'))
}

/// Moves the calling thread, and the children it will have, into the namespaces of a host.
fn enter(init: Identity) -> Result<()> {
    let open = |name: &str| {
        let path = PathBuf::from(format!("/proc/{}/ns/{name}", init.pid));
        File::open(&path).map_err(Error::file("enter", &path))
    };
    let files = NAMESPACES
        .iter()
        .map(|(name, flag)| Ok((open(name)?, *flag)))
        .collect::<Result<Vec<_>>>()?;
    let refused = |e: nix::errno::Errno| Error::net(format!("enter the host of process {}", init.pid))(e.into());
    if !init.alive() {
        return Err(refused(nix::errno::Errno::ESRCH));
    }
    // A thread that shares root and working directory with others cannot change its mounts.
    unshare(CloneFlags::CLONE_FS).map_err(refused)?;
    for (file, flag) in files {
        setns(&file, flag).map_err(refused)?;
    }
    Ok(())
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        scope
            .spawn(work)
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
