//! The operations of a transaction (RFC 7047, section 5.2) as data.

use std::borrow::Cow;
use std::fmt;

use uuid::Uuid;

use crate::value::{Atom, Datum};

/// The name of a table or a column. Nearly always one that the program knows, which costs no allocation.
pub type Name = Cow<'static, str>;

/// One operation.
#[derive(Clone, PartialEq, Debug)]
pub enum Operation {
    /// Adds a row.
    Insert {
        /// The table.
        table: Name,
        /// Who names the new row.
        id: Identity,
        /// Columns left out get their defaults.
        row: Vec<(Name, Datum)>,
    },
    /// Overwrites columns of rows.
    Update {
        /// The table.
        table: Name,
        /// Which rows.
        where_: Where,
        /// The new values.
        row: Vec<(Name, Datum)>,
    },
    /// Changes parts of columns of rows.
    Mutate {
        /// The table.
        table: Name,
        /// Which rows.
        where_: Where,
        /// Made in order.
        mutations: Vec<Mutation>,
    },
    /// Deletes rows.
    Delete {
        /// The table.
        table: Name,
        /// Which rows.
        where_: Where,
    },
    /// Reads rows.
    Select {
        /// The table.
        table: Name,
        /// Which rows.
        where_: Where,
        /// `None` for all.
        columns: Option<Vec<Name>>,
    },
    /// Requires rows to be as expected, without waiting for it.
    Wait {
        /// The table.
        table: Name,
        /// Which rows.
        where_: Where,
        /// The columns compared.
        columns: Vec<Name>,
        /// Equal or not.
        until: Until,
        /// The rows expected.
        rows: Vec<Vec<(Name, Datum)>>,
    },
    /// Requires the connection to hold a lock.
    Assert {
        /// The lock.
        lock: String,
    },
    /// Text for the server's log.
    Comment {
        /// The text.
        text: String,
    },
    /// Commits, on disk if `durable`.
    Commit {
        /// Wait for the disk?
        durable: bool,
    },
    /// Fails on purpose.
    Abort,
}

impl Operation {
    /// The table it works on, if any.
    pub fn table(&self) -> Option<&str> {
        match self {
            Self::Insert { table, .. }
            | Self::Update { table, .. }
            | Self::Mutate { table, .. }
            | Self::Delete { table, .. }
            | Self::Select { table, .. }
            | Self::Wait { table, .. } => Some(table),
            Self::Assert { .. } | Self::Comment { .. } | Self::Commit { .. } | Self::Abort => None,
        }
    }

    /// Which rows it works on, for people.
    pub fn row_label(&self) -> Option<String> {
        match self {
            Self::Insert { id, row, .. } => {
                let name = row.iter().find(|(column, _)| column == "name").map(|(_, datum)| datum);
                match (id, name) {
                    (Identity::Own(uuid), Some(name)) => Some(format!("{uuid} (name {name})")),
                    (Identity::Own(uuid), None) => Some(uuid.to_string()),
                    (Identity::Named(id), _) => Some(format!("@{id}")),
                    (Identity::Server, Some(name)) => Some(format!("name {name}")),
                    (Identity::Server, None) => None,
                }
            }
            Self::Update { where_, .. }
            | Self::Mutate { where_, .. }
            | Self::Delete { where_, .. }
            | Self::Select { where_, .. }
            | Self::Wait { where_, .. } => Some(where_.to_string()),
            Self::Assert { .. } | Self::Comment { .. } | Self::Commit { .. } | Self::Abort => None,
        }
    }
}

/// Who names an inserted row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Identity {
    /// The server invents a UUID.
    Server,
    /// We chose it.
    Own(Uuid),
    /// The server invents it, and other operations of the transaction say this name.
    Named(String),
}

/// Which rows an operation works on.
#[derive(Clone, PartialEq, Debug)]
pub enum Where {
    /// The row with this identifier.
    Uuid(Uuid),
    /// Every row.
    All,
    /// The rows for which all of these hold.
    Conditions(Vec<Condition>),
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::All => f.write_str("all rows"),
            Self::Conditions(conditions) => {
                for (i, condition) in conditions.iter().enumerate() {
                    write!(f, "{}{condition}", if i == 0 { "" } else { " and " })?;
                }
                Ok(())
            }
        }
    }
}

impl From<Uuid> for Where {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl From<Condition> for Where {
    fn from(condition: Condition) -> Self {
        Self::Conditions(vec![condition])
    }
}

/// A condition on one column.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Condition {
    /// The column; also `_uuid`.
    pub column: Name,
    /// How to compare.
    pub function: Function,
    /// With what.
    pub value: Datum,
}

impl Condition {
    /// Any condition.
    pub fn new(column: impl Into<Name>, function: Function, value: Datum) -> Self {
        Self {
            column: column.into(),
            function,
            value,
        }
    }

    /// The column holds exactly this atom.
    pub fn eq(column: impl Into<Name>, atom: impl Into<Atom>) -> Self {
        Self::new(column, Function::Eq, Datum::scalar(atom))
    }

    /// The column holds at least the elements of `value`.
    pub fn includes(column: impl Into<Name>, value: Datum) -> Self {
        Self::new(column, Function::Includes, value)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.column, self.function.name(), self.value)
    }
}

/// How a condition compares.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Function {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Holds all elements of the value.
    Includes,
    /// Holds no element of the value.
    Excludes,
    /// Less than.
    Lt,
    /// Less than or equal to.
    Le,
    /// Greater than.
    Gt,
    /// Greater than or equal to.
    Ge,
}

impl Function {
    /// As the protocol writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Includes => "includes",
            Self::Excludes => "excludes",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }
}

/// A change to a part of one column.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Mutation {
    /// The column.
    pub column: Name,
    /// What to do.
    pub mutator: Mutator,
    /// With what.
    pub value: Datum,
}

impl Mutation {
    /// Any mutation.
    pub fn new(column: impl Into<Name>, mutator: Mutator, value: Datum) -> Self {
        Self {
            column: column.into(),
            mutator,
            value,
        }
    }

    /// Adds the elements that are not there. Pairs whose key is there already are left as they are.
    pub fn insert(column: impl Into<Name>, value: Datum) -> Self {
        Self::new(column, Mutator::Insert, value)
    }

    /// Removes the elements that are there. From a map: pairs that agree wholly, or, given a set, keys.
    pub fn delete(column: impl Into<Name>, value: Datum) -> Self {
        Self::new(column, Mutator::Delete, value)
    }
}

/// How a mutation changes a column.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mutator {
    /// Adds to each number.
    Add,
    /// Subtracts from each number.
    Sub,
    /// Multiplies each number.
    Mul,
    /// Divides each number.
    Div,
    /// Remainder of each integer.
    Mod,
    /// Adds elements.
    Insert,
    /// Removes elements.
    Delete,
}

impl Mutator {
    /// As the protocol writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "+=",
            Self::Sub => "-=",
            Self::Mul => "*=",
            Self::Div => "/=",
            Self::Mod => "%=",
            Self::Insert => "insert",
            Self::Delete => "delete",
        }
    }
}

/// What a wait requires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// The rows are exactly those given.
    Equal,
    /// They are not.
    NotEqual,
}
