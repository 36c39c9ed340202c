//! What ovn-northd makes of the rows, and what that costs it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use meridian_tests::{Central, eventually, run};

/// Clock ticks of `/proc/PID/stat` in a second, the same on every Linux that Debian makes.
const TICKS: u32 = 100;
/// What its tools may take for a large database on a busy machine, rather than what [`Central`] gives them.
const TOOL_TIMEOUT: &str = "--timeout=600";

/// The daemon of a [`Central`].
#[derive(Debug)]
pub(crate) struct Northd {
    control: PathBuf,
    pid: u32,
}

impl Northd {
    /// The one that translates these databases.
    pub(crate) fn of(central: &mut Central) -> Self {
        let control = central.server_mut().folder().join("northd.ctl");
        let own = format!("ovn-northd .*{}", control.display());
        let pid = eventually("northd runs", || run("pgrep", ["-f", &own]));
        let northd = Self {
            pid: pid.trim().parse().expect("one process"),
            control,
        };
        eventually("northd answers", || northd.appctl(&["status"]));
        northd
    }

    /// Has it look away, and drop what it was about to do.
    pub(crate) fn pause(&self) {
        self.tell(&["pause"]);
        eventually("northd pauses", || match self.appctl(&["is-paused"])?.trim() {
            "true" => Ok(()),
            other => Err(other.to_owned()),
        });
    }

    /// Undoes [`Self::pause`].
    pub(crate) fn resume(&self) {
        self.tell(&["resume"]);
    }

    /// Forgets what its loops took.
    pub(crate) fn reset(&self) {
        self.tell(&["stopwatch/reset"]);
    }

    /// The most that a run of what it calls by that name took since the last reset, in milliseconds.
    pub(crate) fn longest(&self, stopwatch: &str) -> u64 {
        let text = self.tell(&["stopwatch/show", stopwatch]);
        let line = text.lines().find_map(|line| line.trim().strip_prefix("Maximum: "));
        let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        figure.unwrap_or_else(|| panic!("no maximum of {stopwatch}: {text}"))
    }

    /// The processor time it has taken.
    pub(crate) fn cpu(&self) -> Duration {
        cpu(self.pid)
    }

    fn tell(&self, command: &[&str]) -> String {
        self.appctl(command).unwrap_or_else(|error| panic!("{error}"))
    }

    fn appctl(&self, command: &[&str]) -> Result<String, String> {
        let control = self.control.display().to_string();
        run("ovn-appctl", ["-t", &control].iter().chain(command))
    }
}

/// The processor time a process has taken.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // Behind the name, which may have spaces, the 12th and 13th are utime and stime.
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u32 = ticks.map(|ticks| ticks.parse::<u32>().expect("a number")).sum();
    Duration::from_secs(1) * ticks / TICKS
}

/// Waits until everything written so far is where `who` says: `sb`, or `hv` for the hosts too.
pub(crate) fn sync(central: &Central, who: &str) {
    central.nbctl(&[TOOL_TIMEOUT, &format!("--wait={who}"), "sync"]);
}

/// Removes a host that is gone: others wait for it to be up to date.
pub(crate) fn forget(central: &Central, chassis: &str) {
    let database = format!("--db={}", central.remote());
    let arguments = [TOOL_TIMEOUT, &database, "chassis-del", chassis];
    run("ovn-sbctl", arguments).unwrap_or_else(|error| panic!("{error}"));
}

/// The ports that hosts have bound.
pub(crate) fn bound(central: &Central) -> BTreeSet<String> {
    let database = format!("--db={}", central.remote());
    let arguments = [
        TOOL_TIMEOUT,
        &database,
        "--bare",
        "--columns=logical_port",
        "find",
        "Port_Binding",
        "chassis!=[]",
    ];
    let text = run("ovn-sbctl", arguments).unwrap_or_else(|error| panic!("{error}"));
    text.split_whitespace().map(str::to_owned).collect()
}

/// How many rows a table of the Southbound database has.
pub(crate) fn southbound(central: &Central, table: &str) -> usize {
    let remote = central.remote();
    let arguments = [
        TOOL_TIMEOUT,
        "--format=csv",
        "dump",
        &remote,
        "OVN_Southbound",
        table,
        "_uuid",
    ];
    let text = run("ovsdb-client", arguments).unwrap_or_else(|error| panic!("{error}"));
    // The other lines are names, of the table and of the column.
    text.lines()
        .filter(|line| line.len() == uuid::fmt::Hyphenated::LENGTH)
        .count()
}
