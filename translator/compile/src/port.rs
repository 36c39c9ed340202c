//! What the logical ports of all units have in common.

use std::fmt::Write as _;
use std::sync::Arc;

use meridian_api::port::{self, PortFacts};
use meridian_api::service;
use meridian_model::Name;
use ovsdb::{Atom, Datum, Uuid};
use ovsdb_schemas::northbound::{logical_switch, logical_switch_port};

use crate::context::Context;

/// Only the chassis of that name may bind the port.
pub(crate) const REQUESTED_CHASSIS: &str = "requested-chassis";
/// Only an interface with the same version in its `external_ids` may bind the port.
pub(crate) const IFACE_ID_VER: &str = "iface-id-ver";

/// Adds a logical port to a switch, with what the node needs to know to plug it, and the UID in that as the model has it.
pub(crate) fn add(
    ctx: &mut Context<'_>,
    name: Arc<str>,
    switch: Uuid,
    columns: impl IntoIterator<Item = (&'static str, Datum)>,
    facts: Option<(&PortFacts, Option<&Name>)>,
) -> Uuid {
    let columns: Vec<_> = columns
        .into_iter()
        .chain([(logical_switch_port::NAME, Datum::scalar(&name))])
        .collect();
    let ids = facts.map_or_else(Vec::new, |(facts, uid)| ids(ctx, facts, uid));
    let port = ctx.row(logical_switch_port::TABLE, name, columns, ids);
    ctx.link(logical_switch::TABLE, switch, logical_switch::PORTS, port);
    port
}

/// Adds the port of a switch that leads to a router's port.
pub(crate) fn to_router(ctx: &mut Context<'_>, name: Arc<str>, switch: Uuid, router_port: &str) -> Uuid {
    let columns = [
        (logical_switch_port::TYPE, Datum::scalar("router")),
        (logical_switch_port::ADDRESSES, Datum::scalar("router")),
        (logical_switch_port::PORT_SECURITY, Datum::empty()),
        (logical_switch_port::OPTIONS, ctx.map([("router-port", router_port)])),
    ];
    add(ctx, name, switch, columns, None)
}

/// Adds a port that nobody plugs to the switch of services: one that tells every host what `id` holds.
pub(crate) fn tell_hosts(ctx: &mut Context<'_>, name: Arc<str>, id: &'static str, text: String) {
    let columns = [
        (logical_switch_port::NAME, Datum::scalar(&name)),
        (logical_switch_port::TYPE, Datum::scalar("")),
        (logical_switch_port::ADDRESSES, Datum::empty()),
        (logical_switch_port::PORT_SECURITY, Datum::empty()),
        (logical_switch_port::OPTIONS, Datum::empty()),
    ];
    let ids = [
        (port::KIND, Atom::from(ctx.text(service::KIND))),
        (id, Atom::from(text)),
    ];
    let switch = ctx.uuid(logical_switch::TABLE, &ctx.names().service_switch());
    let row = ctx.row(logical_switch_port::TABLE, name, columns, ids);
    ctx.link(logical_switch::TABLE, switch, logical_switch::PORTS, row);
}

/// MAC and addresses as `addresses` and `port_security` write them.
pub(crate) fn addresses(facts: &PortFacts) -> Arc<str> {
    let mut text = facts.mac.clone();
    for ip in &facts.ips {
        // Writing into a string cannot fail.
        let _ = write!(text, " {}", ip.ip());
    }
    text.into()
}

/// The facts as `external_ids`. What ports have in common is one text, and `uid` the pod's own: with tens of thousands of
/// ports it counts.
fn ids(ctx: &Context<'_>, facts: &PortFacts, uid: Option<&Name>) -> Vec<(&'static str, Atom)> {
    let text = |id, value: String| match (id, uid) {
        (port::MAC | port::IPS, _) => Atom::from(value),
        (port::UID, Some(uid)) => Atom::from(uid),
        _ => Atom::from(ctx.text(&value)),
    };
    facts
        .to_external_ids()
        .into_iter()
        .map(|(id, value)| (id, text(id, value)))
        .collect()
}
