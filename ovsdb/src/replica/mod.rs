//! A copy of the monitored part of a database, kept current by applying the server's updates.
//!
//! The replica never talks to a server. It checks what it is told: an update that does not fit what it holds is an
//! error and changes nothing, and the session then starts over with a new snapshot.

mod diff;
mod index;
mod row;
mod table;
mod update;

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::monitor::TableMonitor;
use crate::schema::DatabaseSchema;
use crate::value::{Datum, Interner};

pub use diff::DiffError;
pub use index::{Found, IndexSpec};
pub use row::Row;
pub use table::TableReplica;

/// A row's table and identifier.
pub type RowId = (Arc<str>, Uuid);

/// The two forms in which servers describe changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpdateFormat {
    /// `monitor` and `update`: `old` and `new` rows.
    Update,
    /// `monitor_cond`, `update2`, and (same rows) `monitor_cond_since`, `update3`: `insert`, `initial`, `modify`,
    /// `delete`, with differences.
    Update2,
}

/// An update that cannot be applied. The replica is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// Not JSON, or not of the columns' types.
    #[error("malformed update: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The replica and the server disagree about what there is.
    #[error("update does not fit row {row} of table {table}: {reason}")]
    Inconsistent {
        /// The table.
        table: Arc<str>,
        /// The row.
        row: Uuid,
        /// What does not fit.
        reason: String,
    },
}

/// The monitored tables of one database.
#[derive(Debug, Default)]
pub struct Replica {
    tables: BTreeMap<Arc<str>, TableReplica>,
    interner: Interner,
}

impl Replica {
    /// Empty, with the tables and columns of `monitors` that the server's schema has.
    pub fn new(schema: &DatabaseSchema, monitors: &[TableMonitor]) -> Self {
        let mut tables = BTreeMap::new();
        for monitor in monitors {
            if let Some(table) = schema.tables.get(&monitor.table) {
                tables.insert(Arc::from(monitor.table.as_str()), TableReplica::new(table, monitor));
            }
        }
        Self {
            tables,
            interner: Interner::new(),
        }
    }

    /// A monitored table; `None` also if the server does not have it.
    pub fn table(&self, name: &str) -> Option<&TableReplica> {
        self.tables.get(name)
    }

    /// The monitored tables, by name.
    pub fn tables(&self) -> impl Iterator<Item = &TableReplica> {
        self.tables.values()
    }

    /// One row.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Row> {
        self.table(table)?.get(uuid)
    }

    /// Number of rows in all tables.
    pub fn len(&self) -> usize {
        self.tables.values().map(TableReplica::len).sum()
    }

    /// No rows at all?
    pub fn is_empty(&self) -> bool {
        self.tables.values().all(TableReplica::is_empty)
    }

    /// Applies the text of `<table-updates>` or `<table-updates2>`, either an initial reply or a notification's
    /// member. Answers which rows are different now; on an error nothing has changed.
    pub fn apply(&mut self, format: UpdateFormat, updates: &str) -> Result<Vec<RowId>, ReplicaError> {
        let pending = update::decode(&self.tables, &mut self.interner, format, updates)?;
        let resolved = update::resolve(&self.tables, pending)?;
        Ok(update::commit(&mut self.tables, resolved))
    }

    /// Puts a complete new snapshot in the place of this one. Answers which rows are different now: appeared,
    /// vanished or changed.
    pub fn swap(&mut self, new: Self) -> Vec<RowId> {
        let old = std::mem::replace(self, new);
        let mut changed = Vec::new();
        for (name, table) in &self.tables {
            let before = old.tables.get(name);
            let is_new = |row: &&Row| before.and_then(|t| t.get(row.uuid())) != Some(*row);
            changed.extend(table.rows().filter(is_new).map(|row| (Arc::clone(name), row.uuid())));
        }
        for (name, table) in &old.tables {
            let after = self.tables.get(name);
            let is_gone = |row: &&Row| after.and_then(|t| t.get(row.uuid())).is_none();
            changed.extend(table.rows().filter(is_gone).map(|row| (Arc::clone(name), row.uuid())));
        }
        changed
    }

    /// Adds or replaces a row as if the server had said so; columns left out have their defaults. For building
    /// replicas without a server. False if the table is not monitored; unknown columns are ignored.
    pub fn put<C: AsRef<str>>(
        &mut self,
        table: &str,
        uuid: Uuid,
        columns: impl IntoIterator<Item = (C, Datum)>,
    ) -> bool {
        let Some(table) = self.tables.get_mut(table) else {
            return false;
        };
        table.put(uuid, columns);
        true
    }

    /// Removes a row as if the server had said so.
    pub fn remove(&mut self, table: &str, uuid: Uuid) -> bool {
        self.tables
            .get_mut(table)
            .is_some_and(|table| table.remove(uuid).is_some())
    }
}
