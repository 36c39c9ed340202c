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
//! the slices themselves are in every table, and any prefix is longer than that of a default route. Where a VPC has gateways or routes
//! of its own, there are those instead ([`crate::routes`]).

use ipnetwork::IpNetwork;
use meridian_model::Name;
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::{logical_router, logical_router_port};

use crate::context::Context;
use crate::router::ROUTE_TABLE;
use crate::routes::Table;
use crate::slices::{SliceKey, Standing};
use crate::{egress, host_ports, ip, peers, places, port, router, routes, switch};

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
    let switch = switch::add(ctx, names.switch(&key.vpc, &key.node));
    let router = ctx.uuid(logical_router::TABLE, &names.router(&key.vpc));
    switch::join_group(ctx, switch, &names.load_balancers(&key.vpc));
    balancers_of_zone(ctx, key, switch);

    router_port(ctx, key, networks, router);
    let uplink = names.uplink(&key.vpc, &key.node);
    port::to_router(ctx, uplink, switch, &names.router_port(&key.vpc, &key.node));
    host_ports::compile(ctx, key, networks, switch);
    for &network in networks {
        ways_out(ctx, key, network, router);
    }
}

/// The load balancers that not all zones have.
fn balancers_of_zone(ctx: &mut Context<'_>, key: &SliceKey, switch: Uuid) {
    let zone = ctx.node(&key.node).and_then(|node| places::zone(node));
    if zone.is_none() && !ctx.places().any() {
        return;
    }
    let group = ctx.names().load_balancers_of(&key.vpc, zone.map(|zone| &**zone));
    switch::join_group(ctx, switch, &group);
}

fn router_port(ctx: &mut Context<'_>, key: &SliceKey, networks: &[IpNetwork], router: Uuid) {
    let name = ctx.names().router_port(&key.vpc, &key.node);
    let gateways = networks.iter().map(|&network| ip::gateway(network));
    let interfaces = networks
        .iter()
        .map(|&network| ip::interface(network, ip::gateway(network)).to_string());
    let columns = [
        (logical_router_port::MAC, Datum::scalar(ip::mac(gateways))),
        (logical_router_port::NETWORKS, Datum::set(interfaces)),
        // Where what comes in here looks for its way out. ovn-northd has room for 65,534 tables in all.
        (logical_router_port::OPTIONS, ctx.map([(ROUTE_TABLE, &*name)])),
    ];
    let port = router::add_port(ctx, router, name.clone(), columns);
    // What goes to the slice is tunnelled to the node by whoever sends it, and only there anybody needs to know the slice's switch.
    // Without it every host had the flows of every node's switch, load balancers and all.
    router::add_gateway_chassis(ctx, port, name, &key.node, RESIDENCE_PRIORITY);
}

/// The ways out of the VPC for what comes from a slice, in a family. Its own host refuses what it is not the way for.
fn ways_out(ctx: &mut Context<'_>, key: &SliceKey, network: IpNetwork, router: Uuid) {
    let v4 = network.is_ipv4();
    let table = Table {
        vpc: &key.vpc,
        subnet: None,
        name: ctx.names().router_port(&key.vpc, &key.node),
        default: ctx.names().egress_route(&key.vpc, &key.node, v4),
        host: Some(ip::management(network)),
        v4,
        router,
    };
    routes::outward(ctx, &table);
}
