//! The way from the default VPC to a service of another one.
//!
//! Hosts reach a VPC only where pods of it are: nobody else has anything of it. So what a host sends to a ClusterIP of such a service
//! goes where every ClusterIP goes, into the default VPC, whose router sends it to a host with endpoints, and that one
//! translates the address and hands it on.
//!
//! One host for each address, although several may have endpoints: what follows from packets alone, as which of several routes is
//! taken, would change for connections that there are whenever a host comes or goes. Which host depends on the address, so that
//! services are spread.

use std::collections::BTreeMap;
use std::net::IpAddr;

use meridian_model::Name;

use super::Told;
use crate::address_pools::weight;
use crate::context::Context;
use crate::names::default_vpc;
use crate::{ip, router};

/// Any will do, where no two policies match one packet.
const PRIORITY: i64 = 1000;

pub(super) fn compile(ctx: &mut Context<'_>, told: &Told<'_>) {
    if !told.is_elsewhere() {
        return;
    }
    for &address in &told.face.addresses.cluster {
        if let Some(hop) = host(ctx, told, address) {
            policy(ctx, told, address, hop);
        }
    }
}

/// The address in the default VPC of the host that hands on what is sent to an address.
fn host(ctx: &Context<'_>, told: &Told<'_>, address: IpAddr) -> Option<IpAddr> {
    let v4 = address.is_ipv4();
    // Ready ones before those on their way out: by_node says what answers on each node by itself.
    let mut ready: BTreeMap<Name, bool> = BTreeMap::new();
    for port in 0..told.face.ports.len() {
        let backends = told.behind.backends(port, v4);
        for node in backends.by_node().into_keys() {
            ready.entry(node).or_default();
        }
        for (_, endpoint) in backends.ready() {
            if let Some(is_ready) = endpoint.node.as_ref().and_then(|node| ready.get_mut(node)) {
                *is_ready = true;
            }
        }
    }
    let hop = |node: &Name| {
        let slices = ctx.slice_of(&default_vpc(), node);
        slices
            .iter()
            .find(|slice| slice.is_ipv4() == v4)
            .map(|slice| ip::management(*slice))
    };
    let candidates = ready
        .into_iter()
        .filter_map(|(node, is_ready)| Some((is_ready, hop(&node)?, node)));
    let best = candidates.max_by_key(|(is_ready, _, node)| (*is_ready, weight(address, node), node.clone()));
    best.map(|(_, hop, _)| hop)
}

/// A policy, and not a route: routes are looked for in the table of the port that something comes in by, which each node's port has
/// one of its own of, so that it would take a route for each node.
fn policy(ctx: &mut Context<'_>, told: &Told<'_>, address: IpAddr, hop: IpAddr) {
    let name = ctx.names().service_way(told.key, address);
    let router = ctx.default_router();
    router::add_policy(ctx, router, name, PRIORITY, matches(address), Some(hop));
}

/// What is sent to an address.
pub(crate) fn matches(address: IpAddr) -> String {
    let family = if address.is_ipv4() { "ip4" } else { "ip6" };
    format!("{family}.dst == {address}")
}
