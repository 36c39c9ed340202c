//! Long-lived processes of a lab: started apart from the terminal, known by pid *and* start time,
//! so that a pid which the kernel gave to somebody else since is never signalled.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{Error, LogTail, Result};
use crate::host::Site;
use crate::host::cgroup::Cgroup;
use crate::wait;

/// Every process of a lab carries this variable, with the lab's folder, in its environment: a
/// lab killed between starting a daemon and recording it still finds the daemon.
pub const MARK: &str = "MERIDIAN_LAB_DIR";

/// And this one, with the process' name in the lab: so it is found before it is recorded.
const NAME: &str = "MERIDIAN_LAB_PROCESS";

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

    /// The pid by which it knows itself: another one, where it lives on a host of the lab's.
    pub fn inner_pid(self) -> i32 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        status
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:")?.split_whitespace().last()?.parse().ok())
            .unwrap_or(self.pid)
    }

    /// Whether it leads a session, as each daemon does and none of its children.
    fn leads_session(self) -> bool {
        // Field 6, with `state` as field 3.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let session = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(3));
        session.is_some_and(|session| session == self.pid.to_string())
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

/// How long a process that was asked to end may take.
const POLITE: Duration = Duration::from_secs(5);

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
    pub site: Site<'a>,
    /// The cgroup it and its children are accounted to, if not the lab's own.
    pub cgroup: Option<Cgroup>,
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

    /// Starts a daemon in a session of its own and records it. An earlier one of this name, which
    /// a lab killed at the wrong moment never recorded, ends first.
    pub fn start(&self, daemon: &Daemon<'_>) -> Result<Identity> {
        self.crash(daemon.name)?;
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
            .env(NAME, daemon.name)
            .env("NO_COLOR", "1") // logs are read as text
            .env_remove("KUBECONFIG") // the cluster of whoever starts the lab is not the daemons'
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let child = daemon.site.within(|| {
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
        if let Some(cgroup) = &daemon.cgroup {
            // It still is at its own start, and has no children that could stay behind.
            cgroup.join(identity)?;
        }
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
        let processes = self.named(name);
        for process in &processes {
            process.signal(Signal::SIGTERM);
        }
        let ended = || processes.iter().all(|p| !p.alive()).then_some(());
        if wait::until(POLITE, ended).is_none() {
            self.crash(name)?;
        }
        self.forget(name)
    }

    /// Ends one process with SIGKILL and keeps its record, as a crash would.
    pub fn crash(&self, name: &str) -> Result<()> {
        let processes = self.named(name);
        for process in &processes {
            process.signal(Signal::SIGKILL);
        }
        processes.into_iter().try_for_each(|process| gone(name, process))
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
        with_environment(&[format!("{MARK}={}", self.lab.display())])
    }

    /// The running processes of this name, recorded or not. Children have the name too, and may
    /// outlive their parent for good reason, as a runtime's containers do: they are not meant.
    fn named(&self, name: &str) -> Vec<Identity> {
        let mut found = with_environment(&[format!("{MARK}={}", self.lab.display()), format!("{NAME}={name}")]);
        found.retain(|process| process.leads_session());
        found
    }

    fn file(&self, name: &str) -> PathBuf {
        self.pids.join(name)
    }
}

/// Running processes, ourselves aside, that have all these variables.
fn with_environment(variables: &[String]) -> Vec<Identity> {
    let own = i32::try_from(std::process::id()).expect("a pid fits pid_t");
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                let has = |wanted: &String| environment.split(|b| *b == 0).any(|var| var == wanted.as_bytes());
                variables.iter().all(has)
            })
        })
        .filter_map(Identity::of)
        .collect()
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
