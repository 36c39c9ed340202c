//! From JSON to [`DatabaseSchema`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{BaseType, ColumnSchema, ColumnType, DatabaseSchema, Reference, TableSchema};
use crate::value::{Atom, AtomKind, Real};

/// Why a text is no schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Not JSON, or members that RFC 7047 requires are missing or of the wrong kind.
    #[error("malformed schema: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A column whose type makes no sense.
    #[error("type of column {column} of table {table}: {reason}")]
    Type {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
struct RawDatabase {
    name: String,
    #[serde(default)]
    version: String,
    tables: BTreeMap<String, RawTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTable {
    columns: BTreeMap<String, RawColumn>,
    #[serde(default)]
    is_root: bool,
    #[serde(default)]
    indexes: Vec<Vec<String>>,
    max_rows: Option<u64>,
}

#[derive(Deserialize)]
struct RawColumn {
    r#type: Value,
    #[serde(default)]
    ephemeral: bool,
    #[serde(default = "yes")]
    mutable: bool,
}

const fn yes() -> bool {
    true
}

impl DatabaseSchema {
    /// Reads what `get_schema` answers, or the text of an `.ovsschema` file.
    pub fn parse(json: &str) -> Result<Self, SchemaError> {
        let raw: RawDatabase = serde_json::from_str(json)?;
        // Before `isRoot` existed every row was permanent: if no table says it, all of them are roots.
        let all_roots = !raw.tables.values().any(|t| t.is_root);
        let mut tables = BTreeMap::new();
        for (table, raw) in raw.tables {
            let mut columns = BTreeMap::new();
            for (column, raw) in raw.columns {
                let r#type = column_type(&raw.r#type).map_err(|reason| SchemaError::Type {
                    table: table.clone(),
                    column: column.clone(),
                    reason,
                })?;
                columns.insert(
                    column,
                    ColumnSchema {
                        r#type,
                        ephemeral: raw.ephemeral,
                        mutable: raw.mutable,
                    },
                );
            }
            let is_root = raw.is_root || all_roots;
            tables.insert(
                table,
                TableSchema {
                    columns,
                    is_root,
                    indexes: raw.indexes,
                    max_rows: raw.max_rows,
                },
            );
        }
        Ok(Self {
            name: raw.name,
            version: raw.version,
            tables,
        })
    }
}

fn column_type(json: &Value) -> Result<ColumnType, String> {
    let Value::Object(members) = json else {
        return Ok(ColumnType {
            key: base_type(json)?,
            value: None,
            min: 1,
            max: Some(1),
        });
    };
    let min = match members.get("min") {
        None => 1,
        Some(min) => min.as_u64().ok_or_else(|| format!("min is {min}"))?,
    };
    let max = match members.get("max") {
        None => Some(1),
        Some(Value::String(text)) if text == "unlimited" => None,
        Some(max) => Some(max.as_u64().ok_or_else(|| format!("max is {max}"))?),
    };
    if min > 1 || max.is_some_and(|max| max < min.max(1)) {
        return Err(format!("from {min} to {max:?} elements"));
    }
    let key = base_type(members.get("key").ok_or("no key")?)?;
    let value = members.get("value").map(base_type).transpose()?;
    Ok(ColumnType { key, value, min, max })
}

fn base_type(json: &Value) -> Result<BaseType, String> {
    let kind_of = |name: &str| AtomKind::from_name(name).ok_or_else(|| format!("unknown type {name}"));
    let members = match json {
        Value::String(name) => return Ok(BaseType::plain(kind_of(name)?)),
        Value::Object(members) => members,
        other => return Err(format!("neither a name nor an object: {other}")),
    };
    let kind = kind_of(members.get("type").and_then(Value::as_str).ok_or("no type")?)?;
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let length = |name: &str| members.get(name).and_then(Value::as_u64);
    let bound = |of: AtomKind, number: &str, name: &str| match members.get(name) {
        Some(json) if of == kind => atom(kind, json).map(Some).map_err(|e| format!("{number} bound: {e}")),
        _ => Ok(None),
    };
    let limit = |integer: &str, real: &str| -> Result<Option<Atom>, String> {
        Ok(bound(AtomKind::Integer, "integer", integer)?.or(bound(AtomKind::Real, "real", real)?))
    };
    Ok(BaseType {
        kind,
        r#enum: members.get("enum").map(|json| enumeration(kind, json)).transpose()?,
        min: limit("minInteger", "minReal")?,
        max: limit("maxInteger", "maxReal")?,
        min_length: length("minLength"),
        max_length: length("maxLength"),
        references: text("refTable").map(|table| Reference {
            table: table.to_owned(),
            strong: text("refType") != Some("weak"),
        }),
    })
}

/// Either `["set", [..]]` or a single atom.
fn enumeration(kind: AtomKind, json: &Value) -> Result<Vec<Atom>, String> {
    let mut atoms = match json.as_array().map(Vec::as_slice) {
        Some([tag, Value::Array(atoms)]) if tag == "set" => atoms
            .iter()
            .map(|json| atom(kind, json))
            .collect::<Result<Vec<_>, _>>()?,
        _ => vec![atom(kind, json)?],
    };
    atoms.sort_unstable();
    Ok(atoms)
}

fn atom(kind: AtomKind, json: &Value) -> Result<Atom, String> {
    let atom = match kind {
        AtomKind::Integer => json.as_i64().map(Atom::Integer),
        AtomKind::Real => json.as_f64().and_then(Real::new).map(Atom::Real),
        AtomKind::Boolean => json.as_bool().map(Atom::Boolean),
        AtomKind::String => json.as_str().map(Atom::from),
        AtomKind::Uuid => json
            .as_array()
            .and_then(|pair| pair.get(1)?.as_str())
            .and_then(|text| text.parse().ok())
            .map(Atom::Uuid),
    };
    atom.ok_or_else(|| format!("{json} is no {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(json: &str) -> Result<ColumnType, String> {
        column_type(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_type_may_be_a_bare_name() {
        let string = column(r#""string""#).unwrap();
        assert!(string.is_scalar() && string.key.kind == AtomKind::String);
    }

    #[test]
    fn bounds_default_to_exactly_one() {
        assert!(column(r#"{"key":"integer"}"#).unwrap().is_scalar());
        assert!(column(r#"{"key":"integer","min":0}"#).unwrap().is_optional());
        assert_eq!(
            column(r#"{"key":"integer","min":0,"max":"unlimited"}"#).unwrap().max,
            None
        );
    }

    #[test]
    fn constraints_are_kept() {
        let json =
            r#"{"key":{"type":"integer","minInteger":1,"maxInteger":9},"value":{"type":"string","minLength":2}}"#;
        let column = column(json).unwrap();
        assert_eq!(
            (column.key.min, column.key.max),
            (Some(Atom::Integer(1)), Some(Atom::Integer(9)))
        );
        assert_eq!(column.value.unwrap().min_length, Some(2));
    }

    #[test]
    fn an_enumeration_may_have_one_member() {
        let one = column(r#"{"key":{"type":"string","enum":"a"}}"#).unwrap();
        assert_eq!(one.key.r#enum, Some(vec![Atom::from("a")]));
        let two = column(r#"{"key":{"type":"string","enum":["set",["b","a"]]}}"#).unwrap();
        assert_eq!(two.key.r#enum, Some(vec![Atom::from("a"), Atom::from("b")]));
    }

    #[test]
    fn references_are_strong_unless_they_say_weak() {
        let reference = |json| column(json).unwrap().key.references.unwrap();
        assert!(reference(r#"{"key":{"type":"uuid","refTable":"T"}}"#).strong);
        assert!(!reference(r#"{"key":{"type":"uuid","refTable":"T","refType":"weak"}}"#).strong);
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        for json in [
            r#"{"key":"float"}"#,
            r#"{"min":0}"#,
            r#"{"key":"string","min":2}"#,
            r#"{"key":"string","max":0}"#,
            "7",
        ] {
            assert!(column(json).is_err(), "{json}");
        }
        let error =
            DatabaseSchema::parse(r#"{"name":"D","tables":{"T":{"columns":{"c":{"type":"odd"}}}}}"#).unwrap_err();
        assert_eq!(error.to_string(), "type of column c of table T: unknown type odd");
    }

    #[test]
    fn unknown_members_are_tolerated() {
        let json = r#"{"name":"D","future":1,"tables":{"T":{"new":[],"columns":{"c":{"type":{"key":"string","soon":{}},"x":0}}}}}"#;
        assert_eq!(DatabaseSchema::parse(json).unwrap().tables["T"].columns.len(), 1);
    }

    #[test]
    fn without_any_root_every_table_is_one() {
        let parse = |root: &str| {
            let json = format!(r#"{{"name":"D","tables":{{"A":{{"columns":{{}}{root}}},"B":{{"columns":{{}}}}}}}}"#);
            DatabaseSchema::parse(&json).unwrap().tables["B"].is_root
        };
        assert!(parse(""));
        assert!(!parse(r#","isRoot":true"#));
    }
}
