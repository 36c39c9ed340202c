//! [`Rows`]: the rows that an object should have, and whether the database has them so.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use meridian_compile::{Compiler, Unit};
use meridian_northbound::plan::{Sides, plan};
use meridian_northbound::{Ownership, Scope};
use ovsdb::Session;
use serde::Serialize;

/// The rows that an object should have, and how the database compares.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rows {
    rows: Vec<Row>,
    database: Standing,
}

/// A row that the object owns.
#[derive(Debug, Serialize)]
struct Row {
    table: &'static str,
    name: String,
    uuid: String,
}

/// How the database compares.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
enum Standing {
    /// Every row is as it should be.
    Same,
    /// What `run` would write now.
    Differs { changes: Vec<String> },
    /// It could not be asked, or was not to be.
    Unknown { reason: String },
}

impl Rows {
    /// Those of a unit; the session, or why there is none.
    pub(super) fn of(
        compiler: &Compiler,
        session: &Result<Session, String>,
        ownership: &Ownership,
        owner: &Unit,
    ) -> Self {
        let rows = rows(compiler, owner);
        let database = standing(compiler, session, ownership, owner, &rows);
        Self { rows, database }
    }

    /// For people.
    pub(super) fn print(&self, text: &mut String) {
        let Self { rows, database } = self;
        if !rows.is_empty() {
            text.push_str("\nrows\n");
        }
        for row in rows {
            let _ = writeln!(text, "  {} {}  {}", row.table, row.name, row.uuid);
        }
        match database {
            Standing::Same if rows.is_empty() => text.push_str("the Northbound database has no rows of it either\n"),
            Standing::Same => text.push_str("the Northbound database has them so\n"),
            Standing::Unknown { reason } => {
                let _ = writeln!(text, "not compared with the Northbound database: {reason}");
            }
            Standing::Differs { changes } => {
                text.push_str("the Northbound database differs; run would\n");
                for change in changes {
                    let _ = writeln!(text, "  {change}");
                }
            }
        }
    }
}

fn rows(compiler: &Compiler, owner: &Unit) -> Vec<Row> {
    let desired = compiler.desired();
    let rows = desired.tables().flat_map(|table| desired.rows(table));
    let mut rows: Vec<Row> = rows
        .filter(|row| row.owner == *owner)
        .map(|row| Row {
            table: row.table,
            name: row.key.to_string(),
            uuid: row.uuid.to_string(),
        })
        .collect();
    rows.sort_by(|one, other| (one.table, &one.name).cmp(&(other.table, &other.name)));
    rows
}

fn standing(
    compiler: &Compiler,
    session: &Result<Session, String>,
    ownership: &Ownership,
    owner: &Unit,
    rows: &[Row],
) -> Standing {
    let session = match session {
        Ok(session) => session,
        Err(reason) => return Standing::Unknown { reason: reason.clone() },
    };
    let replica = session.replica();
    let sides = Sides {
        desired: compiler.desired(),
        replica: &replica,
        ownership,
    };
    let description = plan(sides, &Scope::Full).describe(sides);
    let owner = owner.to_string();
    let own: BTreeSet<&str> = rows.iter().map(|row| &*row.name).collect();
    let changes = description.rows.iter().filter(|row| row.owner == owner).map(|row| {
        let columns: Vec<&str> = row.columns.keys().copied().collect();
        format!("{} {} {}: {}", row.action, row.table, row.name, columns.join(", "))
    });
    let links = description.links.iter().filter(|link| own.contains(&*link.value));
    let links = links.map(|link| {
        format!(
            "{} {} in {} of {} {}",
            link.action, link.value, link.column, link.table, link.parent
        )
    });
    let changes: Vec<String> = changes.chain(links).collect();
    if changes.is_empty() {
        Standing::Same
    } else {
        Standing::Differs { changes }
    }
}
