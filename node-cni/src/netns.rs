//! Network namespaces: opening them, telling them apart, working in one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, setns};

/// An open network namespace. It lives on while this does, whoever removes its name.
#[derive(Debug)]
pub struct Netns {
    file: File,
    path: PathBuf,
}

/// Why a network namespace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// There is none of that name.
    #[error("network namespace {} does not exist", .0.display())]
    Absent(PathBuf),
    /// It is there but cannot be opened.
    #[error("network namespace {}: {source}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is the one this program runs in: the host's.
    #[error("network namespace {} is the host's own", .0.display())]
    Host(PathBuf),
    /// It cannot be entered.
    #[error("enter network namespace {}: {}", path.display(), errno.desc())]
    Enter {
        /// Its path.
        path: PathBuf,
        /// Why not.
        errno: nix::errno::Errno,
    },
}

impl Netns {
    /// Opens the namespace a path names.
    pub fn open(path: &Path) -> Result<Self, NetnsError> {
        let file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => NetnsError::Absent(path.to_owned()),
            _ => NetnsError::Open {
                path: path.to_owned(),
                source,
            },
        })?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Refuses the namespace this program itself runs in, where a pod's addresses would become the host's.
    pub fn require_foreign(self) -> Result<Self, NetnsError> {
        let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let failed = |source| NetnsError::Open {
            path: self.path.clone(),
            source,
        };
        let own = File::open("/proc/thread-self/ns/net").and_then(|own| identity(&own));
        if own.map_err(failed)? == identity(&self.file).map_err(failed)? {
            return Err(NetnsError::Host(self.path));
        }
        Ok(self)
    }

    /// Runs `work` on a thread of its own inside the namespace, so that no other code ever runs there by mistake.
    ///
    /// `/proc/sys/net` is the namespace's too while `work` runs.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        let run = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| NetnsError::Enter {
                path: self.path.clone(),
                errno,
            })?;
            Ok(work())
        };
        thread::scope(|scope| match scope.spawn(run).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
