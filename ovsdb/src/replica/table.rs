//! [`TableReplica`]: the rows of one table and the indexes over them.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::index::{Found, Index, IndexSpec};
use super::row::{Layout, Row};
use crate::monitor::TableMonitor;
use crate::schema::TableSchema;
use crate::value::{Atom, Datum};

/// The monitored rows of one table.
#[derive(Debug)]
pub struct TableReplica {
    pub(super) layout: Arc<Layout>,
    /// Ordered, so that whoever iterates does the same thing every time.
    rows: BTreeMap<Uuid, Row>,
    indexes: Vec<Index>,
}

impl TableReplica {
    pub(super) fn new(schema: &TableSchema, monitor: &TableMonitor) -> Self {
        let layout = Arc::new(Layout::new(schema, monitor));
        let indexes = monitor.indexes.iter().map(|spec| Index::new(spec, &layout)).collect();
        Self {
            layout,
            rows: BTreeMap::new(),
            indexes,
        }
    }

    /// The table's name.
    pub fn name(&self) -> &Arc<str> {
        &self.layout.table
    }

    /// One row.
    pub fn get(&self, uuid: Uuid) -> Option<&Row> {
        self.rows.get(&uuid)
    }

    /// All rows, in the order of their identifiers.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, &Row)> {
        self.rows.iter().map(|(uuid, row)| (*uuid, row))
    }

    /// All rows, in the order of their identifiers.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// No rows?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The monitored columns, sorted: those asked for that the server has.
    pub fn columns(&self) -> &[Arc<str>] {
        &self.layout.columns
    }

    /// Is this column monitored?
    pub fn has_column(&self, column: &str) -> bool {
        self.layout.position(column).is_some()
    }

    /// Whether each of these columns is monitored, given sorted by name.
    pub fn have_columns<'a, N: AsRef<str> + Copy + 'a, T: 'a>(
        &'a self,
        wanted: impl IntoIterator<Item = &'a (N, T)>,
    ) -> impl Iterator<Item = (N, &'a T, bool)> {
        let found = self.layout.positions(wanted);
        found.map(|(column, with, at)| (column, with, at.is_some()))
    }

    /// The rows with `value` in the index of this name ([`IndexSpec::name`]), in the order of their identifiers.
    ///
    /// If nobody asked for this index when the table was monitored, all rows are searched instead: the same answer,
    /// slowly.
    pub fn find<'a>(&'a self, index: &str, value: &Atom) -> Found<'a> {
        if let Some(index) = self.indexes.iter().find(|known| known.name() == index) {
            return index.find(value);
        }
        let unindexed = Index::new(&IndexSpec::from_name(index), &self.layout);
        let matches = |row: &&Row| unindexed.keys(row).any(|key| key == value);
        Found::searched(self.rows.values().filter(matches).map(Row::uuid).collect())
    }

    pub(super) fn put<C: AsRef<str>>(&mut self, uuid: Uuid, columns: impl IntoIterator<Item = (C, Datum)>) {
        let entry = |(column, datum): (C, Datum)| Some((self.layout.position(column.as_ref())?, datum));
        let entries = columns.into_iter().filter_map(entry).collect();
        self.store(Row::new(uuid, &self.layout, entries));
    }

    /// Adds or replaces a row.
    pub(super) fn store(&mut self, row: Row) {
        let uuid = row.uuid();
        if self.indexes.is_empty() {
            self.rows.insert(uuid, row);
            return;
        }
        let old = self.rows.insert(uuid, row);
        let new = &self.rows[&uuid];
        for index in &mut self.indexes {
            index.replace(uuid, old.as_ref(), Some(new));
        }
    }

    pub(super) fn remove(&mut self, uuid: Uuid) -> Option<Row> {
        let old = self.rows.remove(&uuid)?;
        for index in &mut self.indexes {
            index.replace(uuid, Some(&old), None);
        }
        Some(old)
    }
}
