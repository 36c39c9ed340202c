//! Waiting against a deadline for things that send no event to us: a socket of another daemon, a
//! file another process writes, the end of a process that is not our child.

use std::time::{Duration, Instant};

use crate::error::{Error, LogTail, Result};

/// How long one thing may take on a busy machine of two cores.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Polls `ready` until it yields something, or `limit` is over.
pub fn until<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(value) = ready() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(100));
    }
}

/// Like [`until`], but an absence is an error that names what was awaited.
pub fn for_some<T>(what: &str, limit: Duration, ready: impl FnMut() -> Option<T>) -> Result<T> {
    until(limit, ready).ok_or_else(|| Error::Timeout {
        what: what.to_owned(),
        after: limit,
        log: LogTail::default(),
    })
}

#[allow(clippy::disallowed_methods)] // the one place: the pause of a poll against a deadline
fn sleep(pause: Duration) {
    std::thread::sleep(pause);
}
