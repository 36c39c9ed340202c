//! A host's cgroup, in every hierarchy the machine has: version 1, version 2, or both side by side.
//!
//! Below it, `system` holds the host's daemons, and kubelet makes `kubepods` beside that. Version 2
//! allows processes in leaves only, so nothing runs in the host's own cgroup.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process::Identity;
use crate::wait;

/// Where the daemons of a host are.
const LEAF: &str = "system";

/// What kubelet cannot do without.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// How long the kernel may take to let go of the processes that ended in a cgroup.
const EMPTYING: Duration = Duration::from_secs(10);

/// A cgroup of the machine's, by name; it lies at the root of each hierarchy.
#[derive(Clone, Debug)]
pub struct Cgroup {
    name: String,
}

/// Where a hierarchy is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    unified: bool,
}

impl Cgroup {
    /// The cgroup of this name, there or not.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// Its path as kubelet wants it, from the root of a hierarchy.
    pub fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// Makes it everywhere, with the place for daemons.
    pub fn create(&self) -> Result<()> {
        let all = hierarchies()?;
        let only_unified = all.iter().all(|h| h.unified);
        for hierarchy in all {
            let top = hierarchy.mount.join(&self.name);
            let leaf = top.join(LEAF);
            if hierarchy.unified && only_unified {
                // What a cgroup may use, the one above must grant.
                grant(&hierarchy.mount);
                make(&top)?;
                grant(&top);
                require(&top)?;
                make(&leaf)?;
            } else {
                for dir in [&top, &leaf] {
                    make(dir)?;
                    inherit_cpuset(dir)?;
                }
            }
        }
        Ok(())
    }

    /// Moves a process, which has no children yet, to the host's daemons.
    pub fn join(&self, process: Identity) -> Result<()> {
        for hierarchy in hierarchies()? {
            let file = hierarchy.mount.join(&self.name).join(LEAF).join("cgroup.procs");
            match fs::write(&file, process.pid.to_string()) {
                // It ended meanwhile, which whoever waits for it will notice.
                Err(e) if e.raw_os_error() == Some(nix::libc::ESRCH) => {}
                other => other.map_err(Error::file("write", &file))?,
            }
        }
        Ok(())
    }

    /// Removes it with everything below; its processes must have ended.
    pub fn remove(&self) -> Result<()> {
        for hierarchy in hierarchies()? {
            let top = hierarchy.mount.join(&self.name);
            let mut last = Ok(());
            // The last processes may still be on their way out.
            wait::until(EMPTYING, || {
                last = remove_tree(&top);
                last.is_ok().then_some(())
            });
            last.map_err(Error::file("remove", &top))?;
        }
        Ok(())
    }
}

/// The hierarchies of this machine.
fn hierarchies() -> Result<Vec<Hierarchy>> {
    let path = Path::new("/proc/self/mounts");
    let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
    let all = parse_mounts(&text);
    if all.is_empty() {
        return Err(Error::Machine {
            what: "this machine has no cgroups mounted".into(),
            next: "mount -t cgroup2 cgroup2 /sys/fs/cgroup".into(),
        });
    }
    Ok(all)
}

fn parse_mounts(text: &str) -> Vec<Hierarchy> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let mount = PathBuf::from(fields.next()?);
            let kind = fields.next()?;
            // Some machines show them a second time elsewhere.
            let ours = (kind == "cgroup" || kind == "cgroup2") && mount.starts_with("/sys/fs/cgroup");
            ours.then_some(Hierarchy {
                mount,
                unified: kind == "cgroup2",
            })
        })
        .collect()
}

fn make(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(Error::file("create", dir)(e)),
        _ => Ok(()),
    }
}

/// In version 1, a new cgroup may use no processor until it is told which.
fn inherit_cpuset(dir: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let path = dir.join(file);
        if !path.exists() {
            return Ok(());
        }
        let above = dir.parent().unwrap_or(dir).join(file);
        let value = fs::read_to_string(&above).map_err(Error::file("read", &above))?;
        fs::write(&path, value.trim()).map_err(Error::file("write", &path))?;
    }
    Ok(())
}

/// Lets the cgroups below use whatever there is; what is refused is noticed by [`require`].
fn grant(dir: &Path) {
    let available = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}")).ok();
    }
}

fn require(dir: &Path) -> Result<()> {
    let path = dir.join("cgroup.controllers");
    let available = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    let missing: Vec<_> = CONTROLLERS
        .into_iter()
        .filter(|wanted| !available.split_whitespace().any(|c| c == *wanted))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Machine {
        what: format!("the cgroups of this machine do not hand down: {}", missing.join(", ")),
        next: "in a container, move its processes out of /sys/fs/cgroup into a cgroup below it first".into(),
    })
}

fn remove_tree(dir: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    // The files of a cgroup go with it.
    match fs::remove_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found_each_once() {
        let text = "proc /proc proc rw 0 0\n\
                    cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                    cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                    cgroup /var/lib/other/memory cgroup rw,memory 0 0\n";
        let found = parse_mounts(text);
        let mounts: Vec<_> = found.iter().map(|h| (h.mount.to_str().unwrap(), h.unified)).collect();
        assert_eq!(
            mounts,
            [("/sys/fs/cgroup/memory", false), ("/sys/fs/cgroup/unified", true)]
        );
    }
}
