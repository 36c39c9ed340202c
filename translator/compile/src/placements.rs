//! [`Placements`]: where each pod belongs, and each of its further interfaces, that is in another VPC than the default one.

mod further;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Cluster, Name, Pod, PodKey, PortKey, Scope, Vpc};

use crate::addresses::{Addresses, wants_port};
use crate::names::default_vpc;
use crate::segment::{Segment, Spot};
use crate::slices::{SliceKey, Wish};
use crate::vpcs::{Home, State, Vpcs};
use crate::{Config, fixed, ip};

/// What tells the VPC of a pod, and by its namespace and its VPC the Subnet.
pub(crate) const NAMESPACE: &str = "metadata.namespace";

/// What tells the Subnet of a pod.
pub(crate) const SUBNET: &str = "metadata.annotations[meridian.dev/subnet]";

pub(crate) use self::further::place as place_further;

/// Where a pod belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a segment, whether or not there is such a segment.
    In(Spot),
    /// It waits; which field of it leads nowhere, and why.
    Nowhere(&'static str, String),
    /// It has no port, or no node yet.
    Unwanted,
}

#[derive(Debug, Default)]
pub(crate) struct Placements {
    of: BTreeMap<PortKey, Spot>,
    on: BTreeMap<SliceKey, BTreeSet<PortKey>>,
    within: BTreeMap<Segment, BTreeSet<PortKey>>,
    /// How many of the pods that are on a node are in Subnets.
    in_subnets: BTreeMap<SliceKey, usize>,
}

/// What became of a pod that was placed.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// Slices that are wanted more or less than before.
    pub(crate) slices: Vec<SliceKey>,
    /// Slices beside which there are pods in Subnets now, or no longer.
    pub(crate) beside: Vec<SliceKey>,
}

impl Placements {
    /// Notes where an interface belongs.
    pub(crate) fn set(&mut self, pod: &PortKey, place: &Place) -> Moved {
        let now = match place {
            Place::In(spot) if !spot.segment.is_default() => Some(spot),
            _ => None,
        };
        let mut moved = Moved::default();
        let before = self.of.get(pod).filter(|before| Some(*before) != now).cloned();
        if let Some(before) = before {
            self.of.remove(pod);
            remove(&mut self.within, &before.segment, pod);
            let slice = before.slice();
            remove(&mut self.on, &slice, pod);
            if before.segment.subnet().is_some() {
                let count = self.in_subnets.entry(slice.clone()).or_default();
                *count -= 1;
                if *count == 0 {
                    self.in_subnets.remove(&slice);
                    moved.beside.push(slice.clone());
                }
            }
            moved.slices.push(slice);
        }
        if let Some(spot) = now {
            let slice = spot.slice();
            let before = self.of.insert(pod.clone(), spot.clone());
            if spot.segment.subnet().is_some() && before.is_none() {
                let count = self.in_subnets.entry(slice.clone()).or_default();
                *count += 1;
                if *count == 1 {
                    moved.beside.push(slice.clone());
                }
            }
            self.within.entry(spot.segment.clone()).or_default().insert(pod.clone());
            self.on.entry(slice.clone()).or_default().insert(pod.clone());
            moved.slices.push(slice);
        }
        moved
    }

    /// Whether pods on the node of a slice are in Subnets of its VPC.
    pub(crate) fn has_beside(&self, slice: &SliceKey) -> bool {
        self.in_subnets.contains_key(slice)
    }

    /// Where an interface is, if not in the default VPC.
    pub(crate) fn of(&self, port: &PortKey) -> Option<&Spot> {
        self.of.get(port)
    }

    /// The interfaces of a pod that are not in the default VPC, and where they are.
    pub(crate) fn of_pod<'a>(&'a self, pod: &'a PodKey) -> impl Iterator<Item = (&'a PortKey, &'a Spot)> {
        let all = self.of.range(PortKey::from(pod.clone())..);
        all.take_while(move |(port, _)| port.pod == *pod)
    }

    /// Where a pod is, or else belongs.
    pub(crate) fn place(&self, pod: &Pod, vpcs: &Vpcs, addresses: &Addresses, config: &Config) -> Place {
        match self.of(&pod.key().into()) {
            Some(spot) => Place::In(spot.clone()),
            None => place(pod, vpcs, addresses, config),
        }
    }

    /// The interfaces in a segment, sorted.
    pub(crate) fn within(&self, segment: &Segment) -> impl Iterator<Item = &PortKey> {
        self.within.get(segment).into_iter().flatten()
    }

    /// The slices of a VPC on whose nodes pods of it are, by node, and those pods' interfaces in it, in whichever segment.
    pub(crate) fn slices(&self, vpc: &Name) -> impl Iterator<Item = (&SliceKey, &BTreeSet<PortKey>)> {
        let first = SliceKey::new(vpc.clone(), Name::default());
        let vpc = vpc.clone();
        self.on.range(first..).take_while(move |(slice, _)| slice.vpc == vpc)
    }

    /// What a slice is wanted for.
    pub(crate) fn wish(&self, slice: &SliceKey, vpcs: &Vpcs, cluster: &Cluster) -> Option<Wish> {
        let state = vpcs.get(&slice.vpc).filter(|state| state.is_usable())?;
        let pods = self.on.get(slice)?;
        let node = cluster.node(&slice.node)?;
        let slice_of = |ips: &mut dyn Iterator<Item = IpAddr>| -> Box<[IpNetwork]> {
            let ips: Vec<IpAddr> = ips.collect();
            let of_cidr = |(cidr, prefix): (IpNetwork, u8)| {
                let ip = ips.iter().find(|ip| cidr.contains(**ip))?;
                ip::network_around(*ip, prefix)
            };
            state.network.slices().filter_map(of_cidr).collect()
        };
        let of_first = pods.iter().filter(|port| port.is_first());
        let of_first = of_first.filter_map(|port| cluster.pod(&port.pod));
        Some(Wish {
            created: node.created,
            of_pods: slice_of(&mut of_first.flat_map(|pod| &pod.ips).copied()),
            hinted: slice_of(&mut pods.iter().flat_map(|port| hinted(port, cluster)).copied()),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

/// The addresses that a further interface had or asks for.
fn hinted<'a>(port: &PortKey, cluster: &'a Cluster) -> impl Iterator<Item = &'a IpAddr> {
    let further = port.interface.as_ref().and_then(|interface| {
        let pod = cluster.pod(&port.pod)?;
        let request = pod.further().iter().find(|request| request.interface == *interface)?;
        let had = pod
            .networks
            .as_ref()
            .map_or(&[][..], |networks| networks.had(interface));
        Some(request.ips.iter().chain(had))
    });
    further.into_iter().flatten()
}

fn remove<K: Ord>(pods: &mut BTreeMap<K, BTreeSet<PortKey>>, of: &K, pod: &PortKey) {
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
/// yet goes where its namespace is: into the Subnet that it, its namespace or its VPC names, or else that its address is of, or
/// else into its node's slice.
pub(crate) fn place(pod: &Pod, vpcs: &Vpcs, addresses: &Addresses, config: &Config) -> Place {
    let Some(node) = pod.node.as_ref().filter(|_| wants_port(pod)) else {
        return Place::Unwanted;
    };
    let wanted = wanted(pod, vpcs);
    if vpcs.is_empty() && wanted.is_none() {
        return Place::In(Spot::in_slice(SliceKey::of_default(node)));
    }
    let home = vpcs.home(&pod.namespace);
    if let Some(first) = pod.ips.first() {
        let known = addresses.vpc_of(&pod.key().into(), &pod.uid).cloned();
        let others = vpcs.iter().map(|state| state.object.name.clone());
        let mut candidates = known
            .into_iter()
            .chain(home.name())
            .chain([default_vpc()])
            .chain(others);
        if let Some(spot) = candidates.find_map(|vpc| spot_with(vpc, *first, node, vpcs, config)) {
            return Place::In(spot);
        }
    }
    match (home, wanted) {
        (Home::Default, None) => Place::In(Spot::in_slice(SliceKey::of_default(node))),
        (Home::Default, Some((name, field))) => {
            let message = match vpcs.subnet(name) {
                Some(subnet) => elsewhere(pod, name, &subnet.object.vpc, &default_vpc()),
                None => absent(name),
            };
            Place::Nowhere(field, message)
        }
        (Home::Vpc(state), wanted) => match refusal(state, pod, "move the namespace to another VPC") {
            None => within(pod, node, state, wanted, vpcs),
            Some(why) => Place::Nowhere(NAMESPACE, why),
        },
        (Home::Unknown, _) => Place::Nowhere(
            NAMESPACE,
            format!(
                "namespace {} is not known, which tells the VPC: it follows once the namespace is",
                pod.namespace
            ),
        ),
    }
}

/// The Subnet that a pod or its namespace names, and where.
pub(crate) fn wanted<'a>(pod: &'a Pod, vpcs: &'a Vpcs) -> Option<(&'a Name, &'static str)> {
    let own = pod.subnet.as_ref().filter(|name| !name.is_empty());
    let own = own.map(|name| (name, SUBNET));
    own.or_else(|| Some((vpcs.asked(&pod.namespace)?, NAMESPACE)))
}

/// Where a VPC has an address, if it has.
fn spot_with(vpc: Name, address: IpAddr, node: &Name, vpcs: &Vpcs, config: &Config) -> Option<Spot> {
    let cidrs = match vpcs.get(&vpc) {
        Some(state) => state.network.cidrs(),
        None if vpc == default_vpc() => config.cluster_cidrs(),
        None => &[],
    };
    if cidrs.iter().any(|cidr| cidr.contains(address)) {
        return Some(Spot::in_slice(SliceKey::new(vpc, node.clone())));
    }
    let state = vpcs.get(&vpc)?;
    let subnet = vpcs.subnet_with(&state.object.name, address)?;
    Some(Spot {
        segment: Segment::Subnet(subnet.key()),
        node: node.clone(),
    })
}

/// Where in its VPC a pod belongs that has no address yet.
fn within(pod: &Pod, node: &Name, vpc: &State, wanted: Option<(&Name, &'static str)>, vpcs: &Vpcs) -> Place {
    let vpc_name = &vpc.object.name;
    let slice = || Place::In(Spot::in_slice(SliceKey::new(vpc_name.clone(), node.clone())));
    let asked_for = fixed::addresses(pod).and_then(Result::ok);
    let (name, field) = match (wanted, &asked_for) {
        (Some(wanted), _) => wanted,
        (None, Some(ips)) => {
            let found = ips.first().and_then(|first| vpcs.subnet_with(vpc_name, *first));
            match found {
                Some(subnet) => (&subnet.object.name, fixed::FIELD),
                None => return slice(),
            }
        }
        (None, None) => match &vpc.object.default_subnet {
            Some(name) => (name, NAMESPACE),
            None => return slice(),
        },
    };
    let Some(subnet) = vpcs.subnet(name) else {
        return Place::Nowhere(field, absent(name));
    };
    if subnet.object.vpc != *vpc_name {
        return Place::Nowhere(field, elsewhere(pod, name, &subnet.object.vpc, vpc_name));
    }
    match subnet.refusal() {
        Some(why) => Place::Nowhere(field, why),
        None => Place::In(Spot {
            segment: Segment::Subnet(subnet.key()),
            node: node.clone(),
        }),
    }
}

fn absent(subnet: &Name) -> String {
    format!("there is no Subnet {subnet}: the pod gets its port once there is")
}

fn elsewhere(pod: &Pod, subnet: &Name, theirs: &Name, ours: &Name) -> String {
    format!(
        "Subnet {subnet} is of VPC {theirs}, and namespace {} is in VPC {ours}: name a Subnet of VPC {ours}, or have VPC {theirs} select \
         the namespace",
        pod.namespace
    )
}

/// Why nothing of a pod's can be in a VPC; `instead` says what else it could do where the VPC is for other workloads.
fn refusal(state: &State, pod: &Pod, instead: &str) -> Option<String> {
    let of_vpc = state.refusal();
    of_vpc.or_else(|| {
        let scope = out_of_scope(&state.object, pod)?;
        Some(format!("{scope}: {instead}, or set spec.scope of this one to All"))
    })
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
    Some(format!("VPC {} is {scope} kubevirt.io=virt-launcher", vpc.name))
}
