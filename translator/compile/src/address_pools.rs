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
pub(crate) fn candidates<'a>(
    address: IpAddr,
    announcement: &Announcement,
    nodes: impl Iterator<Item = &'a Node>,
) -> Vec<Name> {
    let mut ranked: Vec<(u64, &Name)> = nodes
        .filter(|node| node.ready && node.labels.get(EXCLUDED).is_none())
        .filter(|node| matches(&announcement.node_selector, &node.labels))
        .map(|node| (weight(address, &node.name), &node.name))
        .collect();
    ranked.sort_unstable_by(|one, other| other.cmp(one));
    ranked
        .into_iter()
        .take(CANDIDATES)
        .map(|(_, name)| name.clone())
        .collect()
}

fn matches(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// A round of mixing after the hash: the names of nodes differ in their last characters, which must reach the first bits.
fn weight(address: IpAddr, node: &str) -> u64 {
    let hash = ip::hash(format!("{address}/{node}").as_bytes());
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}
