//! What routers of all VPCs have, whichever unit adds it: ports, where those reside, routes and policies.

use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::{
    gateway_chassis, logical_router, logical_router_policy, logical_router_port, logical_router_static_route,
};

use crate::context::Context;

/// The option of a router port that names the routes for what comes in there.
pub(crate) const ROUTE_TABLE: &str = "route_table";

/// Where a router sends what is for a network.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    /// The table of the port that it comes in by.
    pub(crate) table: &'a Arc<str>,
    pub(crate) prefix: IpNetwork,
    pub(crate) nexthop: IpAddr,
    /// The port that it leaves by, where the next hop does not tell.
    pub(crate) output: Option<Arc<str>>,
}

/// Adds a port to a router.
pub(crate) fn add_port(
    ctx: &mut Context<'_>,
    router: Uuid,
    name: Arc<str>,
    columns: impl IntoIterator<Item = (&'static str, Datum)>,
) -> Uuid {
    let own_name = [(logical_router_port::NAME, Datum::scalar(&name))];
    let port = ctx.row(
        logical_router_port::TABLE,
        name,
        columns.into_iter().chain(own_name),
        [],
    );
    ctx.link(logical_router::TABLE, router, logical_router::PORTS, port);
    port
}

/// Has a router's port reside at a chassis, the one with the highest priority among those that are alive.
pub(crate) fn add_gateway_chassis(ctx: &mut Context<'_>, port: Uuid, name: Arc<str>, chassis: &str, priority: i64) {
    let columns = [
        (gateway_chassis::NAME, Datum::scalar(&name)),
        (gateway_chassis::CHASSIS_NAME, Datum::scalar(ctx.text(chassis))),
        (gateway_chassis::PRIORITY, Datum::scalar(priority)),
    ];
    let residence = ctx.row(gateway_chassis::TABLE, name, columns, []);
    ctx.link(
        logical_router_port::TABLE,
        port,
        logical_router_port::GATEWAY_CHASSIS,
        residence,
    );
}

/// Adds a route to a router.
pub(crate) fn add_route(ctx: &mut Context<'_>, router: Uuid, name: Arc<str>, route: Route<'_>) {
    let output = route
        .output
        .map(|port| (logical_router_static_route::OUTPUT_PORT, Datum::scalar(port)));
    let columns = [
        (logical_router_static_route::ROUTE_TABLE, Datum::scalar(route.table)),
        (logical_router_static_route::POLICY, Datum::scalar("dst-ip")),
        (
            logical_router_static_route::IP_PREFIX,
            Datum::scalar(route.prefix.to_string()),
        ),
        (
            logical_router_static_route::NEXTHOP,
            Datum::scalar(route.nexthop.to_string()),
        ),
    ];
    let row = ctx.row(
        logical_router_static_route::TABLE,
        name,
        columns.into_iter().chain(output),
        [],
    );
    ctx.link(logical_router::TABLE, router, logical_router::STATIC_ROUTES, row);
}

/// Adds a policy to a router, which goes before routes: what matches goes to a next hop, or else where the routes say.
pub(crate) fn add_policy(
    ctx: &mut Context<'_>,
    router: Uuid,
    name: Arc<str>,
    priority: i64,
    matches: String,
    hop: Option<IpAddr>,
) {
    let action = if hop.is_some() { "reroute" } else { "allow" };
    let columns = [
        (logical_router_policy::PRIORITY, Datum::scalar(priority)),
        (logical_router_policy::MATCH, Datum::scalar(matches)),
        (logical_router_policy::ACTION, Datum::scalar(ctx.known_text(action))),
        (
            logical_router_policy::NEXTHOPS,
            Datum::set(hop.map(|hop| hop.to_string())),
        ),
    ];
    let policy = ctx.row(logical_router_policy::TABLE, name, columns, []);
    ctx.link(logical_router::TABLE, router, logical_router::POLICIES, policy);
}
