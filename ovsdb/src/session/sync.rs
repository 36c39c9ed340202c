//! Bringing the replica up to date: from nothing, from where the last connection left it, or after a change of
//! schema or conditions.
//!
//! Pure but for the replica's lock. What to send and when is for the link.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{fault::Fault, handle::Shared};
use crate::{
    DatabaseSchema, Replica, TableMonitor, UpdateFormat,
    monitor::{ConditionUpdates, MonitorRequests},
};

/// The transaction before all others. Servers give it where they do not name transactions.
pub(super) const NO_TRANSACTION: &str = "00000000-0000-0000-0000-000000000000";

/// The ways to monitor, from the newest to that of RFC 7047.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    CondSince,
    Cond,
    Plain,
}

impl Method {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CondSince => "monitor_cond_since",
            Self::Cond => "monitor_cond",
            Self::Plain => "monitor",
        }
    }

    /// What to try on a server that does not know this one.
    pub(super) fn fallback(self) -> Option<Self> {
        match self {
            Self::CondSince => Some(Self::Cond),
            Self::Cond => Some(Self::Plain),
            Self::Plain => None,
        }
    }
}

/// A point from which a server can be asked for a delta. Valid for the replica as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resume {
    pub(super) transaction: String,
    /// The monitor request that filled the replica. A delta to anything else would not fit: other columns, after a
    /// change of schema, or other conditions.
    request: String,
}

/// What is being monitored on this connection, or about to be.
#[derive(Debug)]
pub(super) struct Monitored {
    pub(super) schema: Arc<DatabaseSchema>,
    pub(super) monitors: Vec<TableMonitor>,
    /// The revision of the wishes that `monitors` have the conditions of.
    pub(super) revision: u64,
    /// The monitor's name in updates.
    pub(super) id: String,
}

impl Monitored {
    /// The parameters of the request to begin with.
    pub(super) fn params(&self, method: Method, resume: Option<&Resume>) -> Result<Box<RawValue>, Fault> {
        let database = &self.schema.name;
        let text = match method {
            Method::CondSince => {
                let request = MonitorRequests::conditional(&self.schema, &self.monitors)?;
                let since = self.since(resume)?.unwrap_or(NO_TRANSACTION);
                raw(&(database, &self.id, request, since))
            }
            Method::Cond => raw(&(
                database,
                &self.id,
                MonitorRequests::conditional(&self.schema, &self.monitors)?,
            )),
            Method::Plain => raw(&(
                database,
                &self.id,
                MonitorRequests::plain(&self.schema, &self.monitors)?,
            )),
        };
        Ok(text)
    }

    /// The transaction to resume from, if the replica was filled by the same request.
    fn since<'r>(&self, resume: Option<&'r Resume>) -> Result<Option<&'r str>, Fault> {
        let Some(resume) = resume else { return Ok(None) };
        Ok((resume.request == self.request()?).then_some(resume.transaction.as_str()))
    }

    /// Whether [`params`](Self::params) named a transaction to resume from.
    pub(super) fn resumes(&self, resume: Option<&Resume>) -> Result<bool, Fault> {
        Ok(self.since(resume)?.is_some())
    }

    fn request(&self) -> Result<String, Fault> {
        Ok(raw(&MonitorRequests::conditional(&self.schema, &self.monitors)?)
            .get()
            .to_owned())
    }

    /// The point reached with a transaction, if the server names transactions.
    pub(super) fn resume(&self, transaction: &str) -> Result<Option<Resume>, Fault> {
        if transaction == NO_TRANSACTION {
            return Ok(None);
        }
        Ok(Some(Resume {
            transaction: transaction.to_owned(),
            request: self.request()?,
        }))
    }

    /// The parameters of `monitor_cond_change` towards other conditions, or `None` if they do not differ.
    pub(super) fn change(&self, monitors: &[TableMonitor]) -> Result<Option<Box<RawValue>>, Fault> {
        let differs = |new: &&TableMonitor| !self.monitors.contains(new);
        let changed: Vec<_> = monitors.iter().filter(differs).cloned().collect();
        if !changed
            .iter()
            .any(|monitor| self.schema.tables.contains_key(&monitor.table))
        {
            return Ok(None);
        }
        Ok(Some(raw(&(
            &self.id,
            &self.id,
            ConditionUpdates::new(&self.schema, &changed)?,
        ))))
    }

    /// Fills a new replica beside the old one and puts it in its place at once.
    pub(super) fn replace(&self, shared: &Shared, format: UpdateFormat, updates: &str) -> Result<usize, Fault> {
        let mut replica = Replica::new(&self.schema, &self.monitors);
        replica
            .apply(format, updates)
            .map_err(|error| Fault::Inconsistent(error.to_string()))?;
        let mut current = shared.write();
        let changed = current.swap(replica);
        shared.subscribers.publish(&changed, true);
        Ok(changed.len())
    }

    /// The configured tables this server does not have.
    pub(super) fn missing(&self) -> Vec<&str> {
        let missing = |monitor: &&TableMonitor| !self.schema.tables.contains_key(&monitor.table);
        self.monitors
            .iter()
            .filter(missing)
            .map(|monitor| monitor.table.as_str())
            .collect()
    }
}

/// Applies an update to the replica as it is.
pub(super) fn apply(shared: &Shared, format: UpdateFormat, updates: &str) -> Result<usize, Fault> {
    let mut replica = shared.write();
    let changed = replica
        .apply(format, updates)
        .map_err(|error| Fault::Inconsistent(error.to_string()))?;
    shared.subscribers.publish(&changed, false);
    Ok(changed.len())
}

fn raw(params: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(params).expect("strings as keys and no fallible serializer inside")
}
