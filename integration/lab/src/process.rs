//! Long-lived processes of a lab: started apart from the terminal, known by pid *and* start time,
//! so that a pid which the kernel gave to somebody else since is never signalled.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{Error, LogTail, Result};
use crate::{netns, wait};

/// Every process of a lab carries this variable, with the lab's folder, in its environment: a
/// lab killed between starting a daemon and recording it still finds the daemon.
pub const MARK: &str = "MERIDIAN_LAB_DIR";

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// Start time in clock ticks since boot, from /proc/PID/stat.
    pub started: u64,
}

impl Identity {
    /// The process that has this pid now, unless it is gone or a zombie.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command in parentheses may hold anything: what follows the last one is regular.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        if (state == "Z" || state == "X") && !has_other_threads(pid) {
            return None;
        }
        // `state` is field 3, the start time field 22.
        let started = fields.nth(18)?.parse().ok()?;
        Some(Self { pid, started })
    }

    /// Whether this very process still runs.
    pub fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal to this very process, if it still runs.
    pub fn signal(self, signal: Signal) {
        if self.alive() {
            kill(Pid::from_raw(self.pid), signal).ok();
        }
    }
}

/// A killed process whose first thread is a zombie already still holds its sockets until the last
/// of its threads has ended: its successor could not bind.
fn has_other_threads(pid: i32) -> bool {
    fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|tasks| tasks.count() > 1)
}

/// What to start.
#[derive(Debug)]
pub struct Daemon<'a> {
    /// Unique within the lab: names the pid file.
    pub name: &'a str,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables beside the inherited ones.
    pub env: BTreeMap<String, String>,
    /// Where it lives.
    pub netns: &'a str,
    /// Its standard output and error.
    pub log: PathBuf,
}

/// The processes of one lab, kept in a folder of pid files.
#[derive(Clone, Debug)]
pub struct Processes {
    lab: PathBuf,
    pids: PathBuf,
}

impl Processes {
    /// The processes of the lab in `lab`, recorded in `lab/pids`.
    pub fn of(lab: &Path) -> Self {
        Self {
            lab: lab.to_owned(),
            pids: lab.join("pids"),
        }
    }

    /// Starts a daemon in a session of its own and records it.
    pub fn start(&self, daemon: &Daemon<'_>) -> Result<Identity> {
        let parent = daemon.log.parent().unwrap_or(&self.lab);
        fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        fs::create_dir_all(&self.pids).map_err(Error::file("create", &self.pids))?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&daemon.log)
            .map_err(Error::file("open", &daemon.log))?;
        let errors = log.try_clone().map_err(Error::file("open", &daemon.log))?;
        let mut command = Command::new("setsid");
        command
            .args(&daemon.command)
            .envs(&daemon.env)
            .env(MARK, &self.lab)
            .env("NO_COLOR", "1") // logs are read as text
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let child = netns::within(daemon.netns, || {
            command.spawn().map_err(|source| Error::Spawn {
                command: daemon.command.join(" "),
                source,
            })
        })?;
        let pid = i32::try_from(child.id()).expect("a pid fits pid_t");
        reap(child);
        let identity = Identity::of(pid).ok_or_else(|| Error::Ended {
            component: daemon.name.to_owned(),
            log: LogTail::of(&daemon.log),
        })?;
        let file = self.file(daemon.name);
        let record = serde_json::to_vec(&identity).expect("plain data");
        fs::write(&file, record).map_err(Error::file("write", &file))?;
        Ok(identity)
    }

    /// The recorded process, running or not.
    pub fn recorded(&self, name: &str) -> Option<Identity> {
        serde_json::from_slice(&fs::read(self.file(name)).ok()?).ok()
    }

    /// The recorded process, if it runs.
    pub fn running(&self, name: &str) -> Option<Identity> {
        self.recorded(name).filter(|p| p.alive())
    }

    /// Ends one process: asks, then insists. Its record goes too.
    pub fn stop(&self, name: &str) -> Result<()> {
        if let Some(process) = self.recorded(name) {
            process.signal(Signal::SIGTERM);
            let polite = Duration::from_secs(5);
            if wait::until(polite, || (!process.alive()).then_some(())).is_none() {
                process.signal(Signal::SIGKILL);
                gone(name, process)?;
            }
        }
        self.forget(name)
    }

    /// Ends one process with SIGKILL and keeps its record, as a crash would.
    pub fn crash(&self, name: &str) -> Result<()> {
        if let Some(process) = self.recorded(name) {
            process.signal(Signal::SIGKILL);
            gone(name, process)?;
        }
        Ok(())
    }

    /// Removes the record of a process.
    pub fn forget(&self, name: &str) -> Result<()> {
        let file = self.file(name);
        match fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", &file)(e)),
            _ => Ok(()),
        }
    }

    /// Ends everything that carries this lab's mark, recorded or not; gives their number.
    pub fn kill_all(&self) -> Result<usize> {
        let marked = self.marked();
        for process in &marked {
            process.signal(Signal::SIGKILL);
        }
        for process in &marked {
            gone("a process of the lab", *process)?;
        }
        Ok(marked.len())
    }

    /// Every running process with this lab's mark, but not ourselves.
    pub fn marked(&self) -> Vec<Identity> {
        let mark = format!("{MARK}={}", self.lab.display());
        let own = i32::try_from(std::process::id()).expect("a pid fits pid_t");
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != own)
            .filter(|pid| {
                fs::read(format!("/proc/{pid}/environ"))
                    .is_ok_and(|env| env.split(|b| *b == 0).any(|var| var == mark.as_bytes()))
            })
            .filter_map(Identity::of)
            .collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.pids.join(name)
    }
}

fn gone(name: &str, process: Identity) -> Result<()> {
    wait::for_some(
        &format!("the end of {name} (pid {})", process.pid),
        wait::PATIENCE,
        || (!process.alive()).then_some(()),
    )
}

/// Waits for a child in the background, so that it leaves no zombie while this process lives.
fn reap(mut child: std::process::Child) {
    std::thread::Builder::new()
        .name("reaper".into())
        .stack_size(64 * 1024)
        .spawn(move || child.wait())
        .map(drop)
        .ok();
}

/// An exclusive lock on a lab, so that two commands do not work on it at once. It lives beside
/// the lab's folder, because the folder comes and goes.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock.
    pub fn acquire(lab: &Path) -> Result<Self> {
        let path = lab.with_extension("lock");
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        }
        loop {
            let file = File::create(&path).map_err(Error::file("create", &path))?;
            file.lock().map_err(Error::file("lock", &path))?;
            // The holder before us may have removed the file with the lab.
            if same(&file, &path) {
                return Ok(Self { _file: file });
            }
        }
    }

    /// Removes the lock's file while it is held, after the lab itself is gone.
    pub fn remove(self, lab: &Path) {
        fs::remove_file(lab.with_extension("lock")).ok();
    }
}

fn same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_not_mistaken_for_a_later_one() {
        let own = i32::try_from(std::process::id()).unwrap();
        let identity = Identity::of(own).unwrap();
        assert!(identity.alive());
        let other = Identity {
            started: identity.started + 1,
            ..identity
        };
        assert!(!other.alive());
    }
}
