//! How pods in Subnets leave their VPC: by their own node, as those in slices do.
//!
//! ```text
//!                                   ┌─> inside-blue-v4: to any network of the VPC or a peer: as the routes say
//! [ Logical_Router vpc-blue ] -policies-
//!                                   └─> subnets-blue.N-v4: from pods on N: to the host N, by its management address
//!                                               │ match
//! [ Address_Set of the pods on N ] <────────────┘
//! ```
//!
//! A Subnet has pods on many nodes and one route table, which cannot tell where a pod is. Policies go before routes, whatever those
//! say, so that one of higher priority has to except what stays inside. A pod's address is an element of a set, which ovn-northd
//! processes incrementally; policies change with the nodes that have such pods.
//!
//! Where the VPC has gateways, routes lead to them ([`crate::gateway`]), and those policies are for what the own host is for even then.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::Name;
use ovsdb_schemas::northbound::logical_router;

use crate::context::Context;
use crate::segment::Spot;
use crate::slices::SliceKey;
use crate::vpcs::State;
use crate::{address_set, gateway, ip, router};

/// Of what stays inside.
const INSIDE: i64 = 600;

/// Of what goes out; no two of them match one packet.
const OUTWARD: i64 = 500;

/// Excepts what stays in a VPC that has Subnets, peers included.
pub(crate) fn inside(ctx: &mut Context<'_>, vpc: &Name, state: &State) {
    if state.subnets.is_empty() {
        return;
    }
    let mut networks: Vec<IpNetwork> = state.networks().into_iter().map(|(network, _)| network).collect();
    for peer in state.connected() {
        if let Some(peer) = ctx.vpc(peer) {
            networks.extend(peer.networks().into_iter().map(|(network, _)| network));
        }
    }
    networks.sort_unstable();
    for v4 in [true, false] {
        let of_family: Vec<String> = networks
            .iter()
            .filter(|network| network.is_ipv4() == v4)
            .map(ToString::to_string)
            .collect();
        if of_family.is_empty() {
            continue;
        }
        let matches = format!("{}.dst == {{{}}}", field(v4), of_family.join(", "));
        let name = ctx.names().inside(vpc, v4);
        let router = ctx.uuid(logical_router::TABLE, &ctx.names().router(vpc));
        router::add_policy(ctx, router, name, INSIDE, matches, None);
    }
}

/// Sends what pods beside a slice, in Subnets on the same node, send out of the VPC to the host, or what of it is not for gateways.
pub(crate) fn outward(ctx: &mut Context<'_>, slice: &SliceKey, networks: &[IpNetwork]) {
    if !ctx.has_beside(slice) {
        return;
    }
    for &network in networks {
        let v4 = network.is_ipv4();
        let name = ctx.names().beside(&slice.vpc, &slice.node, v4);
        let (_, set) = address_set::add(ctx, name.clone());
        let mut matches = format!("{}.src == ${set}", field(v4));
        if gateway::has(ctx, &slice.vpc, v4) {
            let own: Vec<String> = gateway::own(ctx, v4).iter().map(ToString::to_string).collect();
            if own.is_empty() {
                continue;
            }
            matches = format!("{matches} && {}.dst == {{{}}}", field(v4), own.join(", "));
        }
        let router = ctx.uuid(logical_router::TABLE, &ctx.names().router(&slice.vpc));
        router::add_policy(ctx, router, name, OUTWARD, matches, Some(ip::management(network)));
    }
}

/// Has an address of a pod in a Subnet leave by the pod's node.
pub(crate) fn leaves_by_its_node(ctx: &mut Context<'_>, spot: &Spot, address: IpAddr) {
    let name = ctx.names().beside(spot.vpc(), &spot.node, address.is_ipv4());
    let set = address_set::of(ctx, &name);
    address_set::put(ctx, set, address.to_string());
}

fn field(v4: bool) -> &'static str {
    if v4 { "ip4" } else { "ip6" }
}
