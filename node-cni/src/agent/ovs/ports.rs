//! The host's own ports on the bridge.

use ovsdb::{Atom, Condition, Datum, Mutation, Replica, Row, Transaction, Uuid, Where};
use ovsdb_schemas::open_vswitch::{bridge, interface, port};

use super::{INTERNAL, Wanted};
use crate::agent::config::Config;
use crate::agent::southbound::ManagementPort;
use crate::plugin::key;

/// Key of `external_ids` of the agent's own interfaces: the logical port.
const MANAGEMENT: &str = "meridian/management";

/// What Open vSwitch says of a management port: its error, and whether its flows are installed.
pub(in crate::agent) fn management_state(replica: &Replica, device: &str) -> (Option<String>, bool) {
    let Some(row) = interface_named(replica, device) else {
        return (None, false);
    };
    let error = row.get(interface::ERROR).as_str().map(str::to_owned);
    let installed = row.get(interface::EXTERNAL_IDS).get_str(key::OVN_INSTALLED) == Some("true");
    (error, installed)
}

pub(super) fn add(wanted: &Wanted<'_>, ports: &[ManagementPort], replica: &Replica, transaction: &mut Transaction) {
    let mut devices = Vec::new();
    for (index, management) in ports.iter().enumerate() {
        let device = wanted.config.management_device(management);
        let mut columns = vec![
            (interface::TYPE, Datum::scalar(INTERNAL)),
            // Open vSwitch sets address and MTU, also when it makes the device anew after a restart.
            (interface::MAC, Datum::scalar(management.facts.mac.as_str())),
        ];
        if let Some(mtu) = management.facts.mtu.or(wanted.mtu) {
            columns.push((interface::MTU_REQUEST, Datum::scalar(i64::from(mtu))));
        }
        let ids = Datum::map([
            (key::IFACE_ID, management.name.as_str()),
            (key::ATTACHED_MAC, management.facts.mac.as_str()),
            (MANAGEMENT, management.name.as_str()),
        ]);
        match interface_named(replica, &device) {
            Some(row) => update_management(row, columns, &ids, transaction),
            None => add_management(wanted.config, index, &device, columns, ids, transaction),
        }
        devices.push(device);
    }
    // Those of ports that are no more, whose VPC left this node.
    let interfaces = replica
        .table(interface::TABLE)
        .into_iter()
        .flat_map(ovsdb::TableReplica::iter);
    for (uuid, row) in interfaces {
        let device = row.get(interface::NAME).as_str().unwrap_or_default();
        let is_management = row.get(interface::EXTERNAL_IDS).get_str(MANAGEMENT).is_some();
        if is_management && !devices.iter().any(|wanted| wanted == device) {
            remove_port_of(uuid, replica, transaction);
        }
    }
}

fn update_management(row: &Row, columns: Vec<(&'static str, Datum)>, ids: &Datum, transaction: &mut Transaction) {
    let different: Vec<_> = columns
        .into_iter()
        .filter(|(column, value)| row.get(column) != value)
        .collect();
    if !different.is_empty() {
        transaction.update(interface::TABLE, Where::Uuid(row.uuid()), different);
    }
    // ovn-controller writes into the same column: only our keys are compared and set.
    let current = row.get(interface::EXTERNAL_IDS);
    let different: Vec<_> = ids
        .pairs()
        .iter()
        .filter(|(key, value)| current.value_of(key) != Some(value))
        .collect();
    if !different.is_empty() {
        let keys = Datum::set(different.iter().map(|(key, _)| key));
        let pairs = Datum::map(different.iter().map(|(key, value)| (key, value)));
        transaction.mutate(
            interface::TABLE,
            Where::Uuid(row.uuid()),
            [
                Mutation::delete(interface::EXTERNAL_IDS, keys),
                Mutation::insert(interface::EXTERNAL_IDS, pairs),
            ],
        );
    }
}

fn add_management(
    config: &Config,
    index: usize,
    device: &str,
    mut columns: Vec<(&'static str, Datum)>,
    ids: Datum,
    transaction: &mut Transaction,
) {
    let interface_name = format!("management_interface_{index}");
    let port_name = format!("management_port_{index}");
    columns.push((interface::NAME, Datum::scalar(device)));
    columns.push((interface::EXTERNAL_IDS, ids));
    transaction
        .insert_named(interface::TABLE, &interface_name, columns)
        .insert_named(
            port::TABLE,
            &port_name,
            [
                (port::NAME, Datum::scalar(device)),
                (
                    port::INTERFACES,
                    Datum::scalar(Atom::named_uuid(interface_name.as_str())),
                ),
            ],
        )
        .mutate(
            bridge::TABLE,
            Condition::eq(bridge::NAME, config.bridge.as_str()).into(),
            [Mutation::insert(
                bridge::PORTS,
                Datum::scalar(Atom::named_uuid(port_name.as_str())),
            )],
        );
}

/// Removes the port that an interface is of.
pub(in crate::agent) fn remove_port_of(interface: Uuid, replica: &Replica, transaction: &mut Transaction) {
    let ports = replica
        .table(port::TABLE)
        .into_iter()
        .flat_map(ovsdb::TableReplica::iter);
    for (port, row) in ports {
        if row.get(port::INTERFACES).contains(&Atom::Uuid(interface)) {
            transaction.mutate(
                bridge::TABLE,
                Condition::includes(bridge::PORTS, Datum::scalar(port)).into(),
                [Mutation::delete(bridge::PORTS, Datum::scalar(port))],
            );
        }
    }
}

fn interface_named<'a>(replica: &'a Replica, device: &str) -> Option<&'a Row> {
    let rows = replica.table(interface::TABLE)?.iter();
    rows.map(|(_, row)| row)
        .find(|row| row.get(interface::NAME).as_str() == Some(device))
}
