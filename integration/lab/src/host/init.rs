//! The first process of a host: sets up its mounts, then reaps whatever processes leave behind,
//! until it is told to end or is killed; all others on the host end with it.

use std::fs;
use std::path::Path;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, sethostname};

use super::mounts::{self, Layout};
use crate::error::{Error, Result};

/// Made when the host can be used; on its own /run, so that it is gone with the host.
pub const READY: &str = "/run/host-ready";

/// Becomes the host's first process; returns when it is told to end.
pub fn run(layout: &Path) -> Result<()> {
    if getpid() != Pid::from_raw(1) {
        return Err(Error::State {
            what: "this is not the first process of a host".into(),
            next: "meridian-lab up --kubernetes".into(),
        });
    }
    // Before anything else: a signal that comes early is not lost.
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        signals.add(signal);
    }
    signals.thread_block().map_err(system("block signals"))?;
    let layout = Layout::read(layout)?;
    sethostname(&layout.name).map_err(system("set the host's name"))?;
    mounts::make(&layout)?;
    fs::write(READY, "").map_err(Error::file("write", Path::new(READY)))?;
    while signals.wait().map_err(system("wait for a signal"))? == Signal::SIGCHLD {
        reap();
    }
    // Our end is that of everybody else here.
    Ok(())
}

/// Several children may have ended behind one signal.
fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
}

fn system(what: &'static str) -> impl FnOnce(nix::errno::Errno) -> Error {
    move |e| Error::net(what)(e.into())
}
