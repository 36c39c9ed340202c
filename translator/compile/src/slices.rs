//! Which networks each node has of each VPC: its slices.
//!
//! Of the default VPC every node has one. `spec.podCIDRs` is the record; a node without is given a part of the cluster CIDRs, and
//! keeps it. Of another VPC only nodes with pods of it have one, a part of the VPC's CIDRs, as long as they have such pods. VPCs may
//! have the same CIDRs, but a node gets no two slices that overlap: its kernel could not tell whose pod has an address.
//! A slice is all or nothing: a node one of whose CIDRs cannot be used has no slice, rather than half of one that looks like all.
//!
//! Makes no rows; the units of nodes and slices do.

mod cidrs;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnetwork::IpNetwork;
use meridian_model::{Name, Node, Timestamp};

use self::cidrs::Cidrs;
use crate::arbiter::{Arbiter, Bid, Item as _, Outcome};
use crate::names::{DEFAULT_VPC, default_vpc};
use crate::vpcs::Network;
use crate::{Claim, Config, ip};

/// Names what a node has of a VPC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SliceKey {
    pub(crate) vpc: Name,
    pub(crate) node: Name,
}

impl SliceKey {
    pub(crate) fn new(vpc: Name, node: Name) -> Self {
        Self { vpc, node }
    }

    /// What a node has of the default VPC.
    pub(crate) fn of_default(node: &Name) -> Self {
        Self::new(default_vpc(), node.clone())
    }

    pub(crate) fn is_default(&self) -> bool {
        &*self.vpc == DEFAULT_VPC
    }
}

/// How a node fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    /// It has a slice: at most one network per family.
    Slice(&'a [IpNetwork]),
    /// Its `spec.podCIDRs` make no sense by themselves.
    Unusable(&'a [Fault]),
    /// `cidr` of its `spec.podCIDRs` overlaps `theirs` of an older node.
    Lost {
        cidr: IpNetwork,
        theirs: IpNetwork,
        to: &'a Name,
    },
    /// The VPC's CIDRs have nothing for it.
    Waiting,
}

/// What is wrong with one of a node's CIDRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Which of them.
    pub(crate) index: usize,
    pub(crate) message: String,
}

#[derive(Debug)]
pub(crate) struct Slices {
    vpcs: HashMap<Name, Arbiter<Name, Cidrs>>,
    /// Of nodes in the default VPC.
    faults: HashMap<Name, Vec<Fault>>,
    /// Claims of slices that nobody asked for yet.
    claims: HashMap<SliceKey, Box<[IpNetwork]>>,
    /// What is to be settled beside the default VPC, by VPC and node.
    staged: BTreeMap<Name, BTreeMap<Name, Option<Wish>>>,
    /// Slices beside those of the default VPC, by node; also those that there is nothing for.
    at: HashMap<Name, BTreeMap<Name, Wish>>,
    /// Those of them that there was nothing for.
    waiting: BTreeSet<SliceKey>,
}

/// A node has pods of a VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) created: Timestamp,
    /// The slice that its pods' addresses are of, as far as they have any.
    pub(crate) of_pods: Box<[IpNetwork]>,
    /// The same of further interfaces, by what pods' annotations say. It counts where nothing else speaks for another slice, and
    /// where nobody has anything of it: anybody may write an annotation.
    pub(crate) hinted: Box<[IpNetwork]>,
}

impl Slices {
    pub(crate) fn new(config: &Config) -> Self {
        let cidrs = config
            .cluster_cidrs()
            .iter()
            .map(|&cidr| (cidr, config.host_slice(cidr)));
        Self {
            vpcs: HashMap::from([(default_vpc(), Arbiter::new(Cidrs::new(cidrs)))]),
            faults: HashMap::new(),
            claims: HashMap::new(),
            staged: BTreeMap::new(),
            at: HashMap::new(),
            waiting: BTreeSet::new(),
        }
    }

    pub(crate) fn claim(&mut self, slice: SliceKey, networks: Box<[IpNetwork]>) {
        self.claims.insert(slice, networks);
    }

    /// Notes what a node is like now; takes effect with [`Self::settle`]. True if that alone makes it fare differently.
    pub(crate) fn stage(&mut self, name: &Name, node: Option<&Node>, config: &Config) -> bool {
        let had_faults = self.faults.remove(name);
        let claim = self.claims.remove(&SliceKey::of_default(name));
        let default = self.default_vpc();
        let bid = match node.map(|node| (node, recorded(node, config))) {
            Some((node, Ok(record))) => Some(Bid {
                created: node.created,
                claim: claim.unwrap_or_else(|| default.held(name).into()),
                record,
                only: Box::default(),
                is_wish: false,
                wants_more: false,
                avoid: Box::default(),
            }),
            Some((_, Err(faults))) => {
                self.faults.insert(name.clone(), faults);
                None
            }
            None => None,
        };
        self.default_vpc().stage(name.clone(), bid);
        self.faults.get(name) != had_faults.as_ref()
    }

    /// Notes whether a node has pods of a VPC beside the default one; takes effect with [`Self::settle`].
    pub(crate) fn stage_on_demand(&mut self, slice: &SliceKey, wish: Option<Wish>) {
        let staged = self.staged.entry(slice.vpc.clone()).or_default();
        staged.insert(slice.node.clone(), wish);
    }

    /// Whether a node has, and goes on to have, what it wishes for, as long as the VPC's networks are the same.
    pub(crate) fn has(&self, slice: &SliceKey, wish: Option<&Wish>) -> bool {
        let known = self.at.get(&slice.node).and_then(|wishes| wishes.get(&slice.vpc));
        let staged = self.staged.get(&slice.vpc).and_then(|nodes| nodes.get(&slice.node));
        known.is_some() && known == wish && staged.is_none() && matches!(self.standing(slice), Some(Standing::Slice(_)))
    }

    /// Settles what is staged and returns the slices that may fare differently. `order` has the VPCs beside the default one, those
    /// first that come first where two would have the same.
    pub(crate) fn settle<'v>(&mut self, order: impl Iterator<Item = (&'v Name, &'v Network)>) -> BTreeSet<SliceKey> {
        let changed = self.default_vpc().settle();
        let mut changed: BTreeSet<SliceKey> = changed.iter().map(SliceKey::of_default).collect();
        if self.staged.is_empty() {
            return changed;
        }
        self.release(&mut changed);
        self.stage_waiting();
        let order: Vec<_> = order.filter(|(vpc, _)| self.staged.contains_key(*vpc)).collect();
        // What was held before goes before what is allocated, whichever VPC it is of.
        for (vpc, network) in &order {
            self.claim_staged(vpc, network, &mut changed);
        }
        for (vpc, _) in &order {
            self.claim_hinted(vpc);
        }
        for (vpc, network) in order {
            self.grant(vpc, network, &mut changed);
        }
        // Of VPCs that there are no more.
        self.staged.clear();
        changed
    }

    /// Takes slices back from nodes that have no pods of the VPC any more.
    fn release(&mut self, changed: &mut BTreeSet<SliceKey>) {
        for (vpc, nodes) in &mut self.staged {
            let gone = nodes.extract_if(.., |_, wish| wish.is_none());
            let mut settled = Vec::new();
            for (node, _) in gone {
                if let Some(wishes) = self.at.get_mut(&node) {
                    wishes.remove(vpc);
                    if wishes.is_empty() {
                        self.at.remove(&node);
                    }
                }
                let key = SliceKey::new(vpc.clone(), node.clone());
                self.claims.remove(&key);
                self.waiting.remove(&key);
                settled.push(node);
            }
            let Some(arbiter) = self.vpcs.get_mut(vpc).filter(|_| !settled.is_empty()) else {
                continue;
            };
            for node in settled {
                arbiter.stage(node, None);
            }
            let settled = arbiter.settle();
            changed.extend(settled.into_iter().map(|node| SliceKey::new(vpc.clone(), node)));
            if arbiter.holdings().next().is_none() {
                self.vpcs.remove(vpc);
            }
        }
    }

    /// There may be something by now for those that wait.
    fn stage_waiting(&mut self) {
        for SliceKey { vpc, node } in &self.waiting {
            if let Some(wish) = self.at.get(node).and_then(|wishes| wishes.get(vpc)) {
                let staged = self.staged.entry(vpc.clone()).or_default();
                staged.entry(node.clone()).or_insert_with(|| Some(wish.clone()));
            }
        }
    }

    /// Finds out what those held before for whom something is staged.
    fn claim_staged(&mut self, vpc: &Name, network: &Network, changed: &mut BTreeSet<SliceKey>) {
        if let Some(arbiter) = self.vpcs.get(vpc)
            && !arbiter.space().is_of(network.slices())
        {
            // What nodes hold of other networks they keep as far as it is of these, too.
            for (node, networks) in arbiter.holdings() {
                self.claims
                    .insert(SliceKey::new(vpc.clone(), node.clone()), networks.into());
                changed.insert(SliceKey::new(vpc.clone(), node.clone()));
            }
            self.vpcs.remove(vpc);
        }
        let mut by_pods = Vec::new();
        for (node, wish) in self.staged.get(vpc).into_iter().flatten() {
            let Some(wish) = wish else { continue };
            let held = self.vpcs.get(vpc).map_or(&[][..], |arbiter| arbiter.held(node));
            let key = SliceKey::new(vpc.clone(), node.clone());
            if !held.is_empty() {
                self.claims.insert(key, held.into());
            } else if !wish.of_pods.is_empty() && !self.claims.contains_key(&key) {
                by_pods.push((key, wish.of_pods.clone()));
            }
            self.at
                .entry(node.clone())
                .or_default()
                .insert(vpc.clone(), wish.clone());
        }
        if by_pods.is_empty() {
            return;
        }
        // What a node had goes before what another's pods say that it should have, whichever is older.
        let of_vpc = self.claims.iter().filter(|(slice, _)| slice.vpc == *vpc);
        let claimed = of_vpc.flat_map(|(_, networks)| networks.iter());
        let held = self.vpcs.get(vpc).into_iter().flat_map(Arbiter::holdings);
        let held = held.flat_map(|(_, networks)| networks);
        let others: BTreeMap<IpNetwork, bool> = claimed.chain(held).map(|network| (*network, true)).collect();
        for (slice, networks) in by_pods {
            let free = |network: &IpNetwork| network.overlapping(&others).is_empty();
            self.claims.insert(slice, networks.into_iter().filter(free).collect());
        }
    }

    /// Takes hints for claims where they contradict nothing.
    fn claim_hinted(&mut self, vpc: &Name) {
        let wishes = self.staged.get(vpc).into_iter().flatten();
        let hinted = wishes.filter_map(|(node, wish)| Some((wish.as_ref()?, node)));
        let mut hinted: Vec<_> = hinted.filter(|(wish, _)| !wish.hinted.is_empty()).collect();
        hinted.sort_by_key(|(wish, node)| (wish.created, *node));
        let hinted = hinted
            .into_iter()
            .map(|(wish, node)| (node.clone(), wish.hinted.clone()));
        for (node, hint) in hinted.collect::<Vec<_>>() {
            let key = SliceKey::new(vpc.clone(), node.clone());
            if self.claims.get(&key).is_some_and(|claim| !claim.is_empty()) {
                continue;
            }
            let others = self.claims.iter().filter(|(other, _)| other.vpc == *vpc);
            let held = self.vpcs.get(vpc).into_iter().flat_map(Arbiter::holdings);
            let mut taken = others
                .flat_map(|(_, claim)| claim)
                .chain(held.flat_map(|(_, held)| held));
            let beside = self.beside(vpc, &node);
            let overlaps = |other: &IpNetwork| hint.iter().any(|network| ip::overlap(*network, *other));
            if !taken.any(overlaps) && !beside.iter().any(overlaps) {
                self.claims.insert(key, hint);
            }
        }
    }

    fn grant(&mut self, vpc: &Name, network: &Network, changed: &mut BTreeSet<SliceKey>) {
        for (node, wish) in self.staged.remove(vpc).unwrap_or_default() {
            let Some(wish) = wish else { continue };
            let avoid = self.beside(vpc, &node);
            let claim = self.claims.remove(&SliceKey::new(vpc.clone(), node.clone()));
            let claim = claim.unwrap_or_default();
            let arbiter = self
                .vpcs
                .entry(vpc.clone())
                .or_insert_with(|| Arbiter::new(Cidrs::new(network.slices())));
            let bid = Bid {
                created: wish.created,
                record: Box::default(),
                is_wish: false,
                wants_more: false,
                claim,
                only: Box::default(),
                avoid,
            };
            arbiter.stage(node, Some(bid));
        }
        if let Some(arbiter) = self.vpcs.get_mut(vpc) {
            for node in arbiter.settle() {
                let key = SliceKey::new(vpc.clone(), node);
                if arbiter.outcome(&key.node) == Some(Outcome::Waiting) {
                    self.waiting.insert(key.clone());
                } else {
                    self.waiting.remove(&key);
                }
                changed.insert(key);
            }
        }
    }

    /// What a node has, and is about to have again, of VPCs beside this one, and beside the default one, which nothing overlaps.
    fn beside(&self, vpc: &Name, node: &Name) -> Box<[IpNetwork]> {
        let others = self.at.get(node).into_iter().flat_map(BTreeMap::keys);
        let mut networks = Vec::new();
        for other in others.filter(|other| *other != vpc) {
            networks.extend(self.vpcs.get(other).into_iter().flat_map(|arbiter| arbiter.held(node)));
            networks.extend(
                self.claims
                    .get(&SliceKey::new(other.clone(), node.clone()))
                    .into_iter()
                    .flatten(),
            );
        }
        networks.sort_unstable();
        networks.dedup();
        networks.into()
    }

    /// Claims of what nobody asked for are void once everything was seen.
    pub(crate) fn forget_absent(&mut self) {
        self.claims.clear();
    }

    /// How a node fares with a VPC, if it exists and, of other VPCs than the default one, has pods of it.
    pub(crate) fn standing(&self, slice: &SliceKey) -> Option<Standing<'_>> {
        if slice.is_default()
            && let Some(faults) = self.faults.get(&slice.node)
        {
            return Some(Standing::Unusable(faults));
        }
        Some(match self.vpcs.get(&slice.vpc)?.outcome(&slice.node)? {
            Outcome::Granted(networks) => Standing::Slice(networks),
            Outcome::Lost { item, theirs, to } => Standing::Lost { cidr: item, theirs, to },
            Outcome::Waiting => Standing::Waiting,
        })
    }

    pub(crate) fn claims(&self) -> impl Iterator<Item = Claim> {
        self.vpcs.iter().flat_map(|(vpc, arbiter)| {
            let held = arbiter.holdings().filter(|(_, networks)| !networks.is_empty());
            held.map(|(node, networks)| Claim::Slice {
                vpc: vpc.clone(),
                node: node.clone(),
                networks: networks.into(),
            })
        })
    }

    fn default_vpc(&mut self) -> &mut Arbiter<Name, Cidrs> {
        self.vpcs
            .get_mut(DEFAULT_VPC)
            .expect("the default VPC is there from the start and never removed")
    }
}

/// What a node's `spec.podCIDRs` say, judged by themselves.
fn recorded(node: &Node, config: &Config) -> Result<Box<[IpNetwork]>, Vec<Fault>> {
    let mut networks: Vec<IpNetwork> = Vec::new();
    let mut faults = Vec::new();
    for (index, text) in node.pod_cidrs.iter().enumerate() {
        match judge(text, &networks, config) {
            Ok(network) => networks.push(network),
            Err(message) => faults.push(Fault { index, message }),
        }
    }
    if faults.is_empty() {
        Ok(networks.into())
    } else {
        Err(faults)
    }
}

fn judge(text: &str, earlier: &[IpNetwork], config: &Config) -> Result<IpNetwork, String> {
    let network: IpNetwork = text
        .parse()
        .map_err(|reason| format!("{text:?} is not a network ({reason}): write it like 10.244.1.0/24"))?;
    let network = ip::canonical(network);
    let family = if network.is_ipv4() { "IPv4" } else { "IPv6" };
    if let Some(first) = earlier.iter().find(|first| first.is_ipv4() == network.is_ipv4()) {
        return Err(format!(
            "{network} is a second {family} network beside {first}: a node has one per family"
        ));
    }
    if network.prefix() > ip::longest_slice(network) {
        return Err(format!(
            "{network} has no room for a gateway and the addresses of the host: give the node at least a /{}",
            ip::longest_slice(network)
        ));
    }
    if !config.cluster_cidrs().iter().any(|&cidr| ip::contains(cidr, network)) {
        return Err(format!(
            "{network} is not in the cluster CIDRs ({}), so nothing would route to it: start the translator with a \
             cluster CIDR that contains it, or give the node another",
            list(config.cluster_cidrs())
        ));
    }
    Ok(network)
}

/// Networks as a person lists them.
pub(crate) fn list(networks: &[IpNetwork]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
