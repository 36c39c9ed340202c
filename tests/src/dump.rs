//! The Northbound database as text that two runs agree on.
//!
//! Rows are named by what OVN's users call them, references by the row they point to, defaults are
//! left out, and nothing depends on the order of writing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::run;

/// Columns that OVN writes, and that differ between runs.
const VOLATILE: &[&str] = &[
    "_uuid",
    "_version",
    "nb_cfg_timestamp",
    "sb_cfg_timestamp",
    "hv_cfg_timestamp",
    "nb_cfg",
    "sb_cfg",
    "hv_cfg",
    "up",
    "connections",
    "ssl",
    "ipsec",
];

/// One row: its table, how it is called, and the columns that hold something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DumpedRow {
    /// The table.
    pub table: String,
    /// The name, or what stands for one.
    pub name: String,
    /// The row's identifier.
    pub uuid: String,
    /// Column to value, as text.
    pub columns: BTreeMap<String, String>,
}

/// Every row of the Northbound database served at these remotes, sorted; panics where there is none.
pub fn dump_rows(remotes: &str) -> Vec<DumpedRow> {
    try_dump_rows(remotes).unwrap_or_else(|error| panic!("{error}"))
}

/// Every row, sorted; an error where no server answers, such as a cluster that has no leader yet.
pub fn try_dump_rows(remotes: &str) -> Result<Vec<DumpedRow>, String> {
    let tables = tables();
    let mut operations = vec![json!("OVN_Northbound")];
    operations.extend(
        tables
            .iter()
            .map(|table| json!({"op": "select", "table": table, "where": []})),
    );
    let operations = Value::Array(operations).to_string();
    let answer = run("ovsdb-client", ["--timeout=30", "transact", remotes, &operations])?;
    let results: Vec<Value> = serde_json::from_str(&answer).expect("ovsdb-client answers in JSON");

    let mut raw = Vec::new();
    for (table, result) in tables.iter().zip(&results) {
        let rows = result["rows"].as_array();
        let rows = rows.unwrap_or_else(|| panic!("select of {table}: {result}"));
        for row in rows {
            let row = row.as_object().expect("a row is an object").clone();
            raw.push((table.clone(), row));
        }
    }
    let names: BTreeMap<String, String> = raw
        .iter()
        .map(|(table, row)| (uuid(row), format!("{table}/{}", name(row))))
        .collect();
    let mut rows: Vec<DumpedRow> = raw
        .iter()
        .map(|(table, row)| DumpedRow {
            table: table.clone(),
            name: name(row),
            uuid: uuid(row),
            columns: row
                .iter()
                .filter(|(column, _)| !VOLATILE.contains(&column.as_str()))
                .map(|(column, value)| (column.clone(), text(value, &names)))
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        })
        // The tools of OVN leave an empty NB_Global behind.
        .filter(|row| !row.columns.is_empty())
        .collect();
    rows.sort();
    Ok(rows)
}

/// Every row of the Northbound database as readable text, for golden files; panics where there is none.
pub fn dump(remotes: &str) -> String {
    text_of(&dump_rows(remotes))
}

/// Dumped rows as readable text.
pub fn text_of(rows: &[DumpedRow]) -> String {
    let mut out = String::new();
    for row in rows {
        let mut lines = vec![format!("{} {}", row.table, row.name)];
        for (column, value) in &row.columns {
            if value.contains('\n') {
                lines.push(format!("  {column}:"));
                lines.extend(value.lines().map(|line| format!("    {line}")));
            } else {
                lines.push(format!("  {column}: {value}"));
            }
        }
        out.push_str(&lines.join("\n"));
        out.push('\n');
    }
    out
}

/// The lines around the first difference; enough to see what kind of change it is.
pub fn difference(expected: &str, found: &str) -> String {
    let same = expected
        .lines()
        .zip(found.lines())
        .take_while(|(expected, found)| expected == found)
        .count();
    let excerpt = |text: &str| -> String {
        let lines: Vec<&str> = text.lines().skip(same.saturating_sub(5)).take(15).collect();
        lines.join("\n  ")
    };
    format!(
        "from line {}\nexpected:\n  {}\nfound:\n  {}",
        same + 1,
        excerpt(expected),
        excerpt(found)
    )
}

fn tables() -> Vec<String> {
    let schema = std::fs::read_to_string("/usr/share/ovn/ovn-nb.ovsschema")
        .expect("OVN is installed (Debian package ovn-central)");
    let schema: Value = serde_json::from_str(&schema).expect("a schema is JSON");
    let tables = schema["tables"].as_object().expect("a schema has tables");
    tables.keys().cloned().collect()
}

fn uuid(row: &Map<String, Value>) -> String {
    row["_uuid"][1].as_str().unwrap_or_default().to_owned()
}

/// The row's name, or its key among Meridian's rows, or nothing.
fn name(row: &Map<String, Value>) -> String {
    let named = row.get("name").and_then(Value::as_str).unwrap_or_default();
    if !named.is_empty() {
        return named.to_owned();
    }
    let ids = row.get("external_ids").map(pairs).unwrap_or_default();
    ids.into_iter()
        .find(|(key, _)| key == "meridian/key")
        .map(|(_, value)| atom(&value, &BTreeMap::new()))
        .unwrap_or_default()
}

/// A value as text; empty for what a column holds when nobody wrote it.
fn text(value: &Value, names: &BTreeMap<String, String>) -> String {
    let mut lines: Vec<String> = match value[0].as_str() {
        Some("set") => {
            let atoms = value[1].as_array().map(Vec::as_slice).unwrap_or_default();
            atoms.iter().map(|value| atom(value, names)).collect()
        }
        Some("map") => pairs(value)
            .iter()
            .map(|(key, value)| format!("{key} = {}", atom(value, names)).trim_end().to_owned())
            .collect(),
        _ => match value {
            Value::Bool(false) => return String::new(),
            Value::Number(number) if number.as_i64() == Some(0) => return String::new(),
            value => vec![atom(value, names)],
        },
    };
    lines.sort();
    lines.join("\n")
}

fn pairs(map: &Value) -> Vec<(String, Value)> {
    let pairs = map[1].as_array().map(Vec::as_slice).unwrap_or_default();
    pairs
        .iter()
        .map(|pair| (atom(&pair[0], &BTreeMap::new()), pair[1].clone()))
        .collect()
}

fn atom(value: &Value, names: &BTreeMap<String, String>) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(_) => {
            let uuid = value[1].as_str().unwrap_or_default();
            names.get(uuid).map_or(uuid, String::as_str).to_owned()
        }
        other => other.to_string(),
    }
}
