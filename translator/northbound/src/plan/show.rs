//! A plan for people and programs.

use std::collections::BTreeMap;
use std::fmt;

use meridian_api::port::KEY;
use ovsdb::Datum;
use serde::Serialize;
use uuid::Uuid;

use super::{Counts, LinkChange, Plan, RowChange, Sides};
use crate::ownership::Ownership;
use crate::tables;

/// A plan with names and values. Comes sorted by table and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Rows.
    pub rows: Vec<DescribedRow>,
    /// Elements of set columns.
    pub links: Vec<DescribedLink>,
    /// How many there are of each.
    pub counts: Counts,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DescribedRow {
    /// `insert`, `update` or `delete`.
    pub action: &'static str,
    /// Its table.
    pub table: &'static str,
    /// Its name or key.
    pub name: String,
    /// The unit that owns it.
    pub owner: String,
    /// Its identifier.
    pub uuid: Uuid,
    /// The columns that change, as they are and as they will be.
    pub columns: BTreeMap<&'static str, Column>,
}

/// A column that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// As it is; absent for a new row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// As it will be.
    pub to: Value,
}

/// What a column holds: to people as the tools of Open vSwitch write it, to programs as plain JSON (a set is an array, a
/// map an object, an optional value null when absent).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    text: String,
    json: serde_json::Value,
}

impl Value {
    fn new(table: &str, column: &str, datum: &Datum) -> Self {
        Self {
            text: datum.to_string(),
            json: tables::plain_json(table, column, datum),
        }
    }
}

impl Value {
    /// Whether a new row has it anyway, or nearly.
    pub fn is_blank(&self) -> bool {
        self.text == "[]" || self.text == "{}" || self.text == "\"\""
    }
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An element of a set column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DescribedLink {
    /// `add` or `remove`.
    pub action: &'static str,
    /// The table of the row.
    pub table: &'static str,
    /// The row's name or key.
    pub parent: String,
    /// The column.
    pub column: &'static str,
    /// The element; for a reference the name of the row it refers to.
    pub value: String,
}

impl Plan {
    /// Puts names and values to the plan.
    pub fn describe(&self, sides: Sides<'_>) -> Description {
        let mut rows: Vec<_> = self
            .rows
            .iter()
            .map(|(&(table, uuid), change)| describe_row(sides, table, uuid, change))
            .collect();
        rows.sort_by(|a, b| (a.table, &a.name, a.uuid).cmp(&(b.table, &b.name, b.uuid)));
        let mut links: Vec<_> = self
            .links
            .iter()
            .map(|(link, change)| DescribedLink {
                action: if *change == LinkChange::Add { "add" } else { "remove" },
                table: link.table,
                parent: name_of(sides, link.table, link.parent),
                column: link.column,
                value: tables::table(link.table)
                    .and_then(|table| table.link_columns.iter().find(|column| column.column == link.column))
                    .and_then(|column| column.target.zip(link.value.as_uuid()))
                    .map_or_else(|| link.value.to_string(), |(table, uuid)| name_of(sides, table, uuid)),
            })
            .collect();
        links.sort_by(|a, b| (a.table, &a.parent, a.column, &a.value).cmp(&(b.table, &b.parent, b.column, &b.value)));
        Description {
            rows,
            links,
            counts: self.counts(),
        }
    }
}

fn describe_row(sides: Sides<'_>, table: &'static str, uuid: Uuid, change: &RowChange) -> DescribedRow {
    let Sides { desired, replica, .. } = sides;
    let (wanted, now) = (desired.row(table, uuid), replica.row(table, uuid));
    let columns = wanted.iter().flat_map(|row| &row.columns);
    let columns = match change {
        RowChange::Insert => columns
            .map(|(column, datum)| {
                (
                    *column,
                    Column {
                        from: None,
                        to: Value::new(table, column, datum),
                    },
                )
            })
            .collect(),
        RowChange::Update(changed) => columns
            .filter(|(column, _)| changed.contains(column))
            .map(|(column, datum)| {
                let from = now.map(|row| Value::new(table, column, row.get(column)));
                (
                    *column,
                    Column {
                        from,
                        to: Value::new(table, column, datum),
                    },
                )
            })
            .collect(),
        RowChange::Delete => BTreeMap::new(),
    };
    DescribedRow {
        action: match change {
            RowChange::Insert => "insert",
            RowChange::Update(_) => "update",
            RowChange::Delete => "delete",
        },
        table,
        name: name_of(sides, table, uuid),
        owner: owner_of(sides, table, uuid),
        uuid,
        columns,
    }
}

/// The name of a row, or its key where the table has no names, or its identifier where it is nobody's.
pub(crate) fn name_of(sides: Sides<'_>, table: &str, uuid: Uuid) -> String {
    if let Some(row) = sides.desired.row(table, uuid) {
        let name = row.get("name").and_then(|name| name.as_str());
        return name.unwrap_or(&row.key).to_owned();
    }
    let Some(row) = sides.replica.row(table, uuid) else {
        return uuid.to_string();
    };
    let name = row.get("name").as_str().filter(|name| !name.is_empty());
    let key = || row.get("external_ids").get_str(KEY);
    name.or_else(key).map_or_else(|| uuid.to_string(), str::to_owned)
}

/// The unit that owns a row.
pub(crate) fn owner_of(sides: Sides<'_>, table: &str, uuid: Uuid) -> String {
    match (sides.desired.row(table, uuid), sides.replica.row(table, uuid)) {
        (Some(row), _) => row.owner.to_string(),
        (None, Some(row)) => Ownership::owner(row).to_owned(),
        (None, None) => "nobody".to_owned(),
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let sign = match row.action {
                "insert" => '+',
                "delete" => '-',
                _ => '~',
            };
            writeln!(f, "{sign} {} {} ({})", row.table, row.name, row.owner)?;
            let shown = row
                .columns
                .iter()
                .filter(|(_, column)| column.from.is_some() || !column.to.is_blank());
            for (name, column) in shown {
                match &column.from {
                    Some(from) => writeln!(f, "    {name}: {from} -> {}", column.to)?,
                    None => writeln!(f, "    {name}: {}", column.to)?,
                }
            }
        }
        for link in &self.links {
            let sign = if link.action == "add" { '+' } else { '-' };
            writeln!(
                f,
                "{sign} {} {} {}: {}",
                link.table, link.parent, link.column, link.value
            )?;
        }
        let Counts {
            inserts,
            updates,
            deletes,
            links,
        } = self.counts;
        if self.counts.total() == 0 {
            return writeln!(f, "Nothing differs.");
        }
        writeln!(
            f,
            "{inserts} to insert, {updates} to update, {deletes} to delete, {links} links to change."
        )
    }
}
