//! [`Nodes`]: which addresses pods in Subnets hold on each node, by each of their interfaces.
//!
//! Subnets of different VPCs may have the same addresses, and a host tells its pods by them. So of two pods on a node that hold one
//! address, one has to wait: the one whose status does not say so yet, or else the younger. To be given an address that another on
//! the node holds is avoided as long as there are others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use meridian_model::{Name, PortKey, Timestamp};

/// Whether its addresses are not on record yet, and when it came.
pub(super) type Age = (bool, Timestamp);

#[derive(Debug, Default)]
pub(super) struct Nodes {
    held: HashMap<PortKey, Held>,
    holders: HashMap<Name, BTreeMap<IpAddr, BTreeSet<(Age, PortKey)>>>,
    /// What pods that are not settled yet come with, by node.
    expected: HashMap<Name, BTreeMap<PortKey, Box<[IpAddr]>>>,
    unsettled: BTreeSet<PortKey>,
    /// Pods that may have another rival than before.
    changed: BTreeSet<PortKey>,
}

#[derive(Debug, PartialEq, Eq)]
struct Held {
    node: Name,
    age: Age,
    ips: Box<[IpAddr]>,
}

impl Nodes {
    /// Notes with which addresses a pod comes to a node.
    pub(super) fn expect(&mut self, pod: &PortKey, node: &Name, ips: &[IpAddr]) {
        if !ips.is_empty() {
            let expected = self.expected.entry(node.clone()).or_default();
            expected.insert(pod.clone(), ips.into());
        }
    }

    /// Notes that a pod may hold something else, or elsewhere, and whether it is in a Subnet.
    pub(super) fn look_at(&mut self, pod: &PortKey, is_in_subnet: bool) {
        if is_in_subnet || self.held.contains_key(pod) {
            self.unsettled.insert(pod.clone());
        }
    }

    /// What others on a node hold, or come with.
    pub(super) fn beside(&self, pod: &PortKey, node: &Name) -> Vec<IpAddr> {
        let holders = self.holders.get(node).into_iter().flatten();
        let held = holders.filter(|(_, pods)| pods.iter().any(|(_, other)| other != pod));
        let expected = self.expected.get(node).into_iter().flatten();
        let expected = expected.filter(|(other, _)| *other != pod).flat_map(|(_, ips)| ips);
        held.map(|(ip, _)| *ip).chain(expected.copied()).collect()
    }

    /// Notes what a pod holds now, if it is in a Subnet.
    pub(super) fn set(&mut self, pod: &PortKey, held: Option<(&Name, Age, &[IpAddr])>) {
        self.unsettled.remove(pod);
        let now = held.map(|(node, age, ips)| Held {
            node: node.clone(),
            age,
            ips: ips.into(),
        });
        if self.held.get(pod) == now.as_ref() {
            return;
        }
        if let Some(before) = self.held.remove(pod) {
            self.leave(pod, &before);
        }
        if let Some(now) = now {
            let holders = self.holders.entry(now.node.clone()).or_default();
            for ip in &now.ips {
                let pods = holders.entry(*ip).or_default();
                self.changed.extend(pods.iter().map(|(_, other)| other.clone()));
                pods.insert((now.age, pod.clone()));
            }
            self.held.insert(pod.clone(), now);
        }
        self.changed.insert(pod.clone());
    }

    fn leave(&mut self, pod: &PortKey, before: &Held) {
        let Some(holders) = self.holders.get_mut(&before.node) else {
            return;
        };
        for ip in &before.ips {
            let Some(pods) = holders.get_mut(ip) else { continue };
            pods.remove(&(before.age, pod.clone()));
            self.changed.extend(pods.iter().map(|(_, other)| other.clone()));
            if pods.is_empty() {
                holders.remove(ip);
            }
        }
        if holders.is_empty() {
            self.holders.remove(&before.node);
        }
    }

    /// The pods that were to be looked at and that nothing was said of since.
    pub(super) fn unsettled(&mut self) -> BTreeSet<PortKey> {
        std::mem::take(&mut self.unsettled)
    }

    /// Forgets what was only expected, and yields the pods that may have another rival than before.
    pub(super) fn settle(&mut self) -> BTreeSet<PortKey> {
        self.expected.clear();
        std::mem::take(&mut self.changed)
    }

    /// Who has an address of a pod's on its node, and which.
    pub(super) fn rival(&self, pod: &PortKey) -> Option<(IpAddr, &PortKey)> {
        let held = self.held.get(pod)?;
        let holders = self.holders.get(&held.node)?;
        held.ips.iter().find_map(|ip| {
            let (_, first) = holders.get(ip)?.first()?;
            (first != pod).then_some((*ip, first))
        })
    }
}
