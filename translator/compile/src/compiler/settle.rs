//! What is settled before units compile: which VPC everything is in, who has which slice, which pods policies mean, and who has which
//! address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Name, NetworkRequest, Pod, PodKey, PortKey, ServiceKey};

use super::Compiler;
use crate::Unit;
use crate::addresses::Applicant;
use crate::fact::Fact;
use crate::placements::{self, Place};
use crate::places::Places;
use crate::pool::Layout;
use crate::segment::{Segment, SubnetKey};
use crate::slices::{SliceKey, Standing};
use crate::strays::Stray;
use crate::vpcs::{Home, SubnetState, Update};

impl Compiler {
    pub(super) fn settle_slices(&mut self) {
        self.half_settled = true;
        self.settle_vpcs();
        let mut changed = BTreeSet::new();
        if !self.nodes.is_empty() {
            self.engine.touch(&Fact::Nodes);
            let places = Places::of(&self.cluster);
            if self.places != places {
                self.places = places;
                self.engine.touch(&Fact::Places);
            }
        }
        for name in std::mem::take(&mut self.nodes) {
            let node = self.cluster.node(&name).map(|node| &**node);
            self.gateways.set_node(&name, node, &self.vpcs);
            if self.slices.stage(&name, node, &self.config) {
                changed.insert(SliceKey::of_default(&name));
            }
            // A node that comes or goes, or is another now.
            if !self.placements.is_empty() {
                let pods = self.cluster.pods_on(&name);
                let slices: BTreeSet<_> = pods
                    .flat_map(|pod| self.placements.of_pod(pod))
                    .map(|(_, spot)| spot.slice())
                    .collect();
                self.wish(slices);
            }
        }
        self.settle_gateways();
        self.place_pods();
        let order = self.vpcs.iter().map(|state| (&state.object.name, &state.network));
        changed.extend(self.slices.settle(order));
        if self.claimed {
            self.slices.forget_absent();
        }
        if changed.iter().any(SliceKey::is_default) {
            self.engine.touch(&Fact::Nodes);
        }
        for slice in changed {
            let networks = match self.slices.standing(&slice) {
                Some(Standing::Slice(networks)) => {
                    Some(networks.iter().copied().map(Layout::slice).collect::<Vec<_>>())
                }
                _ => None,
            };
            let segment = Segment::Slice(slice.clone());
            if self.addresses.set_segment(&segment, networks.as_deref()) {
                if slice.is_default() {
                    self.pods.extend(self.cluster.pods_on(&slice.node).cloned());
                } else {
                    let ports = self.placements.within(&segment);
                    self.pods.extend(ports.map(|port| port.pod.clone()));
                    self.engine.touch(&Fact::SlicesOf(slice.vpc.clone()));
                }
            }
            self.engine.touch(&Fact::Slice(slice));
        }
        self.settle_policies();
    }

    /// Which nodes are gateways of which VPCs.
    fn settle_gateways(&mut self) {
        let had_any = !self.gateways.is_empty();
        let changed = self.gateways.settle();
        if self.claimed {
            self.gateways.forget_absent();
        }
        if had_any == self.gateways.is_empty() {
            self.engine.touch(&Fact::AnyGateway);
        }
        for slot in changed {
            self.engine.touch(&Fact::Gateways(slot.vpc.clone()));
            self.engine.touch(&Fact::GatewayOf(slot.node.clone()));
            self.engine.touch(&Fact::Slot(slot));
        }
    }

    pub(super) fn settle_addresses(&mut self) {
        self.half_settled = false;
        for key in std::mem::take(&mut self.pods) {
            let pod = self.cluster.pod(&key).map(|pod| &**pod);
            let place = |pod| self.placements.place(pod, &self.vpcs, &self.addresses, &self.config);
            let segment = match pod.map(place) {
                Some(Place::In(spot)) => Some(spot.segment),
                _ => None,
            };
            let applicant = pod.and_then(Applicant::first);
            self.addresses.stage(&key.clone().into(), applicant, segment);
            for port in self.further(&key) {
                let request = pod.and_then(|pod| request(pod, &port));
                let applicant = pod
                    .zip(request)
                    .and_then(|(pod, request)| Applicant::further(pod, request));
                let segment = self.placements.of(&port).map(|spot| spot.segment.clone());
                self.addresses.stage(&port, applicant, segment);
            }
        }
        if std::mem::take(&mut self.claimed) {
            self.addresses.forget_absent(&self.cluster);
        }
        let settlement = self.addresses.settle();
        for pod in settlement.pods {
            self.engine.touch(&Fact::Fare(pod));
        }
        for segment in settlement.segments {
            self.engine.touch(&Fact::Shortage(segment));
        }
    }

    /// Which VPCs can be used, and which namespaces are in which.
    fn settle_vpcs(&mut self) {
        let news = std::mem::take(&mut self.vpc_news);
        let mut update = Update::default();
        if news.judge {
            let had_vpcs = !self.vpcs.is_empty();
            update = self.vpcs.update(&self.config, &self.service_cidrs, &self.cluster);
            if had_vpcs == self.vpcs.is_empty() {
                self.engine.touch(&Fact::Vpcs);
            }
        } else {
            for namespace in &news.namespaces {
                let of_one = self.vpcs.update_namespace(namespace, &self.cluster);
                update.vpcs.extend(of_one.vpcs);
                update.namespaces.extend(of_one.namespaces);
            }
        }
        // Whether a VPC lets a pod's further interfaces in follows from the VPC and from the labels of the pod's namespace.
        let changed = !update.vpcs.is_empty() || !update.subnets.is_empty();
        if changed || !news.namespaces.is_empty() {
            for pod in self.cluster.attached_pods() {
                if changed || news.namespaces.contains(&pod.namespace) {
                    self.engine.mark(pod.clone().into());
                    self.pods.insert(pod.clone());
                }
            }
        }
        self.policy_news.vpcs |= !update.vpcs.is_empty();
        self.policy_news.namespaces.extend(update.namespaces.iter().cloned());
        for vpc in update.vpcs {
            let mut slices = Vec::new();
            for (slice, pods) in self.placements.slices(&vpc) {
                slices.push(slice.clone());
                self.pods.extend(pods.iter().map(|port| port.pod.clone()));
            }
            for slice in slices {
                let wish = self.placements.wish(&slice, &self.vpcs, &self.cluster);
                self.slices.stage_on_demand(&slice, wish);
            }
            self.gateways.set_vpc(&vpc, self.vpcs.get(&vpc), &self.cluster);
            self.engine.touch(&Fact::Vpc(vpc));
        }
        if news.gateways {
            for state in self.vpcs.iter() {
                self.gateways.set_vpc(&state.object.name, Some(state), &self.cluster);
            }
        }
        for subnet in &update.subnets {
            self.set_subnet(subnet);
            self.engine.touch(&Fact::Subnet(subnet.name.clone()));
        }
        let Update {
            namespaces,
            networks,
            subnets,
            ..
        } = update;
        if !namespaces.is_empty() || !networks.is_empty() || !subnets.is_empty() {
            let subnets = subnets.into_iter().map(|subnet| subnet.name).collect();
            self.move_pods(&namespaces, &networks, &subnets);
        }
    }

    /// Has addresses be given out as a Subnet has them by now, if it can be used.
    fn set_subnet(&mut self, key: &SubnetKey) {
        let state = self.vpcs.subnet(&key.name).filter(|state| state.key() == *key);
        let layouts = state.filter(|state| state.is_usable()).map(|state| &*state.layouts);
        let segment = Segment::Subnet(key.clone());
        if self.addresses.set_segment(&segment, layouts) {
            let ports = self.placements.within(&segment);
            self.pods.extend(ports.map(|port| port.pod.clone()));
        }
    }

    /// The same of all that there are.
    pub(super) fn set_subnets(&mut self) {
        let all: Vec<SubnetKey> = self.vpcs.subnets().map(SubnetState::key).collect();
        for subnet in &all {
            self.set_subnet(subnet);
        }
    }

    /// Which pods are meant by which policy.
    fn settle_policies(&mut self) {
        let news = std::mem::take(&mut self.policy_news);
        let place = |pod: &Pod| self.placements.place(pod, &self.vpcs, &self.addresses, &self.config);
        let vpc_of = |pod: &Pod| match place(pod) {
            Place::In(spot) => Some(spot.vpc().clone()),
            Place::Nowhere(..) | Place::Unwanted => None,
        };
        let changes = (self.policies).update(&news, &self.pods, &self.cluster, &self.vpcs, &vpc_of);
        if changes.any {
            self.engine.touch(&Fact::Policies);
        }
        if changes.ladder {
            self.engine.touch(&Fact::Ladder);
        }
        for policy in changes.policies {
            self.engine.mark(policy.into());
        }
        for selection in changes.selections {
            self.engine.mark(Unit::Selection(selection));
        }
        for pod in changes.pods {
            self.engine.mark(pod.into());
        }
    }

    /// What is in these namespaces belongs elsewhere, or what it belongs to is not as it was; and so may what has an address of
    /// these networks, and what names one of these Subnets. Its cost grows with the pods, but VPCs change seldom, and so does where namespaces are.
    fn move_pods(&mut self, namespaces: &BTreeSet<Name>, networks: &BTreeSet<IpNetwork>, subnets: &BTreeSet<Name>) {
        let of_networks = |pod: &Pod| {
            let mut networks = networks.iter();
            pod.ips
                .first()
                .is_some_and(|ip| networks.any(|network| network.contains(*ip)))
        };
        let vpcs = &self.vpcs;
        let names_one = |pod: &Pod| placements::wanted(pod, vpcs).is_some_and(|(name, _)| subnets.contains(name));
        let pods = self
            .cluster
            .pods()
            .filter(|pod| namespaces.contains(&pod.namespace) || of_networks(pod) || names_one(pod));
        let pods: Vec<PodKey> = pods.map(|pod| pod.key()).collect();
        for pod in pods {
            self.engine.mark(pod.clone().into());
            self.pods.insert(pod);
        }
        for namespace in namespaces {
            self.engine.touch(&Fact::Home(namespace.clone()));
        }
    }

    /// Finds out where the pods belong that have to be looked at.
    fn place_pods(&mut self) {
        if self.vpcs.is_empty() && self.placements.is_empty() && self.strays.is_empty() {
            return;
        }
        let mut slices = BTreeSet::new();
        let mut strayed: BTreeMap<Name, BTreeSet<IpAddr>> = BTreeMap::new();
        for key in &self.pods {
            let pod = self.cluster.pod(key);
            let place = match pod {
                Some(pod) => placements::place(pod, &self.vpcs, &self.addresses, &self.config),
                None => Place::Unwanted,
            };
            let stray = pod.and_then(|pod| stray(pod, &place, &self.vpcs.home(&pod.namespace)));
            let addresses = self.strays.set(key, stray);
            if !addresses.is_empty() {
                strayed.entry(key.namespace.clone()).or_default().extend(addresses);
            }
            let mut places = vec![(key.clone().into(), place)];
            let pod = self.cluster.pod(key).map(|pod| &**pod);
            for port in self.further(key) {
                let place = match pod.and_then(|pod| Some((pod, request(pod, &port)?))) {
                    Some((pod, request)) => {
                        placements::place_further(pod, request, &self.cluster, &self.vpcs, &self.addresses)
                    }
                    None => Place::Unwanted,
                };
                places.push((port, place));
            }
            for (port, place) in places {
                let moved = self.placements.set(&port, &place);
                // Of a further one it may also be another reason why it is nowhere.
                if !moved.slices.is_empty() || !port.is_first() {
                    self.engine.mark(Unit::from(key.clone()));
                }
                slices.extend(moved.slices);
                for slice in moved.beside {
                    self.engine.touch(&Fact::Beside(slice));
                }
                // What its address tells may help a slice that there is not yet.
                if let Place::In(spot) = place
                    && let slice = spot.slice()
                    && !slice.is_default()
                    && !matches!(self.slices.standing(&slice), Some(Standing::Slice(_)))
                {
                    slices.insert(slice);
                }
            }
        }
        self.wish(slices);
        for (namespace, addresses) in &strayed {
            self.mark_services(namespace, addresses);
        }
    }

    /// Has the services of a namespace compiled again that have endpoints with such addresses. Those that have not asked where
    /// their namespace is have not been compiled yet.
    fn mark_services(&mut self, namespace: &Name, addresses: &BTreeSet<IpAddr>) {
        let home = Fact::Home(namespace.clone());
        let services = self.engine.readers(&home).filter(|unit| {
            let Unit::Service(namespace, name) = unit else {
                return false;
            };
            let key = ServiceKey::new(namespace.clone(), name.clone());
            let mut endpoints = self.cluster.slices_of(&key).flat_map(|slice| &slice.endpoints);
            endpoints.any(|endpoint| addresses.contains(&endpoint.address))
        });
        for service in services.cloned().collect::<Vec<_>>() {
            self.engine.mark(service);
        }
    }

    /// The further interfaces that a pod asks for, and those that it had.
    fn further(&self, pod: &PodKey) -> BTreeSet<PortKey> {
        let asked = self.cluster.pod(pod).map_or(&[][..], |pod| pod.further());
        let asked = asked.iter().map(|request| request.port(pod.clone()));
        let placed = self.placements.of_pod(pod).map(|(port, _)| port.clone());
        let known = self.addresses.further(pod).cloned();
        let known = known.map(|interface| PortKey::further(pod.clone(), interface));
        asked
            .chain(placed.filter(|port| !port.is_first()))
            .chain(known)
            .collect()
    }

    fn wish(&mut self, slices: impl IntoIterator<Item = SliceKey>) {
        for slice in slices {
            let wish = self.placements.wish(&slice, &self.vpcs, &self.cluster);
            if !self.slices.has(&slice, wish.as_ref()) {
                self.slices.stage_on_demand(&slice, wish);
            }
        }
    }
}

/// What there is to know of a pod that is in another VPC than its namespace.
fn stray(pod: &Pod, place: &Place, home: &Home<'_>) -> Option<Stray> {
    let home = home.name()?;
    let Place::In(spot) = place else { return None };
    (*spot.vpc() != home && !pod.ips.is_empty()).then(|| Stray {
        vpc: spot.vpc().clone(),
        node: spot.node.clone(),
        ips: pod.ips.clone(),
    })
}

/// What a pod asks of one of its further interfaces.
fn request<'a>(pod: &'a Pod, port: &PortKey) -> Option<&'a NetworkRequest> {
    let mut further = pod.further().iter();
    further.find(|request| Some(&request.interface) == port.interface.as_ref())
}
