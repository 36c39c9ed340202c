//! A node: its slice of the default VPC.
//!
//! ```text
//! [ Logical_Router vpc-default ] -ports-> [ Logical_Router_Port ] <-router-port- [ LSP vpc-default-N-router ]
//!        |                                                                                   ^
//!        +-static_routes-> [ default route via management ]      [ Logical_Switch vpc-default-N ] -ports-+
//!                                                                                            v
//!                                                     [ LSP mgmt-default-N ], [ LSP svc-default-N ], pods
//! ```
//!
//! What leaves the cluster leaves through the sender's own host: each node's router port has a route table of its own,
//! with a default route to the node's management port. Not a `src-ip` route per slice: OVN prefers the longer prefix
//! whatever its kind, so such a route would also take what goes to slices with a shorter prefix, and to peers. Routes to
//! the slices themselves are in every table, and any prefix is longer than that of a default route.

use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_api::port::{NodePorts, PortFacts, PortKind, Route, Source};
use meridian_model::{Key, Name};
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::{
    gateway_chassis, load_balancer_group, logical_router, logical_router_port, logical_router_static_route,
    logical_switch, logical_switch_port,
};

use crate::Config;
use crate::context::Context;
use crate::names::DEFAULT_VPC;
use crate::slices::{Standing, list};
use crate::{ip, places, port};

/// The option of a router port that names the routes for what comes in there.
const ROUTE_TABLE: &str = "route_table";

/// Any will do, where there is only one chassis to choose from.
const RESIDENCE_PRIORITY: i64 = 1;

pub(crate) fn compile(ctx: &mut Context<'_>, name: &Name) {
    match ctx.slice(name) {
        Some(Standing::Slice(networks)) => slice(ctx, name, networks),
        Some(standing) => report(ctx, name, &standing),
        None => {}
    }
}

fn slice(ctx: &mut Context<'_>, node: &Name, networks: &[IpNetwork]) {
    let names = ctx.names();
    let switch_name = names.switch(DEFAULT_VPC, node);
    // No `subnet`: OVN's own address management stays off, addresses are ours to give.
    let columns = [
        (logical_switch::NAME, Datum::scalar(&switch_name)),
        (logical_switch::OTHER_CONFIG, Datum::empty()),
    ];
    let switch = ctx.row(logical_switch::TABLE, switch_name, columns, []);
    let router = ctx.uuid(logical_router::TABLE, &names.router(DEFAULT_VPC));
    let balancers = ctx.uuid(load_balancer_group::TABLE, &names.load_balancers(DEFAULT_VPC));
    ctx.link(
        logical_switch::TABLE,
        switch,
        logical_switch::LOAD_BALANCER_GROUP,
        balancers,
    );
    balancers_of_zone(ctx, node, switch);

    router_port(ctx, node, networks, router);
    uplink(ctx, node, switch);
    management(ctx, node, networks, switch);
    services(ctx, node, networks, switch);
    for &network in networks {
        egress_route(ctx, node, network, router);
    }
}

/// The load balancers that not all zones have.
fn balancers_of_zone(ctx: &mut Context<'_>, node: &Name, switch: Uuid) {
    let zone = ctx.node(node).and_then(|node| places::zone(node));
    if zone.is_none() && !ctx.places().any() {
        return;
    }
    let group = ctx.names().load_balancers_of(DEFAULT_VPC, zone.map(|zone| &**zone));
    let group = ctx.uuid(load_balancer_group::TABLE, &group);
    ctx.link(
        logical_switch::TABLE,
        switch,
        logical_switch::LOAD_BALANCER_GROUP,
        group,
    );
}

fn router_port(ctx: &mut Context<'_>, node: &str, networks: &[IpNetwork], router: Uuid) {
    let name = ctx.names().router_port(DEFAULT_VPC, node);
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
    residence(ctx, node, name, port);
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

fn uplink(ctx: &mut Context<'_>, node: &str, switch: Uuid) {
    let names = ctx.names();
    let columns = [
        (logical_switch_port::TYPE, Datum::scalar("router")),
        (logical_switch_port::ADDRESSES, Datum::scalar("router")),
        (logical_switch_port::PORT_SECURITY, Datum::empty()),
        (
            logical_switch_port::OPTIONS,
            ctx.map([("router-port", &*names.router_port(DEFAULT_VPC, node))]),
        ),
    ];
    port::add(ctx, names.uplink(DEFAULT_VPC, node), switch, columns, None);
}

/// The host's own port: kubelet's probes, and what leaves the VPC and what comes back.
fn management(ctx: &mut Context<'_>, node: &str, networks: &[IpNetwork], switch: Uuid) {
    let config = ctx.config();
    let service_cidrs = ctx.service_cidrs().networks();
    // What comes back from a host for the source towards services came out here, so that it goes in here.
    let sources = networks
        .iter()
        .filter(|network| services_of(config, service_cidrs, **network).next().is_some())
        .map(|&network| IpNetwork::from(ip::service_source(network)));
    let reached = config.cluster_cidrs().iter().copied().chain(sources);
    let facts = PortFacts {
        mac: ip::mac(networks.iter().map(|&network| ip::management(network))),
        ips: networks
            .iter()
            .map(|&network| interface(network, ip::management(network)))
            .collect(),
        routes: reached.filter_map(|destination| route(networks, destination)).collect(),
        ..host_facts(config)
    };
    let name = ctx.names().management(DEFAULT_VPC, node);
    host_port(ctx, node, name, switch, &facts, port::addresses(&facts).to_string());
}

/// The host's port towards services. One of its own, because a connection may pass the connection tracking of a port only
/// once, and one to a service whose endpoint is a host leaves by the management port.
fn services(ctx: &mut Context<'_>, node: &str, networks: &[IpNetwork], switch: Uuid) {
    let config = ctx.config();
    let service_cidrs = ctx.service_cidrs().networks();
    let served: Vec<IpNetwork> = networks
        .iter()
        .copied()
        .filter(|&network| services_of(config, service_cidrs, network).next().is_some())
        .collect();
    if served.is_empty() {
        return;
    }
    let destinations: Vec<IpNetwork> = served
        .iter()
        .flat_map(|&network| services_of(config, service_cidrs, network))
        .collect();
    let source = |destination: IpNetwork| {
        let own = served.iter().find(|own| own.is_ipv4() == destination.is_ipv4())?;
        Some(Source {
            destination,
            address: ip::service_source(*own),
        })
    };
    let facts = PortFacts {
        mac: ip::mac(served.iter().map(|&network| ip::service_source(network))),
        ips: served
            .iter()
            .any(IpNetwork::is_ipv4)
            .then(|| config.service_device_address())
            .into_iter()
            .collect(),
        routes: destinations
            .iter()
            .map(|&destination| Route {
                destination,
                via: gateway_beside(networks, destination),
            })
            .collect(),
        sources: destinations.iter().filter_map(|&to| source(to)).collect(),
        node_ports: served
            .iter()
            .map(|network| NodePorts {
                ports: config.node_port_range().clone(),
                address: config.node_address(network.is_ipv4()),
            })
            .collect(),
        ..host_facts(config)
    };
    // The address is the port's and no device's: see the source it stands for.
    let addresses = served.iter().fold(facts.mac.clone(), |text, &network| {
        format!("{text} {}", ip::service_source(network))
    });
    let name = ctx.names().services(DEFAULT_VPC, node);
    host_port(ctx, node, name, switch, &facts, addresses);
}

/// Where services of a slice's family are: in their networks, and behind ports of the nodes.
fn services_of(config: &Config, service_cidrs: &[IpNetwork], network: IpNetwork) -> impl Iterator<Item = IpNetwork> {
    let v4 = network.is_ipv4();
    let cidrs = service_cidrs.iter().copied().filter(move |cidr| cidr.is_ipv4() == v4);
    let mut cidrs = cidrs.peekable();
    let nodes = cidrs.peek().map(|_| IpNetwork::from(config.node_address(v4)));
    cidrs.chain(nodes)
}

/// The host reaches everything in the VPC through the gateway of its slice.
fn route(networks: &[IpNetwork], destination: IpNetwork) -> Option<Route> {
    let own = networks.iter().find(|own| own.is_ipv4() == destination.is_ipv4())?;
    Some(Route {
        destination,
        via: ip::gateway(*own),
    })
}

/// The gateway, for a device of the host's that is not the one with an address of the slice. IPv6 takes no gateway there
/// that is on another device's network, so it is the router port's link-local address.
fn gateway_beside(networks: &[IpNetwork], destination: IpNetwork) -> IpAddr {
    let gateways = || networks.iter().map(|&network| ip::gateway(network));
    match gateways().find(|gateway| gateway.is_ipv4() && destination.is_ipv4()) {
        Some(gateway) => gateway,
        None => ip::link_local(gateways()).into(),
    }
}

/// What the host's ports have in common.
fn host_facts(config: &Config) -> PortFacts {
    PortFacts {
        kind: PortKind::Management,
        mac: String::new(),
        ips: Vec::new(),
        // The host has a default route of its own.
        gateways: Vec::new(),
        routes: Vec::new(),
        sources: Vec::new(),
        node_ports: Vec::new(),
        mtu: config.mtu(),
        uid: None,
        vpc: None,
    }
}

fn host_port(ctx: &mut Context<'_>, node: &str, name: Arc<str>, switch: Uuid, facts: &PortFacts, addresses: String) {
    // No port security: through these ports come whatever sources the host forwards.
    let columns = [
        (logical_switch_port::TYPE, Datum::scalar("")),
        (logical_switch_port::ADDRESSES, Datum::scalar(addresses)),
        (logical_switch_port::PORT_SECURITY, Datum::empty()),
        (logical_switch_port::OPTIONS, ctx.map([(port::REQUESTED_CHASSIS, node)])),
    ];
    port::add(ctx, name, switch, columns, Some((facts, None)));
}

fn egress_route(ctx: &mut Context<'_>, node: &str, network: IpNetwork, router: Uuid) {
    let names = ctx.names();
    let key = names.egress_route(DEFAULT_VPC, node, network.is_ipv4());
    let everything = if network.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    let columns = [
        (
            logical_router_static_route::ROUTE_TABLE,
            Datum::scalar(names.router_port(DEFAULT_VPC, node)),
        ),
        (logical_router_static_route::POLICY, Datum::scalar("dst-ip")),
        (logical_router_static_route::IP_PREFIX, Datum::scalar(everything)),
        (
            logical_router_static_route::NEXTHOP,
            Datum::scalar(ip::management(network).to_string()),
        ),
    ];
    let route = ctx.row(logical_router_static_route::TABLE, key, columns, []);
    ctx.link(logical_router::TABLE, router, logical_router::STATIC_ROUTES, route);
}

/// An address with the prefix length of its network.
pub(crate) fn interface(network: IpNetwork, address: IpAddr) -> IpNetwork {
    IpNetwork::new(address, network.prefix()).expect("the network's own prefix length is valid")
}

fn report(ctx: &mut Context<'_>, name: &Name, standing: &Standing<'_>) {
    let node = Key::Node(name.clone());
    match standing {
        Standing::Slice(_) => {}
        Standing::Unusable(faults) => {
            for fault in *faults {
                ctx.problem(node.clone(), format!("spec.podCIDRs[{}]", fault.index), &*fault.message);
            }
        }
        Standing::Lost { cidr, theirs, to } => {
            let object = ctx.node(name);
            let is_cidr = |text: &Name| text.parse().is_ok_and(|network| ip::canonical(network) == *cidr);
            let index = object
                .and_then(|node| node.pod_cidrs.iter().position(is_cidr))
                .unwrap_or_default();
            let message = format!(
                "{cidr} of node {name} overlaps {theirs} of node {to}, which is older and keeps it: give {name} another \
                 podCIDR, or remove node {to}"
            );
            ctx.problem(node, format!("spec.podCIDRs[{index}]"), message);
        }
        Standing::Waiting => {
            let config = ctx.config();
            let cidrs = config.cluster_cidrs();
            let slices: Vec<String> = cidrs
                .iter()
                .map(|&cidr| format!("/{} of {cidr}", config.host_slice(cidr)))
                .collect();
            let message = format!(
                "the node has no podCIDR, and the cluster CIDRs ({}) have no free slice left for it ({}): add a cluster \
                 CIDR, set spec.podCIDRs, or remove nodes",
                list(cidrs),
                slices.join(", ")
            );
            ctx.problem(node, "spec.podCIDRs", message);
        }
    }
}
