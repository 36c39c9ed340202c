//! What goes wrong in a lab, always with the value, the reason and, where there is one, the log.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine lacks something the lab needs.
    #[error("{what}\n  next: {next}")]
    Machine {
        /// What is missing.
        what: String,
        /// What to do about it.
        next: String,
    },
    /// A file or folder.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File {
        /// What was tried (`read`, `create`).
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {reason}", path = path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A program could not be started at all.
    #[error("cannot run `{command}`: {source}")]
    Spawn {
        /// The command line.
        command: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A program said no.
    #[error("`{command}` failed ({status}): {output}")]
    Command {
        /// The command line.
        command: String,
        /// Exit status or signal.
        status: String,
        /// What it printed, trimmed.
        output: String,
    },
    /// Something did not come about in time.
    #[error("{what}: not there after {after:.0?}{log}")]
    Timeout {
        /// What was awaited.
        what: String,
        /// For how long.
        after: Duration,
        /// The log's tail, or nothing.
        log: LogTail,
    },
    /// A daemon ended although it should run.
    #[error("{component} ended soon after its start{log}")]
    Ended {
        /// Which one.
        component: String,
        /// The log's tail.
        log: LogTail,
    },
    /// A socket in a namespace.
    #[error("{what}: {source}")]
    Net {
        /// What was tried.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A key or certificate.
    #[error("certificate {name}: {source}")]
    Certificate {
        /// Whose.
        name: String,
        /// Why not.
        source: rcgen::Error,
    },
    /// The lab is not in the state the command needs.
    #[error("{what}\n  next: {next}")]
    State {
        /// How it is.
        what: String,
        /// What to do.
        next: String,
    },
    /// An object of the cluster that the lab cannot use.
    #[error("{object}: {reason}")]
    Object {
        /// `pod default/web-0`
        object: String,
        /// What is wrong.
        reason: String,
    },
    /// The network plugin refused.
    #[error("{pod}: meridian-cni {command} failed: {reason}")]
    Cni {
        /// `pod default/web-0`
        pod: String,
        /// ADD or DEL.
        command: &'static str,
        /// The plugin's error.
        reason: String,
    },
    /// Several things failed; each was tried.
    #[error("{}", join(.0))]
    Several(Vec<Error>),
}

impl Error {
    /// A file error in the form `map_err` wants.
    pub fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// A socket error in the form `map_err` wants.
    pub fn net(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Net { what, source }
    }

    /// A certificate's error in the form `map_err` wants.
    pub(crate) fn certificate(name: &str) -> impl FnOnce(rcgen::Error) -> Self {
        let name = name.to_owned();
        move |source| Self::Certificate { name, source }
    }

    /// Nothing, the one error, or all of them.
    pub fn all(mut errors: Vec<Self>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }
}

fn join(errors: &[Error]) -> String {
    let mut lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    // Three hosts that fail alike have one story to tell.
    lines.dedup();
    lines.join("\n")
}

/// The last lines of a log, for an error message.
#[derive(Clone, Debug, Default)]
pub struct LogTail(String);

impl LogTail {
    /// Reads the end of `path`; a log that cannot be read says so instead.
    pub fn of(path: &Path) -> Self {
        let text = std::fs::read(path).map_or_else(
            |e| format!("(no log: {e})"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        );
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(12);
        Self(format!(
            "\n  last lines of {}:\n    {}",
            path.display(),
            lines[from..].join("\n    ")
        ))
    }
}

impl std::fmt::Display for LogTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
