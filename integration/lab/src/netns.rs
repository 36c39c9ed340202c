//! Network namespaces by name, as `ip netns` keeps them under /run/netns.
//!
//! Work inside a namespace happens on a thread of its own that enters it and ends: the lab's own
//! threads never change theirs, and a child started on such a thread is born in the namespace.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

use crate::command::Cmd;
use crate::error::{Error, Result};
use crate::process::MARK;

/// The file that stands for a namespace.
pub fn path(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// Whether the namespace is there.
pub fn exists(name: &str) -> bool {
    path(name).exists()
}

/// Makes a namespace of the lab in `lab`, with its loopback up.
pub fn create(name: &str, lab: &Path) -> Result<()> {
    // The mark: were the lab killed now, `down` must not overtake this.
    let mark = [(MARK, lab)];
    Cmd::new("ip").args(["netns", "add", name]).envs(mark).run()?;
    Cmd::new("ip").args(["link", "set", "lo", "up"]).netns(name).run()?;
    Ok(())
}

/// Removes a namespace; one that is gone already is fine.
pub fn remove(name: &str) -> Result<()> {
    if !exists(name) {
        return Ok(());
    }
    match Cmd::new("ip").args(["netns", "del", name]).run() {
        Err(_) if !exists(name) => Ok(()),
        other => other.map(drop),
    }
}

/// Runs `work` on a thread inside the namespace and gives back its result.
pub fn within<T: Send>(name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let path = path(name);
    let file = File::open(&path).map_err(Error::file("enter", &path))?;
    std::thread::scope(|scope| {
        scope
            .spawn(move || {
                setns(&file, CloneFlags::CLONE_NEWNET).map_err(|e| Error::File {
                    action: "enter",
                    path,
                    source: e.into(),
                })?;
                work()
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Moves the calling thread into the namespace for good, for a program about to `exec`.
pub fn enter(name: &str) -> Result<()> {
    let path = path(name);
    let file = File::open(&path).map_err(Error::file("enter", &path))?;
    setns(&file, CloneFlags::CLONE_NEWNET).map_err(|e| Error::File {
        action: "enter",
        path,
        source: e.into(),
    })
}

/// Sets kernel parameters of the namespace (`net/ipv4/ip_forward`); one the kernel lacks is
/// skipped when its name starts with `?`.
pub fn sysctl(name: &str, settings: &[(&str, &str)]) -> Result<()> {
    within(name, || {
        for (key, value) in settings {
            let (key, optional) = key.strip_prefix('?').map_or((*key, false), |k| (k, true));
            let path = Path::new("/proc/sys").join(key);
            if optional && !path.exists() {
                continue;
            }
            std::fs::write(&path, value).map_err(Error::file("write", &path))?;
        }
        Ok(())
    })
}
