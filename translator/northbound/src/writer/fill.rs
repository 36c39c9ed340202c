//! Filling a database that holds nothing of ours while the cluster is still being compiled.
//!
//! A piece of a compile has the last word on the rows it speaks of, and says nothing of others. So what a piece says may
//! be added at once; to change or remove anything has to wait until everything is compiled. That no address is given away
//! twice needs no order here: addresses are settled before the first port is compiled, and where nothing is ours none
//! has to be freed before.

use super::Writer;
use super::execute::{Executor, Stop};
use crate::plan;
use crate::scope::Scope;

/// This many units are compiled at a time: the server is busy for longer with what is on its way.
const PIECE: usize = 250;

impl Writer {
    /// Whether nothing was ever compiled and nothing of ours is in the database: then what compiles can be written as it
    /// compiles.
    pub(super) fn may_fill(&self) -> bool {
        let replica = self.session.replica();
        let mut rows = replica.tables().flat_map(ovsdb::TableReplica::rows);
        self.compiler.desired().is_empty() && !rows.any(|row| self.settings.ownership.owns(row))
    }

    /// Compiles everything and writes meanwhile what is to be added. What that leaves is in the scope afterwards.
    pub(super) async fn fill(&mut self) -> Result<(), Stop> {
        self.confirmed = false;
        self.publish();
        // Rows of others are compared once everything is compiled.
        drop(self.changes.try_take());
        let mut left = Scope::default();
        for table in self.session.replica().tables() {
            let name = crate::tables::table(table.name()).map(|table| table.name);
            for (name, (uuid, _)) in name
                .into_iter()
                .flat_map(|name| table.iter().map(move |row| (name, row)))
            {
                left.add_row(name, uuid);
            }
        }
        let mut executor = self.executor(&mut left);
        executor.fills = true;
        let outcome = executor.write().await;
        let units = executor.units;
        self.note_compiled(units);
        outcome?;
        self.scope = left;
        Ok(())
    }
}

impl Executor<'_> {
    /// Compiles a piece of what is left and adds what is new in it to what is to be written. False if nothing is left.
    pub(super) fn compile_more(&mut self) -> bool {
        if !self.fills || !self.compiler.is_pending() {
            return false;
        }
        let delta = self.compiler.compile_piece(PIECE);
        self.units += delta.units;
        self.settings.observer.compiled(delta.units);
        let mut scope = Scope::default();
        scope.add_delta(delta);
        let plan = plan::plan(self.sides(&self.session.replica()), &scope);
        self.warnings.of_columns(&plan);
        let additions = plan.additions(scope, self.unsettled);
        self.add(additions.groups());
        true
    }
}
