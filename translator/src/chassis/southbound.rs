//! The Southbound database: which chassis are ours, and the transaction that removes one.

use std::collections::BTreeMap;

use meridian_api::chassis::{CMS_OPTIONS, is_marked};
use ovsdb::{Condition, Datum, Replica, TableMonitor, Transaction, Until, Uuid, Where};
pub use ovsdb_schemas::southbound::DATABASE;
use ovsdb_schemas::southbound::{chassis, chassis_private};

/// What a session must replicate. Nothing of what every node writes again and again.
pub fn monitors() -> Vec<TableMonitor> {
    vec![TableMonitor::new(chassis::TABLE).columns([chassis::NAME, chassis::HOSTNAME, chassis::OTHER_CONFIG])]
}

/// A chassis with our mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chassis {
    pub(super) uuid: Uuid,
    pub(super) name: String,
    pub(super) host: String,
    other_config: Datum,
}

/// The chassis with our mark, by name: that of their node.
pub(super) fn marked(replica: &Replica, mark: &str) -> BTreeMap<String, Chassis> {
    let rows = replica
        .table(chassis::TABLE)
        .into_iter()
        .flat_map(ovsdb::TableReplica::iter);
    let ours = rows.filter_map(|(uuid, row)| {
        let other_config = row.get(chassis::OTHER_CONFIG);
        if !is_marked(other_config.get_str(CMS_OPTIONS)?, mark) {
            return None;
        }
        let name = row.get(chassis::NAME).as_str()?.to_owned();
        let chassis = Chassis {
            uuid,
            name: name.clone(),
            host: row.get(chassis::HOSTNAME).as_str().unwrap_or_default().to_owned(),
            other_config: other_config.clone(),
        };
        Some((name, chassis))
    });
    ours.collect()
}

/// Removes a chassis, if it still is what was read, and what nothing but it stands for. Its encapsulations go by
/// themselves, because nothing else refers to them.
pub(super) fn removal(chassis: &Chassis, lock: &str) -> Transaction {
    let mut transaction = Transaction::new(DATABASE);
    transaction
        .assert_lock(lock)
        .wait(
            chassis::TABLE,
            Where::Uuid(chassis.uuid),
            &[chassis::OTHER_CONFIG],
            Until::Equal,
            vec![vec![(chassis::OTHER_CONFIG.into(), chassis.other_config.clone())]],
        )
        .delete(chassis::TABLE, Where::Uuid(chassis.uuid))
        // A row of its own, by name, in which ovn-controller confirms what it has done.
        .delete(
            chassis_private::TABLE,
            Condition::eq(chassis_private::NAME, chassis.name.as_str()).into(),
        )
        .comment(&format!("meridian-translator: chassis {} has no node", chassis.name));
    transaction
}
