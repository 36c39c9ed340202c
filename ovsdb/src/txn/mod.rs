//! Transactions: what to ask of the database, and what it answered.
//!
//! A [`Transaction`] is a list of operations that the server makes all of or none of. This module builds, checks and
//! reads; it sends nothing.

mod check;
mod encode;
mod op;
mod outcome;

use uuid::Uuid;

use crate::value::Datum;

pub use encode::{TransactParams, TypedCondition};
pub use op::{Condition, Function, Identity, Mutation, Mutator, Name, Operation, Until, Where};
pub use outcome::{OpResult, Outcome, TransactError};

/// Operations to be made together, in order.
#[derive(Clone, PartialEq, Debug)]
pub struct Transaction {
    database: String,
    operations: Vec<Operation>,
}

impl Transaction {
    /// Without operations yet.
    pub fn new(database: impl Into<String>) -> Self {
        Self {
            database: database.into(),
            operations: Vec::new(),
        }
    }

    /// The database it is for.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The operations so far.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// No operations?
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Adds an operation.
    pub fn push(&mut self, operation: Operation) -> &mut Self {
        self.operations.push(operation);
        self
    }

    /// Adds a row. With `uuid` the row gets this identifier (ovsdb-server 2.17 and later), and is referred to by it.
    pub fn insert(
        &mut self,
        table: impl Into<Name>,
        uuid: Option<Uuid>,
        columns: impl IntoIterator<Item = (impl Into<Name>, Datum)>,
    ) -> &mut Self {
        let id = uuid.map_or(Identity::Server, Identity::Own);
        self.push(Operation::Insert {
            table: table.into(),
            id,
            row: row(columns),
        })
    }

    /// Adds a row that other operations of this transaction refer to by [`Atom::NamedUuid`](crate::Atom::NamedUuid).
    pub fn insert_named(
        &mut self,
        table: impl Into<Name>,
        name: &str,
        columns: impl IntoIterator<Item = (impl Into<Name>, Datum)>,
    ) -> &mut Self {
        let id = Identity::Named(name.to_owned());
        self.push(Operation::Insert {
            table: table.into(),
            id,
            row: row(columns),
        })
    }

    /// Overwrites columns.
    pub fn update(
        &mut self,
        table: impl Into<Name>,
        where_: Where,
        columns: impl IntoIterator<Item = (impl Into<Name>, Datum)>,
    ) -> &mut Self {
        self.push(Operation::Update {
            table: table.into(),
            where_,
            row: row(columns),
        })
    }

    /// Changes parts of columns.
    pub fn mutate(
        &mut self,
        table: impl Into<Name>,
        where_: Where,
        mutations: impl IntoIterator<Item = Mutation>,
    ) -> &mut Self {
        let mutations = mutations.into_iter().collect();
        self.push(Operation::Mutate {
            table: table.into(),
            where_,
            mutations,
        })
    }

    /// Deletes rows.
    pub fn delete(&mut self, table: impl Into<Name>, where_: Where) -> &mut Self {
        self.push(Operation::Delete {
            table: table.into(),
            where_,
        })
    }

    /// Reads rows; without columns, all of them.
    pub fn select(&mut self, table: impl Into<Name>, where_: Where, columns: Option<&[&str]>) -> &mut Self {
        let columns = columns.map(names);
        self.push(Operation::Select {
            table: table.into(),
            where_,
            columns,
        })
    }

    /// Fails the transaction unless the rows that `where_` selects are (or are not) exactly `rows`, comparing
    /// `columns` only. Never waits: the answer is immediate.
    pub fn wait(
        &mut self,
        table: impl Into<Name>,
        where_: Where,
        columns: &[&str],
        until: Until,
        rows: Vec<Vec<(Name, Datum)>>,
    ) -> &mut Self {
        self.push(Operation::Wait {
            table: table.into(),
            where_,
            columns: names(columns),
            until,
            rows,
        })
    }

    /// Fails the transaction unless this connection holds the lock.
    pub fn assert_lock(&mut self, lock: &str) -> &mut Self {
        self.push(Operation::Assert { lock: lock.to_owned() })
    }

    /// Text for the server's log.
    pub fn comment(&mut self, text: &str) -> &mut Self {
        self.push(Operation::Comment { text: text.to_owned() })
    }

    /// Makes the answer wait until the change is on disk.
    pub fn durable(&mut self) -> &mut Self {
        self.push(Operation::Commit { durable: true })
    }

    /// Makes the transaction fail after everything before was tried: a rehearsal.
    pub fn abort(&mut self) -> &mut Self {
        self.push(Operation::Abort)
    }
}

fn row(columns: impl IntoIterator<Item = (impl Into<Name>, Datum)>) -> Vec<(Name, Datum)> {
    columns
        .into_iter()
        .map(|(column, datum)| (column.into(), datum))
        .collect()
}

fn names(columns: &[&str]) -> Vec<Name> {
    columns.iter().map(|&column| column.to_owned().into()).collect()
}
