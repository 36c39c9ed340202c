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
        let one = |error| DecodeError {
            expected: format!("one {}", T::KIND),
            ..error
        };
        match self.optional(column).map_err(one)? {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DatabaseSchema, Replica, TableMonitor};

    const ROW: Uuid = Uuid::from_u128(1);

    fn replica() -> Replica {
        let schema = r#"{"name":"D","tables":{"T":{"columns":{
            "name": {"type":"string"},
            "size": {"type":"integer"},
            "tag":  {"type":{"key":"integer","min":0,"max":1}},
            "tags": {"type":{"key":"string","min":0,"max":"unlimited"}},
            "load": {"type":"real"},
            "ids":  {"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}}}}"#;
        let mut replica = Replica::new(&DatabaseSchema::parse(schema).unwrap(), &[TableMonitor::new("T")]);
        let columns = [
            ("name", Datum::scalar("n")),
            ("tags", Datum::set(["b", "a"])),
            ("ids", Datum::map([("k", "v")])),
        ];
        assert!(replica.put("T", ROW, columns));
        replica
    }

    #[test]
    fn columns_are_read_into_the_types_asked_for() {
        let replica = replica();
        let row = replica.row("T", ROW).unwrap();
        assert_eq!(row.string("name").unwrap(), "n");
        assert_eq!(row.integer("size").unwrap(), 0);
        assert!(row.required::<f64>("load").unwrap().abs() < f64::EPSILON);
        assert_eq!(row.optional::<i64>("tag").unwrap(), None);
        assert_eq!(row.list::<String>("tags").unwrap(), ["a", "b"]);
        assert_eq!(row.set::<String>("tags").unwrap().len(), 2);
        assert_eq!(row.map::<String, String>("ids").unwrap()["k"], "v");
    }

    #[test]
    fn a_column_the_server_does_not_have_reads_as_its_default() {
        let replica = replica();
        let row = replica.row("T", ROW).unwrap();
        assert!(!row.boolean("newer").unwrap());
        assert_eq!(row.required::<Uuid>("newer").unwrap(), Uuid::nil());
        assert_eq!(row.optional::<String>("newer").unwrap(), None);
        assert!(row.map::<String, i64>("newer").unwrap().is_empty());
    }

    #[test]
    fn a_column_of_another_shape_is_an_error_that_names_it() {
        let replica = replica();
        let row = replica.row("T", ROW).unwrap();
        let error = row.integer("name").unwrap_err();
        let place = "row 00000000-0000-0000-0000-000000000001 of table T: column name";
        assert_eq!(error.to_string(), format!("{place} is \"n\", expected one integer"));
        assert!(row.string("tags").is_err());
        assert!(row.list::<String>("ids").is_err());
        assert!(row.map::<String, String>("tags").is_err());
        assert!(row.map::<String, i64>("ids").is_err());
    }
}
