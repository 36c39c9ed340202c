//! What a node has of a VPC.
//!
//! ```text
//! [ Logical_Router vpc-default ] -ports-> [ Logical_Router_Port ] <-router-port- [ LSP vpc-default-N-router ]
//!        |                                                                                   ^
//!        +-static_routes-> [ default route via management ]      [ Logical_Switch vpc-default-N ] -ports-+
//!                                                                                            v
//!                                                     [ LSP mgmt-default-N ], [ LSP svc-default-N ], pods
//! ```
//!
//! Of another VPC than the default one (`vpc-blue.N`, `mgmt-blue.N`) there is no port towards services: what its pods use of
//! others' services comes by the management port, and the host hands it on.
//!
//! What leaves the VPC leaves through the sender's own host: each slice's router port has a route table of its own,
//! with a default route to the node's management port. Not a `src-ip` route per slice: OVN prefers the longer prefix
//! whatever its kind, so such a route would also take what goes to slices with a shorter prefix, and to peers. Routes to
//! the slices themselves are in every table, and any prefix is longer than that of a default route. Where a VPC has gateways, there is a
//! default route to each of them instead ([`crate::gateway`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_model::Name;
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::{
    gateway_chassis, load_balancer_group, logical_router, logical_router_port, logical_router_static_route,
    logical_switch, logical_switch_port,
};

use crate::context::Context;
use crate::slices::{SliceKey, Standing};
use crate::{egress, gateway, host_ports, ip, peers, places, port};

/// The option of a router port that names the routes for what comes in there.
pub(crate) const ROUTE_TABLE: &str = "route_table";

/// Any will do, where there is only one chassis to choose from.
const RESIDENCE_PRIORITY: i64 = 1;

/// A slice of another VPC than the default one. Why it is none, its pods tell.
pub(crate) fn compile(ctx: &mut Context<'_>, vpc: &Name, node: &Name) {
    let key = SliceKey::new(vpc.clone(), node.clone());
    if let Some(Standing::Slice(networks)) = ctx.slice(&key) {
        rows(ctx, &key, networks);
        peers::routes(ctx, &key);
        egress::outward(ctx, &key, networks);
    }
}

/// Adds the rows of a slice.
pub(crate) fn rows(ctx: &mut Context<'_>, key: &SliceKey, networks: &[IpNetwork]) {
    let names = ctx.names();
    let switch_name = names.switch(&key.vpc, &key.node);
    // No `subnet`: OVN's own address management stays off, addresses are ours to give.
    let columns = [
        (logical_switch::NAME, Datum::scalar(&switch_name)),
        (logical_switch::OTHER_CONFIG, Datum::empty()),
    ];
    let switch = ctx.row(logical_switch::TABLE, switch_name, columns, []);
    let router = ctx.uuid(logical_router::TABLE, &names.router(&key.vpc));
    let balancers = ctx.uuid(load_balancer_group::TABLE, &names.load_balancers(&key.vpc));
    ctx.link(
        logical_switch::TABLE,
        switch,
        logical_switch::LOAD_BALANCER_GROUP,
        balancers,
    );
    balancers_of_zone(ctx, key, switch);

    router_port(ctx, key, networks, router);
    uplink(ctx, key, switch);
    host_ports::compile(ctx, key, networks, switch);
    for &network in networks {
        default_routes(ctx, key, network, router);
    }
}

/// The load balancers that not all zones have.
fn balancers_of_zone(ctx: &mut Context<'_>, key: &SliceKey, switch: Uuid) {
    let zone = ctx.node(&key.node).and_then(|node| places::zone(node));
    if zone.is_none() && !ctx.places().any() {
        return;
    }
    let group = ctx.names().load_balancers_of(&key.vpc, zone.map(|zone| &**zone));
    let group = ctx.uuid(load_balancer_group::TABLE, &group);
    ctx.link(
        logical_switch::TABLE,
        switch,
        logical_switch::LOAD_BALANCER_GROUP,
        group,
    );
}

fn router_port(ctx: &mut Context<'_>, key: &SliceKey, networks: &[IpNetwork], router: Uuid) {
    let name = ctx.names().router_port(&key.vpc, &key.node);
    let gateways = networks.iter().map(|&network| ip::gateway(network));
    let columns = [
        (logical_router_port::NAME, Datum::scalar(&name)),
        (logical_router_port::MAC, Datum::scalar(ip::mac(gateways))),
        (
            logical_router_port::NETWORKS,
            Datum::set(networks.iter().map(|&n| interface(n, ip::gateway(n)).to_string())),
        ),
        // Where what comes in here looks for its way out. ovn-northd has room for 65,534 tables in all.
        (logical_router_port::OPTIONS, ctx.map([(ROUTE_TABLE, &*name)])),
    ];
    let port = ctx.row(logical_router_port::TABLE, name.clone(), columns, []);
    ctx.link(logical_router::TABLE, router, logical_router::PORTS, port);
    residence(ctx, &key.node, name, port);
}

/// Binds the router's port to the node: what goes to the slice is tunnelled there by whoever sends it, and only there
/// anybody needs to know the slice's switch. Without it every host had the flows of every node's switch, load balancers and all.
fn residence(ctx: &mut Context<'_>, node: &str, name: Arc<str>, port: Uuid) {
    let columns = [
        (gateway_chassis::NAME, Datum::scalar(&name)),
        (gateway_chassis::CHASSIS_NAME, Datum::scalar(ctx.text(node))),
        (gateway_chassis::PRIORITY, Datum::scalar(RESIDENCE_PRIORITY)),
    ];
    let residence = ctx.row(gateway_chassis::TABLE, name, columns, []);
    ctx.link(
        logical_router_port::TABLE,
        port,
        logical_router_port::GATEWAY_CHASSIS,
        residence,
    );
}

fn uplink(ctx: &mut Context<'_>, key: &SliceKey, switch: Uuid) {
    let names = ctx.names();
    let columns = [
        (logical_switch_port::TYPE, Datum::scalar("router")),
        (logical_switch_port::ADDRESSES, Datum::scalar("router")),
        (logical_switch_port::PORT_SECURITY, Datum::empty()),
        (
            logical_switch_port::OPTIONS,
            ctx.map([("router-port", &*names.router_port(&key.vpc, &key.node))]),
        ),
    ];
    port::add(ctx, names.uplink(&key.vpc, &key.node), switch, columns, None);
}

/// The ways out of the VPC for what comes from a slice, in a family: by its gateways, or else by the slice's own host, which refuses
/// what it is not the way for.
fn default_routes(ctx: &mut Context<'_>, key: &SliceKey, network: IpNetwork, router: Uuid) {
    if gateway::routes(ctx, key, network, router) {
        return;
    }
    let v4 = network.is_ipv4();
    let name = ctx.names().egress_route(&key.vpc, &key.node, v4);
    let table = ctx.names().router_port(&key.vpc, &key.node);
    route(ctx, &table, name, everything(v4), ip::management(network), [], router);
}

/// Adds a route to the table of a slice or Subnet.
pub(crate) fn route(
    ctx: &mut Context<'_>,
    table: &Arc<str>,
    name: Arc<str>,
    prefix: IpNetwork,
    nexthop: IpAddr,
    more: impl IntoIterator<Item = (&'static str, Datum)>,
    router: Uuid,
) {
    let columns = [
        (logical_router_static_route::ROUTE_TABLE, Datum::scalar(table)),
        (logical_router_static_route::POLICY, Datum::scalar("dst-ip")),
        (
            logical_router_static_route::IP_PREFIX,
            Datum::scalar(prefix.to_string()),
        ),
        (logical_router_static_route::NEXTHOP, Datum::scalar(nexthop.to_string())),
    ];
    let route = ctx.row(
        logical_router_static_route::TABLE,
        name,
        columns.into_iter().chain(more),
        [],
    );
    ctx.link(logical_router::TABLE, router, logical_router::STATIC_ROUTES, route);
}

/// All addresses of a family.
pub(crate) fn everything(v4: bool) -> IpNetwork {
    let first = if v4 {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    IpNetwork::new(first, 0).expect("0 is a prefix length of either family")
}

/// An address with the prefix length of its network.
pub(crate) fn interface(network: IpNetwork, address: IpAddr) -> IpNetwork {
    IpNetwork::new(address, network.prefix()).expect("the network's own prefix length is valid")
}
