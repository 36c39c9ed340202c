//! A Subnet: a switch that is wherever pods of its VPC are.
//!
//! ```text
//! [ Logical_Router vpc-blue ] -ports-> [ LRP subnet-vms ] <-router-port- [ LSP subnet-vms.router ]
//!        |                                                                        ^
//!        +-static_routes-> [ default route, to be overruled ]   [ Logical_Switch subnet-vms ] -ports-+
//!                                                                                 v
//! [ DHCP_Options subnet-vms.dhcp-v4 ] <-dhcpv4_options-------------------------- pods
//! ```
//!
//! The router's port resides nowhere, so that a pod's first hop is on its own node wherever it is, and every host with pods of the
//! VPC has the switch.
//!
//! What leaves the VPC leaves by the sender's node, which the router's policies see to ([`crate::egress`]). But policies are asked only
//! about what some route leads for: hence a default route, to nobody. Where the VPC has gateways, there is one to each of them instead
//! ([`crate::routes`]), and policies for services alone.

mod dhcp;

use meridian_model::{Key, Name};
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::{logical_router, logical_router_port};

pub(crate) use self::dhcp::options as dhcp_options;
use crate::context::Context;
use crate::router::ROUTE_TABLE;
use crate::routes::Table;
use crate::vpcs::SubnetState;
use crate::{egress, ip, peers, policy, port, router, routes, switch};

/// How hosts are told of the router, where addresses are lent.
const ADVERTISEMENT: [(&str, &str); 2] = [("address_mode", "dhcpv6_stateful"), ("send_periodic", "true")];

pub(crate) fn compile(ctx: &mut Context<'_>, name: &Name) {
    let Some(state) = ctx.subnet(name) else { return };
    report(ctx, state);
    if state.is_usable() {
        rows(ctx, state);
        peers::routes_of_subnet(ctx, &state.key());
    }
}

/// Reports what keeps a Subnet from being used, and what else is wrong.
fn report(ctx: &mut Context<'_>, state: &SubnetState) {
    let object = || Key::Subnet(state.object.name.clone());
    for (field, message) in state.faults.iter().chain(&state.flaws) {
        ctx.problem(object(), &**field, &**message);
    }
    if let Some(why) = &state.waiting {
        ctx.problem(object(), "spec.vpc", format!("{why}: the Subnet follows once it is"));
    }
    for (object, field, message) in &state.clashes {
        ctx.problem(object.clone(), &**field, &**message);
    }
}

fn rows(ctx: &mut Context<'_>, state: &SubnetState) {
    let names = ctx.names();
    let (vpc, name) = (&state.object.vpc, &state.object.name);
    let switch = switch::add(ctx, names.subnet(name));
    balancers(ctx, vpc, switch);
    router_port(ctx, state);
    let uplink = port::to_router(ctx, names.subnet_uplink(name), switch, &names.subnet_router_port(name));
    // What hosts send to pods here comes by the router.
    policy::join_host(ctx, uplink, &[]);
    for network in state.networks() {
        ways_out(ctx, vpc, name, network.is_ipv4());
    }
    dhcp::rows(ctx, state);
}

/// The load balancers of all nodes, and of those in no zone: a switch that is everywhere is in none.
fn balancers(ctx: &mut Context<'_>, vpc: &Name, switch: Uuid) {
    let names = ctx.names();
    let of_zone = ctx.places().any().then(|| names.load_balancers_of(vpc, None));
    for group in [names.load_balancers(vpc)].into_iter().chain(of_zone) {
        switch::join_group(ctx, switch, &group);
    }
}

fn router_port(ctx: &mut Context<'_>, state: &SubnetState) {
    let name = ctx.names().subnet_router_port(&state.object.name);
    let interfaces = state
        .layouts
        .iter()
        .map(|layout| ip::interface(layout.network, layout.gateway).to_string());
    let is_advertised = state.dhcp.is_some() && state.networks().any(|network| network.is_ipv6());
    let advertisement = ADVERTISEMENT.into_iter().filter(|_| is_advertised);
    let columns = [
        (logical_router_port::MAC, Datum::scalar(mac(state))),
        (logical_router_port::NETWORKS, Datum::set(interfaces)),
        (logical_router_port::OPTIONS, ctx.map([(ROUTE_TABLE, &*name)])),
        (logical_router_port::IPV6_RA_CONFIGS, ctx.map(advertisement)),
    ];
    let router = ctx.uuid(logical_router::TABLE, &ctx.names().router(&state.object.vpc));
    router::add_port(ctx, router, name, columns);
}

/// The router's MAC address in a Subnet.
fn mac(state: &SubnetState) -> String {
    ip::mac(state.layouts.iter().map(|layout| layout.gateway))
}

/// The ways out of the VPC in a family.
fn ways_out(ctx: &mut Context<'_>, vpc: &Name, subnet: &Name, v4: bool) {
    let names = ctx.names();
    let router = ctx.uuid(logical_router::TABLE, &names.router(vpc));
    let table = Table {
        vpc,
        subnet: Some(subnet),
        name: names.subnet_router_port(subnet),
        default: names.subnet_egress_route(subnet, v4),
        host: None,
        v4,
        router,
    };
    routes::outward(ctx, &table);
    egress::as_routed(ctx, vpc, subnet, v4);
}
