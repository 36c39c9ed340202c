//! Database schemas (RFC 7047, section 3.2), as `get_schema` returns them and `.ovsschema` files hold them.
//!
//! Members this crate does not know are tolerated: a newer server must not break the client.

mod parse;

use std::collections::BTreeMap;
use std::fmt;

use crate::value::{Atom, AtomKind, Datum};

pub use parse::SchemaError;

/// One database.
#[derive(Clone, PartialEq, Debug)]
pub struct DatabaseSchema {
    /// Such as `OVN_Northbound`.
    pub name: String,
    /// Three numbers with dots; empty if the schema has none.
    pub version: String,
    /// By name.
    pub tables: BTreeMap<String, TableSchema>,
}

/// One table.
#[derive(Clone, PartialEq, Debug)]
pub struct TableSchema {
    /// By name; `_uuid` and `_version` are implied and not listed.
    pub columns: BTreeMap<String, ColumnSchema>,
    /// A row of any other table is deleted by the server once nothing refers to it.
    pub is_root: bool,
    /// Sets of columns whose values together are unique.
    pub indexes: Vec<Vec<String>>,
    /// The server refuses more rows than this.
    pub max_rows: Option<u64>,
}

/// One column.
#[derive(Clone, PartialEq, Debug)]
pub struct ColumnSchema {
    /// What it holds.
    pub r#type: ColumnType,
    /// Lost when the server restarts.
    pub ephemeral: bool,
    /// If not, only `insert` can set it.
    pub mutable: bool,
}

/// The type of a column: a set of keys, or a map from keys to values.
#[derive(Clone, PartialEq, Debug)]
pub struct ColumnType {
    /// Type of the elements, or of a map's keys.
    pub key: BaseType,
    /// Type of a map's values.
    pub value: Option<BaseType>,
    /// Zero or one.
    pub min: u64,
    /// `None` is `"unlimited"`.
    pub max: Option<u64>,
}

/// The type of an atom, with constraints on it.
#[derive(Clone, PartialEq, Debug)]
pub struct BaseType {
    /// Its basic type.
    pub kind: AtomKind,
    /// The only values allowed, sorted.
    pub r#enum: Option<Vec<Atom>>,
    /// Smallest number allowed.
    pub min: Option<Atom>,
    /// Largest number allowed.
    pub max: Option<Atom>,
    /// Shortest text allowed, in characters.
    pub min_length: Option<u64>,
    /// Longest text allowed, in characters.
    pub max_length: Option<u64>,
    /// The table that a UUID refers to.
    pub references: Option<Reference>,
}

/// What a UUID refers to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// The table.
    pub table: String,
    /// A strong reference keeps the row alive; a weak one goes away with the row.
    pub strong: bool,
}

impl DatabaseSchema {
    /// The type of a column; also knows `_uuid` and `_version`, which every table has.
    pub fn column_type(&self, table: &str, column: &str) -> Option<&ColumnType> {
        self.tables.get(table)?.column_type(column)
    }
}

impl TableSchema {
    /// The type of a column; also knows `_uuid` and `_version`.
    pub fn column_type(&self, column: &str) -> Option<&ColumnType> {
        match self.columns.get(column) {
            Some(found) => Some(&found.r#type),
            None if matches!(column, "_uuid" | "_version") => Some(&UUID_COLUMN),
            None => None,
        }
    }
}

static UUID_COLUMN: ColumnType = ColumnType::scalar(AtomKind::Uuid);

impl ColumnType {
    /// Exactly one atom without constraints.
    pub const fn scalar(kind: AtomKind) -> Self {
        Self {
            key: BaseType::plain(kind),
            value: None,
            min: 1,
            max: Some(1),
        }
    }

    /// Does it hold pairs?
    pub const fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// Exactly one atom?
    pub fn is_scalar(&self) -> bool {
        self.value.is_none() && self.min == 1 && self.max == Some(1)
    }

    /// One atom or none?
    pub fn is_optional(&self) -> bool {
        self.value.is_none() && self.min == 0 && self.max == Some(1)
    }

    /// Are changes to it sent as differences? Those of at most one element, maps too, are sent whole.
    pub fn is_composite(&self) -> bool {
        self.max != Some(1)
    }

    /// What it holds when nobody ever wrote it (RFC 7047, section 5.2.1).
    pub fn default_datum(&self) -> Datum {
        if self.min == 0 {
            return Datum::empty();
        }
        let key = self.key.kind.default_atom();
        match &self.value {
            Some(value) => Datum::map([(key, value.kind.default_atom())]),
            None => Datum::from(key),
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "map of {} to {}", self.key.kind, value.kind),
            None if self.is_scalar() => self.key.kind.fmt(f),
            None if self.is_optional() => write!(f, "optional {}", self.key.kind),
            None => write!(f, "set of {}", self.key.kind),
        }
    }
}

impl BaseType {
    /// Without constraints.
    pub const fn plain(kind: AtomKind) -> Self {
        Self {
            kind,
            r#enum: None,
            min: None,
            max: None,
            min_length: None,
            max_length: None,
            references: None,
        }
    }
}

impl ColumnSchema {
    /// What the column holds when nobody ever wrote it.
    pub fn default_datum(&self) -> Datum {
        self.r#type.default_datum()
    }
}
