//! [`Desired`]: the rows and links the Northbound database must hold.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use ovsdb::{Atom, Datum, Uuid};

use crate::{Problem, Unit};

/// A row. Its columns are all that Meridian manages on it, links aside; references in them are the real UUIDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredRow {
    /// The table.
    pub table: &'static str,
    /// Derived from cluster, table and key.
    pub uuid: Uuid,
    /// The unit that owns the row.
    pub owner: Unit,
    /// Unique in the table and stable, also in `external_ids:meridian/key`.
    pub key: std::sync::Arc<str>,
    /// Values by column, sorted by column.
    pub columns: Box<[(&'static str, Datum)]>,
}

/// An element of a set column, which several units contribute to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// The table of the row.
    pub table: &'static str,
    /// The row whose column it is.
    pub parent: Uuid,
    /// The set column. It is never among the columns of a [`DesiredRow`].
    pub column: &'static str,
    /// The element.
    pub value: Atom,
}

/// The contribution of one unit to a set column of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The table of the row.
    pub table: &'static str,
    /// The row.
    pub parent: Uuid,
    /// The set column.
    pub column: &'static str,
    /// The element contributed.
    pub value: Atom,
    /// The contributor. Several units may contribute the same element.
    pub owner: Unit,
}

/// What a compile changed: rows and links to compare with the database again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Rows that are new, different or gone.
    pub rows: Vec<(&'static str, Uuid)>,
    /// Links that are new or gone.
    pub links: Vec<LinkId>,
    /// How many units were compiled.
    pub units: usize,
}

/// A row and a set column of it.
type Column = (&'static str, Uuid, &'static str);

/// The units that contribute an element, sorted; hardly ever more than one.
pub type Contributors = Box<[Unit]>;

/// UUIDs of rows are hashes already, of names that nobody chooses so that they collide: a part of one will do.
#[derive(Clone, Copy, Debug, Default)]
struct Scattered(u64);

impl Hasher for Scattered {
    fn write(&mut self, bytes: &[u8]) {
        // Both halves: in each some bits are the same for all, and not in the same place.
        for half in bytes.as_chunks().0 {
            self.0 ^= u64::from_ne_bytes(*half);
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length, always the same.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// All rows and links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    rows: BTreeMap<&'static str, HashMap<Uuid, DesiredRow, BuildHasherDefault<Scattered>>>,
    links: HashMap<Column, BTreeMap<Atom, Contributors>>,
}

impl DesiredRow {
    /// What a column must hold, if Meridian manages it.
    pub fn get(&self, column: &str) -> Option<&Datum> {
        self.columns
            .iter()
            .find(|(name, _)| *name == column)
            .map(|(_, datum)| datum)
    }
}

impl Link {
    /// Which element this is, whoever contributes it.
    pub fn id(&self) -> LinkId {
        LinkId {
            table: self.table,
            parent: self.parent,
            column: self.column,
            value: self.value.clone(),
        }
    }
}

impl Delta {
    /// Whether nothing is to be compared.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.links.is_empty()
    }
}

impl Desired {
    /// The tables that have rows, sorted.
    pub fn tables(&self) -> impl Iterator<Item = &'static str> {
        self.rows.keys().copied()
    }

    /// A row.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&DesiredRow> {
        self.rows.get(table)?.get(&uuid)
    }

    /// The rows of a table, in no particular order.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = &DesiredRow> {
        self.rows.get(table).into_iter().flat_map(HashMap::values)
    }

    /// The rows of a table, sorted by key.
    pub fn sorted_rows(&self, table: &str) -> Vec<&DesiredRow> {
        let mut rows: Vec<_> = self.rows(table).collect();
        rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        rows
    }

    /// How many rows there are in all tables.
    pub fn len(&self) -> usize {
        self.rows.values().map(HashMap::len).sum()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The set columns that have links: table, row, column; in no particular order.
    pub fn link_columns(&self) -> impl Iterator<Item = (&'static str, Uuid, &'static str)> {
        self.links.keys().copied()
    }

    /// The elements that a set column must hold, sorted, and who contributes them.
    pub fn links(
        &self,
        table: &'static str,
        parent: Uuid,
        column: &'static str,
    ) -> impl Iterator<Item = (&Atom, &[Unit])> {
        self.links
            .get(&(table, parent, column))
            .into_iter()
            .flatten()
            .map(|(atom, units)| (atom, &**units))
    }

    /// Whether a set column must hold an element.
    pub fn has_link(&self, link: &LinkId) -> bool {
        self.links
            .get(&(link.table, link.parent, link.column))
            .is_some_and(|atoms| atoms.contains_key(&link.value))
    }

    /// Adds or replaces a row. False if it was like that.
    pub(crate) fn put(&mut self, row: DesiredRow) -> bool {
        let rows = self.rows.entry(row.table).or_default();
        if let Some(old) = rows.get(&row.uuid) {
            // Keys begin with the identity of their unit, so that this cannot happen.
            assert_eq!(old.owner, row.owner, "two units own {} {:?}", row.table, row.key);
            if *old == row {
                return false;
            }
        }
        rows.insert(row.uuid, row);
        true
    }

    pub(crate) fn remove(&mut self, table: &'static str, uuid: Uuid) {
        if let Some(rows) = self.rows.get_mut(table) {
            rows.remove(&uuid);
            if rows.is_empty() {
                self.rows.remove(table);
            }
        }
    }

    /// Adds a contribution. True if the element is new.
    pub(crate) fn link(&mut self, link: Link) -> bool {
        let atoms = self.links.entry((link.table, link.parent, link.column)).or_default();
        let units = atoms.entry(link.value).or_default();
        if let Err(at) = units.binary_search(&link.owner) {
            let mut more = std::mem::take(units).into_vec();
            more.insert(at, link.owner);
            *units = more.into();
            return units.len() == 1;
        }
        false
    }

    /// Takes a contribution back. True if the element is gone.
    pub(crate) fn unlink(&mut self, id: &LinkId, owner: &Unit) -> bool {
        let column = (id.table, id.parent, id.column);
        let Some(atoms) = self.links.get_mut(&column) else {
            return false;
        };
        let Some(units) = atoms.get_mut(&id.value) else {
            return false;
        };
        let Ok(at) = units.binary_search(owner) else {
            return false;
        };
        let mut rest = std::mem::take(units).into_vec();
        rest.remove(at);
        *units = rest.into();
        if !units.is_empty() {
            return false;
        }
        atoms.remove(&id.value);
        if atoms.is_empty() {
            self.links.remove(&column);
        }
        true
    }
}

/// What one unit compiles to.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) rows: Vec<DesiredRow>,
    pub(crate) links: Vec<Link>,
    pub(crate) problems: Vec<Problem>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(owner: &str) -> Link {
        let (table, column) = ("Address_Set", "addresses");
        Link {
            table,
            parent: Uuid::nil(),
            column,
            value: "10.0.0.5".into(),
            owner: Unit::Node(owner.into()),
        }
    }

    #[test]
    fn an_element_stays_until_its_last_contributor_takes_it_back() {
        let mut desired = Desired::default();
        let id = link("a").id();
        assert!(desired.link(link("b")), "the element is new");
        assert!(!desired.link(link("a")), "the element was there");
        assert!(!desired.link(link("a")), "a contribution counts once");
        assert!(!desired.unlink(&id, &link("b").owner), "the element is still there");
        assert!(desired.has_link(&id));
        assert!(desired.unlink(&id, &link("a").owner), "the element is gone");
        assert_eq!(desired, Desired::default());
    }

    #[test]
    fn a_contribution_that_was_never_made_cannot_be_taken_back() {
        let mut desired = Desired::default();
        desired.link(link("a"));
        assert!(!desired.unlink(&link("a").id(), &link("b").owner));
        assert!(desired.has_link(&link("a").id()));
    }

    #[test]
    fn contributors_are_sorted_whoever_came_first() {
        let mut desired = Desired::default();
        desired.link(link("b"));
        desired.link(link("a"));
        let contributors: Vec<_> = desired
            .links("Address_Set", Uuid::nil(), "addresses")
            .map(|(_, units)| units.to_vec())
            .collect();
        assert_eq!(contributors, [[link("a").owner, link("b").owner]]);
    }

    #[test]
    fn a_row_put_again_unchanged_is_not_different() {
        let row = DesiredRow {
            table: "Logical_Switch",
            uuid: Uuid::nil(),
            owner: Unit::Node("a".into()),
            key: "a".into(),
            columns: [("name", Datum::scalar("a"))].into(),
        };
        let mut desired = Desired::default();
        assert!(desired.put(row.clone()));
        assert!(!desired.put(row.clone()));
        desired.remove(row.table, row.uuid);
        assert_eq!(desired, Desired::default());
    }
}
