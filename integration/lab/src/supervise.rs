//! Starts ovs-vswitchd again when it crashes, as `--monitor` of its own scripts does: the userspace datapath of OVS before
//! 3.1.2 ends at an assertion of its connection tracking (`conn_type == CT_CONN_TYPE_DEFAULT`) now and then.
//!
//! Not by `--monitor` itself: whoever ends or kills this process must end the switch with it. Must not: restart what
//! ended in good order, or was ended by somebody else's SIGKILL or SIGTERM; go on for ever with one that only crashes.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use ipnetwork::IpNetwork;
use nix::sys::signal::Signal;

use crate::error::{Error, Result};
use crate::{links, wait};

/// What a crash looks like from outside.
const CRASHES: [Signal; 4] = [Signal::SIGABRT, Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL];
/// A switch that crashes more often than that has no accidents: it cannot run here, and whoever looks must find it ended.
const MOST_CRASHES: u32 = 50;
/// How long the switch may take to have its devices again.
const RESTORED: Duration = Duration::from_secs(30);

/// A switch to keep alive.
#[derive(Clone, Debug)]
pub struct Supervise {
    /// Addresses of the physical bridge's device, which are gone with the device when the switch crashes.
    pub addresses: Vec<IpNetwork>,
    /// The program and its arguments.
    pub command: Vec<String>,
}

impl Supervise {
    /// Runs until the program ends otherwise than by a crash.
    pub fn run(&self) -> Result<()> {
        let mut crashes = 0;
        loop {
            let mut child = self.start()?;
            if crashes > 0 {
                self.restore();
            }
            let status = child.wait().map_err(|source| self.failed(source))?;
            if !crashed(status) || crashes == MOST_CRASHES {
                return self.ended(status);
            }
            crashes += 1;
            tell(&format!(
                "{} crashed ({status}), {crashes} times by now; starting it again",
                self.command[0]
            ));
        }
    }

    fn start(&self) -> Result<std::process::Child> {
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(&self.command)
            .spawn()
            .map_err(|source| self.failed(source))
    }

    /// What the lab gave the device when it came up. Whoever else has something on a device of the switch's gives it back
    /// by itself.
    fn restore(&self) {
        if self.addresses.is_empty() {
            return;
        }
        let mut last = None;
        let restored = wait::until(RESTORED, || match links::bridge_addresses(&self.addresses) {
            Ok(()) => Some(()),
            Err(e) => {
                last = Some(e);
                None
            }
        });
        if let (None, Some(e)) = (restored, last) {
            tell(&format!("the tunnel address is not there again: {e}"));
        }
    }

    fn ended(&self, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        Err(Error::Command {
            command: self.command.join(" "),
            status: status.to_string(),
            output: "what it said is above".into(),
        })
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Spawn {
            command: self.command.join(" "),
            source,
        }
    }
}

fn crashed(status: ExitStatus) -> bool {
    status
        .signal()
        .is_some_and(|signal| CRASHES.iter().any(|crash| *crash as i32 == signal))
}

#[allow(clippy::print_stderr)] // standard error is the switch's log
fn tell(text: &str) {
    eprintln!("supervise: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervise(script: &str) -> Supervise {
        Supervise {
            addresses: Vec::new(),
            command: ["sh", "-c", script].map(str::to_owned).into(),
        }
    }

    #[test]
    fn what_crashes_is_started_again_until_it_ends_in_good_order() {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "echo . >> {0}/starts; [ $(wc -l < {0}/starts) = 3 ] || kill -ABRT $$",
            dir.path().display()
        );
        supervise(&script).run().unwrap();
        let starts = std::fs::read_to_string(dir.path().join("starts")).unwrap();
        assert_eq!(starts.lines().count(), 3);
    }

    #[test]
    fn what_only_crashes_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("echo . >> {}/starts; kill -ABRT $$", dir.path().display());
        assert!(supervise(&script).run().is_err());
        let starts = std::fs::read_to_string(dir.path().join("starts")).unwrap();
        assert_eq!(starts.lines().count(), MOST_CRASHES as usize + 1);
    }

    #[test]
    fn what_is_killed_or_fails_stays_down() {
        for script in ["kill -KILL $$", "kill -TERM $$", "exit 1"] {
            assert!(supervise(script).run().is_err(), "{script}");
        }
    }
}
