//! Waiting for something to become true, against a deadline.

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// How long anything may take. Generous, because tests share few processors.
pub const DEADLINE: Duration = Duration::from_mins(1);

const INTERVAL: Duration = Duration::from_millis(20);

/// Asks until the answer is `Ok`, and panics with the last error at the deadline.
pub fn eventually<T, E: std::fmt::Display>(what: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) if Instant::now() > deadline => {
                panic!("{what}: not after {DEADLINE:?}: {error}")
            }
            Err(_) => std::thread::park_timeout(INTERVAL),
        }
    }
}

/// Waits until a process has ended.
pub fn wait_exit(child: &mut Child, what: &str) -> ExitStatus {
    eventually(what, || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err("still running".to_owned()),
        Err(error) => Err(error.to_string()),
    })
}
