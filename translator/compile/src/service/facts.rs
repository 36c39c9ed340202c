//! What every host needs to know of a service: see [`ServiceFacts`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use meridian_api::service::{Address, Local, Port, SERVICE, ServiceFacts};
use meridian_model::{Name, TrafficPolicy};

use super::Told;
use super::address::External;
use crate::address_pools::candidates;
use crate::context::Context;
use crate::names::default_vpc;
use crate::port;

/// Adds the port that stands for a service, if hosts have to do with it.
pub(super) fn compile(ctx: &mut Context<'_>, told: &Told<'_>) {
    let Some(facts) = facts(ctx, told) else {
        return;
    };
    port::tell_hosts(ctx, ctx.names().service_port(told.key), SERVICE, facts.to_json());
}

/// What hosts need to know, if they have to do with the service.
pub(super) fn facts(ctx: &mut Context<'_>, told: &Told<'_>) -> Option<ServiceFacts> {
    let Told { key, service, face, .. } = told;
    let on_nodes = face.ports.iter().any(|port| port.node_number.is_some());
    let is_local = service.external_policy == TrafficPolicy::Local;
    let shared = service.shared || ctx.config().is_shared(key);
    let elsewhere = told.is_elsewhere();
    let from_beyond = !face.addresses.external.is_empty() || (is_local && on_nodes);
    if !(from_beyond || shared || elsewhere) {
        return None;
    }
    let local = is_local.then(|| local(ctx, told));
    let ports = ports(ctx, told);
    let candidates = local.as_ref().map(|local| answering(local, &ports));
    let external = face.addresses.external.iter();
    let cluster_ips = if shared || elsewhere {
        face.addresses.cluster.clone()
    } else {
        Vec::new()
    };
    Some(ServiceFacts {
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        vpc: elsewhere.then(|| told.vpc.to_string()),
        cluster_ips,
        shared,
        ports,
        addresses: external
            .map(|external| address(ctx, external, candidates.as_ref()))
            .collect(),
        source_ranges: face.addresses.source_ranges.clone(),
        local,
        affinity_seconds: service.affinity_seconds,
    })
}

fn ports(ctx: &Context<'_>, told: &Told<'_>) -> Vec<Port> {
    let Told {
        service,
        face,
        frontends,
        behind,
        ..
    } = told;
    let config = ctx.config();
    let elsewhere = told.is_elsewhere();
    let is_local = service.external_policy == TrafficPolicy::Local;
    let families: Vec<bool> = face.addresses.cluster.iter().map(IpAddr::is_ipv4).collect();
    let of = |(index, port): (usize, &super::frontend::Port)| {
        let target = |ip: &IpAddr| match (service.internal_policy, port.node_number) {
            // The ClusterIP is answered by endpoints of the node alone, which what comes from outside need not be.
            (TrafficPolicy::Local, Some(number)) if !elsewhere => {
                SocketAddr::new(config.node_address(ip.is_ipv4()), number)
            }
            _ => SocketAddr::new(*ip, port.number),
        };
        // What is another service's is not among them.
        let is_known = |target: &SocketAddr| {
            let mut known = frontends.iter();
            known.any(|frontend| frontend.port == index && frontend.address == *target)
        };
        let mut endpoints: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
        for &v4 in families.iter().filter(|_| is_local || elsewhere) {
            let backends = behind.backends(index, v4);
            for (node, addresses) in backends.by_node() {
                endpoints.entry(node.to_string()).or_default().extend(addresses);
            }
            let nowhere = backends.on_no_node();
            if !nowhere.is_empty() {
                endpoints.entry(String::new()).or_default().extend(nowhere);
            }
        }
        Port {
            protocol: port.transport,
            port: port.number,
            node_port: port.node_number.filter(|_| is_local || elsewhere),
            targets: face.addresses.cluster.iter().map(target).filter(is_known).collect(),
            endpoints,
        }
    };
    face.ports.iter().enumerate().map(of).collect()
}

fn local(ctx: &mut Context<'_>, told: &Told<'_>) -> Local {
    let Told {
        service, face, behind, ..
    } = told;
    // An endpoint of two families or with several ports is one endpoint.
    let v4 = face.addresses.cluster.first().is_some_and(IpAddr::is_ipv4);
    let mut ready: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for index in 0..face.ports.len() {
        for (address, endpoint) in behind.backends(index, v4).ready() {
            if let Some(node) = &endpoint.node {
                ready.entry(node.to_string()).or_default().insert(address.ip());
            }
        }
    }
    let given = service.health_check_port;
    let health_check_port = given.and_then(super::frontend::port_number);
    if let (Some(given), None) = (given, health_check_port) {
        let message = format!("{given} is no port: it must be 1 to 65535");
        ctx.problem(told.key.clone().into(), "spec.healthCheckNodePort", message);
    }
    Local {
        health_check_port,
        ready: ready
            .into_iter()
            .map(|(node, endpoints)| (node, endpoints.len()))
            .collect(),
    }
}

/// The nodes that can do something with what comes to them: those with endpoints that are ready, or where there are none,
/// with endpoints that still answer.
fn answering(local: &Local, ports: &[Port]) -> BTreeSet<String> {
    if local.ready.is_empty() {
        ports.iter().flat_map(|port| port.endpoints.keys().cloned()).collect()
    } else {
        local.ready.keys().cloned().collect()
    }
}

/// Only some nodes are candidates with a policy of `Local`.
fn address(ctx: &Context<'_>, external: &External, among: Option<&BTreeSet<String>>) -> Address {
    let announcement = external
        .is_ingress
        .then(|| ctx.pools().announcement(external.address))
        .flatten();
    let v4 = external.address.is_ipv4();
    // Without a slice a host has no way into the VPC.
    let is_connected = |node: &Name| {
        ctx.slice_of(&default_vpc(), node)
            .iter()
            .any(|slice| slice.is_ipv4() == v4)
    };
    let is_among = |node: &Name| among.is_none_or(|among| among.contains(&**node));
    let announcers = announcement.map_or_else(Vec::new, |announcement| {
        let nodes = ctx
            .nodes()
            .filter(|node| is_among(&node.name) && is_connected(&node.name));
        candidates(external.address, announcement, nodes.map(|node| &**node))
    });
    Address {
        address: external.address,
        restricted: external.restricted,
        announcers: announcers.iter().map(ToString::to_string).collect(),
        interfaces: announcement
            .iter()
            .flat_map(|announcement| &*announcement.interfaces)
            .map(ToString::to_string)
            .collect(),
    }
}
