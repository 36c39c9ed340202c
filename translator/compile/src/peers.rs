//! What a VPC has of its peers.
//!
//! ```text
//! [ Logical_Router vpc-blue ] -ports-> [ LRP peer-blue.green ] <-peer-> [ LRP peer-green.blue ] <-ports- [ Logical_Router vpc-green ]
//!        |                                       ^                                   ^                          |
//!        +-static_routes-> [ green's networks ] -+ output_port           output_port +- [ blue's networks ] <---+
//!                            one per slice of blue                                one per slice of green
//! ```
//!
//! Each of the two has its own half, and only while the other has the other half. From a VPC no route leads beyond its peers: a
//! peer's peer is no peer.
//!
//! The routes are in the tables of the slices, which look nowhere else: ovn-northd matches a route without a table only for what
//! comes in by a port without one, whatever ovn-nb(5) says. So each slice has its own, as it has its own way out.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_model::Name;
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::{logical_router, logical_router_port};

use crate::context::Context;
use crate::names::Names;
use crate::router::Route;
use crate::segment::SubnetKey;
use crate::slices::SliceKey;
use crate::vpcs::State;
use crate::{ip, router};

/// The addresses of the two ends, of the one whose name comes first and of the other. No pod has a link-local address, and
/// 169.254.77.0/24 is of those that Meridian itself uses. They are the same for all peerings, because nothing goes to them: each
/// route names its port, and between two ports there are no others.
const ENDS: [Ipv4Addr; 2] = [Ipv4Addr::new(169, 254, 77, 5), Ipv4Addr::new(169, 254, 77, 6)];

/// Room for the two.
const PREFIX: u8 = 30;

/// Adds a VPC's half of each of its peerings.
pub(crate) fn ports(ctx: &mut Context<'_>, vpc: &Name, state: &State) {
    let router = ctx.uuid(logical_router::TABLE, &ctx.names().router(vpc));
    for peer in state.connected() {
        port(ctx, vpc, peer, router);
    }
}

/// Adds the ways to peers for what comes from a slice.
pub(crate) fn routes(ctx: &mut Context<'_>, slice: &SliceKey) {
    let Some(state) = ctx.vpc(&slice.vpc) else { return };
    let table = ctx.names().router_port(&slice.vpc, &slice.node);
    let name =
        |names: &Names, peer: &Name, of: Option<&str>, v4| names.peer_route(&slice.vpc, peer, &slice.node, of, v4);
    all_routes(ctx, state, &table, name);
}

/// The same for what comes from a Subnet.
pub(crate) fn routes_of_subnet(ctx: &mut Context<'_>, subnet: &SubnetKey) {
    let Some(state) = ctx.vpc(&subnet.vpc) else { return };
    let table = ctx.names().subnet_router_port(&subnet.name);
    let name = |names: &Names, peer: &Name, of: Option<&str>, v4| names.subnet_peer_route(&subnet.name, peer, of, v4);
    all_routes(ctx, state, &table, name);
}

fn all_routes(
    ctx: &mut Context<'_>,
    state: &State,
    table: &Arc<str>,
    name: impl Fn(&Names, &Name, Option<&str>, bool) -> Arc<str>,
) {
    for peer in state.connected() {
        let Some(other) = ctx.vpc(peer) else { continue };
        for (network, subnet) in other.networks() {
            let name = name(ctx.names(), peer, subnet.as_deref(), network.is_ipv4());
            route(ctx, name, table, (&state.object.name, peer), network);
        }
    }
}

/// The address of a VPC in its peering with another.
fn end(vpc: &Name, peer: &Name) -> IpAddr {
    ENDS[usize::from(vpc > peer)].into()
}

fn port(ctx: &mut Context<'_>, vpc: &Name, peer: &Name, router: Uuid) {
    let names = ctx.names();
    let name = names.peer_port(vpc, peer);
    let address = end(vpc, peer);
    let network = IpNetwork::new(address, PREFIX).expect("the prefix length is one of IPv4");
    let columns = [
        (logical_router_port::MAC, Datum::scalar(ip::mac([address]))),
        (logical_router_port::NETWORKS, Datum::scalar(network.to_string())),
        (logical_router_port::PEER, Datum::scalar(names.peer_port(peer, vpc))),
    ];
    router::add_port(ctx, router, name, columns);
}

fn route(ctx: &mut Context<'_>, name: Arc<str>, table: &Arc<str>, (vpc, peer): (&Name, &Name), network: IpNetwork) {
    let names = ctx.names();
    let other = end(peer, vpc);
    let nexthop = if network.is_ipv4() {
        other
    } else {
        // OVN gives every router port one of IPv6, so that the ends need no network of that family.
        ip::link_local([other]).into()
    };
    let route = Route {
        table,
        prefix: network,
        nexthop,
        // The next hop is the same in every peering.
        output: Some(names.peer_port(vpc, peer)),
    };
    let router = ctx.uuid(logical_router::TABLE, &names.router(vpc));
    router::add_route(ctx, router, name, route);
}
