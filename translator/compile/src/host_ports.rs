//! The host's own ports in a VPC.

use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_api::port::{NodePorts, PortFacts, PortKind, Route, Source, VpcFacts};
use meridian_model::Egress;
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::logical_switch_port;

use crate::context::Context;
use crate::slices::SliceKey;
use crate::{Config, ip, policy, port};

pub(crate) fn compile(ctx: &mut Context<'_>, key: &SliceKey, networks: &[IpNetwork], switch: Uuid) {
    management(ctx, key, networks, switch);
    if key.is_default() {
        services(ctx, key, networks, switch);
    }
}

/// The host's own port: kubelet's probes, and what leaves the VPC and what comes back.
fn management(ctx: &mut Context<'_>, key: &SliceKey, networks: &[IpNetwork], switch: Uuid) {
    let config = ctx.config();
    let service_cidrs = ctx.service_cidrs().networks();
    // What comes back from a host for the source towards services came out here, so that it goes in here.
    let sources = networks
        .iter()
        .filter(|network| services_of(config, service_cidrs, **network).next().is_some())
        .map(|&network| IpNetwork::from(ip::service_source(network)));
    let reached = config.cluster_cidrs().iter().copied().chain(sources);
    // Of another VPC the host reaches its own slice, which is a network of the device, and nothing of other nodes'.
    let reached = reached.filter(|_| key.is_default());
    let facts = PortFacts {
        ips: networks
            .iter()
            .map(|&network| ip::interface(network, ip::management(network)))
            .collect(),
        routes: reached.filter_map(|destination| route(networks, destination)).collect(),
        vpc: vpc(ctx, key),
        ..host_facts(config, ip::mac(networks.iter().map(|&network| ip::management(network))))
    };
    let name = ctx.names().management(&key.vpc, &key.node);
    let addresses = port::addresses(&facts).to_string();
    let port = host_port(ctx, &key.node, name, switch, &facts, addresses);
    policy::join_host(ctx, port, networks);
}

/// What the host has to know of another VPC than the default one.
fn vpc(ctx: &Context<'_>, key: &SliceKey) -> Option<VpcFacts> {
    let state = ctx.vpc(&key.vpc)?;
    Some(VpcFacts {
        name: key.vpc.to_string(),
        services: state.object.shared_services,
        outside: state.object.egress == Egress::Node,
        networks: state.networks().into_iter().map(|(network, _)| network).collect(),
    })
}

/// The host's port towards services. One of its own, because a connection may pass the connection tracking of a port only
/// once, and one to a service whose endpoint is a host leaves by the management port.
fn services(ctx: &mut Context<'_>, key: &SliceKey, networks: &[IpNetwork], switch: Uuid) {
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
        ..host_facts(
            config,
            ip::mac(served.iter().map(|&network| ip::service_source(network))),
        )
    };
    // The address is the port's and no device's: see the source it stands for.
    let addresses = served.iter().fold(facts.mac.clone(), |text, &network| {
        format!("{text} {}", ip::service_source(network))
    });
    let name = ctx.names().services(&key.vpc, &key.node);
    host_port(ctx, &key.node, name, switch, &facts, addresses);
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

/// What the host's ports have in common. No gateway: the host has a default route of its own.
fn host_facts(config: &Config, mac: String) -> PortFacts {
    PortFacts {
        mtu: config.mtu(),
        ..PortFacts::new(PortKind::Management, mac)
    }
}

fn host_port(
    ctx: &mut Context<'_>,
    node: &str,
    name: Arc<str>,
    switch: Uuid,
    facts: &PortFacts,
    addresses: String,
) -> Uuid {
    // No port security: through these ports come whatever sources the host forwards.
    let columns = [
        (logical_switch_port::TYPE, Datum::scalar("")),
        (logical_switch_port::ADDRESSES, Datum::scalar(addresses)),
        (logical_switch_port::PORT_SECURITY, Datum::empty()),
        (logical_switch_port::OPTIONS, ctx.map([(port::REQUESTED_CHASSIS, node)])),
    ];
    port::add(ctx, name, switch, columns, Some((facts, None)))
}
