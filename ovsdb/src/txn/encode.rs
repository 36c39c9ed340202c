//! Transactions as JSON.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::Transaction;
use super::op::{Condition, Identity, Mutation, Mutator, Name, Operation, Until, Where};
use crate::schema::{ColumnType, DatabaseSchema, TableSchema};
use crate::value::{Datum, Shape, TypedDatum};

/// The parameters of `transact`.
#[derive(Clone, Copy, Debug)]
pub struct TransactParams<'a> {
    transaction: &'a Transaction,
    schema: Option<&'a DatabaseSchema>,
}

impl Transaction {
    /// The parameters of `transact`. Without a schema, empty values are written as sets, which servers refuse in map
    /// columns.
    pub fn params<'a>(&'a self, schema: Option<&'a DatabaseSchema>) -> TransactParams<'a> {
        TransactParams {
            transaction: self,
            schema,
        }
    }
}

impl Serialize for TransactParams<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let operations = &self.transaction.operations;
        let mut params = serializer.serialize_seq(Some(operations.len() + 1))?;
        params.serialize_element(&self.transaction.database)?;
        for operation in operations {
            params.serialize_element(&TypedOperation {
                operation,
                schema: self.schema,
            })?;
        }
        params.end()
    }
}

struct TypedOperation<'a> {
    operation: &'a Operation,
    schema: Option<&'a DatabaseSchema>,
}

impl Serialize for TypedOperation<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        let types = Types {
            table: self
                .schema
                .zip(self.operation.table())
                .and_then(|(schema, table)| schema.tables.get(table)),
        };
        if let Some(table) = self.operation.table() {
            members.serialize_entry("table", table)?;
        }
        match self.operation {
            Operation::Insert { id, row, .. } => {
                members.serialize_entry("op", "insert")?;
                match id {
                    Identity::Server => {}
                    Identity::Own(uuid) => members.serialize_entry("uuid", uuid.as_hyphenated())?,
                    Identity::Named(name) => members.serialize_entry("uuid-name", name)?,
                }
                members.serialize_entry("row", &TypedRow { row, types })?;
            }
            Operation::Update { where_, row, .. } => {
                members.serialize_entry("op", "update")?;
                members.serialize_entry("where", &TypedWhere { where_, types })?;
                members.serialize_entry("row", &TypedRow { row, types })?;
            }
            Operation::Mutate { where_, mutations, .. } => {
                members.serialize_entry("op", "mutate")?;
                members.serialize_entry("where", &TypedWhere { where_, types })?;
                let mutations: Vec<_> = mutations.iter().map(|m| types.mutation(m)).collect();
                members.serialize_entry("mutations", &mutations)?;
            }
            Operation::Delete { where_, .. } => {
                members.serialize_entry("op", "delete")?;
                members.serialize_entry("where", &TypedWhere { where_, types })?;
            }
            Operation::Select { where_, columns, .. } => {
                members.serialize_entry("op", "select")?;
                members.serialize_entry("where", &TypedWhere { where_, types })?;
                if let Some(columns) = columns {
                    members.serialize_entry("columns", columns)?;
                }
            }
            Operation::Wait {
                where_,
                columns,
                until,
                rows,
                ..
            } => {
                members.serialize_entry("op", "wait")?;
                members.serialize_entry("timeout", &0)?;
                members.serialize_entry("where", &TypedWhere { where_, types })?;
                members.serialize_entry("columns", columns)?;
                members.serialize_entry(
                    "until",
                    match until {
                        Until::Equal => "==",
                        Until::NotEqual => "!=",
                    },
                )?;
                let rows: Vec<_> = rows.iter().map(|row| TypedRow { row, types }).collect();
                members.serialize_entry("rows", &rows)?;
            }
            Operation::Assert { lock } => {
                members.serialize_entry("op", "assert")?;
                members.serialize_entry("lock", lock)?;
            }
            Operation::Comment { text } => {
                members.serialize_entry("op", "comment")?;
                members.serialize_entry("comment", text)?;
            }
            Operation::Commit { durable } => {
                members.serialize_entry("op", "commit")?;
                members.serialize_entry("durable", durable)?;
            }
            Operation::Abort => members.serialize_entry("op", "abort")?,
        }
        members.end()
    }
}

/// The types of one table's columns, as far as they are known.
#[derive(Clone, Copy)]
struct Types<'a> {
    table: Option<&'a TableSchema>,
}

impl<'a> Types<'a> {
    fn column(self, column: &str) -> Option<&'a ColumnType> {
        self.table?.column_type(column)
    }

    fn datum<'d>(self, column: &str, datum: &'d Datum) -> TypedDatum<'d> {
        TypedDatum {
            datum,
            shape: Shape::of(self.column(column)),
        }
    }

    fn mutation(self, mutation: &Mutation) -> (&str, &'static str, TypedDatum<'_>) {
        let Mutation { column, mutator, value } = mutation;
        let value = match mutator {
            // Keys to delete from a map are recognized by the tag of a set, so a lone one needs it too.
            Mutator::Delete => TypedDatum {
                datum: value,
                shape: Shape::TaggedSet,
            },
            _ => self.datum(column, value),
        };
        (column, mutator.name(), value)
    }
}

struct TypedRow<'a> {
    row: &'a [(Name, Datum)],
    types: Types<'a>,
}

impl Serialize for TypedRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.row
                .iter()
                .map(|(column, datum)| (column, self.types.datum(column, datum))),
        )
    }
}

struct TypedWhere<'a> {
    where_: &'a Where,
    types: Types<'a>,
}

impl Serialize for TypedWhere<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.where_ {
            Where::All => serializer.collect_seq(std::iter::empty::<()>()),
            Where::Uuid(uuid) => [("_uuid", "==", ("uuid", uuid.as_hyphenated()))].serialize(serializer),
            Where::Conditions(conditions) => {
                serializer.collect_seq(conditions.iter().map(|condition| TypedCondition {
                    condition,
                    column: self.types.column(&condition.column),
                }))
            }
        }
    }
}

/// A condition together with its column's type.
#[derive(Clone, Copy, Debug)]
pub struct TypedCondition<'a> {
    /// The condition.
    pub condition: &'a Condition,
    /// The column's type, if known.
    pub column: Option<&'a ColumnType>,
}

impl Serialize for TypedCondition<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Condition {
            column,
            function,
            value,
        } = self.condition;
        let value = TypedDatum {
            datum: value,
            shape: Shape::of(self.column),
        };
        (column, function.name(), value).serialize(serializer)
    }
}
