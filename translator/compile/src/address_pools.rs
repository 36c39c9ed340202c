//! [`AddressPools`]: which nodes may announce an address of a service.

use std::net::IpAddr;

use meridian_api::range::{AddressRange, AddressRangeError};
use meridian_model::{Announcement, Cluster, Key, Labels, Name, Node};

use crate::ip;

/// How many nodes stand by for an address: more would only listen.
const CANDIDATES: usize = 3;

/// The label of a node that no load balancer sends to.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Pools of addresses, the oldest first: where two have an address, it is the older one's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressPools {
    ranges: Vec<(AddressRange, Option<Announcement>)>,
    faults: Vec<(Key, String, String)>,
}

impl AddressPools {
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let mut found = Self::default();
        let mut pools: Vec<_> = cluster.address_pools().collect();
        pools.sort_by_key(|pool| (pool.created, pool.name.clone()));
        for pool in pools {
            for (index, text) in pool.addresses.iter().enumerate() {
                match text.parse() {
                    Ok(range) => found.ranges.push((range, pool.announcement.clone())),
                    Err(error) => found.faults.push((
                        Key::AddressPool(pool.name.clone()),
                        format!("spec.addresses[{index}]"),
                        AddressRangeError::to_string(&error),
                    )),
                }
            }
        }
        found
    }

    /// Object, field and message of what cannot be read.
    pub(crate) fn faults(&self) -> &[(Key, String, String)] {
        &self.faults
    }

    /// How an address is announced, if it is.
    pub(crate) fn announcement(&self, address: IpAddr) -> Option<&Announcement> {
        let (_, announcement) = self.ranges.iter().find(|(range, _)| range.contains(address))?;
        announcement.as_ref()
    }
}

/// The nodes that may announce an address, the first that is there before the others. Each address has an order of its
/// own, which nodes that come and go change as little as possible (rendezvous hashing).
///
/// Who is there is decided on the wire. So a node that is not ready keeps its place, and others stand by for it: without
/// its place it would take the address back, and break connections, when it is ready again.
pub(crate) fn candidates<'a>(
    address: IpAddr,
    announcement: &Announcement,
    nodes: impl Iterator<Item = &'a Node>,
) -> Vec<Name> {
    let mut ranked: Vec<(u64, &Node)> = nodes
        .filter(|node| node.labels.get(EXCLUDED).is_none())
        .filter(|node| matches(&announcement.node_selector, &node.labels))
        .map(|node| (weight(address, &node.name), node))
        .collect();
    ranked.sort_unstable_by(|(one, a), (other, b)| (other, &b.name).cmp(&(one, &a.name)));
    let (first, others) = ranked.split_at(CANDIDATES.min(ranked.len()));
    let missing = first.iter().filter(|(_, node)| !node.ready).count();
    let standing_in = others.iter().filter(|(_, node)| node.ready).take(missing);
    first
        .iter()
        .chain(standing_in)
        .map(|(_, node)| node.name.clone())
        .collect()
}

fn matches(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// A round of mixing after the hash: the names of nodes differ in their last characters, which must reach the first bits.
pub(crate) fn weight(address: IpAddr, node: &str) -> u64 {
    let hash = ip::hash(format!("{address}/{node}").as_bytes());
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use meridian_model::{AddressPool, Event, Timestamp};

    use super::*;

    fn nodes(count: usize) -> Vec<Node> {
        (0..count).map(|n| Node::test(&format!("node-{n}"))).collect()
    }

    fn ranked(address: &str, nodes: &[Node]) -> Vec<Name> {
        candidates(address.parse().unwrap(), &Announcement::default(), nodes.iter())
    }

    #[test]
    fn the_order_is_the_addresses_own_and_not_that_of_the_nodes() {
        let mut nodes = nodes(9);
        let order = ranked("198.51.100.7", &nodes);
        assert_eq!(order.len(), CANDIDATES);
        nodes.reverse();
        assert_eq!(ranked("198.51.100.7", &nodes), order);
    }

    #[test]
    fn addresses_are_spread_evenly() {
        let nodes = nodes(4);
        let mut first = std::collections::BTreeMap::new();
        for n in 0..=255 {
            let order = ranked(&format!("198.51.100.{n}"), &nodes);
            *first.entry(order[0].clone()).or_insert(0) += 1;
        }
        assert!(first.values().all(|&count| (40..90).contains(&count)), "{first:?}");
    }

    #[test]
    fn a_node_that_comes_takes_addresses_and_moves_none_between_others() {
        let (few, more) = (nodes(5), nodes(6));
        for n in 0..=255 {
            let address = format!("198.51.100.{n}");
            let (before, after) = (ranked(&address, &few), ranked(&address, &more));
            assert!(
                after[0] == before[0] || &*after[0] == "node-5",
                "{address}: {before:?}, {after:?}"
            );
        }
    }

    #[test]
    fn a_selector_wants_every_label() {
        let of = |labels: &[(&str, &str)]| labels.iter().copied().collect::<Labels>();
        let labels = of(&[("edge", "true"), ("rack", "7")]);
        assert!(matches(&of(&[]), &labels));
        assert!(matches(&of(&[("edge", "true"), ("rack", "7")]), &labels));
        assert!(!matches(&of(&[("edge", "true"), ("rack", "8")]), &labels));
        assert!(!matches(&of(&[("edge", "true"), ("row", "1")]), &labels));
    }

    #[test]
    fn of_pools_with_one_address_the_older_one_counts_and_then_the_name() {
        let pool = |name: &str, created| AddressPool {
            created: Timestamp(created),
            ..AddressPool::test(name, ["198.51.100.0/24"]).announced_on([name])
        };
        for (pools, expected) in [([pool("a", 2), pool("b", 1)], "b"), ([pool("d", 1), pool("c", 1)], "c")] {
            let mut cluster = Cluster::default();
            for pool in pools {
                cluster.apply(Event::apply(pool));
            }
            let pools = AddressPools::of(&cluster);
            let announcement = pools.announcement("198.51.100.7".parse().unwrap()).unwrap();
            assert_eq!(*announcement.interfaces, [expected.into()]);
            assert_eq!(pools.announcement("203.0.113.7".parse().unwrap()), None);
        }
    }
}
