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

use ipnetwork::IpNetwork;
use meridian_model::Name;
use ovsdb::{Atom, Datum};
use ovsdb_schemas::northbound::{address_set, logical_router, logical_router_policy};

use crate::context::Context;
use crate::names::of_row;
use crate::segment::Spot;
use crate::slices::SliceKey;
use crate::vpcs::State;
use crate::{gateway, ip};

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
        policy(ctx, vpc, name, INSIDE, matches, ("allow", None));
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
        let set = ctx.uuid(address_set::TABLE, &name);
        let columns = [(address_set::NAME, Datum::scalar(of_row(set)))];
        ctx.row(address_set::TABLE, name.clone(), columns, []);
        let mut matches = format!("{}.src == ${}", field(v4), of_row(set));
        if gateway::has(ctx, &slice.vpc, v4) {
            let own: Vec<String> = gateway::own(ctx, v4).iter().map(ToString::to_string).collect();
            if own.is_empty() {
                continue;
            }
            matches = format!("{matches} && {}.dst == {{{}}}", field(v4), own.join(", "));
        }
        let hop = ip::management(network).to_string();
        policy(ctx, &slice.vpc, name, OUTWARD, matches, ("reroute", Some(hop)));
    }
}

/// Has an address of a pod in a Subnet leave by the pod's node.
pub(crate) fn leaves_by_its_node(ctx: &mut Context<'_>, spot: &Spot, address: std::net::IpAddr) {
    let name = ctx.names().beside(spot.vpc(), &spot.node, address.is_ipv4());
    let set = ctx.uuid(address_set::TABLE, &name);
    ctx.link(
        address_set::TABLE,
        set,
        address_set::ADDRESSES,
        Atom::from(address.to_string()),
    );
}

fn field(v4: bool) -> &'static str {
    if v4 { "ip4" } else { "ip6" }
}

fn policy(
    ctx: &mut Context<'_>,
    vpc: &Name,
    name: std::sync::Arc<str>,
    priority: i64,
    matches: String,
    (action, hop): (&str, Option<String>),
) {
    let columns = [
        (logical_router_policy::PRIORITY, Datum::scalar(priority)),
        (logical_router_policy::MATCH, Datum::scalar(matches)),
        (logical_router_policy::ACTION, Datum::scalar(ctx.text(action))),
        (logical_router_policy::NEXTHOPS, Datum::set(hop)),
    ];
    let policy = ctx.row(logical_router_policy::TABLE, name, columns, []);
    let router = ctx.uuid(logical_router::TABLE, &ctx.names().router(vpc));
    ctx.link(logical_router::TABLE, router, logical_router::POLICIES, policy);
}
