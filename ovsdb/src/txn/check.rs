//! Comparing a transaction with the server's schema before it is sent.
//!
//! The server would refuse it too, but in words that do not say whether an upgrade is missing or a value is wrong.

use super::op::{Condition, Identity, Mutation, Mutator, Operation, Where};
use super::{TransactError, Transaction};
use crate::schema::{BaseType, ColumnType, DatabaseSchema, TableSchema};
use crate::value::{Atom, AtomKind, Datum};

impl Transaction {
    /// Do the server's tables and columns exist, and do the values have their types?
    pub fn check(&self, schema: &DatabaseSchema) -> Result<(), TransactError> {
        for (index, operation) in self.operations.iter().enumerate() {
            let Some(name) = operation.table() else { continue };
            let Some(table) = schema.tables.get(name) else {
                return Err(TransactError::UnknownTable {
                    operation: index,
                    table: name.to_owned(),
                });
            };
            Checker { index, name, table }.operation(operation)?;
        }
        Ok(())
    }
}

struct Checker<'a> {
    index: usize,
    name: &'a str,
    table: &'a TableSchema,
}

impl Checker<'_> {
    fn operation(&self, operation: &Operation) -> Result<(), TransactError> {
        match operation {
            Operation::Insert { id, row, .. } => {
                if let Identity::Named(name) = id
                    && !is_id(name)
                {
                    return Err(self.bad("_uuid", format!("{name:?} is no identifier")));
                }
                row.iter().try_for_each(|(column, datum)| self.write(column, datum))
            }
            Operation::Update { where_, row, .. } => {
                self.where_(where_)?;
                row.iter().try_for_each(|(column, datum)| {
                    self.mutable(column)?;
                    self.write(column, datum)
                })
            }
            Operation::Mutate { where_, mutations, .. } => {
                self.where_(where_)?;
                mutations.iter().try_for_each(|mutation| self.mutation(mutation))
            }
            Operation::Delete { where_, .. } => self.where_(where_),
            Operation::Select { where_, columns, .. } => {
                self.where_(where_)?;
                columns
                    .iter()
                    .flatten()
                    .try_for_each(|column| self.column(column).map(drop))
            }
            Operation::Wait {
                where_, columns, rows, ..
            } => {
                self.where_(where_)?;
                columns.iter().try_for_each(|column| self.column(column).map(drop))?;
                rows.iter()
                    .flatten()
                    .try_for_each(|(column, datum)| self.write(column, datum))
            }
            Operation::Assert { .. } | Operation::Comment { .. } | Operation::Commit { .. } | Operation::Abort => {
                Ok(())
            }
        }
    }

    fn column(&self, column: &str) -> Result<&ColumnType, TransactError> {
        self.table
            .column_type(column)
            .ok_or_else(|| TransactError::UnknownColumn {
                operation: self.index,
                table: self.name.to_owned(),
                column: column.to_owned(),
            })
    }

    fn bad(&self, column: &str, reason: String) -> TransactError {
        TransactError::BadValue {
            operation: self.index,
            table: self.name.to_owned(),
            column: column.to_owned(),
            reason,
        }
    }

    fn where_(&self, where_: &Where) -> Result<(), TransactError> {
        let Where::Conditions(conditions) = where_ else {
            return Ok(());
        };
        for Condition { column, value, .. } in conditions {
            self.kinds(column, self.column(column)?, value)?;
        }
        Ok(())
    }

    fn mutable(&self, column: &str) -> Result<(), TransactError> {
        match self.table.columns.get(column) {
            Some(found) if !found.mutable => Err(self.bad(column, "cannot be changed after insertion".to_owned())),
            _ => Ok(()),
        }
    }

    /// A whole value for a column.
    fn write(&self, column: &str, datum: &Datum) -> Result<(), TransactError> {
        let r#type = self.column(column)?;
        self.kinds(column, r#type, datum)?;
        let count = datum.len() as u64;
        if count < r#type.min || r#type.max.is_some_and(|max| count > max) {
            return Err(self.bad(column, format!("{datum} has {count} elements, expected {type}")));
        }
        Ok(())
    }

    fn mutation(&self, Mutation { column, mutator, value }: &Mutation) -> Result<(), TransactError> {
        let r#type = self.column(column)?;
        self.mutable(column)?;
        let keys_only = *mutator == Mutator::Delete && !value.is_map();
        if keys_only || !matches!(mutator, Mutator::Insert | Mutator::Delete) {
            // Keys to delete from a map, or the operand of arithmetic.
            value
                .atoms()
                .iter()
                .try_for_each(|atom| self.kind(column, &r#type.key, atom))
        } else {
            self.kinds(column, r#type, value)
        }
    }

    fn kinds(&self, column: &str, r#type: &ColumnType, datum: &Datum) -> Result<(), TransactError> {
        if !datum.is_empty() && datum.is_map() != r#type.is_map() {
            return Err(self.bad(column, format!("{datum} where {type} is expected")));
        }
        datum
            .atoms()
            .iter()
            .try_for_each(|atom| self.kind(column, &r#type.key, atom))?;
        let Some(value_type) = &r#type.value else { return Ok(()) };
        datum.pairs().iter().try_for_each(|(key, value)| {
            self.kind(column, &r#type.key, key)?;
            self.kind(column, value_type, value)
        })
    }

    fn kind(&self, column: &str, base: &BaseType, atom: &Atom) -> Result<(), TransactError> {
        let as_real = base.kind == AtomKind::Real && atom.kind() == AtomKind::Integer;
        if atom.kind() != base.kind && !as_real {
            return Err(self.bad(column, format!("{atom} is a {}, expected a {}", atom.kind(), base.kind)));
        }
        if atom
            .as_str()
            .is_some_and(|text| memchr::memchr(0, text.as_bytes()).is_some())
        {
            // The server's parser takes this for an attack and closes the connection.
            return Err(self.bad(column, format!("{atom} contains a NUL character")));
        }
        if let Some(allowed) = &base.r#enum
            && allowed.binary_search(atom).is_err()
        {
            return Err(self.bad(column, format!("the server does not know the value {atom}")));
        }
        Ok(())
    }
}

/// `<id>` of RFC 7047, section 3.1.
fn is_id(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(word) && name.chars().next().is_some_and(|c| !c.is_ascii_digit())
}
