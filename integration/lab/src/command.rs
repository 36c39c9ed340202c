//! Running other programs: one place that knows how a failure is told.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result};
use crate::host::Site;
use crate::process::Identity;

/// A program to run to its end, perhaps in a namespace, perhaps with input.
#[derive(Debug)]
pub struct Cmd {
    command: Command,
    netns: Option<String>,
    host: Option<Identity>,
    input: Option<Vec<u8>>,
}

impl Cmd {
    /// A program, by name or path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(program),
            netns: None,
            host: None,
            input: None,
        }
    }

    /// Its arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    /// Nothing of our own environment.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// Variables beside the inherited ones.
    #[must_use]
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(mut self, vars: impl IntoIterator<Item = (K, V)>) -> Self {
        self.command.envs(vars);
        self
    }

    /// The namespace to run in.
    #[must_use]
    pub fn netns(mut self, name: &str) -> Self {
        self.netns = Some(name.to_owned());
        self
    }

    /// The first process of the host to run on.
    #[must_use]
    pub fn host(mut self, init: Identity) -> Self {
        self.host = Some(init);
        self
    }

    /// What it reads from standard input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Runs it; a failure carries the command line and what was printed.
    pub fn run(self) -> Result<String> {
        let line = self.line();
        let output = self.output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Command {
            command: line,
            status: output.status.to_string(),
            output: said(&output),
        })
    }

    /// Runs it and leaves the judgement of its status to the caller.
    pub fn output(self) -> Result<Output> {
        let line = self.line();
        let Self {
            mut command,
            netns,
            host,
            input,
        } = self;
        command
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let work = move || {
            let failed = |source| Error::Spawn {
                command: line.clone(),
                source,
            };
            let mut child = command.spawn().map_err(failed)?;
            if let (Some(mut stdin), Some(bytes)) = (child.stdin.take(), input) {
                // A program that does not read its input closes the pipe: its status tells more.
                stdin.write_all(&bytes).ok();
            }
            child.wait_with_output().map_err(failed)
        };
        match (host, &netns) {
            (Some(init), _) => Site::Host(init),
            (None, Some(name)) => Site::Network(name),
            (None, None) => Site::Machine,
        }
        .within(work)
    }

    fn line(&self) -> String {
        std::iter::once(self.command.get_program())
            .chain(self.command.get_args())
            .map(OsStr::to_string_lossy)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// What a program said about its failure: the errors, else the output.
pub fn said(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    match (stderr.trim(), stdout.trim()) {
        ("", "") => "it printed nothing".to_owned(),
        ("", out) => out.to_owned(),
        (err, _) => err.to_owned(),
    }
}
