//! A connection to a database that repairs itself, with a replica of the tables that are asked for.
//!
//! ```text
//!  Session (handles)                          one task                        server
//!    transact ──────── bounded queue ───────▶ ┌────────────┐ ── requests ───▶
//!    set_condition, lock, close ── wishes ──▶ │ task, link │ ◀─ replies, updates
//!    replica ◀──────── read lock ──────────── │  replica   │
//!    subscribe ◀────── sets of dirty rows ─── └────────────┘
//!    state, lock_state ◀── watches
//! ```
//!
//! The task alone owns the socket and writes the replica, and applies messages in the order in which they came. It
//! never waits for a reader: what readers get are states and sets, not queues. It never waits for the server without
//! a deadline either. Whatever goes wrong on a connection ends that connection, and the next one makes up for what was
//! missed, by a delta where the server can tell it, or else by a complete snapshot whose difference to the last one
//! becomes the changes. Until that is complete, readers see the previous snapshot.
//!
//! A transaction is never sent twice. If the connection is lost before the answer, the caller is told that nobody knows.
//!
//! This module must not know any table of any database but `_Server`.

mod backoff;
mod config;
mod connect;
mod fault;
mod handle;
mod link;
mod lock;
mod request;
mod server_db;
mod state;
mod subscription;
mod sync;
mod task;
mod transport;
mod wishes;

pub use config::{SessionConfig, Timing};
pub use handle::{ConditionError, ReplicaGuard, Session};
pub use state::{Closed, LockState, State};
pub use subscription::{Changes, Subscription};
