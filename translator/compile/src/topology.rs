//! [`Topology`]: what there is of networks and where, for whoever draws it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Egress, Name, PodKey, PortKey};
use ovsdb_schemas::northbound::logical_switch_port;
use serde::Serialize;

use crate::addresses::Fare;
use crate::context::{Context, World};
use crate::names::default_vpc;
use crate::segment::{Segment, Spot};
use crate::slices::{SliceKey, Standing};
use crate::vpcs::{RouteState, State, SubnetState};
use crate::{Desired, Peering, Unit, places, service};

/// Every VPC, every node, and what is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    /// The nodes by name.
    pub nodes: Vec<Host>,
    /// The VPCs, the default one first, the others by name.
    pub vpcs: Vec<Network>,
    /// The services that pods of other VPCs reach through their hosts.
    pub shared: Vec<SharedService>,
    /// Networks of ClusterIPs.
    pub service_cidrs: Vec<IpNetwork>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Its zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How many pods have ports on it.
    pub pods: usize,
}

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its logical router.
    pub router: String,
    /// Its pod networks.
    pub cidrs: Vec<String>,
    /// Whether pods reach the world.
    pub egress: bool,
    /// The nodes through which they do, if not each through its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
    /// Whether pods reach shared services; those of the default VPC reach all services of it.
    pub uses_shared: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What keeps pods out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// How many namespaces are in it.
    pub namespaces: usize,
    /// How many services are in it.
    pub services: usize,
    /// How many of them are shared.
    pub shared_services: usize,
    /// How many pods have ports in it.
    pub pods: usize,
    /// The VPCs that it is to be connected to.
    pub peers: Vec<PeerUse>,
    /// What nodes have of it, by node.
    pub slices: Vec<Cell>,
    /// Its Subnets, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<SubnetUse>,
    /// Its own routes that can be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteUse>,
}

/// A Subnet of a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubnetUse {
    /// Its name.
    pub name: String,
    /// The logical switch.
    pub switch: String,
    /// Its networks.
    pub networks: Vec<IpNetwork>,
    /// What keeps pods out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// How many pods have ports on it, by node.
    pub pods: BTreeMap<String, usize>,
}

/// Where a VPC leads what is for a network beyond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteUse {
    /// The network.
    pub destination: IpNetwork,
    /// The addresses of those that forward it; none if it leads nowhere.
    pub nexthops: Vec<IpAddr>,
}

/// A VPC that another is to be connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerUse {
    /// Its name.
    pub name: String,
    /// Whether the two are connected.
    pub state: PeerState,
    /// Why they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How a VPC fares with one that it is to be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PeerState {
    /// Pods of the two reach each other.
    Connected,
    /// The other has not agreed, or cannot be used yet.
    Waiting,
    /// The two cannot be peers.
    Refused,
}

/// What a node has of a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// The node.
    pub node: String,
    /// The logical switch.
    pub switch: String,
    /// Its networks.
    pub networks: Vec<IpNetwork>,
    /// How many pods have ports on it.
    pub pods: usize,
}

/// A service that is shared with every VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedService {
    /// `namespace/name`.
    pub service: String,
    /// Its VPC.
    pub vpc: String,
    /// Its ClusterIPs.
    pub addresses: Vec<String>,
}

/// How many pods have ports where.
type Pods = BTreeMap<Spot, usize>;

pub(crate) fn of(world: World<'_>, desired: &Desired) -> Topology {
    let mut pods = Pods::new();
    for row in desired.rows(logical_switch_port::TABLE) {
        let Unit::Pod(namespace, name) = &row.owner else {
            continue;
        };
        let key = PortKey {
            pod: PodKey::new(namespace.clone(), name.clone()),
            interface: row.key.split_once('@').map(|(_, interface)| interface.into()),
        };
        let spot = match world.placements.of(&key) {
            Some(spot) => Some(spot.clone()),
            None => world
                .cluster
                .pod(&key.pod)
                .and_then(|pod| pod.node.as_ref().map(SliceKey::of_default))
                .map(Spot::in_slice),
        };
        if let Some(spot) = spot.filter(|_| matches!(world.addresses.fare(&key), Some(Fare::Granted(_)))) {
            *pods.entry(spot).or_default() += 1;
        }
    }
    let mut services: BTreeMap<Name, (usize, usize)> = BTreeMap::new();
    let mut shared = Vec::new();
    for service in world.cluster.services() {
        let key = service.key();
        let unit: Unit = key.clone().into();
        let Ok(vpc) = service::vpc(&Context::new(world, &unit), &key) else {
            continue;
        };
        let is_shared = service.shared || world.config.is_shared(&key);
        let (all, of_shared) = services.entry(vpc.clone()).or_default();
        *all += 1;
        if is_shared {
            *of_shared += 1;
            shared.push(SharedService {
                service: key.to_string(),
                vpc: vpc.to_string(),
                addresses: service.cluster_ips.iter().map(ToString::to_string).collect(),
            });
        }
    }
    shared.sort_by(|one, other| one.service.cmp(&other.service));
    let host = |node: &std::sync::Arc<meridian_model::Node>| Host {
        name: node.name.to_string(),
        ready: node.ready,
        zone: places::zone(node).map(ToString::to_string),
        pods: pods
            .iter()
            .filter(|(spot, _)| spot.node == node.name)
            .map(|(_, pods)| pods)
            .sum(),
    };
    let others: BTreeMap<Name, &State> = world
        .vpcs
        .iter()
        .map(|state| (state.object.name.clone(), state))
        .collect();
    let vpcs = std::iter::once(network(world, &default_vpc(), &pods, &services))
        .chain(others.keys().map(|name| network(world, name, &pods, &services)));
    Topology {
        nodes: world.cluster.nodes().map(host).collect(),
        vpcs: vpcs.collect(),
        shared,
        service_cidrs: world.service_cidrs.networks().to_vec(),
    }
}

fn network(world: World<'_>, name: &Name, pods: &Pods, services: &BTreeMap<Name, (usize, usize)>) -> Network {
    let state = world.vpcs.get(name);
    let cell = |node: &Name| {
        let slice = SliceKey::new(name.clone(), node.clone());
        let Some(Standing::Slice(networks)) = world.slices.standing(&slice) else {
            return None;
        };
        Some(Cell {
            node: node.to_string(),
            switch: world.names.switch(name, node).to_string(),
            networks: networks.to_vec(),
            pods: pods.get(&Spot::in_slice(slice)).copied().unwrap_or_default(),
        })
    };
    // Of another VPC only nodes with pods have anything, so not all nodes are asked for each of a thousand VPCs.
    let slices: Vec<Cell> = match state {
        Some(_) => world
            .placements
            .slices(name)
            .filter_map(|(slice, _)| cell(&slice.node))
            .collect(),
        None => world.cluster.nodes().filter_map(|node| cell(&node.name)).collect(),
    };
    let (of_vpc, shared) = services.get(name).copied().unwrap_or_default();
    let cidrs = match state {
        Some(state) => state.object.cidrs.iter().map(ToString::to_string).collect(),
        None => world.config.cluster_cidrs().iter().map(ToString::to_string).collect(),
    };
    let all = world.cluster.namespaces().len();
    let subnets = subnets(world, name, pods);
    let of_subnets: usize = subnets.iter().flat_map(|subnet| subnet.pods.values()).sum();
    let gateways: Vec<String> = world.gateways.of_vpc(name).map(ToString::to_string).collect();
    Network {
        name: name.to_string(),
        router: world.names.router(name).to_string(),
        cidrs,
        egress: state.is_none_or(|state| state.object.egress == Egress::Node) || !gateways.is_empty(),
        gateways,
        uses_shared: state.is_none_or(|state| state.object.shared_services),
        deleting: state.is_some_and(|state| state.object.deleting),
        fault: state
            .and_then(|state| state.faults.first())
            .map(|(field, message)| format!("{field}: {message}")),
        namespaces: if world.vpcs.is_empty() {
            all
        } else {
            world.vpcs.namespaces().get(name).map_or(0, Vec::len)
        },
        services: of_vpc,
        shared_services: shared,
        pods: slices.iter().map(|slice| slice.pods).sum::<usize>() + of_subnets,
        peers: state.map_or_else(Vec::new, |state| state.peers.iter().map(peer).collect()),
        slices,
        subnets,
        routes: state.map_or_else(Vec::new, |state| state.routes.iter().map(route).collect()),
    }
}

fn subnets(world: World<'_>, vpc: &Name, pods: &Pods) -> Vec<SubnetUse> {
    let of_vpc = world.vpcs.subnets().filter(|state| state.object.vpc == *vpc);
    let subnet = |state: &SubnetState| {
        let segment = Segment::Subnet(state.key());
        let here = pods.iter().filter(|(spot, _)| spot.segment == segment);
        SubnetUse {
            name: state.object.name.to_string(),
            switch: world.names.switch_of(&segment).to_string(),
            networks: state.networks().collect(),
            fault: state.refusal().filter(|_| !state.is_usable()),
            pods: here.map(|(spot, pods)| (spot.node.to_string(), *pods)).collect(),
        }
    };
    of_vpc.map(subnet).collect()
}

fn route(route: &RouteState) -> RouteUse {
    RouteUse {
        destination: route.destination,
        nexthops: route.hops.iter().map(|(hop, _)| *hop).collect(),
    }
}

fn peer((name, peering): &(Name, Peering)) -> PeerUse {
    let (state, why) = match peering {
        Peering::Connected => (PeerState::Connected, None),
        Peering::Waiting(why) => (PeerState::Waiting, Some(why.clone())),
        Peering::Refused(why) => (PeerState::Refused, Some(why.clone())),
    };
    PeerUse {
        name: name.to_string(),
        state,
        why,
    }
}
