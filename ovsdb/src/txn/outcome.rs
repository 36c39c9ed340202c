//! What the server answered to a transaction.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeSeed;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Operation, Transaction};
use crate::schema::DatabaseSchema;
use crate::value::{Datum, DatumSeed, Interner};

/// A transaction that was made.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// One for each operation.
    pub results: Vec<OpResult>,
}

/// What one operation did.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct OpResult {
    /// Rows touched by update, mutate and delete.
    pub count: Option<u64>,
    /// Identifier of the row that insert added.
    pub uuid: Option<Uuid>,
    /// Rows that select read.
    pub rows: Vec<BTreeMap<String, Datum>>,
}

/// A transaction that was not made, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactError {
    /// The server refused; nothing was changed.
    #[error("{}", rejected(*operation, table.as_deref(), row.as_deref(), error, details))]
    Rejected {
        /// Index of the operation at fault; `None` if it was found when committing, such as a duplicate key.
        operation: Option<usize>,
        /// The table of that operation.
        table: Option<String>,
        /// The row or rows of that operation, for people.
        row: Option<String>,
        /// The server's word for it, such as `constraint violation`.
        error: String,
        /// The server's explanation, possibly empty.
        details: String,
    },
    /// The rows of a wait are not as it requires; nothing was changed.
    #[error("operation {operation}: table {table}, {row}: not as the transaction requires")]
    WaitFailed {
        /// Index of the wait.
        operation: usize,
        /// Its table.
        table: String,
        /// Its rows, for people.
        row: String,
    },
    /// The transaction asserts a lock that this connection does not hold; nothing was changed.
    #[error("this connection does not hold the lock the transaction requires")]
    LockLost,
    /// The connection ended before the answer came: nobody knows whether the change was made.
    #[error("connection lost before the answer, outcome unknown")]
    Disconnected,
    /// There is no connection to send on; nothing was sent.
    #[error("not connected: {0}")]
    NotReady(String),
    /// The deadline passed before the answer came: nobody knows whether the change was made.
    #[error("no answer in time, outcome unknown")]
    TimedOut,
    /// The server's schema lacks the table; nothing was sent.
    #[error("operation {operation}: the server has no table {table}")]
    UnknownTable {
        /// Index of the operation.
        operation: usize,
        /// The table.
        table: String,
    },
    /// The server's schema lacks the column; nothing was sent.
    #[error("operation {operation}: the server's table {table} has no column {column}")]
    UnknownColumn {
        /// Index of the operation.
        operation: usize,
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A value that the column cannot hold; nothing was sent.
    #[error("operation {operation}: column {column} of table {table}: {reason}")]
    BadValue {
        /// Index of the operation.
        operation: usize,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What is wrong.
        reason: String,
    },
    /// The answer makes no sense: nobody knows whether the change was made.
    #[error("malformed answer to a transaction: {0}")]
    Malformed(String),
}

fn rejected(operation: Option<usize>, table: Option<&str>, row: Option<&str>, error: &str, details: &str) -> String {
    let place = match (operation, table, row) {
        (Some(index), Some(table), Some(row)) => format!("operation {index}: table {table}, {row}"),
        (Some(index), Some(table), None) => format!("operation {index}: table {table}"),
        (Some(index), None, _) => format!("operation {index}"),
        (None, ..) => "transaction rejected".to_owned(),
    };
    let details = if details.is_empty() {
        String::new()
    } else {
        format!(": {details}")
    };
    format!("{place}: {error}{details}")
}

impl TransactError {
    /// May the change have been made all the same?
    pub const fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::Disconnected | Self::TimedOut | Self::Malformed(_))
    }
}

#[derive(Deserialize)]
struct RawResult<'a> {
    count: Option<u64>,
    #[serde(borrow)]
    uuid: Option<(&'a str, Uuid)>,
    #[serde(borrow)]
    rows: Option<Vec<BTreeMap<String, &'a RawValue>>>,
    error: Option<String>,
    details: Option<String>,
}

impl Transaction {
    /// Reads the `result` of a `transact` response.
    ///
    /// Every element is looked at: a failure when committing comes as one more element after the successes of all
    /// operations (RFC 7047, section 4.1.3).
    pub fn outcome(&self, result: &str, schema: Option<&DatabaseSchema>) -> Result<Outcome, TransactError> {
        let malformed = |error: serde_json::Error| TransactError::Malformed(error.to_string());
        let raw: Vec<Option<RawResult<'_>>> = serde_json::from_str(result).map_err(malformed)?;
        for (index, result) in raw.iter().enumerate() {
            if let Some(RawResult {
                error: Some(error),
                details,
                ..
            }) = result
            {
                return Err(self.failure(index, error.clone(), details.clone().unwrap_or_default()));
            }
        }
        if raw.len() < self.len() {
            let counts = format!("{} results for {} operations", raw.len(), self.len());
            return Err(TransactError::Malformed(counts));
        }
        let mut interner = Interner::new();
        let results = raw.into_iter().zip(&self.operations).map(|(raw, operation)| {
            let Some(raw) = raw else { return Ok(OpResult::default()) };
            let rows = raw.rows.unwrap_or_default().into_iter();
            let rows = rows.map(|row| read_row(row, operation, schema, &mut interner));
            let uuid = raw.uuid.map(|(_, uuid)| uuid);
            Ok(OpResult {
                count: raw.count,
                uuid,
                rows: rows.collect::<Result<_, _>>().map_err(malformed)?,
            })
        });
        Ok(Outcome {
            results: results.collect::<Result<_, _>>()?,
        })
    }

    /// Reads the `error` of a `transact` response: the server did not look at the operations at all.
    pub fn refusal(&self, error: &str) -> TransactError {
        #[derive(Deserialize)]
        struct Error {
            error: String,
            #[serde(default)]
            details: String,
        }
        let (error, details) = match serde_json::from_str::<Error>(error) {
            Ok(Error { error, details }) => (error, details),
            Err(_) => (
                serde_json::from_str(error).unwrap_or_else(|_| error.to_owned()),
                String::new(),
            ),
        };
        TransactError::Rejected {
            operation: None,
            table: None,
            row: None,
            error,
            details,
        }
    }

    fn failure(&self, index: usize, error: String, details: String) -> TransactError {
        let operation = self.operations.get(index);
        match (operation, error.as_str()) {
            (Some(Operation::Assert { .. }), "not owner") => TransactError::LockLost,
            (Some(wait @ Operation::Wait { table, .. }), "timed out") => TransactError::WaitFailed {
                operation: index,
                table: table.to_string(),
                row: wait.row_label().unwrap_or_default(),
            },
            _ => TransactError::Rejected {
                operation: operation.map(|_| index),
                table: operation.and_then(Operation::table).map(str::to_owned),
                row: operation.and_then(Operation::row_label),
                error,
                details,
            },
        }
    }
}

fn read_row(
    row: BTreeMap<String, &RawValue>,
    operation: &Operation,
    schema: Option<&DatabaseSchema>,
    interner: &mut Interner,
) -> Result<BTreeMap<String, Datum>, serde_json::Error> {
    let mut read = |(name, text): (String, &RawValue)| {
        let column = schema.and_then(|schema| schema.column_type(operation.table()?, &name));
        let seed = DatumSeed {
            column,
            interner: &mut *interner,
        };
        let datum = seed.deserialize(&mut serde_json::Deserializer::from_str(text.get()))?;
        Ok((name, datum))
    };
    row.into_iter().map(&mut read).collect()
}
