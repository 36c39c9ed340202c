//! What can go wrong on a blocking connection.

use std::io;
use std::path::PathBuf;

use crate::monitor::MonitorError;
use crate::replica::ReplicaError;
use crate::schema::SchemaError;
use crate::wire::{FrameError, MessageError};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or not to us.
    #[error("connecting to {path}: {source}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The deadline came first.
    #[error("deadline passed")]
    Deadline,
    /// The request was not sent, or not wholly; the server cannot have acted on it.
    #[error("sending: {0}")]
    Unsent(io::Error),
    /// The connection broke.
    #[error("receiving: {0}")]
    Receive(io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// What the server sends is no JSON-RPC.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// What the server sends is no JSON-RPC.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The server answered with an error.
    #[error("the server refused {method}: {error}")]
    Refused {
        /// The method.
        method: &'static str,
        /// The error as JSON.
        error: String,
    },
    /// The server's schema makes no sense.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The tables cannot be monitored as asked.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// The server's updates make no sense.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// A client monitors once.
    #[error("this client monitors already")]
    MonitoringAlready,
}
