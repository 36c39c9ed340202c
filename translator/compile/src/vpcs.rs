//! [`Vpcs`]: the VPCs beside the default one, which of them can be used, and which namespaces are in which.
//!
//! A namespace is in the oldest VPC that selects it, and in the default one if none does. Makes no rows; the VPC's unit does.

mod judge;
mod peers;
mod routes;
mod subnets;
mod update;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_api::name::is_vpc;
use meridian_model::{Cluster, Key, Name, Node, Timestamp, Vpc};

use crate::Peering;
use crate::names::default_vpc;

pub(crate) use self::routes::{RouteFault, RouteState};
pub(crate) use self::subnets::{Answers, SubnetState};
pub(crate) use self::update::Update;

/// The pod network of a VPC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Network {
    /// One per family.
    cidrs: Box<[IpNetwork]>,
    slice_v4: u8,
    slice_v6: u8,
}

/// A VPC beside the default one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) object: Arc<Vpc>,
    pub(crate) network: Network,
    /// Field and message of what keeps it from being used.
    pub(crate) faults: Vec<(String, String)>,
    /// Whether one of them is a clash with something that was there before.
    pub(crate) conflict: bool,
    /// What is wrong elsewhere because of it: object, field and message.
    pub(crate) clashes: Vec<(Key, String, String)>,
    /// Namespaces that it selects and an older VPC has.
    pub(crate) lost: BTreeMap<Name, Name>,
    /// How it fares with each of the peers that it names, in its order, and then with those that only consents name.
    pub(crate) peers: Vec<(Name, Peering)>,
    /// Its Subnets that can be used, with their networks, the oldest first.
    pub(crate) subnets: Vec<(Name, Box<[IpNetwork]>)>,
    /// How each consent for it fares.
    pub(crate) consents: Vec<(Name, Peering)>,
    /// Its routes that can be used.
    pub(crate) routes: Vec<RouteState>,
    /// What is wrong with the others.
    pub(crate) route_faults: Vec<RouteFault>,
}

#[derive(Debug, Default)]
pub(crate) struct Vpcs {
    states: BTreeMap<Name, State>,
    /// The oldest first.
    order: Vec<Name>,
    subnets: BTreeMap<Name, SubnetState>,
    /// Of all namespaces there are.
    homes: BTreeMap<Name, Name>,
    /// The Subnets that namespaces name for their pods.
    asked: BTreeMap<Name, Name>,
    /// How each consent to a peering fares.
    consents: BTreeMap<Name, Peering>,
    /// What of nodes they were judged by.
    nodes: HashMap<Name, NodeView>,
}

/// When a node came, and its addresses.
type NodeView = (Timestamp, Box<[IpAddr]>);

/// Where the pods and services of a namespace belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Home<'a> {
    /// The default VPC.
    Default,
    /// Another one.
    Vpc(&'a State),
    /// Nothing is known of the namespace, and there are VPCs that might select it.
    Unknown,
}

impl Home<'_> {
    /// The VPC's name, if it is known which it is.
    pub(crate) fn name(&self) -> Option<Name> {
        match self {
            Self::Default => Some(default_vpc()),
            Self::Vpc(state) => Some(state.object.name.clone()),
            Self::Unknown => None,
        }
    }
}

impl Network {
    /// The networks, each with the prefix length of a slice of it.
    pub(crate) fn slices(&self) -> impl Iterator<Item = (IpNetwork, u8)> {
        self.cidrs.iter().map(|&cidr| (cidr, self.slice(cidr.is_ipv4())))
    }

    pub(crate) fn cidrs(&self) -> &[IpNetwork] {
        &self.cidrs
    }

    pub(crate) fn slice(&self, v4: bool) -> u8 {
        if v4 { self.slice_v4 } else { self.slice_v6 }
    }
}

impl State {
    /// Whether what is in it works.
    pub(crate) fn is_usable(&self) -> bool {
        self.faults.is_empty()
    }

    /// All networks that its pods are in, its pod network first, with the Subnets that they are of.
    pub(crate) fn networks(&self) -> Vec<(IpNetwork, Option<Name>)> {
        let own = self.network.cidrs().iter().map(|cidr| (*cidr, None));
        let of_subnets = self
            .subnets
            .iter()
            .flat_map(|(name, networks)| networks.iter().map(|network| (*network, Some(name.clone()))));
        own.chain(of_subnets).collect()
    }

    /// The VPCs that it is connected to.
    pub(crate) fn connected(&self) -> impl Iterator<Item = &Name> {
        let connected = self.peers.iter().filter(|(_, peering)| *peering == Peering::Connected);
        connected.map(|(name, _)| name)
    }

    /// Its routes for what comes from the pod network, or from a Subnet of that name, of a family.
    pub(crate) fn routes_for(&self, subnet: Option<&Name>, v4: bool) -> impl Iterator<Item = &RouteState> {
        let of_family = move |route: &&RouteState| route.destination.is_ipv4() == v4;
        self.routes
            .iter()
            .filter(of_family)
            .filter(move |route| route.is_for(subnet))
    }

    /// Why nothing new can be in it.
    pub(crate) fn refusal(&self) -> Option<String> {
        if let Some((field, message)) = self.faults.first() {
            return Some(format!("VPC {} is not ready: {field}: {message}", self.object.name));
        }
        let deleting = self.object.deleting;
        deleting.then(|| format!("VPC {} is being deleted: nothing new is let in", self.object.name))
    }
}

impl Vpcs {
    /// Whether a node that is like this now may decide otherwise which of them can be used.
    pub(crate) fn depend_on(&self, name: &Name, node: Option<&Node>) -> bool {
        let now = node.map(|node| (node.created, &node.internal_ips));
        let before = self.nodes.get(name).map(|(created, ips)| (*created, ips));
        (!self.is_empty() || self.has_subnets()) && now != before
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&State> {
        self.states.get(name)
    }

    /// The oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &State> {
        self.order.iter().map(|name| &self.states[name])
    }

    /// Whether there are Subnets.
    pub(crate) fn has_subnets(&self) -> bool {
        !self.subnets.is_empty()
    }

    /// A Subnet, of whatever VPC.
    pub(crate) fn subnet(&self, name: &str) -> Option<&SubnetState> {
        self.subnets.get(name)
    }

    /// All Subnets, by name.
    pub(crate) fn subnets(&self) -> impl Iterator<Item = &SubnetState> {
        self.subnets.values()
    }

    /// The Subnet of a VPC that an address is of.
    pub(crate) fn subnet_with(&self, vpc: &Name, address: IpAddr) -> Option<&SubnetState> {
        let mut of_vpc = self.subnets.values().filter(|subnet| subnet.object.vpc == *vpc);
        of_vpc.find(|subnet| subnet.contains(address))
    }

    /// The Subnet that a namespace names for its pods.
    pub(crate) fn asked(&self, namespace: &Name) -> Option<&Name> {
        self.asked.get(namespace)
    }

    /// How each consent to a peering fares, by name.
    pub(crate) fn consents(&self) -> impl Iterator<Item = (&Name, &Peering)> {
        self.consents.iter()
    }

    /// Where what is in a namespace belongs.
    pub(crate) fn home(&self, namespace: &Name) -> Home<'_> {
        match self.homes.get(namespace) {
            Some(vpc) => self.states.get(vpc).map_or(Home::Default, Home::Vpc),
            None if self.states.is_empty() => Home::Default,
            None => Home::Unknown,
        }
    }

    /// Why pods of a namespace may not have further interfaces in a VPC, if they may not: neither is the namespace in it, nor does
    /// it let others in.
    pub(crate) fn refuses(&self, state: &State, namespace: &Name, cluster: &Cluster) -> Option<String> {
        let vpc = &state.object.name;
        let Some(object) = cluster.namespace(namespace) else {
            return Some(format!(
                "namespace {namespace} is not known, and so not whether VPC {vpc} lets it in: it follows once the namespace is"
            ));
        };
        let is_home = self.homes.get(namespace) == Some(vpc);
        let attachments = state.object.attachments.as_ref();
        let lets_in = is_home || attachments.is_some_and(|of| of.matches(&object.labels));
        (!lets_in).then(|| {
            format!(
                "VPC {vpc} does not let pods of namespace {namespace} in: its spec.attachments.namespaceSelector has to select \
                 that namespace"
            )
        })
    }

    /// The namespaces of each VPC, sorted. Its cost grows with the namespaces.
    pub(crate) fn namespaces(&self) -> BTreeMap<&Name, Vec<Name>> {
        let mut namespaces: BTreeMap<&Name, Vec<Name>> = BTreeMap::new();
        for (namespace, home) in &self.homes {
            namespaces.entry(home).or_default().push(namespace.clone());
        }
        namespaces
    }
}

/// Why a text cannot be the name of a VPC.
fn name_fault(name: &str) -> Option<String> {
    (!is_vpc(name)).then(|| {
        format!(
            "{name:?} cannot be the name of a VPC: it has at most 63 characters, of a-z, 0-9 and -, and does not begin with \
             \"default-\"; \"default\" is the VPC of namespaces that no other selects"
        )
    })
}
