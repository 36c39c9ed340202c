//! What a VPC has at its gateways, for egress mode `Gateway`.
//!
//! ```text
//! [ Logical_Router vpc-blue ] -ports-> [ LRP egress-blue.N ] <-router-port- [ LSP uplink-blue.N ]
//!        |    |                           |       ^                                  ^
//!        |    |          gateway_chassis -+       | gateway_port                     | ports
//!        |    |        N, and others to fall to   |             [ Logical_Switch egress-default ] -ports-> [ LSP egress-default ]
//!        |    +-nat-> [ snat to the slot's address ]                                                      a localport: the host
//!        +-static_routes-> [ a default route per slot, in the table of each slice and Subnet: ECMP ]
//! ```
//!
//! Each gateway is the home of a slot. All slots are in the routes all the time, and which chassis a slot is at is OVN's business: where
//! a port has several chassis, they watch each other by BFD, and the first that is alive has it. So a gateway that dies changes no row, and
//! what goes through other slots goes on as it does.
//!
//! A slot leads to a `localport`: one logical port that every host may have, and whoever sends to it reaches that of the chassis it is
//! on. So wherever a slot is, its next hop is there, with the same address and the same MAC address, and no host needs a bridge of its
//! own for it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_api::port::{PortFacts, PortKind};
use meridian_model::{Egress, Key, Name};
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::{logical_router, logical_router_port, logical_switch, logical_switch_port, nat};

use crate::context::Context;
use crate::gateways::SlotKey;
use crate::names::Names;
use crate::router::Route;
use crate::vpcs::State;
use crate::{Config, ip, port, router, switch};

/// How many other gateways a slot may fall to. Each is a row, and a BFD session between any two hosts is there once for all.
const OTHERS: usize = 4;

/// The field that selects gateways.
const SELECTOR: &str = "spec.egress.gatewayNodeSelector";

/// Adds the rows of a slot.
pub(crate) fn compile(ctx: &mut Context<'_>, vpc: &Name, node: &Name) {
    let slot = SlotKey::new(vpc.clone(), node.clone());
    let addresses = ctx.slot(&slot);
    let Some(state) = ctx.vpc(vpc).filter(|_| !addresses.is_empty()) else {
        return;
    };
    let names = ctx.names();
    let name = names.slot(vpc, node);
    let router = ctx.uuid(logical_router::TABLE, &names.router(vpc));
    let of_vpc = addresses.iter().filter(|address| serves(state, address.is_ipv4()));
    let columns = [
        (
            logical_router_port::MAC,
            Datum::scalar(ip::mac(addresses.iter().map(IpNetwork::ip))),
        ),
        // With the length of the whole network, so that the two ends answer each other's ARP.
        (
            logical_router_port::NETWORKS,
            Datum::set(of_vpc.map(ToString::to_string)),
        ),
    ];
    let port = router::add_port(ctx, router, name.clone(), columns);
    residences(ctx, &slot, port);

    let switch = ctx.uuid(logical_switch::TABLE, &names.egress());
    port::to_router(ctx, names.slot_uplink(vpc, node), switch, &name);

    for (network, subnet) in state.networks() {
        let same = |address: &&IpNetwork| address.is_ipv4() == network.is_ipv4();
        if let Some(address) = addresses.iter().find(same) {
            let name = names.translation(vpc, node, subnet.as_deref(), network.is_ipv4());
            translation(ctx, name, port, network, address.ip(), router);
        }
    }
}

/// Where a slot is: at its home, or else at one of the others. Which of them is another order for each slot, so that what a dead gateway
/// had is spread over several.
fn residences(ctx: &mut Context<'_>, slot: &SlotKey, port: Uuid) {
    let rank = |other: &Name| ip::hash([&*slot.vpc, "\0", &*slot.node, "\0", &**other].concat().as_bytes());
    let mut others: Vec<&Name> = ctx.gateways(&slot.vpc).filter(|node| **node != slot.node).collect();
    others.sort_by_key(|other| (rank(other), (*other).clone()));
    let chassis = [&slot.node].into_iter().chain(others.into_iter().take(OTHERS));
    for (priority, chassis) in (1..=i64::try_from(OTHERS).unwrap_or(i64::MAX) + 1).rev().zip(chassis) {
        let name = ctx.names().residence(&slot.vpc, &slot.node, chassis);
        router::add_gateway_chassis(ctx, port, name, chassis, priority);
    }
}

/// What leaves by a slot has the slot's address: the host needs no way back to pods, and VPCs of one network may share a gateway.
fn translation(ctx: &mut Context<'_>, name: Arc<str>, port: Uuid, network: IpNetwork, address: IpAddr, router: Uuid) {
    let columns = [
        (nat::TYPE, Datum::scalar("snat")),
        (nat::LOGICAL_IP, Datum::scalar(network.to_string())),
        (nat::EXTERNAL_IP, Datum::scalar(address.to_string())),
        // Only what goes out of this port: the router has many that reside somewhere.
        (nat::GATEWAY_PORT, Datum::scalar(port)),
    ];
    let translation = ctx.row(nat::TABLE, name, columns, []);
    ctx.link(logical_router::TABLE, router, logical_router::NAT, translation);
}

/// Adds a default route for each gateway to a table, if the VPC has any in a family. `name` is that of the route that there would be
/// otherwise.
pub(crate) fn default_routes(
    ctx: &mut Context<'_>,
    vpc: &Name,
    table: &Arc<str>,
    name: &str,
    v4: bool,
    router: Uuid,
) -> bool {
    let Some((host, gateways)) = ways(ctx, vpc, v4) else {
        return false;
    };
    for gateway in gateways {
        let route = Route {
            table,
            prefix: ip::everything(v4),
            nexthop: host,
            // All slots have the same next hop.
            output: Some(ctx.names().slot(vpc, gateway)),
        };
        router::add_route(ctx, router, Names::gateway_route(name, gateway), route);
    }
    true
}

/// The gateways by which what is sent in a family leaves a VPC, by name, and the next hop there; nothing if it has none.
fn ways<'a>(ctx: &Context<'a>, vpc: &Name, v4: bool) -> Option<(IpAddr, Vec<&'a Name>)> {
    let gateways: Vec<&Name> = ctx.gateways(vpc).collect();
    let host = host(ctx.config(), v4).filter(|_| !gateways.is_empty())?;
    Some((host.ip(), gateways))
}

/// Whether a VPC has gateways in a family.
pub(crate) fn has(ctx: &Context<'_>, vpc: &Name, v4: bool) -> bool {
    ways(ctx, vpc, v4).is_some()
}

/// Adds what all slots lead to.
pub(crate) fn egress_switch(ctx: &mut Context<'_>) {
    if !ctx.any_gateway() {
        return;
    }
    let name = ctx.names().egress();
    let switch = switch::add(ctx, name.clone());
    let hosts = ctx.config().egress_cidrs().iter().map(|&cidr| ip::gateway(cidr));
    let addresses = hosts.fold(mac(ctx.config()), |text, host| format!("{text} {host}"));
    let columns = [
        (logical_switch_port::TYPE, Datum::scalar("localport")),
        (logical_switch_port::ADDRESSES, Datum::scalar(addresses)),
        (logical_switch_port::PORT_SECURITY, Datum::empty()),
        (logical_switch_port::OPTIONS, Datum::empty()),
    ];
    port::add(ctx, name, switch, columns, None);
}

/// Tells a node that it is a gateway, if it is one. Nobody plugs this port: what the host plugs is the same for all.
pub(crate) fn tell(ctx: &mut Context<'_>, node: &Name) {
    let vpcs: Vec<&Name> = ctx.gateway_of(node).collect();
    let states: Vec<&State> = vpcs.into_iter().filter_map(|vpc| ctx.vpc(vpc)).collect();
    if states.is_empty() {
        return;
    }
    let config = ctx.config();
    let used = |v4: bool| states.iter().any(|state| serves(state, v4));
    let hosts = [true, false].into_iter().filter(|v4| used(*v4));
    let facts = PortFacts {
        ips: hosts.filter_map(|v4| host(config, v4)).collect(),
        mtu: config.mtu(),
        ..PortFacts::new(PortKind::Egress, mac(config))
    };
    let columns = [
        (logical_switch_port::TYPE, Datum::scalar("")),
        (logical_switch_port::ADDRESSES, Datum::empty()),
        (logical_switch_port::PORT_SECURITY, Datum::empty()),
        (
            logical_switch_port::OPTIONS,
            ctx.map([(port::REQUESTED_CHASSIS, &**node)]),
        ),
    ];
    let switch = ctx.uuid(logical_switch::TABLE, &ctx.names().service_switch());
    port::add(ctx, ctx.names().gateway(node), switch, columns, Some((&facts, None)));
}

/// Reports what keeps a VPC from having the gateways that it selects.
pub(crate) fn report(ctx: &mut Context<'_>, state: &State) {
    if let Some(why) = lack(
        state,
        ctx.gateways(&state.object.name).next().is_some(),
        ctx.gateway_fault(&state.object.name),
    ) {
        ctx.problem(Key::Vpc(state.object.name.clone()), SELECTOR, why.message);
    }
    let config = ctx.config();
    for cidr in state.network.cidrs().iter().filter(|_| is_gateway(state)) {
        if host(config, cidr.is_ipv4()).is_none() {
            let family = if cidr.is_ipv4() { "IPv4" } else { "IPv6" };
            let message = format!(
                "{cidr} has no way out, because there is no egress CIDR of {family}: give the translator one (--egress-cidr)"
            );
            ctx.problem(Key::Vpc(state.object.name.clone()), "spec.egress.mode", message);
        }
    }
}

/// Why a VPC has not the gateways that it selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) message: String,
    /// Whether it has none at all.
    pub(crate) none: bool,
    /// Whether it clashes with something else.
    pub(crate) conflict: bool,
}

pub(crate) fn lack(state: &State, any: bool, fault: Option<(String, bool)>) -> Option<Lack> {
    let Egress::Gateway(selector) = &state.object.egress else {
        return None;
    };
    if !state.is_usable() {
        return None;
    }
    if let Some((message, conflict)) = fault {
        return Some(Lack {
            message,
            none: !any,
            conflict,
        });
    }
    (!any).then(|| Lack {
        message: format!(
            "no node has the labels {selector}: pods have no way out, and what they send is refused. Label the nodes that are to be \
             gateways"
        ),
        none: true,
        conflict: false,
    })
}

/// Whether pods leave by gateways.
pub(crate) fn is_gateway(state: &State) -> bool {
    matches!(state.object.egress, Egress::Gateway(_))
}

/// The host's address towards VPCs' routers, on whichever host.
pub(crate) fn host(config: &Config, v4: bool) -> Option<IpNetwork> {
    let cidr = config.egress_cidrs().iter().find(|cidr| cidr.is_ipv4() == v4)?;
    Some(ip::interface(*cidr, ip::gateway(*cidr)))
}

/// The host's MAC address there.
fn mac(config: &Config) -> String {
    ip::mac(config.egress_cidrs().iter().map(|&cidr| ip::gateway(cidr)))
}

/// Whether a VPC has a network of a family.
fn serves(state: &State, v4: bool) -> bool {
    state.network.cidrs().iter().any(|cidr| cidr.is_ipv4() == v4)
}
