//! How pods in Subnets leave their VPC: by their own node, as those in slices do.
//!
//! ```text
//!                                   ┌─> inside-blue-v4: to any network of the VPC or a peer: as the routes say
//!                                   │   subnets-blue.N.own-v4: services, from pods on N: to the host N
//! [ Logical_Router vpc-blue ] -policies-  subnet-vms.routed-v4: what spec.routes are for: as the routes say
//!                                   └─> subnets-blue.N-v4: from pods on N: to the host N, by its management address
//!                                               │ match
//! [ Address_Set of the pods on N ] <────────────┘
//! ```
//!
//! A Subnet has pods on many nodes and one route table, which cannot tell where a pod is. Policies go before routes, whatever those
//! say, so that one of higher priority has to except what stays inside. A pod's address is an element of a set, which ovn-northd
//! processes incrementally; policies change with the nodes that have such pods.
//!
//! Where the VPC has gateways, routes lead to them ([`crate::gateway`]), and the policy is only for what the own host is for even then.

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

/// Of what the own host is for, whatever else there is.
const OWN: i64 = 550;

/// Of what routes of the VPC lead out.
const ROUTED: i64 = 525;

/// Of what goes out otherwise; no two of them match one packet.
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
        let of_family: Vec<IpNetwork> = networks
            .iter()
            .filter(|network| network.is_ipv4() == v4)
            .copied()
            .collect();
        if of_family.is_empty() {
            continue;
        }
        let matches = to(&of_family, v4);
        let name = ctx.names().inside(vpc, v4);
        let router = ctx.uuid(logical_router::TABLE, &ctx.names().router(vpc));
        router::add_policy(ctx, router, name, INSIDE, matches, None);
    }
}

/// Sends what pods beside a slice, in Subnets on the same node, send out of the VPC to the host, or what of it has no other way.
pub(crate) fn outward(ctx: &mut Context<'_>, slice: &SliceKey, networks: &[IpNetwork]) {
    if !ctx.has_beside(slice) {
        return;
    }
    let names = ctx.names();
    let router = ctx.uuid(logical_router::TABLE, &names.router(&slice.vpc));
    for &network in networks {
        let v4 = network.is_ipv4();
        let name = names.beside(&slice.vpc, &slice.node, v4);
        let (_, set) = address_set::add(ctx, name.clone());
        let from_here = format!("{}.src == ${set}", field(v4));
        let host = Some(ip::management(network));
        let by_gateways = gateway::has(ctx, &slice.vpc, v4);
        let is_routed = ctx
            .vpc(&slice.vpc)
            .is_some_and(|state| state.routes.iter().any(|route| route.destination.is_ipv4() == v4));
        let own = own(ctx, v4);
        if (by_gateways || is_routed) && !own.is_empty() {
            let name = names.beside_own(&slice.vpc, &slice.node, v4);
            let matches = format!("{from_here} && {}", to(&own, v4));
            router::add_policy(ctx, router, name, OWN, matches, host);
        }
        if !by_gateways {
            router::add_policy(ctx, router, name, OUTWARD, from_here, host);
        }
    }
}

/// Has what comes from a Subnet leave by the routes of its VPC, where those are for it.
pub(crate) fn as_routed(ctx: &mut Context<'_>, vpc: &Name, subnet: &Name, v4: bool) {
    let Some(state) = ctx.vpc(vpc) else { return };
    let networks: Vec<IpNetwork> = state
        .routes_for(Some(subnet), v4)
        .map(|route| route.destination)
        .collect();
    if networks.is_empty() {
        return;
    }
    let names = ctx.names();
    let matches = format!(
        "inport == \"{}\" && {}",
        names.subnet_router_port(subnet),
        to(&networks, v4)
    );
    let router = ctx.uuid(logical_router::TABLE, &names.router(vpc));
    router::add_policy(ctx, router, names.subnet_routed(subnet, v4), ROUTED, matches, None);
}

/// What of a family is beyond a VPC, and a pod's own host is for, whatever other ways there are.
pub(crate) fn own(ctx: &Context<'_>, v4: bool) -> Vec<IpNetwork> {
    let own = ctx
        .service_cidrs()
        .networks()
        .iter()
        .chain(ctx.config().cluster_cidrs());
    own.filter(|cidr| cidr.is_ipv4() == v4).copied().collect()
}

/// What is for one of some networks.
fn to(networks: &[IpNetwork], v4: bool) -> String {
    if networks.contains(&ip::everything(v4)) {
        return field(v4).to_owned();
    }
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    format!("{}.dst == {{{}}}", field(v4), networks.join(", "))
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
