//! What the plugin writes down of a call, and the points where tests stop it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::cni::{Config, LogLevel};

/// A point of a call after which something is different on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// ADD knows the port's facts.
    FactsKnown,
    /// The veth exists, both ends down.
    VethCreated,
    /// The host's end is shielded and up.
    HostEndReady,
    /// Open vSwitch has the port.
    PortPlugged,
    /// Addresses and routes are in the pod.
    PodConfigured,
    /// ovn-controller has installed the port's flows.
    FlowsInstalled,
    /// DEL has removed the port from Open vSwitch.
    PortRemoved,
    /// DEL has removed the veth.
    VethRemoved,
}

impl Step {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::FactsKnown => "facts-known",
            Self::VethCreated => "veth-created",
            Self::HostEndReady => "host-end-ready",
            Self::PortPlugged => "port-plugged",
            Self::PodConfigured => "pod-configured",
            Self::FlowsInstalled => "flows-installed",
            Self::PortRemoved => "port-removed",
            Self::VethRemoved => "veth-removed",
        }
    }
}

/// The log of one call.
#[derive(Debug)]
pub(super) struct Trace {
    file: Option<File>,
    level: LogLevel,
    label: String,
    start: Instant,
}

impl Trace {
    /// Opens the log that the configuration names. A log that cannot be opened must not keep pods from starting.
    pub(super) fn open(config: &Config, label: String) -> Self {
        let file = config
            .log_file
            .as_ref()
            .and_then(|path| OpenOptions::new().append(true).create(true).open(path).ok());
        Self {
            file,
            level: config.log_level,
            label,
            start: Instant::now(),
        }
    }

    pub(super) fn log(&self, level: LogLevel, message: &str) {
        let Some(file) = self.file.as_ref().filter(|_| level <= self.level) else {
            return;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let elapsed = self.start.elapsed();
        // One write of one line: appends of concurrent calls do not mix.
        let line = format!(
            "{}.{:06} {} {} +{:.1}ms {message}\n",
            now.as_secs(),
            now.subsec_micros(),
            std::process::id(),
            self.label,
            elapsed.as_secs_f64() * 1000.0,
        );
        // A full disk must not keep pods from starting.
        let _ = { file }.write_all(line.as_bytes());
    }

    pub(super) fn step(&self, step: Step) {
        self.log(LogLevel::Debug, step.name());
        pause_at(step);
    }
}

/// Stops for ever at the step `MERIDIAN_CNI_PAUSE_AT` names, so that a test can kill the plugin exactly there.
///
/// Compiled in with debug assertions only: a release build does not contain it, so nothing in a production
/// environment can set it off, and tests need neither a tracer nor a second build of the program.
#[cfg(debug_assertions)]
fn pause_at(step: Step) {
    if std::env::var("MERIDIAN_CNI_PAUSE_AT").as_deref() == Ok(step.name()) {
        // Whoever set the variable waits for this line.
        let _ = writeln!(std::io::stderr(), "paused {}", step.name());
        loop {
            nix::unistd::pause();
        }
    }
}

#[cfg(not(debug_assertions))]
fn pause_at(_: Step) {}
