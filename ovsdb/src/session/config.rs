//! What a session connects to, what it monitors, and how patient it is.

use std::time::Duration;

use crate::{Remote, TableMonitor, TlsConfig, wire::DEFAULT_MAX_MESSAGE};

/// How to run a session. Made by [`new`](Self::new) and refined by the `with_` methods.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The database's name, as in `OVN_Northbound`.
    pub database: String,
    /// The servers; they are tried in turn.
    pub remotes: Vec<Remote>,
    /// Needed for `ssl:` remotes.
    pub tls: Option<TlsConfig>,
    /// The tables to replicate.
    pub monitors: Vec<TableMonitor>,
    /// Whether only the leader of a cluster will do. Reading one's own writes at once takes the leader.
    pub leader_only: bool,
    /// A lock to hold on the server.
    pub lock: Option<String>,
    /// Deadlines and intervals.
    pub timing: Timing,
    /// Messages longer than this end the connection.
    pub max_message: usize,
    /// Transactions sent and not yet answered; more wait in the caller.
    pub max_in_flight: usize,
}

impl SessionConfig {
    /// A session that monitors nothing yet, talks to any member of a cluster, and wants no lock.
    pub fn new(database: impl Into<String>, remotes: Vec<Remote>) -> Self {
        Self {
            database: database.into(),
            remotes,
            tls: None,
            monitors: Vec::new(),
            leader_only: false,
            lock: None,
            timing: Timing::default(),
            max_message: DEFAULT_MAX_MESSAGE,
            max_in_flight: 64,
        }
    }

    /// Replicates these tables.
    #[must_use]
    pub fn with_monitors(mut self, monitors: impl IntoIterator<Item = TableMonitor>) -> Self {
        self.monitors.extend(monitors);
        self
    }

    /// Replicates one more table.
    #[must_use]
    pub fn with_monitor(mut self, monitor: TableMonitor) -> Self {
        self.monitors.push(monitor);
        self
    }

    /// Uses these certificates for `ssl:` remotes.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Stays with the leader of a cluster.
    #[must_use]
    pub fn with_leader_only(mut self, leader_only: bool) -> Self {
        self.leader_only = leader_only;
        self
    }

    /// Queues for a lock whenever connected, and holds it when its turn comes.
    #[must_use]
    pub fn with_lock(mut self, name: impl Into<String>) -> Self {
        self.lock = Some(name.into());
        self
    }

    /// Uses other deadlines and intervals.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }
}

/// Deadlines and intervals. None of them is needed for correctness; they bound how long a fault goes unnoticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// For name resolution, connect and TLS handshake together.
    pub connect_timeout: Duration,
    /// After this much silence the server is asked for a sign of life.
    pub probe_interval: Duration,
    /// After this much more silence the connection is dropped. The server is single-threaded and may be busy with
    /// another client's large reply, so this must not be too short.
    pub probe_timeout: Duration,
    /// A server that takes no byte for this long has stopped reading.
    pub write_timeout: Duration,
    /// A server that leaves a request unanswered for this long is not served any more. Counts from the last byte
    /// received, so a large reply may take longer.
    pub request_timeout: Duration,
    /// How long [`transact`](super::Session::transact) waits in all: for readiness, room in the queue and the answer.
    pub transact_timeout: Duration,
    /// The first pause after all remotes have failed.
    pub backoff_min: Duration,
    /// Pauses double up to this one.
    pub backoff_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            probe_interval: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_mins(1),
            transact_timeout: Duration::from_mins(1),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
        }
    }
}
