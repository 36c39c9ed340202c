//! The integration bridge.

use ovsdb::{Atom, Datum, Mutation, Replica, Transaction, Where};
use ovsdb_schemas::open_vswitch::{bridge, interface, open_vswitch, port};

use super::INTERNAL;
use crate::agent::config::Config;

/// Datapath type of the integration bridge, once that exists.
pub(in crate::agent) fn datapath(replica: &Replica) -> Option<String> {
    let (_, row) = replica.table(bridge::TABLE)?.iter().next()?;
    Some(row.get(bridge::DATAPATH_TYPE).as_str().unwrap_or_default().to_owned())
}

/// Makes the bridge; false if it is not there yet.
pub(super) fn add(config: &Config, replica: &Replica, transaction: &mut Transaction) -> bool {
    if datapath(replica).is_some() {
        return true;
    }
    let name = config.bridge.as_str();
    let local = [
        (interface::NAME, Datum::scalar(name)),
        (interface::TYPE, Datum::scalar(INTERNAL)),
    ];
    transaction
        .insert_named(interface::TABLE, "bridge_interface", local)
        .insert_named(
            port::TABLE,
            "bridge_port",
            [
                (port::NAME, Datum::scalar(name)),
                (port::INTERFACES, Datum::scalar(Atom::named_uuid("bridge_interface"))),
            ],
        )
        .insert_named(
            bridge::TABLE,
            "bridge",
            [
                (bridge::NAME, Datum::scalar(name)),
                (bridge::DATAPATH_TYPE, Datum::scalar(config.datapath.as_str())),
                // Without flows it must drop, not switch: tenants would see one another.
                (bridge::FAIL_MODE, Datum::scalar("secure")),
                (bridge::OTHER_CONFIG, Datum::map([("disable-in-band", "true")])),
                (bridge::PORTS, Datum::scalar(Atom::named_uuid("bridge_port"))),
            ],
        );
    let bridges = Datum::scalar(Atom::named_uuid("bridge"));
    transaction.mutate(
        open_vswitch::TABLE,
        Where::All,
        [Mutation::insert(open_vswitch::BRIDGES, bridges)],
    );
    false
}
