//! [`Gateways`]: which nodes are gateways of which VPCs, and under which address each VPC's router is known to its gateways' hosts.
//!
//! A node that is a gateway of a VPC is the home of a *slot*: a port of the VPC's router towards the host, with an address of the
//! egress network, which all hosts have in common. Slots are numbered, and a number is the same part of each egress network. A slot
//! keeps its number as long as it is there; the row is the claim.
//!
//! Makes no rows; the slots' units do ([`crate::gateway`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Cluster, Egress, Name, Node};

use crate::arbiter::{Arbiter, Bid, Item, Space};
use crate::slices::SliceKey;
use crate::vpcs::{State, Vpcs};
use crate::{Claim, Config, ip};

/// Names what a VPC has at one of its gateways, like what it has at a node of its pods.
pub(crate) type SlotKey = SliceKey;

/// The first slot: before it come the network's and the host's own address.
const FIRST: u128 = 2;

/// What tells slots apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Number(u128);

impl Item for Number {
    fn overlapping<V>(self, known: &BTreeMap<Self, V>) -> Vec<Self> {
        known.contains_key(&self).then_some(self).into_iter().collect()
    }
}

/// The numbers that all egress networks have room for.
#[derive(Debug)]
struct Numbers {
    last: u128,
    /// All below are in use.
    free_from: u128,
}

impl Space for Numbers {
    type Item = Number;

    fn admits(&self, held: &[Number], item: Number) -> bool {
        held.is_empty() && (FIRST..=self.last).contains(&item.0)
    }

    fn take(&mut self, _: Number) {}

    fn give_back(&mut self, item: Number) {
        self.free_from = self.free_from.min(item.0);
    }

    fn complete<V>(&mut self, in_use: &BTreeMap<Number, V>, held: &[Number], _: &[Number]) -> Option<Vec<Number>> {
        if !held.is_empty() {
            return Some(Vec::new());
        }
        while in_use.contains_key(&Number(self.free_from)) {
            self.free_from += 1;
        }
        (self.free_from <= self.last).then(|| vec![Number(self.free_from)])
    }
}

#[derive(Debug)]
pub(crate) struct Gateways {
    cidrs: Box<[IpNetwork]>,
    slots: Arbiter<SlotKey, Numbers>,
    /// The nodes that each VPC selects.
    nodes: BTreeMap<Name, BTreeSet<Name>>,
    /// The same by node.
    vpcs: BTreeMap<Name, BTreeSet<Name>>,
    claims: HashMap<SlotKey, Number>,
    /// Nodes that have an address of an egress network.
    clashes: BTreeMap<Name, IpAddr>,
    /// Whether there were such nodes when it was last settled.
    clashed: bool,
}

impl Gateways {
    pub(crate) fn new(config: &Config) -> Self {
        let cidrs = config.egress_cidrs();
        let last = cidrs.iter().map(|&cidr| ip::pod_offsets(cidr).1).min();
        Self {
            cidrs: cidrs.into(),
            slots: Arbiter::new(Numbers {
                last: last.unwrap_or_default(),
                free_from: FIRST,
            }),
            nodes: BTreeMap::new(),
            vpcs: BTreeMap::new(),
            claims: HashMap::new(),
            clashes: BTreeMap::new(),
            clashed: false,
        }
    }

    /// Takes over what a slot had before.
    pub(crate) fn claim(&mut self, slot: SlotKey, addresses: &[IpAddr]) {
        let number = |address: &IpAddr| self.cidrs.iter().find_map(|&cidr| ip::offset(cidr, *address));
        if let Some(number) = addresses.iter().find_map(number) {
            self.claims.insert(slot, Number(number));
        }
    }

    /// Notes what a VPC is like now; takes effect with [`Self::settle`].
    pub(crate) fn set_vpc(&mut self, name: &Name, state: Option<&State>, cluster: &Cluster) {
        let before = self.nodes.get(name).cloned().unwrap_or_default();
        let selected = cluster
            .nodes()
            .filter(|node| selects(state, Some(node)))
            .map(|node| node.name.clone());
        let now: BTreeSet<Name> = selected.collect();
        for node in before.union(&now) {
            self.set(name, node, state.filter(|_| now.contains(node)));
        }
    }

    /// The same of a node.
    pub(crate) fn set_node(&mut self, name: &Name, node: Option<&Node>, vpcs: &Vpcs) {
        let clash = node.and_then(|node| {
            let mut own = node.internal_ips.iter();
            own.find(|ip| self.cidrs.iter().any(|cidr| cidr.contains(**ip)))
        });
        match clash {
            Some(address) => self.clashes.insert(name.clone(), *address),
            None => self.clashes.remove(name),
        };
        for state in vpcs.iter() {
            if matches!(state.object.egress, Egress::Gateway(_)) {
                let selects = selects(Some(state), node);
                self.set(&state.object.name, name, Some(state).filter(|_| selects));
            }
        }
    }

    fn set(&mut self, vpc: &Name, node: &Name, state: Option<&State>) {
        let slot = SlotKey::new(vpc.clone(), node.clone());
        let Some(state) = state else {
            remove(&mut self.nodes, vpc, node);
            remove(&mut self.vpcs, node, vpc);
            self.slots.stage(slot, None);
            return;
        };
        self.nodes.entry(vpc.clone()).or_default().insert(node.clone());
        self.vpcs.entry(node.clone()).or_default().insert(vpc.clone());
        let held = self.slots.held(&slot).first().copied();
        let claim = held.or_else(|| self.claims.get(&slot).copied());
        let bid = Bid {
            created: state.object.created,
            record: Box::default(),
            is_wish: false,
            wants_more: false,
            claim: claim.into_iter().collect(),
            only: Box::default(),
            avoid: Box::default(),
        };
        self.slots.stage(slot, Some(bid));
    }

    /// Settles what is noted and returns the slots that may fare differently.
    pub(crate) fn settle(&mut self) -> BTreeSet<SlotKey> {
        let mut changed = self.slots.settle();
        let clashed = !self.clashes.is_empty();
        if std::mem::replace(&mut self.clashed, clashed) != clashed {
            changed.extend(self.slots.holdings().map(|(slot, _)| slot.clone()));
        }
        changed
    }

    /// Claims of what nobody asked for are void once everything was seen.
    pub(crate) fn forget_absent(&mut self) {
        self.claims.clear();
    }

    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.clashed || self.slots.holdings().all(|(_, held)| held.is_empty())
    }

    /// The nodes that are gateways of a VPC, by name.
    pub(crate) fn of_vpc<'a>(&'a self, vpc: &Name) -> impl Iterator<Item = &'a Name> + use<'a> {
        let vpc = vpc.clone();
        let selected = self.nodes.get(&vpc).into_iter().flatten();
        selected.filter(move |node| self.number(&SlotKey::new(vpc.clone(), (*node).clone())).is_some())
    }

    /// The VPCs that a node is a gateway of, by name.
    pub(crate) fn of_node<'a>(&'a self, node: &Name) -> impl Iterator<Item = &'a Name> + use<'a> {
        let node = node.clone();
        let selecting = self.vpcs.get(&node).into_iter().flatten();
        selecting.filter(move |vpc| self.number(&SlotKey::new((*vpc).clone(), node.clone())).is_some())
    }

    /// A slot's addresses, one of each egress network; none if there is no such slot.
    pub(crate) fn addresses(&self, slot: &SlotKey) -> Vec<IpNetwork> {
        let Some(number) = self.number(slot) else {
            return Vec::new();
        };
        let of = |cidr: &IpNetwork| IpNetwork::new(ip::nth(*cidr, number.0), cidr.prefix()).ok();
        self.cidrs.iter().filter_map(of).collect()
    }

    /// Why a VPC lacks gateways that it selects, and whether it is a clash.
    pub(crate) fn fault(&self, vpc: &Name) -> Option<(String, bool)> {
        let selected = self.nodes.get(vpc)?;
        if let Some((node, address)) = self.clashes.first_key_value() {
            let cidr = self.cidrs.iter().find(|cidr| cidr.contains(*address))?;
            let message = format!(
                "the address {address} of node {node} is in the egress CIDR {cidr}, where hosts look for VPCs' routers: start the \
                 translator with another --egress-cidr"
            );
            return Some((message, true));
        }
        let slot = |node: &&Name| SlotKey::new(vpc.clone(), (*node).clone());
        let without = selected
            .iter()
            .filter(|node| self.number(&slot(node)).is_none())
            .count();
        (without > 0).then(|| {
            let cidrs = crate::slices::list(&self.cidrs);
            let message = if self.cidrs.is_empty() {
                "there is no egress CIDR: start the translator with --egress-cidr".to_owned()
            } else {
                format!(
                    "{without} of {} nodes are no gateways, because the egress CIDRs ({cidrs}) are used up: start the translator \
                     with a larger --egress-cidr, or select fewer nodes",
                    selected.len()
                )
            };
            (message, false)
        })
    }

    pub(crate) fn claims(&self) -> impl Iterator<Item = Claim> {
        let held = self.slots.holdings().filter(|(_, held)| !held.is_empty());
        held.map(|(slot, held)| Claim::Gateway {
            vpc: slot.vpc.clone(),
            node: slot.node.clone(),
            addresses: self.cidrs.iter().map(|&cidr| ip::nth(cidr, held[0].0)).collect(),
        })
    }

    fn number(&self, slot: &SlotKey) -> Option<Number> {
        self.slots.held(slot).first().copied().filter(|_| !self.clashed)
    }
}

/// Whether a VPC has a node as its gateway.
fn selects(state: Option<&State>, node: Option<&Node>) -> bool {
    let (Some(state), Some(node)) = (state, node) else {
        return false;
    };
    match &state.object.egress {
        Egress::Gateway(selector) => state.is_usable() && selector.matches(&node.labels),
        Egress::Node | Egress::None => false,
    }
}

fn remove(sets: &mut BTreeMap<Name, BTreeSet<Name>>, key: &Name, item: &Name) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(item);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}
