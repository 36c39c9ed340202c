//! An OVSDB client: JSON-RPC 1.0 as RFC 7047 defines it, with `monitor_cond` and `monitor_cond_since`.
//!
//! Two halves. Values, [`schema`], [`replica`], [`txn`] and [`wire`] do no I/O: bytes and messages go in, rows and
//! messages come out. `session` (async) and `blocking` own sockets and drive them. The crate knows nothing of
//! OVN, Open vSwitch or Kubernetes; typed rows of their databases live elsewhere and implement [`Table`].

#[cfg(feature = "blocking")]
pub mod blocking;
pub mod decode;
pub mod monitor;
pub mod remote;
pub mod replica;
pub mod schema;
#[cfg(feature = "session")]
pub mod session;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "session")]
pub mod tls;
pub mod txn;
pub mod value;
pub mod wire;

#[cfg(feature = "session")]
pub use session::{Changes, Closed, LockState, Session, SessionConfig, State, Subscription, Timing};
#[cfg(feature = "session")]
pub use tls::TlsConfig;

pub use decode::{DecodeError, FromAtom, Table};
pub use monitor::{MonitorError, TableMonitor};
pub use remote::Remote;
pub use replica::{IndexSpec, Replica, ReplicaError, Row, RowId, TableReplica, UpdateFormat};
pub use schema::{BaseType, ColumnSchema, ColumnType, DatabaseSchema, SchemaError, TableSchema};
pub use txn::{
    Condition, Function, Mutation, Mutator, Name, OpResult, Operation, Outcome, TransactError, Transaction, Until,
    Where,
};
pub use uuid::Uuid;
pub use value::{Atom, AtomKind, Datum, Interner, Real};
