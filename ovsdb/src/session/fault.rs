//! Why a connection ended. Its text is what operators read in the log and in [`State::Disconnected`](super::State).

use std::io;
use std::time::Duration;

use crate::wire::{FrameError, MessageError};

#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("cannot connect within {0:?}")]
    ConnectTimeout(Duration),
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    #[error("server closed the connection")]
    Eof,
    #[error("cannot read: {0}")]
    Read(#[source] io::Error),
    #[error("cannot write: {0}")]
    Write(#[source] io::Error),
    #[error("server sent garbage: {0}")]
    Frame(#[from] FrameError),
    #[error("server sent garbage: {0}")]
    Message(#[from] MessageError),
    #[error("server sent an unexpected {what}: {detail}")]
    Unexpected { what: &'static str, detail: String },
    #[error("server sent an update that does not fit the replica: {0}")]
    Inconsistent(String),
    #[error("server refused {what}: {error}")]
    Refused { what: &'static str, error: String },
    #[error("cannot monitor: {0}")]
    Monitor(#[from] crate::MonitorError),
    #[error("server took no byte for {0:?}")]
    WriteStalled(Duration),
    #[error("server was silent for {0:?} and did not answer a probe")]
    Silent(Duration),
    #[error("server did not answer {what} for {timeout:?}")]
    Unanswered { what: &'static str, timeout: Duration },
    #[error("server does not serve database {0}")]
    NoDatabase(String),
    #[error("server is not the leader")]
    NotLeader,
    #[error("server lost the leadership")]
    LeadershipLost,
    #[error("server is cut off from its cluster")]
    CutOff,
    /// The session's owner closed it; not an error.
    #[error("session is closed")]
    Closed,
}

impl Fault {
    /// Whether another member of the cluster is likely to do right now what this one does not: then there is no reason
    /// to be slow.
    pub(super) fn is_cluster_change(&self) -> bool {
        matches!(self, Self::NotLeader | Self::LeadershipLost | Self::CutOff)
    }

    /// Whether the replica may be wrong, so that the next synchronisation must not build on it.
    pub(super) fn spoils_replica(&self) -> bool {
        matches!(
            self,
            Self::Inconsistent(_) | Self::Unexpected { .. } | Self::Frame(_) | Self::Message(_)
        )
    }
}
