//! What the logical ports of all units have in common.

use std::sync::Arc;

use meridian_api::port::PortFacts;
use ovsdb::{Atom, Datum, Uuid};
use ovsdb_schemas::northbound::{logical_switch, logical_switch_port};

use crate::context::Context;

/// Only the chassis of that name may bind the port.
pub(crate) const REQUESTED_CHASSIS: &str = "requested-chassis";
/// Only an interface with the same version in its `external_ids` may bind the port.
pub(crate) const IFACE_ID_VER: &str = "iface-id-ver";

/// Adds a logical port to a switch.
pub(crate) fn add(
    ctx: &mut Context<'_>,
    name: Arc<str>,
    switch: Uuid,
    columns: impl IntoIterator<Item = (&'static str, Datum)>,
    facts: Option<&PortFacts>,
) {
    let columns: Vec<_> = columns
        .into_iter()
        .chain([(logical_switch_port::NAME, Datum::scalar(&name))])
        .collect();
    let ids: Vec<(&'static str, Atom)> = facts
        .map(PortFacts::to_external_ids)
        .into_iter()
        .flatten()
        .map(|(id, value)| (id, Atom::from(value)))
        .collect();
    let port = ctx.row(logical_switch_port::TABLE, name, columns, ids);
    ctx.link(logical_switch::TABLE, switch, logical_switch::PORTS, port);
}

/// MAC and addresses as `addresses` and `port_security` write them.
pub(crate) fn addresses(facts: &PortFacts) -> Arc<str> {
    facts
        .ips
        .iter()
        .fold(facts.mac.clone(), |text, ip| format!("{text} {}", ip.ip()))
        .into()
}
