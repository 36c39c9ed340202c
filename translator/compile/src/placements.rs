//! [`Placements`]: in which slice each pod belongs that is in another VPC than the default one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use meridian_model::{Cluster, Name, Pod, PodKey, Scope, Vpc};

use crate::addresses::{Addresses, wants_port};
use crate::names::default_vpc;
use crate::slices::{SliceKey, Wish};
use crate::vpcs::{Home, Vpcs};
use crate::{Config, ip};

/// Where a pod belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a slice, whether or not there is such a slice.
    In(SliceKey),
    /// It waits; why.
    Nowhere(String),
    /// It has no port, or no node yet.
    Unwanted,
}

#[derive(Debug, Default)]
pub(crate) struct Placements {
    of: HashMap<PodKey, SliceKey>,
    pods: BTreeMap<SliceKey, BTreeSet<PodKey>>,
}

impl Placements {
    /// Notes where a pod belongs; yields the slices that are wanted more or less than before.
    pub(crate) fn set(&mut self, pod: &PodKey, place: &Place) -> Vec<SliceKey> {
        let now = match place {
            Place::In(slice) if !slice.is_default() => Some(slice),
            _ => None,
        };
        let mut changed = Vec::new();
        let before = self.of.get(pod).filter(|before| Some(*before) != now).cloned();
        if let Some(before) = before {
            self.of.remove(pod);
            if let Some(pods) = self.pods.get_mut(&before) {
                pods.remove(pod);
                if pods.is_empty() {
                    self.pods.remove(&before);
                }
            }
            changed.push(before);
        }
        if let Some(slice) = now {
            self.of.insert(pod.clone(), slice.clone());
            self.pods.entry(slice.clone()).or_default().insert(pod.clone());
            changed.push(slice.clone());
        }
        changed
    }

    /// Where a pod is, if not in the default VPC.
    pub(crate) fn of(&self, pod: &PodKey) -> Option<&SliceKey> {
        self.of.get(pod)
    }

    /// Where a pod is, or else belongs.
    pub(crate) fn place(&self, pod: &Pod, vpcs: &Vpcs, addresses: &Addresses, config: &Config) -> Place {
        match self.of(&pod.key()) {
            Some(slice) => Place::In(slice.clone()),
            None => place(pod, vpcs, addresses, config),
        }
    }

    /// The pods of a slice, sorted.
    pub(crate) fn pods(&self, slice: &SliceKey) -> impl Iterator<Item = &PodKey> {
        self.pods.get(slice).into_iter().flatten()
    }

    /// The slices of a VPC that pods are in, by node.
    pub(crate) fn slices(&self, vpc: &Name) -> impl Iterator<Item = (&SliceKey, &BTreeSet<PodKey>)> {
        let first = SliceKey::new(vpc.clone(), Name::default());
        let vpc = vpc.clone();
        self.pods.range(first..).take_while(move |(slice, _)| slice.vpc == vpc)
    }

    /// What a slice is wanted for.
    pub(crate) fn wish(&self, slice: &SliceKey, vpcs: &Vpcs, cluster: &Cluster) -> Option<Wish> {
        let state = vpcs.get(&slice.vpc).filter(|state| state.is_usable())?;
        let pods = self.pods.get(slice)?;
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
        return Place::In(SliceKey::of_default(node));
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
            return Place::In(SliceKey::new(vpc, node.clone()));
        }
    }
    match home {
        Home::Default => Place::In(SliceKey::of_default(node)),
        Home::Vpc(state) => match state.refusal().or_else(|| out_of_scope(&state.object, pod)) {
            None => Place::In(SliceKey::new(state.object.name.clone(), node.clone())),
            Some(why) => Place::Nowhere(why),
        },
        Home::Unknown => Place::Nowhere(format!(
            "namespace {} is not known, which tells the VPC: it follows once the namespace is",
            pod.namespace
        )),
    }
}

/// Why a pod is none of the workloads that a VPC is for.
fn out_of_scope(vpc: &Vpc, pod: &Pod) -> Option<String> {
    let scope = match (vpc.scope, pod.is_virtual_machine()) {
        (Scope::Pods, true) => {
            "only for pods that are no virtual machines (spec.scope is Pods), and this one is, by its label"
        }
        (Scope::VirtualMachines, false) => {
            "only for virtual machines (spec.scope is VirtualMachines), and this pod is none, for want of the label"
        }
        _ => return None,
    };
    Some(format!(
        "VPC {} is {scope} kubevirt.io=virt-launcher: move the namespace to another VPC, or set spec.scope of this one to All",
        vpc.name
    ))
}
