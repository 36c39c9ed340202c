//! [`Placements`]: where each pod belongs that is in another VPC than the default one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use meridian_model::{Cluster, Name, Pod, PodKey};

use crate::addresses::{Addresses, wants_port};
use crate::names::default_vpc;
use crate::segment::{Segment, Spot};
use crate::slices::{SliceKey, Wish};
use crate::vpcs::{Home, Vpcs};
use crate::{Config, ip};

/// Where a pod belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a segment, whether or not there is such a segment.
    In(Spot),
    /// It waits; why.
    Nowhere(String),
    /// It has no port, or no node yet.
    Unwanted,
}

#[derive(Debug, Default)]
pub(crate) struct Placements {
    of: HashMap<PodKey, Spot>,
    on: BTreeMap<SliceKey, BTreeSet<PodKey>>,
    within: BTreeMap<Segment, BTreeSet<PodKey>>,
}

impl Placements {
    /// Notes where a pod belongs; yields the slices that are wanted more or less than before.
    pub(crate) fn set(&mut self, pod: &PodKey, place: &Place) -> Vec<SliceKey> {
        let now = match place {
            Place::In(spot) if !spot.segment.is_default() => Some(spot),
            _ => None,
        };
        let mut changed = Vec::new();
        let before = self.of.get(pod).filter(|before| Some(*before) != now).cloned();
        if let Some(before) = before {
            self.of.remove(pod);
            remove(&mut self.within, &before.segment, pod);
            let slice = before.slice();
            remove(&mut self.on, &slice, pod);
            changed.push(slice);
        }
        if let Some(spot) = now {
            let slice = spot.slice();
            self.of.insert(pod.clone(), spot.clone());
            self.within.entry(spot.segment.clone()).or_default().insert(pod.clone());
            self.on.entry(slice.clone()).or_default().insert(pod.clone());
            changed.push(slice);
        }
        changed
    }

    /// Where a pod is, if not in the default VPC.
    pub(crate) fn of(&self, pod: &PodKey) -> Option<&Spot> {
        self.of.get(pod)
    }

    /// Where a pod is, or else belongs.
    pub(crate) fn place(&self, pod: &Pod, vpcs: &Vpcs, addresses: &Addresses, config: &Config) -> Place {
        match self.of(&pod.key()) {
            Some(spot) => Place::In(spot.clone()),
            None => place(pod, vpcs, addresses, config),
        }
    }

    /// The pods of a segment, sorted.
    pub(crate) fn within(&self, segment: &Segment) -> impl Iterator<Item = &PodKey> {
        self.within.get(segment).into_iter().flatten()
    }

    /// The slices of a VPC on whose nodes pods of it are, by node, and those pods, in whichever segment.
    pub(crate) fn slices(&self, vpc: &Name) -> impl Iterator<Item = (&SliceKey, &BTreeSet<PodKey>)> {
        let first = SliceKey::new(vpc.clone(), Name::default());
        let vpc = vpc.clone();
        self.on.range(first..).take_while(move |(slice, _)| slice.vpc == vpc)
    }

    /// What a slice is wanted for.
    pub(crate) fn wish(&self, slice: &SliceKey, vpcs: &Vpcs, cluster: &Cluster) -> Option<Wish> {
        let state = vpcs.get(&slice.vpc).filter(|state| state.is_usable())?;
        let pods = self.on.get(slice)?;
        let node = cluster.node(&slice.node)?;
        let mut of_pods = Vec::new();
        for (cidr, prefix) in state.network.slices() {
            let mut ips = pods.iter().filter_map(|pod| cluster.pod(pod)).flat_map(|pod| &pod.ips);
            if let Some(ip) = ips.find(|ip| cidr.contains(**ip)) {
                of_pods.extend(ip::network_around(*ip, prefix));
            }
        }
        Some(Wish {
            created: node.created,
            of_pods: of_pods.into(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

fn remove<K: Ord>(pods: &mut BTreeMap<K, BTreeSet<PodKey>>, of: &K, pod: &PodKey) {
    if let Some(some) = pods.get_mut(of) {
        some.remove(pod);
        if some.is_empty() {
            pods.remove(of);
        }
    }
}

/// Where a pod belongs.
///
/// One that has addresses stays where they are, also when its namespace moves: where it is known to be, or else where its
/// namespace is, or else in the default VPC, or else in the oldest VPC with a network of such addresses. One that has none
/// yet goes where its namespace is.
pub(crate) fn place(pod: &Pod, vpcs: &Vpcs, addresses: &Addresses, config: &Config) -> Place {
    let Some(node) = pod.node.as_ref().filter(|_| wants_port(pod)) else {
        return Place::Unwanted;
    };
    if vpcs.is_empty() {
        return Place::In(Spot::in_slice(SliceKey::of_default(node)));
    }
    let home = vpcs.home(&pod.namespace);
    if let Some(first) = pod.ips.first() {
        let of = |vpc: &Name| match vpcs.get(vpc) {
            Some(state) => state.network.cidrs().iter().any(|cidr| cidr.contains(*first)),
            None => *vpc == default_vpc() && config.cluster_cidrs().iter().any(|cidr| cidr.contains(*first)),
        };
        let known = addresses.vpc_of(&pod.key(), &pod.uid).cloned();
        let home = match &home {
            Home::Vpc(state) => Some(state.object.name.clone()),
            Home::Default => Some(default_vpc()),
            Home::Unknown => None,
        };
        let others = vpcs.iter().map(|state| state.object.name.clone());
        let mut candidates = known.into_iter().chain(home).chain([default_vpc()]).chain(others);
        if let Some(vpc) = candidates.find(|vpc| of(vpc)) {
            return Place::In(Spot::in_slice(SliceKey::new(vpc, node.clone())));
        }
    }
    match home {
        Home::Default => Place::In(Spot::in_slice(SliceKey::of_default(node))),
        Home::Vpc(state) => match state.refusal() {
            None => Place::In(Spot::in_slice(SliceKey::new(state.object.name.clone(), node.clone()))),
            Some(why) => Place::Nowhere(why),
        },
        Home::Unknown => Place::Nowhere(format!(
            "namespace {} is not known, which tells the VPC: it follows once the namespace is",
            pod.namespace
        )),
    }
}
