//! Secondary indexes: from a value in a column, or under a key of a map column, to rows.

use std::collections::{BTreeSet, HashMap, btree_set, hash_map};
use std::fmt;

use uuid::Uuid;

use super::row::{Layout, Row};
use crate::value::{Atom, Datum};

/// What an index is over. Uniqueness is not required: a value may lead to any number of rows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IndexSpec {
    /// Every atom of a set column, or every key of a map column.
    Column(String),
    /// The value under one key of a map column.
    MapKey {
        /// The column.
        column: String,
        /// The key.
        key: String,
    },
}

impl IndexSpec {
    /// An index over a column.
    pub fn column(column: impl Into<String>) -> Self {
        Self::Column(column.into())
    }

    /// An index over the values under one key of a map column.
    pub fn map_key(column: impl Into<String>, key: impl Into<String>) -> Self {
        Self::MapKey {
            column: column.into(),
            key: key.into(),
        }
    }

    /// What [`TableReplica::find`](super::TableReplica::find) calls the index: `name`, or
    /// `external_ids:meridian/owner`.
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// The inverse of [`name`](Self::name): names of columns have no colons.
    pub(super) fn from_name(name: &str) -> Self {
        name.split_once(':')
            .map_or_else(|| Self::column(name), |(column, key)| Self::map_key(column, key))
    }
}

impl fmt::Display for IndexSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(column) => f.write_str(column),
            Self::MapKey { column, key } => write!(f, "{column}:{key}"),
        }
    }
}

#[derive(Debug)]
pub(super) struct Index {
    name: String,
    /// `None` if the column is not monitored: such an index is empty.
    position: Option<usize>,
    map_key: Option<String>,
    entries: HashMap<Atom, Ids>,
}

impl Index {
    pub(super) fn new(spec: &IndexSpec, layout: &Layout) -> Self {
        let (column, map_key) = match spec {
            IndexSpec::Column(column) => (column, None),
            IndexSpec::MapKey { column, key } => (column, Some(key.clone())),
        };
        Self {
            name: spec.name(),
            position: layout.position(column),
            map_key,
            entries: HashMap::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn find(&self, value: &Atom) -> Found<'_> {
        match self.entries.get(value) {
            None => Found(Source::One(None)),
            Some(Ids::One(uuid)) => Found(Source::One(Some(*uuid))),
            Some(Ids::Many(uuids)) => Found(Source::Many(uuids.iter())),
        }
    }

    /// The values under which the index holds a row.
    pub(super) fn keys<'r>(&self, row: &'r Row) -> impl Iterator<Item = &'r Atom> {
        self.position
            .map(|position| self.keys_of(row.at(position)))
            .into_iter()
            .flatten()
    }

    fn keys_of<'r>(&self, datum: &'r Datum) -> impl Iterator<Item = &'r Atom> + use<'r> {
        let (atoms, pairs, value) = match &self.map_key {
            None => (datum.atoms(), datum.pairs(), None),
            Some(key) => (&[][..], &[][..], datum.get(key)),
        };
        atoms.iter().chain(pairs.iter().map(|(key, _)| key)).chain(value)
    }

    /// The values under which the index holds a row with one datum and not one with the other.
    fn keys_without<'r>(&self, datum: Option<&'r Datum>, other: Option<&Datum>) -> Vec<&'r Atom> {
        let is_other = |atom: &&Atom| {
            other.is_some_and(|other| match &self.map_key {
                None => other.contains(atom),
                Some(key) => other.get(key) == Some(*atom),
            })
        };
        let keys = datum.into_iter().flat_map(|datum| self.keys_of(datum));
        keys.filter(|key| !is_other(key)).collect()
    }

    pub(super) fn replace(&mut self, uuid: Uuid, old: Option<&Row>, new: Option<&Row>) {
        let Some(position) = self.position else { return };
        let (old, new) = (old.map(|row| row.at(position)), new.map(|row| row.at(position)));
        if old == new {
            return;
        }
        // Of a large set usually one element is new or gone.
        for key in self.keys_without(old, new) {
            if let Some(ids) = self.entries.get_mut(key)
                && ids.remove(uuid)
            {
                self.entries.remove(key);
            }
        }
        for key in self.keys_without(new, old) {
            match self.entries.entry(key.clone()) {
                hash_map::Entry::Vacant(entry) => {
                    entry.insert(Ids::One(uuid));
                }
                hash_map::Entry::Occupied(entry) => entry.into_mut().insert(uuid),
            }
        }
    }
}

/// Rows under one value. Most indexes are unique in practice, and one row needs no allocation.
#[derive(Debug)]
enum Ids {
    One(Uuid),
    Many(BTreeSet<Uuid>),
}

impl Ids {
    fn insert(&mut self, uuid: Uuid) {
        match self {
            Self::One(only) if *only == uuid => {}
            Self::One(only) => *self = Self::Many(BTreeSet::from([*only, uuid])),
            Self::Many(uuids) => {
                uuids.insert(uuid);
            }
        }
    }

    /// True if none is left.
    fn remove(&mut self, uuid: Uuid) -> bool {
        match self {
            Self::One(only) => *only == uuid,
            Self::Many(uuids) => {
                uuids.remove(&uuid);
                uuids.is_empty()
            }
        }
    }
}

/// The rows an index leads to, in the order of their identifiers.
#[derive(Debug)]
pub struct Found<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    One(Option<Uuid>),
    Many(btree_set::Iter<'a, Uuid>),
    Searched(std::vec::IntoIter<Uuid>),
}

impl Found<'_> {
    pub(super) fn searched(uuids: Vec<Uuid>) -> Self {
        Self(Source::Searched(uuids.into_iter()))
    }
}

impl Iterator for Found<'_> {
    type Item = Uuid;
    fn next(&mut self) -> Option<Uuid> {
        match &mut self.0 {
            Source::One(uuid) => uuid.take(),
            Source::Many(uuids) => uuids.next().copied(),
            Source::Searched(uuids) => uuids.next(),
        }
    }
}
