//! What is said once and not every time.

use std::collections::BTreeSet;

use crate::plan::Plan;

#[derive(Debug, Default)]
pub(super) struct Warnings {
    columns: BTreeSet<(&'static str, &'static str)>,
}

impl Warnings {
    /// Columns the server does not have.
    pub(super) fn of_columns(&mut self, plan: &Plan) {
        for &(table, column) in &plan.missing_columns {
            if self.columns.insert((table, column)) {
                tracing::warn!(table, column, "the server's schema has no such column; doing without");
            }
        }
    }
}
