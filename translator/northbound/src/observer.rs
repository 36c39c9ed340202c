//! What the writer does, for metrics.

use std::time::Duration;

use crate::plan::Counts;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionResult {
    /// The server made it.
    Committed,
    /// The server refused it.
    Rejected,
    /// Another holds the lock.
    LockLost,
    /// Nobody knows, or there was no connection.
    Unknown,
}

/// Gets told what the writer does.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// A transaction has ended; `counts` is what it was to write.
    fn transaction(&self, result: TransactionResult, latency: Duration, counts: Counts);

    /// So many units of the cluster were compiled.
    fn compiled(&self, units: usize) {
        let _ = units;
    }
}

/// Does not care.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn transaction(&self, _: TransactionResult, _: Duration, _: Counts) {}
}
