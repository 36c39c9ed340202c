//! What to replicate: [`TableMonitor`], and the monitor requests made of it.
//!
//! Requests are restricted to what the server's schema has, so that an older server means fewer columns and not a
//! refusal.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::replica::IndexSpec;
use crate::schema::{DatabaseSchema, TableSchema};
use crate::txn::{Condition, TypedCondition};

/// One table to replicate.
#[derive(Clone, PartialEq, Debug)]
pub struct TableMonitor {
    /// The table.
    pub table: String,
    /// The columns wanted; `None` for all. Those the server lacks are left out.
    pub columns: Option<Vec<String>>,
    /// A row is replicated if **any** of these holds (in a transaction all must hold), or if there are none.
    pub conditions: Vec<Condition>,
    /// Secondary indexes to keep.
    pub indexes: Vec<IndexSpec>,
}

/// Why tables cannot be monitored as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MonitorError {
    /// Two monitors for one table.
    #[error("table {0} is monitored twice")]
    Duplicate(String),
    /// Leaving the condition out would silently select other rows.
    #[error("condition on column {column} of table {table}, which the server does not have")]
    UnknownConditionColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

impl TableMonitor {
    /// All columns of all rows, no index.
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            columns: None,
            conditions: Vec::new(),
            indexes: Vec::new(),
        }
    }

    /// Only these columns.
    #[must_use]
    pub fn columns<I>(mut self, columns: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Adds a condition; one that holds is enough for a row.
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Adds a secondary index.
    #[must_use]
    pub fn index(mut self, index: IndexSpec) -> Self {
        self.indexes.push(index);
        self
    }

    /// The columns to ask the server for, sorted.
    pub(crate) fn columns_in<'a>(&self, schema: &'a TableSchema) -> Vec<&'a str> {
        let wanted = |column: &str| {
            self.columns
                .as_ref()
                .is_none_or(|wanted| wanted.iter().any(|w| w == column))
        };
        schema
            .columns
            .keys()
            .map(String::as_str)
            .filter(|column| wanted(column))
            .collect()
    }
}

/// The third parameter of `monitor_cond` and `monitor_cond_since`, and without conditions of `monitor`.
#[derive(Debug)]
pub struct MonitorRequests<'a> {
    tables: BTreeMap<&'a str, [Request<'a>; 1]>,
}

#[derive(Debug, Serialize)]
struct Request<'a> {
    columns: Vec<&'a str>,
    #[serde(rename = "where", skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<TypedCondition<'a>>,
}

impl<'a> MonitorRequests<'a> {
    /// Requests for `monitor_cond` and `monitor_cond_since`. Tables the server lacks are left out.
    pub fn conditional(schema: &'a DatabaseSchema, monitors: &'a [TableMonitor]) -> Result<Self, MonitorError> {
        Self::build(schema, monitors, true)
    }

    /// Requests for plain `monitor`, which knows no conditions: every row is selected.
    pub fn plain(schema: &'a DatabaseSchema, monitors: &'a [TableMonitor]) -> Result<Self, MonitorError> {
        Self::build(schema, monitors, false)
    }

    fn build(
        schema: &'a DatabaseSchema,
        monitors: &'a [TableMonitor],
        conditional: bool,
    ) -> Result<Self, MonitorError> {
        let mut tables = BTreeMap::new();
        for monitor in monitors {
            let Some(table) = schema.tables.get(&monitor.table) else {
                continue;
            };
            let conditions = if conditional {
                conditions(schema, monitor)?
            } else {
                Vec::new()
            };
            let request = Request {
                columns: monitor.columns_in(table),
                conditions,
            };
            if tables.insert(monitor.table.as_str(), [request]).is_some() {
                return Err(MonitorError::Duplicate(monitor.table.clone()));
            }
        }
        Ok(Self { tables })
    }
}

impl Serialize for MonitorRequests<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.tables.serialize(serializer)
    }
}

/// The second parameter's counterpart in `monitor_cond_change`: new conditions for the tables in `monitors`.
#[derive(Debug)]
pub struct ConditionUpdates<'a> {
    tables: BTreeMap<&'a str, [ConditionUpdate<'a>; 1]>,
}

#[derive(Debug)]
struct ConditionUpdate<'a>(Vec<TypedCondition<'a>>);

impl<'a> ConditionUpdates<'a> {
    /// Replaces the conditions of all `monitors`; none means every row.
    pub fn new(schema: &'a DatabaseSchema, monitors: &'a [TableMonitor]) -> Result<Self, MonitorError> {
        let mut tables = BTreeMap::new();
        for monitor in monitors.iter().filter(|m| schema.tables.contains_key(&m.table)) {
            tables.insert(monitor.table.as_str(), [ConditionUpdate(conditions(schema, monitor)?)]);
        }
        Ok(Self { tables })
    }
}

impl Serialize for ConditionUpdates<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.tables.serialize(serializer)
    }
}

impl Serialize for ConditionUpdate<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // An empty list would select nothing here; `true` selects everything.
        if self.0.is_empty() {
            BTreeMap::from([("where", [true])]).serialize(serializer)
        } else {
            BTreeMap::from([("where", &self.0)]).serialize(serializer)
        }
    }
}

fn conditions<'a>(
    schema: &'a DatabaseSchema,
    monitor: &'a TableMonitor,
) -> Result<Vec<TypedCondition<'a>>, MonitorError> {
    let typed = |condition: &'a Condition| match schema.column_type(&monitor.table, &condition.column) {
        Some(column) => Ok(TypedCondition {
            condition,
            column: Some(column),
        }),
        None => Err(MonitorError::UnknownConditionColumn {
            table: monitor.table.clone(),
            column: condition.column.to_string(),
        }),
    };
    monitor.conditions.iter().map(typed).collect()
}
