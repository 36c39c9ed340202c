//! [`Strays`]: pods that are in another VPC than their namespace, because they were there before it moved.
//!
//! Services of the namespace find them among their endpoints, and have no way to them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use meridian_model::{Endpoint, Name, PodKey};

/// Where such a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    pub(crate) vpc: Name,
    pub(crate) node: Name,
    pub(crate) ips: Box<[IpAddr]>,
}

#[derive(Debug, Default)]
pub(crate) struct Strays {
    of: HashMap<PodKey, Stray>,
    /// By namespace and address. VPCs may have the same addresses, but none that two pods of a node could have.
    at: HashMap<(Name, IpAddr), BTreeMap<PodKey, Stray>>,
}

impl Strays {
    /// Notes whether a pod is one; yields the addresses of which something else is to be said now.
    pub(crate) fn set(&mut self, pod: &PodKey, now: Option<Stray>) -> Vec<IpAddr> {
        let before = self.of.get(pod);
        if before == now.as_ref() {
            return Vec::new();
        }
        let mut changed: Vec<IpAddr> = Vec::new();
        if let Some(before) = self.of.remove(pod) {
            for &ip in &before.ips {
                let at = (pod.namespace.clone(), ip);
                if let Some(pods) = self.at.get_mut(&at) {
                    pods.remove(pod);
                    if pods.is_empty() {
                        self.at.remove(&at);
                    }
                }
                changed.push(ip);
            }
        }
        if let Some(now) = now {
            for &ip in &now.ips {
                let pods = self.at.entry((pod.namespace.clone(), ip)).or_default();
                pods.insert(pod.clone(), now.clone());
                changed.push(ip);
            }
            self.of.insert(pod.clone(), now);
        }
        changed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The pod that an endpoint of a namespace is, if it is one of these, and the VPC that it is in.
    pub(crate) fn find(&self, namespace: &Name, endpoint: &Endpoint) -> Option<(&PodKey, &Name)> {
        if self.is_empty() {
            return None;
        }
        let mut pods = self.at.get(&(namespace.clone(), endpoint.address))?.iter();
        let is_there = |stray: &Stray| endpoint.node.as_ref().is_none_or(|node| *node == stray.node);
        let (pod, stray) = pods.find(|(_, stray)| is_there(stray))?;
        Some((pod, &stray.vpc))
    }
}

#[cfg(test)]
mod tests {
    use meridian_model::EndpointState;

    use super::*;

    fn stray(vpc: &str, node: &str, ips: &[&str]) -> Stray {
        Stray {
            vpc: vpc.into(),
            node: node.into(),
            ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        }
    }

    fn endpoint(address: &str, node: Option<&str>) -> Endpoint {
        Endpoint {
            address: address.parse().unwrap(),
            state: EndpointState::Ready,
            node: node.map(Name::from),
            hints: None,
        }
    }

    #[test]
    fn a_stray_is_found_by_namespace_address_and_node() {
        let mut strays = Strays::default();
        let pod = PodKey::new("shop", "web-0");
        assert_eq!(
            strays
                .set(&pod, Some(stray("blue", "a", &["10.8.0.4", "fd00::4"])))
                .len(),
            2
        );
        let find = |strays: &Strays, namespace: &str, endpoint: &Endpoint| {
            strays.find(&namespace.into(), endpoint).map(|(_, vpc)| vpc.to_string())
        };
        let blue = Some("blue".to_owned());
        assert_eq!(find(&strays, "shop", &endpoint("10.8.0.4", Some("a"))), blue);
        assert_eq!(find(&strays, "shop", &endpoint("fd00::4", None)), blue);
        assert_eq!(find(&strays, "shop", &endpoint("10.8.0.4", Some("b"))), None);
        assert_eq!(find(&strays, "other", &endpoint("10.8.0.4", Some("a"))), None);
        let same = strays.set(&pod, Some(stray("blue", "a", &["10.8.0.4", "fd00::4"])));
        assert!(same.is_empty());
        assert_eq!(strays.set(&pod, None).len(), 2);
        assert_eq!(find(&strays, "shop", &endpoint("10.8.0.4", Some("a"))), None);
        assert!(strays.is_empty() && strays.at.is_empty());
    }
}
