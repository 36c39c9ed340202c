//! A node: its slice of the default VPC.
//!
//! ```text
//! [ Logical_Router vpc-default ] -ports-> [ Logical_Router_Port ] <-router-port- [ LSP vpc-default-N-router ]
//!        |                                                                                   ^
//!        +-static_routes-> [ default route via management ]      [ Logical_Switch vpc-default-N ] -ports-+
//!                                                                                            v
//!                                                                            [ LSP mgmt-default-N ], pods
//! ```
//!
//! What leaves the cluster leaves through the sender's own host: each node's router port has a route table of its own,
//! with a default route to the node's management port. Not a `src-ip` route per slice: OVN prefers the longer prefix
//! whatever its kind, so such a route would also take what goes to slices with a shorter prefix, and to peers. Routes to
//! the slices themselves are in every table, and any prefix is longer than that of a default route.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_api::port::{NodePorts, PortFacts, PortKind, Route, Source};
use meridian_model::{Key, Name};
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::{
    load_balancer_group, logical_router, logical_router_port, logical_router_static_route, logical_switch,
    logical_switch_port,
};

use crate::context::Context;
use crate::names::DEFAULT_VPC;
use crate::slices::{Standing, list};
use crate::{ip, port};

/// The option of a router port that names the routes for what comes in there.
const ROUTE_TABLE: &str = "route_table";

pub(crate) fn compile(ctx: &mut Context<'_>, name: &Name) {
    match ctx.slice(name) {
        Some(Standing::Slice(networks)) => slice(ctx, name, networks),
        Some(standing) => report(ctx, name, &standing),
        None => {}
    }
}

fn slice(ctx: &mut Context<'_>, node: &str, networks: &[IpNetwork]) {
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

    router_port(ctx, node, networks, router);
    uplink(ctx, node, switch);
    management(ctx, node, networks, switch);
    for &network in networks {
        egress_route(ctx, node, network, router);
    }
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
    let port = ctx.row(logical_router_port::TABLE, name, columns, []);
    ctx.link(logical_router::TABLE, router, logical_router::PORTS, port);
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

fn management(ctx: &mut Context<'_>, node: &str, networks: &[IpNetwork], switch: Uuid) {
    let config = ctx.config();
    let of_family = |destination: IpNetwork| networks.iter().find(move |own| own.is_ipv4() == destination.is_ipv4());
    // The host reaches every pod and ClusterIP of a family through the slice's gateway. So it does its own source towards
    // services: OVN answers no one who asks for an address of his own port.
    let node_addresses: Vec<IpAddr> = [true, false]
        .into_iter()
        .filter(|&v4| config.service_cidrs().iter().any(|cidr| cidr.is_ipv4() == v4))
        .filter(|&v4| networks.iter().any(|own| own.is_ipv4() == v4))
        .map(|v4| config.node_address(v4))
        .collect();
    let of_services: Vec<IpNetwork> = config
        .service_cidrs()
        .iter()
        .copied()
        .chain(node_addresses.iter().copied().map(IpNetwork::from))
        .collect();
    let reached = config.cluster_cidrs().iter().chain(&of_services);
    let own_sources = networks
        .iter()
        .map(|&network| IpNetwork::from(ip::service_source(network)));
    let routes = reached.copied().chain(own_sources).filter_map(|destination| {
        Some(Route {
            destination,
            via: ip::gateway(*of_family(destination)?),
        })
    });
    let sources = of_services.iter().filter_map(|&destination| {
        Some(Source {
            destination,
            address: ip::service_source(*of_family(destination)?),
        })
    });
    let facts = PortFacts {
        kind: PortKind::Management,
        mac: ip::mac(networks.iter().map(|&network| ip::management(network))),
        ips: networks
            .iter()
            .map(|&network| interface(network, ip::management(network)))
            .collect(),
        // The host has a default route of its own.
        gateways: Vec::new(),
        routes: routes.collect(),
        sources: sources.collect(),
        node_ports: node_addresses
            .iter()
            .map(|&address| NodePorts {
                ports: config.node_port_range().clone(),
                address,
            })
            .collect(),
        mtu: config.mtu(),
        uid: None,
    };
    let name = ctx.names().management(DEFAULT_VPC, node);
    let addresses = networks
        .iter()
        .fold(port::addresses(&facts).to_string(), |text, &network| {
            format!("{text} {}", ip::service_source(network))
        });
    // No port security: through this port come whatever sources the host forwards.
    let columns = [
        (logical_switch_port::TYPE, Datum::scalar("")),
        (logical_switch_port::ADDRESSES, Datum::scalar(addresses)),
        (logical_switch_port::PORT_SECURITY, Datum::empty()),
        (logical_switch_port::OPTIONS, ctx.map([(port::REQUESTED_CHASSIS, node)])),
    ];
    port::add(ctx, name, switch, columns, Some((&facts, None)));
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
