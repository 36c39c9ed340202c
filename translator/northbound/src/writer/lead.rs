//! Beginning a term as leader.

use meridian_compile::Claim;
use ovsdb::Replica;
use ovsdb_schemas::northbound::{logical_router_port, logical_switch_port};

use super::Writer;
use crate::ownership::Ownership;
use crate::scope::Scope;

impl Writer {
    /// Takes over: reads what the database says was handed out, and compares everything. Others may have handed out
    /// addresses since we last compiled, and what they wrote counts; what we handed out counts where the database says
    /// nothing, so that a wiped one is rebuilt as it was.
    pub(super) fn take_the_lead(&mut self) {
        let claims = read_claims(&self.session.replica(), &self.settings.ownership);
        tracing::info!(claims = claims.len(), lock = self.settings.lock, "leading");
        self.compiler.claim(claims);
        self.attempts.clear();
        self.scope = Scope::Full;
        self.leading = true;
    }
}

/// What the rows of a database say was handed out.
pub fn read_claims(replica: &Replica, ownership: &Ownership) -> Vec<Claim> {
    [logical_switch_port::TABLE, logical_router_port::TABLE]
        .into_iter()
        .filter_map(|table| replica.table(table))
        .flat_map(|table| table.rows().map(move |row| (table.name(), row)))
        .filter(|(_, row)| ownership.owns(row))
        .filter_map(|(table, row)| Claim::from_row(table, |column| row.get(column)))
        .collect()
}

/// How many rows are ours.
pub(super) fn count_owned(replica: &Replica, ownership: &Ownership) -> usize {
    replica
        .tables()
        .flat_map(ovsdb::TableReplica::rows)
        .filter(|row| ownership.owns(row))
        .count()
}
