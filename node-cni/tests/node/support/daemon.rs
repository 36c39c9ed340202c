//! A daemon in a network namespace.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A child process that ends with this value.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program inside a named network namespace; its output goes to `<folder>/<label>.log`.
    pub(crate) fn start(folder: &Path, netns: &str, label: &str, program: &str, arguments: &[&str]) -> Self {
        let log = folder.join(format!("{label}.log"));
        let output = File::options().append(true).create(true).open(&log).unwrap();
        // nsenter replaces itself by the program: the child's pid is the daemon's.
        let child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{netns}"))
            .arg(program)
            .args(arguments)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env("OVS_RUNDIR", folder)
            .env("OVN_RUNDIR", folder)
            .env("OVS_LOGDIR", folder)
            .env("OVN_LOGDIR", folder)
            .env("OVS_DBDIR", folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        Self { child, log }
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it with SIGTERM.
    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
