//! Desired rows against the Northbound replica.
//!
//! [`plan()`] compares what the compiler wants with what the database holds; [`Writer`] keeps the two equal: it takes
//! events and changes of the database, compiles, plans and writes, under a lock, within a deletion budget, and
//! confirms what it wrote by comparing again.
//!
//! Must not: touch a row that carries no owner of ours, know where objects come from, or decide what rows mean.

mod observer;
mod ownership;
pub mod plan;
mod scope;
mod tables;
pub mod writer;

pub use observer::{Observer, TransactionResult, Unobserved};
pub use ownership::Ownership;
pub use plan::{Counts, Plan, Sides, plan};
pub use scope::{Part, Scope};
pub use tables::{empty_replica, monitors};
pub use writer::{DeletionBudget, Feed, Input, Status, Writer, read_claims};
