//! A real `ovsdb-server` in a temporary folder, for tests: alone or as a cluster of several.
//!
//! No root, no fixed ports, nothing outside the folder. Everything ends and is removed when the value is dropped, also
//! when the test panics. These helpers panic with what the server logged: they are fixtures, not part of a program.

mod cluster;
mod pki;
mod server;

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

pub use cluster::Cluster;
pub use pki::{Identity, Pki};
pub use server::{Builder, OvsdbServer};

/// How long anything a test waits for may take. Generous, because test machines are busy; reached only by failures.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until `probe` yields a value, and panics with `what` when [`PATIENCE`] is over.
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Runs a program and returns what it printed; panics when it fails.
fn run(command: &mut Command) -> String {
    try_run(command).unwrap_or_else(|error| panic!("{error}"))
}

fn try_run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?}: {}: {complaint}", output.status))
    }
}

/// The schema of the Northbound database as installed with OVN.
pub fn northbound_schema() -> PathBuf {
    Path::new("/usr/share/ovn/ovn-nb.ovsschema").to_owned()
}
