//! What a host does with what comes out of a VPC to it, as `node-cni` has it (`nftables/isolation.rs`, `cluster_ips.rs`, `frontends.rs`).

use std::net::{IpAddr, SocketAddr};

use meridian_model::{Egress, Name, Node};

use super::destination::Destination;
use super::known::{Handling, Known, handling, known, on_node};
use super::ovn::{Entry, list, networks};
use super::trail::{Step, Trail, Verdict};
use super::{Map, enter};
use crate::ip;
use crate::names::default_vpc;
use crate::segment::Spot;
use crate::slices::SliceKey;
use crate::vpcs::State;

const FORWARD: &str = "inet meridian, chain forward";
const DSTNAT: &str = "inet meridian, chain dstnat";
const TO_HOST: &str = "inet meridian, chain to-host";

/// What comes to a host by its management port in a slice.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) slice: SliceKey,
    /// The addresses of the sender, one of which is the source.
    pub(super) sources: Vec<IpAddr>,
    /// Whether another host sent it, or this one on behalf of a pod.
    pub(super) of_host: bool,
    /// The gateways of the VPC, if it came to one of them as such, and may have come to any.
    pub(super) gateways: Vec<Name>,
}

/// What becomes of what comes to a host.
pub(super) fn arrive(map: Map<'_>, arrival: &Arrival, to: &Destination) -> Trail {
    let node = &arrival.slice.node;
    if is_own(map, node, to.address) {
        return to_host(map, arrival, to);
    }
    if let Some(known) = known(map, to, to.socket()) {
        if known.facts.cluster_ips.contains(&to.address) {
            return to_cluster_ip(map, arrival, to, &known);
        }
        return to_service(map, arrival, to, &known);
    }
    let in_vpc = |cidrs: &[ipnetwork::IpNetwork]| cidrs.iter().any(|cidr| cidr.contains(to.address));
    if in_vpc(map.world.service_cidrs.networks()) {
        return if arrival.slice.is_default() {
            refused(
                node,
                format!("no service answers {to}, and it would go back into the VPC"),
                FORWARD,
            )
        } else {
            refused(
                node,
                format!("{to} is not of a service that is shared with VPC {}", arrival.slice.vpc),
                FORWARD,
            )
        };
    }
    if in_vpc(map.world.config.cluster_cidrs()) {
        return if arrival.slice.is_default() {
            refused(
                node,
                format!("no slice has {}, and it would go back into the VPC", to.address),
                FORWARD,
            )
        } else {
            let why = format!(
                "{} is in the default VPC, and nothing but shared services is reached from another",
                to.address
            );
            refused(node, why, FORWARD)
        };
    }
    let others = map.world.vpcs.iter().map(|state| &state.object.name);
    let theirs = others.into_iter().find(|vpc| {
        let slice = SliceKey::new((*vpc).clone(), node.clone());
        networks(map, &slice).iter().any(|network| network.contains(to.address))
    });
    if let Some(theirs) = theirs {
        let why = format!(
            "{} is in this node's slice of VPC {theirs}, and nothing passes from one VPC to another",
            to.address
        );
        return refused(node, why, FORWARD);
    }
    outside(map, arrival, to)
}

/// For the host itself: a port of the nodes, or a program of the host's.
fn to_host(map: Map<'_>, arrival: &Arrival, to: &Destination) -> Trail {
    let node = &arrival.slice.node;
    if let Some(port) = to.port.filter(|port| map.world.config.node_port_range().contains(port)) {
        return to_node_port(map, arrival, to, port);
    }
    if !arrival.slice.is_default() && to.port.is_some() {
        let why = format!("pods of VPC {} reach no port of a host", arrival.slice.vpc);
        return refused(node, why, TO_HOST);
    }
    let step = Step::rule(node, format!("{} is the host's own address", to.address), "none");
    Trail::reached([Step { rule: None, ..step }], format!("host {node}"), None)
}

fn to_node_port(map: Map<'_>, arrival: &Arrival, to: &Destination, port: u16) -> Trail {
    let node = &arrival.slice.node;
    let stand_in = SocketAddr::new(map.world.config.node_address(to.address.is_ipv4()), port);
    if let Some(known) = known(map, to, Some(stand_in)).filter(|known| known.facts.vpc.is_some()) {
        return to_service(map, arrival, to, &known);
    }
    if !reaches_world(map, arrival) {
        let why = format!(
            "port {port} of the host leads into the default VPC, and {}",
            no_way_out(map, &arrival.slice.vpc)
        );
        return refused(node, why, FORWARD);
    }
    let does = format!(
        "{to} is a port of the nodes: translated to {stand_in}, and into the VPC by the host's port towards services"
    );
    into_default(map, node, &to.translated(stand_in)).after([Step::rule(node, does, DSTNAT)])
}

/// To a ClusterIP that hosts have to do with: of another VPC, or shared.
fn to_cluster_ip(map: Map<'_>, arrival: &Arrival, to: &Destination, known: &Known) -> Trail {
    let Arrival { slice, of_host, .. } = arrival;
    let node = &slice.node;
    let handling = handling(known, node, to);
    let shared = known.facts.shared;
    if matches!(handling, Handling::Nobody) {
        let why = format!("{} has no endpoint", known.name);
        return refused(node, why, format!("{FORWARD}, set refused{}", digit(to.address)));
    }
    // Of its own VPC only what no load balancer of its switch knows comes here: for endpoints of this node alone.
    let own = known.facts.vpc.as_deref() == Some(&*slice.vpc);
    match &handling {
        Handling::Here(endpoints) if own => return here(map, node, to, known, endpoints, "cluster-ips"),
        _ if own && !shared => {
            let why = format!(
                "{} has no endpoint on this node, and is answered by no others (internalTrafficPolicy)",
                known.name
            );
            return refused(node, why, FORWARD);
        }
        _ => {}
    }
    let may = if slice.is_default() {
        shared || *of_host
    } else {
        shared && may_share(map, &slice.vpc)
    };
    if !may {
        let why = if shared {
            format!("VPC {} does not use shared services (spec.services.shared)", slice.vpc)
        } else {
            format!("{} is not shared with other VPCs (meridian.dev/shared)", known.name)
        };
        return refused(node, why, FORWARD);
    }
    match handling {
        Handling::Here(endpoints) => here(map, node, to, known, &endpoints, "cluster-ips"),
        Handling::Into(_) if slice.is_default() => {
            refused(node, format!("{} has no endpoint here any more", known.name), FORWARD)
        }
        Handling::Into(_) => {
            let does = format!(
                "{to} is of {}, which is shared: into the default VPC, under the host's address towards services",
                known.name
            );
            let rule = format!("{FORWARD}, set shared{}", digit(to.address));
            into_default(map, node, to).after([Step::rule(node, does, rule).of(&known.name)])
        }
        Handling::Nobody => unreachable!("refused above"),
    }
}

/// To an address from beyond the cluster, or to a port of the nodes of a service of another VPC.
fn to_service(map: Map<'_>, arrival: &Arrival, to: &Destination, known: &Known) -> Trail {
    let Arrival { slice, sources, .. } = arrival;
    let node = &slice.node;
    let restricted = known
        .facts
        .addresses
        .iter()
        .any(|address| address.address == to.address && address.restricted);
    let from = |range: &ipnetwork::IpNetwork| sources.iter().any(|source| range.contains(*source));
    if restricted && !known.facts.source_ranges.iter().any(from) {
        let does = format!(
            "{} lets no such client in (loadBalancerSourceRanges): dropped",
            known.name
        );
        let step = Step::rule(node, does, "inet meridian, chain restricted").of(&known.name);
        return Trail::end([step], Verdict::Dropped, format!("host {node}"));
    }
    match handling(known, node, to) {
        Handling::Nobody => refused(node, format!("{} has no endpoint", known.name), FORWARD),
        Handling::Here(endpoints) => {
            let theirs = known.facts.vpc.as_deref().unwrap_or(crate::names::DEFAULT_VPC);
            if reaches_world(map, arrival) || *slice.vpc == *theirs {
                here(map, node, to, known, &endpoints, "own")
            } else {
                let why = format!(
                    "{} is in VPC {theirs}, and under {to} nothing passes from VPC {}",
                    known.name, slice.vpc
                );
                refused(node, why, FORWARD)
            }
        }
        Handling::Into(target) => {
            let is_cluster_ip = known.facts.cluster_ips.contains(&target.ip());
            let may =
                reaches_world(map, arrival) || (is_cluster_ip && known.facts.shared && may_share(map, &slice.vpc));
            if !may {
                let why = format!("{} is not in VPC {}, and not shared with it", known.name, slice.vpc);
                return refused(node, why, FORWARD);
            }
            let does = format!(
                "{to} is of {}: translated to {target}, and into the default VPC",
                known.name
            );
            into_default(map, node, &to.translated(target)).after([Step::rule(node, does, DSTNAT).of(&known.name)])
        }
    }
}

/// To endpoints on this node, in the service's own VPC.
fn here(map: Map<'_>, node: &Name, to: &Destination, known: &Known, endpoints: &[SocketAddr], set: &str) -> Trail {
    let vpc: Name = known.facts.vpc.as_deref().map_or_else(default_vpc, Into::into);
    let does = format!(
        "{to} is of {}: translated to an endpoint on this node, and into VPC {vpc} under the host's address there",
        known.name
    );
    let rule = format!("{DSTNAT}, set {set}{}", digit(to.address));
    let step = Step::rule(node, does, rule).of(&known.name);
    let entry = Entry {
        pod: None,
        port: map.world.names.management(&vpc, node).to_string(),
        spot: Spot::in_slice(SliceKey::new(vpc, node.clone())),
        sources: Vec::new(),
        of_host: true,
    };
    let branches = endpoints
        .iter()
        .map(|&endpoint| (endpoint, enter(map, &entry, &to.translated(endpoint)).0));
    Trail::split(step, branches.collect())
}

/// Into the default VPC by the host's port towards services.
fn into_default(map: Map<'_>, node: &Name, to: &Destination) -> Trail {
    let slice = SliceKey::of_default(node);
    let entry = Entry {
        pod: None,
        port: map.world.names.services(&slice.vpc, node).to_string(),
        sources: networks(map, &slice)
            .iter()
            .map(|&network| ip::service_source(network))
            .collect(),
        spot: Spot::in_slice(slice),
        of_host: true,
    };
    enter(map, &entry, to).0
}

/// Into the world, or to another host.
fn outside(map: Map<'_>, arrival: &Arrival, to: &Destination) -> Trail {
    let SliceKey { vpc, node } = &arrival.slice;
    let own = map.world.vpcs.get(vpc).map(State::networks);
    if own.iter().flatten().any(|(cidr, _)| cidr.contains(to.address)) {
        return refused(node, format!("no slice of VPC {vpc} has {}", to.address), FORWARD);
    }
    if !reaches_world(map, arrival) {
        let why = format!(
            "{} is outside the cluster's network, and {}",
            to.address,
            no_way_out(map, vpc)
        );
        return refused(node, why, FORWARD);
    }
    let does = format!("{} is outside: leaves under the node's own address", to.address);
    let step = Step::rule(node, does, "inet meridian, chain postrouting (masquerade)");
    match map
        .world
        .cluster
        .nodes()
        .find(|other| other.internal_ips.contains(&to.address))
    {
        Some(other) if own.is_none() || is_node_port(map, to) => from_beyond(map, other, to).after([step]),
        Some(other) => {
            let why = format!(
                "pods of VPC {vpc} reach no port of host {} but those of services",
                other.name
            );
            refused(node, why, format!("{FORWARD}, set hosts{}", digit(to.address)))
        }
        None => {
            let from = match &*arrival.gateways {
                [] => format!("node {node}"),
                gateways => format!("gateway {}", list(gateways).replace(", ", " or ")),
            };
            Trail::end([step], Verdict::Leaves, format!("the world, from {from}"))
        }
    }
}

/// To another host, where it comes from beyond the cluster for all that one knows.
fn from_beyond(map: Map<'_>, node: &Node, to: &Destination) -> Trail {
    let name = &node.name;
    let Some(port) = to.port.filter(|port| map.world.config.node_port_range().contains(port)) else {
        let step = Step::rule(name, format!("{} is the host's own address", to.address), "none");
        return Trail::reached([Step { rule: None, ..step }], format!("host {name}"), None);
    };
    let stand_in = SocketAddr::new(map.world.config.node_address(to.address.is_ipv4()), port);
    if let Some(known) = known(map, to, Some(stand_in)) {
        let of_port = &known.facts.ports[known.port];
        if known.facts.local.is_some() {
            let endpoints = on_node(of_port, name, to);
            if endpoints.is_empty() {
                let does = format!(
                    "{} has no endpoint here (externalTrafficPolicy Local): dropped",
                    known.name
                );
                let step = Step::rule(name, does, "inet meridian, chain beyond").of(&known.name);
                return Trail::end([step], Verdict::Dropped, format!("host {name}"));
            }
            return here(map, name, to, &known, &endpoints, "local");
        }
        if known.facts.vpc.is_some() {
            let arrival = Arrival {
                slice: SliceKey::of_default(name),
                sources: Vec::new(),
                of_host: false,
                gateways: Vec::new(),
            };
            return to_service(map, &arrival, to, &known);
        }
    }
    let does = format!("{to} is a port of the nodes: translated to {stand_in}, and into the default VPC");
    into_default(map, name, &to.translated(stand_in)).after([Step::rule(name, does, DSTNAT)])
}

fn refused(node: &Name, does: String, rule: impl Into<String>) -> Trail {
    Trail::end([Step::rule(node, does, rule)], Verdict::Refused, format!("host {node}"))
}

/// Whether pods of a VPC reach what is outside the cluster by a host, and what is reached from there.
fn reaches_world(map: Map<'_>, arrival: &Arrival) -> bool {
    let state = map.world.vpcs.get(&arrival.slice.vpc);
    state.is_none_or(|state| state.object.egress == Egress::Node) || !arrival.gateways.is_empty()
}

/// Why pods of a VPC do not.
fn no_way_out(map: Map<'_>, vpc: &Name) -> String {
    let why = match map.world.vpcs.get(vpc).map(|state| &state.object.egress) {
        Some(Egress::Gateway(_)) if map.world.gateways.of_vpc(vpc).next().is_some() => "but by its gateways",
        Some(Egress::Gateway(selector)) => {
            return format!(
                "VPC {vpc} has no way out: no node is a gateway (spec.egress.gatewayNodeSelector {selector})"
            );
        }
        _ => "(spec.egress.mode None)",
    };
    format!("VPC {vpc} has no way out {why}")
}

/// Whether it is a port of the nodes, or no port at all.
fn is_node_port(map: Map<'_>, to: &Destination) -> bool {
    let range = map.world.config.node_port_range();
    to.port.is_none_or(|port| range.contains(&port))
}

/// Whether pods of a VPC use shared services.
fn may_share(map: Map<'_>, vpc: &Name) -> bool {
    map.world.vpcs.get(vpc).is_none_or(|state| state.object.shared_services)
}

/// Whether an address is the host's own.
fn is_own(map: Map<'_>, node: &Name, address: IpAddr) -> bool {
    let others = map.world.vpcs.iter().map(|state| state.object.name.clone());
    let mut vpcs = others.chain([default_vpc()]);
    let internal = map
        .world
        .cluster
        .node(node)
        .is_some_and(|node| node.internal_ips.contains(&address));
    internal
        || vpcs.any(|vpc| {
            let slice = SliceKey::new(vpc, node.clone());
            networks(map, &slice)
                .iter()
                .any(|&network| ip::management(network) == address)
        })
}

fn digit(address: IpAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}
