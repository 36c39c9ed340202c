//! What is settled before units compile: which VPC everything is in, who has which slice, which pods policies mean, and who has which
//! address.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;
use meridian_model::{Name, Pod, PodKey};

use super::Compiler;
use crate::Unit;
use crate::fact::Fact;
use crate::placements::{self, Place};
use crate::places::Places;
use crate::policy;
use crate::slices::{SliceKey, Standing};
use crate::vpcs::Update;

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
            if self.slices.stage(&name, node, &self.config) {
                changed.insert(SliceKey::of_default(&name));
            }
            // A node that comes or goes, or is another now.
            if !self.placements.is_empty() {
                let pods = self.cluster.pods_on(&name);
                let slices: BTreeSet<_> = pods.filter_map(|pod| self.placements.of(pod)).cloned().collect();
                self.wish(slices);
            }
        }
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
                Some(Standing::Slice(networks)) => Some(networks),
                _ => None,
            };
            if self.addresses.set_slice(&slice, networks) {
                if slice.is_default() {
                    self.pods.extend(self.cluster.pods_on(&slice.node).cloned());
                } else {
                    self.pods.extend(self.placements.pods(&slice).cloned());
                    self.engine.touch(&Fact::SlicesOf(slice.vpc.clone()));
                }
            }
            self.engine.touch(&Fact::Slice(slice));
        }
        self.settle_policies();
    }

    pub(super) fn settle_addresses(&mut self) {
        self.half_settled = false;
        for key in std::mem::take(&mut self.pods) {
            let pod = self.cluster.pod(&key).map(|pod| &**pod);
            let place = |pod| self.placements.place(pod, &self.vpcs, &self.addresses, &self.config);
            let slice = match pod.map(place) {
                Some(Place::In(slice)) => Some(slice),
                _ => None,
            };
            self.addresses.stage(&key, pod, slice);
        }
        if std::mem::take(&mut self.claimed) {
            self.addresses.forget_absent(&self.cluster);
        }
        let settlement = self.addresses.settle();
        for pod in settlement.pods {
            self.engine.touch(&Fact::Fare(pod));
        }
        for slice in settlement.slices {
            self.engine.touch(&Fact::Shortage(slice));
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
        self.policy_news.vpcs |= !update.vpcs.is_empty();
        self.policy_news.namespaces.extend(update.namespaces.iter().cloned());
        for vpc in update.vpcs {
            let mut slices = Vec::new();
            for (slice, pods) in self.placements.slices(&vpc) {
                slices.push(slice.clone());
                self.pods.extend(pods.iter().cloned());
            }
            for slice in slices {
                let wish = self.placements.wish(&slice, &self.vpcs, &self.cluster);
                self.slices.stage_on_demand(&slice, wish);
            }
            self.engine.touch(&Fact::Vpc(vpc));
        }
        if !update.namespaces.is_empty() || !update.networks.is_empty() {
            self.move_pods(&update.namespaces, &update.networks);
        }
    }

    /// Which pods are meant by which policy.
    fn settle_policies(&mut self) {
        let news = std::mem::take(&mut self.policy_news);
        let mut policies = std::mem::take(&mut self.policies);
        let changes = policies.update(&news, &self.pods, &self.cluster, &self.vpcs, &*self);
        self.policies = policies;
        if changes.any {
            self.engine.touch(&Fact::Policies);
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
    /// these networks. Its cost grows with the pods, but VPCs change seldom, and so does where namespaces are.
    fn move_pods(&mut self, namespaces: &BTreeSet<Name>, networks: &BTreeSet<IpNetwork>) {
        let of_networks = |pod: &Pod| {
            let mut networks = networks.iter();
            pod.ips
                .first()
                .is_some_and(|ip| networks.any(|network| network.contains(*ip)))
        };
        let pods = self
            .cluster
            .pods()
            .filter(|pod| namespaces.contains(&pod.namespace) || of_networks(pod));
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
        if self.vpcs.is_empty() && self.placements.is_empty() {
            return;
        }
        let mut slices = BTreeSet::new();
        for key in &self.pods {
            let place = match self.cluster.pod(key) {
                Some(pod) => placements::place(pod, &self.vpcs, &self.addresses, &self.config),
                None => Place::Unwanted,
            };
            let changed = self.placements.set(key, &place);
            if !changed.is_empty() {
                self.engine.mark(Unit::from(key.clone()));
            }
            slices.extend(changed);
            // What its address tells may help a slice that there is not yet.
            if let Place::In(slice) = place
                && !slice.is_default()
                && !matches!(self.slices.standing(&slice), Some(Standing::Slice(_)))
            {
                slices.insert(slice);
            }
        }
        self.wish(slices);
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

impl policy::Whereabouts for Compiler {
    fn vpc(&self, pod: &Pod) -> Option<Name> {
        match self.placements.place(pod, &self.vpcs, &self.addresses, &self.config) {
            Place::In(slice) => Some(slice.vpc),
            Place::Nowhere(_) | Place::Unwanted => None,
        }
    }
}
