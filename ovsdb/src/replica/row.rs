//! [`Row`]: one row, compact.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::monitor::TableMonitor;
use crate::schema::{ColumnType, TableSchema};
use crate::value::Datum;

static EMPTY: Datum = Datum::empty();

/// What the rows of one table have in common.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) table: Arc<str>,
    /// Sorted.
    pub(super) columns: Box<[Arc<str>]>,
    pub(super) types: Box<[ColumnType]>,
    defaults: Box<[Datum]>,
}

impl Layout {
    pub(super) fn new(schema: &TableSchema, monitor: &TableMonitor) -> Self {
        let columns = monitor.columns_in(schema);
        let types: Box<[_]> = columns
            .iter()
            .map(|column| schema.columns[*column].r#type.clone())
            .collect();
        Self {
            table: Arc::from(monitor.table.as_str()),
            defaults: types.iter().map(ColumnType::default_datum).collect(),
            types,
            columns: columns.into_iter().map(Arc::from).collect(),
        }
    }

    pub(super) fn position(&self, column: &str) -> Option<usize> {
        self.columns.binary_search_by(|known| (**known).cmp(column)).ok()
    }

    /// Where each of these columns is, given sorted by name. Passes over the columns once: texts of different lengths
    /// differ without a look at them, which a search by order cannot make use of.
    pub(super) fn positions<'a, N: AsRef<str> + Copy + 'a, T: 'a>(
        &'a self,
        wanted: impl IntoIterator<Item = &'a (N, T)>,
    ) -> impl Iterator<Item = (N, &'a T, Option<usize>)> {
        let mut next = 0;
        wanted.into_iter().map(move |(column, with)| {
            let mut rest = self.columns[next..].iter();
            let found = rest.position(|known| **known == *column.as_ref()).map(|at| next + at);
            next = found.map_or(next, |found| found + 1);
            (*column, with, found)
        })
    }

    /// Does one word have a bit for each column?
    fn is_sparse(&self) -> bool {
        self.columns.len() <= 64
    }
}

/// One row of a replica: the monitored columns.
///
/// Columns that hold their default take no space, like on the wire: most columns of most rows do.
#[derive(Clone)]
pub struct Row {
    uuid: Uuid,
    layout: Arc<Layout>,
    /// Bit i: column i does not hold its default. Unused if the table has more than 64 columns.
    present: u64,
    /// The columns in `present`, in order; all columns if the table has more than 64.
    values: Box<[Datum]>,
}

impl Row {
    /// Columns that are not among `entries` hold their default; of several entries for a column the last counts.
    pub(super) fn new(uuid: Uuid, layout: &Arc<Layout>, mut entries: Vec<(usize, Datum)>) -> Self {
        if layout.is_sparse() {
            // Stable, so that the last of several stays the last.
            entries.sort_by_key(|(position, _)| *position);
            if entries.is_sorted_by(|(a, _), (b, _)| a < b) {
                entries.retain(|(position, datum)| *datum != layout.defaults[*position]);
                return Self {
                    uuid,
                    layout: Arc::clone(layout),
                    present: entries.iter().fold(0, |present, (position, _)| present | 1 << position),
                    values: entries.into_iter().map(|(_, datum)| datum).collect(),
                };
            }
        }
        let mut all: Vec<Option<Datum>> = vec![None; layout.columns.len()];
        for (position, datum) in entries {
            all[position] = Some(datum);
        }
        Self::from_columns(uuid, layout, all)
    }

    fn from_columns(uuid: Uuid, layout: &Arc<Layout>, all: Vec<Option<Datum>>) -> Self {
        let with_default = all.into_iter().zip(&*layout.defaults);
        let mut present = 0;
        let values = if layout.is_sparse() {
            let keep = |(position, (datum, default)): (usize, (Option<Datum>, &Datum))| {
                let datum = datum.filter(|datum| datum != default)?;
                present |= 1 << position;
                Some(datum)
            };
            with_default.enumerate().filter_map(keep).collect()
        } else {
            with_default
                .map(|(datum, default)| datum.unwrap_or_else(|| default.clone()))
                .collect()
        };
        Self {
            uuid,
            layout: Arc::clone(layout),
            present,
            values,
        }
    }

    /// The same row with some columns replaced.
    pub(super) fn with(&self, entries: Vec<(usize, Datum)>) -> Self {
        let mut all: Vec<Option<Datum>> = (0..self.layout.columns.len())
            .map(|position| Some(self.at(position).clone()))
            .collect();
        for (position, datum) in entries {
            all[position] = Some(datum);
        }
        Self::from_columns(self.uuid, &self.layout, all)
    }

    pub(super) fn at(&self, position: usize) -> &Datum {
        if !self.layout.is_sparse() {
            return &self.values[position];
        }
        let bit = 1 << position;
        if self.present & bit == 0 {
            return &self.layout.defaults[position];
        }
        &self.values[(self.present & (bit - 1)).count_ones() as usize]
    }

    /// The row's identifier.
    pub const fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The table it is a row of.
    pub fn table(&self) -> &str {
        &self.layout.table
    }

    /// What a column holds; empty if the column is not monitored or the server does not have it.
    pub fn get(&self, column: &str) -> &Datum {
        self.layout
            .position(column)
            .map_or(&EMPTY, |position| self.at(position))
    }

    /// What each of these columns holds, given sorted by name; empty if the column is not monitored or the server does
    /// not have it. Several are found for the price of one.
    pub fn get_sorted<'a, N: AsRef<str> + Copy + 'a, T: 'a>(
        &'a self,
        wanted: impl IntoIterator<Item = &'a (N, T)>,
    ) -> impl Iterator<Item = (N, &'a T, &'a Datum)> {
        let found = self.layout.positions(wanted);
        found.map(|(column, with, at)| (column, with, at.map_or(&EMPTY, |position| self.at(position))))
    }

    /// All monitored columns, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Datum)> {
        self.layout
            .columns
            .iter()
            .enumerate()
            .map(|(position, column)| (column, self.at(position)))
    }

    /// The columns that do not hold their default, by name.
    pub fn iter_set(&self) -> impl Iterator<Item = (&Arc<str>, &Datum)> {
        let defaults = &self.layout.defaults;
        self.iter()
            .zip(defaults)
            .filter(|((_, datum), default)| datum != default)
            .map(|(column, _)| column)
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        let same_columns = Arc::ptr_eq(&self.layout, &other.layout) || self.layout.columns == other.layout.columns;
        self.uuid == other.uuid && same_columns && self.present == other.present && self.values == other.values
    }
}
impl Eq for Row {}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.table(), self.uuid)?;
        f.debug_map().entries(self.iter_set()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DatabaseSchema, Replica};

    fn row(columns: impl IntoIterator<Item = (&'static str, Datum)>) -> Row {
        let schema = r#"{"name":"D","tables":{"T":{"columns":{
            "a":{"type":"string"},"b":{"type":"integer"},"c":{"type":"string"}}}}}"#;
        let mut replica = Replica::new(&DatabaseSchema::parse(schema).unwrap(), &[TableMonitor::new("T")]);
        assert!(replica.put("T", Uuid::nil(), columns));
        replica.row("T", Uuid::nil()).unwrap().clone()
    }

    #[test]
    fn columns_found_in_one_pass_are_those_found_one_by_one() {
        let row = row([("a", Datum::scalar("x")), ("c", Datum::scalar("y"))]);
        let wanted = ["a", "aa", "b", "c", "d"].map(|column| (column, ()));
        let found: Vec<_> = row
            .get_sorted(&wanted)
            .map(|(column, (), datum)| (column, datum))
            .collect();
        assert_eq!(found, wanted.map(|(column, ())| (column, row.get(column))));
    }

    #[test]
    fn the_order_of_columns_does_not_matter_and_the_last_word_counts() {
        let said = [
            ("c", Datum::scalar("y")),
            ("a", Datum::scalar("x")),
            ("c", Datum::scalar("")),
            ("b", Datum::scalar(0_i64)),
        ];
        assert_eq!(row(said), row([("a", Datum::scalar("x"))]));
    }
}
