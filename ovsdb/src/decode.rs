//! From rows to typed values: what the code generated from schemas is made of.
//!
//! A column that the server does not have reads as its default, so that an older server degrades features and does
//! not fail rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::replica::Row;
use crate::value::{Atom, AtomKind, Datum};

/// A row of one table as a Rust struct.
pub trait Table: Sized {
    /// The table's name in the schema.
    const NAME: &'static str;
    /// The columns the struct has fields for.
    const COLUMNS: &'static [&'static str];
    /// Reads one row.
    fn from_row(row: &Row) -> Result<Self, DecodeError>;
}

/// A row does not have the shape its Rust type expects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row} of table {table}: column {column} is {found}, expected {expected}")]
pub struct DecodeError {
    /// The table.
    pub table: String,
    /// The row.
    pub row: Uuid,
    /// The column.
    pub column: String,
    /// What the row holds.
    pub found: Datum,
    /// What was expected of it.
    pub expected: String,
}

/// A Rust type for atoms of one kind.
pub trait FromAtom: Sized {
    /// The kind it is read from.
    const KIND: AtomKind;
    /// `None` if the atom is of another kind.
    fn from_atom(atom: &Atom) -> Option<Self>;
}

impl FromAtom for String {
    const KIND: AtomKind = AtomKind::String;
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_str().map(str::to_owned)
    }
}
impl FromAtom for Arc<str> {
    const KIND: AtomKind = AtomKind::String;
    fn from_atom(atom: &Atom) -> Option<Self> {
        match atom {
            Atom::String(text) => Some(Self::clone(text)),
            _ => None,
        }
    }
}
impl FromAtom for i64 {
    const KIND: AtomKind = AtomKind::Integer;
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_integer()
    }
}
impl FromAtom for f64 {
    const KIND: AtomKind = AtomKind::Real;
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_real()
    }
}
impl FromAtom for bool {
    const KIND: AtomKind = AtomKind::Boolean;
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_bool()
    }
}
impl FromAtom for Uuid {
    const KIND: AtomKind = AtomKind::Uuid;
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_uuid()
    }
}

impl Row {
    /// A column of exactly one atom.
    pub fn required<T: FromAtom>(&self, column: &str) -> Result<T, DecodeError> {
        match self.optional(column)? {
            Some(value) => Ok(value),
            None => {
                T::from_atom(&T::KIND.default_atom()).ok_or_else(|| self.mismatch(column, format!("one {}", T::KIND)))
            }
        }
    }

    /// A column of one atom or none.
    pub fn optional<T: FromAtom>(&self, column: &str) -> Result<Option<T>, DecodeError> {
        let datum = self.get(column);
        if datum.is_empty() {
            return Ok(None);
        }
        datum
            .as_scalar()
            .and_then(T::from_atom)
            .map(Some)
            .ok_or_else(|| self.mismatch(column, format!("at most one {}", T::KIND)))
    }

    /// A set column into any collection.
    pub fn collect<T: FromAtom, C: FromIterator<T>>(&self, column: &str) -> Result<C, DecodeError> {
        let datum = self.get(column);
        let atoms = if datum.is_map() {
            None
        } else {
            datum.atoms().iter().map(T::from_atom).collect()
        };
        atoms.ok_or_else(|| self.mismatch(column, format!("a set of {}", T::KIND)))
    }

    /// A set column as a sorted list.
    pub fn list<T: FromAtom>(&self, column: &str) -> Result<Vec<T>, DecodeError> {
        self.collect(column)
    }

    /// A set column.
    pub fn set<T: FromAtom + Ord>(&self, column: &str) -> Result<BTreeSet<T>, DecodeError> {
        self.collect(column)
    }

    /// A map column.
    pub fn map<K: FromAtom + Ord, V: FromAtom>(&self, column: &str) -> Result<BTreeMap<K, V>, DecodeError> {
        let datum = self.get(column);
        let pair = |(key, value): &(Atom, Atom)| Some((K::from_atom(key)?, V::from_atom(value)?));
        let pairs = if datum.len() == datum.pairs().len() {
            datum.pairs().iter().map(pair).collect()
        } else {
            None
        };
        pairs.ok_or_else(|| self.mismatch(column, format!("a map of {} to {}", K::KIND, V::KIND)))
    }

    /// A string column.
    pub fn string(&self, column: &str) -> Result<String, DecodeError> {
        self.required(column)
    }

    /// An integer column.
    pub fn integer(&self, column: &str) -> Result<i64, DecodeError> {
        self.required(column)
    }

    /// A boolean column.
    pub fn boolean(&self, column: &str) -> Result<bool, DecodeError> {
        self.required(column)
    }

    fn mismatch(&self, column: &str, expected: String) -> DecodeError {
        DecodeError {
            table: self.table().to_owned(),
            row: self.uuid(),
            column: column.to_owned(),
            found: self.get(column).clone(),
            expected,
        }
    }
}
