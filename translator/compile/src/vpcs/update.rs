//! [`Update`]: looks again at what there is of VPCs, and says what is not as it was.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;
use meridian_model::{Cluster, Name, Namespace};

use super::{SubnetState, Vpcs, judge, peers, routes, subnets};
use crate::Config;
use crate::names::default_vpc;
use crate::segment::SubnetKey;
use crate::service_cidrs::ServiceCidrs;

/// What an update changed.
#[derive(Debug, Default)]
pub(crate) struct Update {
    /// VPCs that are not as they were, or no more.
    pub(crate) vpcs: BTreeSet<Name>,
    /// Namespaces that belong elsewhere, or whose VPC is not as it was.
    pub(crate) namespaces: BTreeSet<Name>,
    /// The networks that those VPCs have or had.
    pub(crate) networks: BTreeSet<IpNetwork>,
    /// Subnets that are not as they were, or no more.
    pub(crate) subnets: BTreeSet<SubnetKey>,
}

impl Vpcs {
    /// Looks at everything again.
    pub(crate) fn update(&mut self, config: &Config, service_cidrs: &ServiceCidrs, cluster: &Cluster) -> Update {
        let ground = judge::Ground {
            config,
            service_cidrs,
            cluster,
        };
        let mut states = judge::all(&ground);
        let mut subnets = subnets::all(&ground, &mut states);
        let consents = peers::connect(&mut states, cluster);
        routes::all(&ground, &mut states, &mut subnets);
        let mut order: Vec<Name> = states.keys().cloned().collect();
        order.sort_by_key(|name| (states[name].object.created, name.clone()));
        let before = std::mem::replace(
            self,
            Self {
                states,
                order,
                subnets,
                homes: BTreeMap::new(),
                asked: cluster
                    .namespaces()
                    .filter_map(|namespace| Some((namespace.name.clone(), asked_by(namespace)?)))
                    .collect(),
                consents,
                nodes: cluster
                    .nodes()
                    .map(|node| (node.name.clone(), (node.created, node.internal_ips.clone())))
                    .collect(),
            },
        );
        if !self.states.is_empty() {
            for namespace in cluster.namespaces() {
                self.set_home(&namespace.name, cluster);
            }
        }
        let different = |name: &&Name| before.states.get(*name) != self.states.get(*name);
        let all = before.states.keys().chain(self.states.keys());
        let vpcs: BTreeSet<Name> = all.filter(different).cloned().collect();
        let mut known: BTreeSet<&Name> = before.homes.keys().chain(self.homes.keys()).collect();
        if before.states.is_empty() != self.states.is_empty() {
            // What is not known may be waited for now, or no longer.
            known.extend(cluster.pods().map(|pod| &pod.namespace));
            known.extend(cluster.services().map(|service| &service.namespace));
        }
        let names = || {
            before
                .subnets
                .keys()
                .chain(self.subnets.keys())
                .collect::<BTreeSet<_>>()
        };
        let different = |name: &&Name| before.subnets.get(*name) != self.subnets.get(*name);
        let changed: BTreeSet<&Name> = names().into_iter().filter(different).collect();
        let versions = || {
            let both = changed
                .iter()
                .flat_map(|name| [before.subnets.get(*name), self.subnets.get(*name)]);
            both.flatten()
        };
        let subnets: BTreeSet<SubnetKey> = versions().map(SubnetState::key).collect();
        known.extend(before.asked.keys().chain(self.asked.keys()));
        let moved = known.into_iter().filter(|namespace| {
            let (old, new) = (before.home(namespace).name(), self.home(namespace).name());
            let is_other = |vpc: &Name| vpcs.contains(vpc) || subnets.iter().any(|subnet| subnet.vpc == *vpc);
            let asks = |vpcs: &Self| vpcs.asked.get(*namespace).cloned();
            old != new || asks(&before) != asks(self) || new.is_some_and(|vpc| is_other(&vpc))
        });
        let namespaces = moved.cloned().collect();
        let states = || [&before.states, &self.states].into_iter();
        let of_vpc = |vpc: &Name| {
            states()
                .filter_map(|states| states.get(vpc))
                .flat_map(|state| state.network.cidrs())
                .copied()
                .collect::<Vec<_>>()
        };
        let of_subnets = versions().flat_map(SubnetState::networks);
        let networks = vpcs.iter().flat_map(of_vpc).chain(of_subnets).collect();
        Update {
            vpcs,
            namespaces,
            networks,
            subnets,
        }
    }

    /// Looks at one namespace again.
    pub(crate) fn update_namespace(&mut self, namespace: &Name, cluster: &Cluster) -> Update {
        let mut update = Update::default();
        if self.set_asked(namespace, cluster) {
            update.namespaces.insert(namespace.clone());
        }
        if self.states.is_empty() {
            return update;
        }
        let before = self.homes.get(namespace).cloned();
        update.vpcs = self.set_home(namespace, cluster);
        if before.as_ref() != self.homes.get(namespace) {
            update.namespaces.insert(namespace.clone());
        }
        update
    }

    /// Notes which Subnet a namespace names. Whether that is another than before.
    fn set_asked(&mut self, namespace: &Name, cluster: &Cluster) -> bool {
        let named = cluster.namespace(namespace).and_then(|namespace| asked_by(namespace));
        let before = match named.clone() {
            Some(name) => self.asked.insert(namespace.clone(), name),
            None => self.asked.remove(namespace),
        };
        before != named
    }

    /// Yields the VPCs that win or lose something else than before.
    fn set_home(&mut self, namespace: &Name, cluster: &Cluster) -> BTreeSet<Name> {
        let mut changed = BTreeSet::new();
        let Some(object) = cluster.namespace(namespace) else {
            self.homes.remove(namespace);
            for (name, state) in &mut self.states {
                if state.lost.remove(namespace).is_some() {
                    changed.insert(name.clone());
                }
            }
            return changed;
        };
        let mut home: Option<Name> = None;
        for name in &self.order {
            let state = self.states.get_mut(name).expect("the order is that of the states");
            let selects = state
                .object
                .namespaces
                .as_ref()
                .is_some_and(|of| of.matches(&object.labels));
            let winner = home.clone().filter(|_| selects);
            let lost = match &winner {
                Some(winner) => state.lost.insert(namespace.clone(), winner.clone()),
                None => state.lost.remove(namespace),
            };
            if lost != winner {
                changed.insert(name.clone());
            }
            if selects && home.is_none() {
                home = Some(name.clone());
            }
        }
        self.homes.insert(namespace.clone(), home.unwrap_or_else(default_vpc));
        changed
    }
}

/// The Subnet that a namespace names.
fn asked_by(namespace: &Namespace) -> Option<Name> {
    namespace.subnet.clone().filter(|name| !name.is_empty())
}
