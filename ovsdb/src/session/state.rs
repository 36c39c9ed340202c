//! What a session tells about itself.

use std::fmt;

use crate::Remote;

/// Where a session stands. Watched through [`Session::state`](super::Session::state).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No connection; another attempt follows. The replica keeps the last complete snapshot.
    Disconnected {
        /// Why the last connection ended.
        reason: String,
    },
    /// A connection is being made.
    Connecting {
        /// To which server.
        remote: Remote,
    },
    /// Connected; schema and contents are being fetched. The replica still holds the previous snapshot.
    Syncing {
        /// From which server.
        remote: Remote,
    },
    /// The replica follows the server.
    Ready {
        /// The server.
        remote: Remote,
        /// The last transaction seen, where the server names transactions.
        txn_id: Option<String>,
        /// Counts the times the session became ready, from 1.
        epoch: u64,
    },
    /// The session has ended and will not come back.
    Closed,
}

impl State {
    /// Whether the replica follows a server now.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }
}

/// Who holds the lock this session was configured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// No lock is configured, or there is no connection to hold it: locks end with their connection.
    NotRequested,
    /// Another session holds it; this one is queued at the server.
    Waiting,
    /// This session holds it. Transactions that assert it will commit.
    Held,
    /// Another session took it by force. The server gives it back when that one unlocks.
    Stolen,
}

/// The session has been closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("session is closed")]
pub struct Closed;

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected { reason } => write!(f, "disconnected: {reason}"),
            Self::Connecting { remote } => write!(f, "connecting to {remote}"),
            Self::Syncing { remote } => write!(f, "reading from {remote}"),
            Self::Ready { remote, .. } => write!(f, "ready at {remote}"),
            Self::Closed => f.write_str("closed"),
        }
    }
}
