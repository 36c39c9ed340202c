//! The part of a schema the generator needs, column types above all.
//!
//! The `ovsdb` crate has a parser of its own for what a session needs at run time; here the values
//! of enumerations and the targets of references matter as well, and nothing else does.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub(crate) struct Schema {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) tables: BTreeMap<String, Table>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Table {
    pub(crate) columns: BTreeMap<String, Column>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Column {
    #[serde(rename = "type")]
    pub(crate) column_type: ColumnType,
}

/// Either a bare base type (`"string"`), or an object with key, value and cardinality.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum ColumnType {
    Scalar(Atomic),
    Compound {
        key: Base,
        value: Option<Base>,
        #[serde(default = "one")]
        min: u8,
        /// A number, or the text `unlimited`.
        max: Option<Value>,
    },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Base {
    Bare(Atomic),
    Constrained(Constrained),
}

#[derive(Debug, Deserialize)]
pub(crate) struct Constrained {
    #[serde(rename = "type")]
    pub(crate) atomic: Atomic,
    #[serde(rename = "enum")]
    enumeration: Option<Value>,
    #[serde(rename = "refTable")]
    pub(crate) ref_table: Option<String>,
    #[serde(rename = "refType")]
    pub(crate) ref_type: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Atomic {
    Integer,
    Real,
    Boolean,
    String,
    Uuid,
}

fn one() -> u8 {
    1
}

impl Base {
    pub(crate) fn atomic(&self) -> Atomic {
        match self {
            Self::Bare(atomic) => *atomic,
            Self::Constrained(base) => base.atomic,
        }
    }

    /// The values of an enumeration of strings, in the order of the schema; empty for other types.
    pub(crate) fn enumeration(&self) -> Vec<&str> {
        let Self::Constrained(Constrained {
            atomic: Atomic::String,
            enumeration: Some(values),
            ..
        }) = self
        else {
            return Vec::new();
        };
        match values {
            Value::String(only) => vec![only],
            // ["set", ["tcp", "udp"]]
            Value::Array(set) => set
                .get(1)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The table this refers to, and whether the reference is weak.
    pub(crate) fn reference(&self) -> Option<(&str, bool)> {
        match self {
            Self::Constrained(base) => base
                .ref_table
                .as_deref()
                .map(|table| (table, base.ref_type.as_deref() == Some("weak"))),
            Self::Bare(_) => None,
        }
    }
}
