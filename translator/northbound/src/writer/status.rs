//! What the writer tells about itself.

use std::sync::Arc;
use std::time::SystemTime;

use meridian_compile::{Problem, SliceUse, SubnetReport, VpcPeeringReport, VpcReport};
use serde::Serialize;

use super::attempts::WriteProblem;

/// Where the writer stands. Every field is the truth at the time it was published.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// Whether the session follows the database, and where, or why not.
    pub session: String,
    /// Whether the lock is held.
    pub lock: LockStatus,
    /// The sources it needs.
    pub sources: Vec<SourceStatus>,
    /// Rows there should be.
    pub desired: usize,
    /// Rows and links waiting to be compared.
    pub dirty: usize,
    /// The last transaction.
    pub last_transaction: Option<LastTransaction>,
    /// When the database was last seen to hold everything it should, problems aside.
    pub last_confirmed: Option<SystemTime>,
    /// Deletions that are held back.
    pub held: Option<Held>,
    /// Rows that could not be written.
    pub problems: Arc<[WriteProblem]>,
    /// Objects that could not be compiled.
    pub compile_problems: Arc<[Problem]>,
    /// How full the nodes' slices are; at most a second old while things change.
    pub usage: Arc<[SliceUse]>,
    /// How VPCs beside the default one fare; as old as `usage`.
    pub vpcs: Arc<[VpcReport]>,
    /// How Subnets fare; as old as `usage`.
    pub subnets: Arc<[SubnetReport]>,
    /// How `VpcPeering`s fare; as old as `usage`.
    pub vpc_peerings: Arc<[VpcPeeringReport]>,
}

/// What the writer is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It waits for the database.
    #[default]
    Connecting,
    /// It waits for the first full list of every source.
    Syncing,
    /// It knows everything, and another holds the lock.
    Standby,
    /// It writes.
    Writing,
    /// It has written everything and compared it again.
    Confirmed,
    /// It has stopped.
    Stopped,
}

/// The OVSDB lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LockStatus {
    /// Not asked for: there is no connection, or not every source is synced.
    #[default]
    None,
    /// Another holds it.
    Waiting,
    /// Held.
    Held,
    /// Another took it by force.
    Stolen,
}

/// A source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: &'static str,
    /// Whether it has told all there is once.
    pub synced: bool,
    /// Why what it has not told may exist all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
}

/// How the last transaction went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastTransaction {
    /// When its answer came.
    pub at: SystemTime,
    /// Why it is not known to have been made; a rejected row is no such reason, it is a problem of its own.
    pub error: Option<String>,
}

/// Deletions that are held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// How many rows.
    pub deletions: usize,
    /// Why.
    pub reason: String,
    /// They are more than the deletion budget allows. They stay held while any of them is left, also when some of the
    /// objects come back and the rest would fit: whatever lost the others may still be at it.
    pub over_budget: bool,
}

impl Status {
    /// What this process is ready as, or why it is not ready.
    pub fn ready(&self) -> Result<&'static str, String> {
        match self.phase {
            Phase::Connecting => return Err(format!("northbound database: {}", self.session)),
            Phase::Syncing => {
                let missing = self
                    .sources
                    .iter()
                    .filter(|source| !source.synced)
                    .map(|source| source.name);
                return Err(format!(
                    "waiting for the first list of {}",
                    missing.collect::<Vec<_>>().join(", ")
                ));
            }
            Phase::Stopped => return Err("stopped".to_owned()),
            Phase::Standby => return Ok("standby: another translator holds the lock"),
            Phase::Writing | Phase::Confirmed => {}
        }
        if let Some(error) = self.last_transaction.as_ref().and_then(|last| last.error.as_ref()) {
            return Err(format!("the last transaction is not confirmed: {error}"));
        }
        if let Some(held) = &self.held {
            return Err(format!("{} deletions are held back: {}", held.deletions, held.reason));
        }
        if self.last_confirmed.is_none() {
            return Err("writing everything for the first time".to_owned());
        }
        Ok("leader: holding the lock")
    }
}
