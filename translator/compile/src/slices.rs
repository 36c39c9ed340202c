//! Which networks each node has: its slice of the default VPC.
//!
//! `spec.podCIDRs` is the record. A node without is given a part of the cluster CIDRs, and keeps it. A slice is all or
//! nothing: a node one of whose CIDRs cannot be used has no slice, rather than half of one that looks like all.
//!
//! Makes no rows; the node's unit does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnetwork::IpNetwork;
use meridian_model::{Name, Node};

use crate::arbiter::{Arbiter, Bid, Item, Outcome, Space};
use crate::{Claim, Config, ip};

/// How a node fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    /// It has a slice: at most one network per family.
    Slice(&'a [IpNetwork]),
    /// Its `spec.podCIDRs` make no sense by themselves.
    Unusable(&'a [Fault]),
    /// `cidr` of its `spec.podCIDRs` overlaps `theirs` of an older node.
    Lost {
        cidr: IpNetwork,
        theirs: IpNetwork,
        to: &'a Name,
    },
    /// It has no podCIDRs, and the cluster CIDRs have nothing for it.
    Waiting,
}

/// What is wrong with one of a node's CIDRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Which of them.
    pub(crate) index: usize,
    pub(crate) message: String,
}

#[derive(Debug)]
pub(crate) struct Slices {
    arbiter: Arbiter<Name, Cidrs>,
    faults: HashMap<Name, Vec<Fault>>,
    /// Claims of nodes that were not seen yet.
    claims: HashMap<Name, Box<[IpNetwork]>>,
}

impl Slices {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            arbiter: Arbiter::new(Cidrs::new(config)),
            faults: HashMap::new(),
            claims: HashMap::new(),
        }
    }

    pub(crate) fn claim(&mut self, node: Name, networks: Box<[IpNetwork]>) {
        self.claims.insert(node, networks);
    }

    /// Notes what a node is like now; takes effect with [`Self::settle`]. True if that alone makes it fare differently.
    pub(crate) fn stage(&mut self, name: &Name, node: Option<&Node>, config: &Config) -> bool {
        let had_faults = self.faults.remove(name);
        let claim = self.claims.remove(name);
        let bid = node.and_then(|node| match recorded(node, config) {
            Ok(record) => Some(Bid {
                created: node.created,
                claim: claim.unwrap_or_else(|| self.arbiter.held(name).into()),
                record,
            }),
            Err(faults) => {
                self.faults.insert(name.clone(), faults);
                None
            }
        });
        self.arbiter.stage(name.clone(), bid);
        self.faults.get(name) != had_faults.as_ref()
    }

    /// Settles what is staged and returns the nodes that may fare differently.
    pub(crate) fn settle(&mut self) -> BTreeSet<Name> {
        self.arbiter.settle()
    }

    /// Claims of nodes that do not exist are void once everything was seen.
    pub(crate) fn forget_absent(&mut self) {
        self.claims.clear();
    }

    /// How a node fares, if it exists.
    pub(crate) fn standing(&self, node: &Name) -> Option<Standing<'_>> {
        if let Some(faults) = self.faults.get(node) {
            return Some(Standing::Unusable(faults));
        }
        Some(match self.arbiter.outcome(node)? {
            Outcome::Granted(networks) => Standing::Slice(networks),
            Outcome::Lost { item, theirs, to } => Standing::Lost { cidr: item, theirs, to },
            Outcome::Waiting => Standing::Waiting,
        })
    }

    pub(crate) fn claims(&self) -> impl Iterator<Item = Claim> {
        let held = self.arbiter.holdings().filter(|(_, networks)| !networks.is_empty());
        held.map(|(node, networks)| Claim::Slice {
            node: node.clone(),
            networks: networks.into(),
        })
    }
}

/// What a node's `spec.podCIDRs` say, judged by themselves.
fn recorded(node: &Node, config: &Config) -> Result<Box<[IpNetwork]>, Vec<Fault>> {
    let mut networks: Vec<IpNetwork> = Vec::new();
    let mut faults = Vec::new();
    for (index, text) in node.pod_cidrs.iter().enumerate() {
        match judge(text, &networks, config) {
            Ok(network) => networks.push(network),
            Err(message) => faults.push(Fault { index, message }),
        }
    }
    if faults.is_empty() {
        Ok(networks.into())
    } else {
        Err(faults)
    }
}

fn judge(text: &str, earlier: &[IpNetwork], config: &Config) -> Result<IpNetwork, String> {
    let network: IpNetwork = text
        .parse()
        .map_err(|reason| format!("{text:?} is not a network ({reason}): write it like 10.244.1.0/24"))?;
    let network = ip::canonical(network);
    let family = if network.is_ipv4() { "IPv4" } else { "IPv6" };
    if let Some(first) = earlier.iter().find(|first| first.is_ipv4() == network.is_ipv4()) {
        return Err(format!(
            "{network} is a second {family} network beside {first}: a node has one per family"
        ));
    }
    if network.prefix() > ip::longest_slice(network) {
        return Err(format!(
            "{network} has no room for a gateway and the addresses of the host: give the node at least a /{}",
            ip::longest_slice(network)
        ));
    }
    if !config.cluster_cidrs().iter().any(|&cidr| ip::contains(cidr, network)) {
        return Err(format!(
            "{network} is not in the cluster CIDRs ({}), so nothing would route to it: start the translator with a \
             cluster CIDR that contains it, or give the node another",
            list(config.cluster_cidrs())
        ));
    }
    Ok(network)
}

/// Networks as a person lists them.
pub(crate) fn list(networks: &[IpNetwork]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Item for IpNetwork {
    fn overlapping<V>(self, known: &BTreeMap<Self, V>) -> Vec<Self> {
        let shorter = |prefix| {
            let wider = IpNetwork::new(self.ip(), prefix).expect("shorter than a valid prefix");
            ip::canonical(wider)
        };
        let last = IpNetwork::new(self.broadcast(), ip::width(self)).expect("the full width is a valid prefix");
        let around = (0..self.prefix())
            .map(shorter)
            .filter(|wider| known.contains_key(wider));
        // Networks sort by address, then by prefix length: all from the first address to the last are inside.
        around
            .chain(known.range(self..=last).map(|(&inside, _)| inside))
            .collect()
    }
}

/// The cluster CIDRs, as blocks of the length that each slice has.
#[derive(Debug)]
struct Cidrs {
    blocks: Box<[Blocks]>,
}

#[derive(Debug)]
struct Blocks {
    cidr: IpNetwork,
    prefix: u8,
    /// All blocks below are in use.
    free_from: u128,
}

impl Cidrs {
    fn new(config: &Config) -> Self {
        let blocks = config.cluster_cidrs().iter();
        Self {
            blocks: blocks
                .map(|&cidr| Blocks {
                    cidr,
                    prefix: config.host_slice(cidr),
                    free_from: 0,
                })
                .collect(),
        }
    }
}

impl Blocks {
    /// The block that an address is in.
    fn index_of(&self, address: std::net::IpAddr) -> Option<u128> {
        let host_bits = ip::width(self.cidr) - self.prefix;
        Some(
            ip::offset(self.cidr, address)?
                .checked_shr(host_bits.into())
                .unwrap_or(0),
        )
    }

    fn first_free<V>(&mut self, in_use: &BTreeMap<IpNetwork, V>) -> Option<IpNetwork> {
        loop {
            let block = ip::nth_subnet(self.cidr, self.prefix, self.free_from)?;
            let users = block.overlapping(in_use);
            // A user may cover many blocks: go on behind it.
            let Some(end) = users.iter().map(IpNetwork::broadcast).max() else {
                return Some(block);
            };
            self.free_from = self.index_of(end)? + 1;
        }
    }
}

impl Space for Cidrs {
    type Item = IpNetwork;

    fn admits(&self, held: &[IpNetwork], item: IpNetwork) -> bool {
        item == ip::canonical(item)
            && item.prefix() <= ip::longest_slice(item)
            && held.iter().all(|other| other.is_ipv4() != item.is_ipv4())
            && self.blocks.iter().any(|blocks| ip::contains(blocks.cidr, item))
    }

    fn take(&mut self, _: IpNetwork) {}

    fn give_back(&mut self, item: IpNetwork) {
        for blocks in &mut self.blocks {
            if let Some(index) = blocks.index_of(item.network()) {
                blocks.free_from = blocks.free_from.min(index);
            }
        }
    }

    fn complete<V>(&mut self, in_use: &BTreeMap<IpNetwork, V>, held: &[IpNetwork]) -> Option<Vec<IpNetwork>> {
        let mut found: Vec<IpNetwork> = Vec::new();
        // The family of the first cluster CIDR is the primary one.
        let primary = self.blocks.first().is_none_or(|blocks| blocks.cidr.is_ipv4());
        for ipv4 in [primary, !primary] {
            if held.iter().any(|network| network.is_ipv4() == ipv4) {
                continue;
            }
            let mut family = self
                .blocks
                .iter_mut()
                .filter(|blocks| blocks.cidr.is_ipv4() == ipv4)
                .peekable();
            if family.peek().is_some() {
                found.push(family.find_map(|blocks| blocks.first_free(in_use))?);
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets<'a>(texts: &[&'a str]) -> BTreeMap<IpNetwork, &'a str> {
        texts.iter().map(|&text| (text.parse().unwrap(), text)).collect()
    }

    fn overlapping(network: &str, known: &[&str]) -> Vec<String> {
        let network: IpNetwork = network.parse().unwrap();
        network
            .overlapping(&nets(known))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn overlapping_finds_networks_around_inside_and_equal() {
        let known = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.0/24",
            "10.1.2.0/25",
            "10.1.3.0/24",
            "10.2.0.0/16",
            "fd00::/8",
        ];
        assert_eq!(
            overlapping("10.1.2.0/24", &known),
            ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.0/25"]
        );
        assert_eq!(overlapping("fd00:1::/32", &known), ["fd00::/8"]);
        assert_eq!(overlapping("0.0.0.0/0", &known).len(), 6);
        assert_eq!(overlapping("192.168.0.0/16", &known), Vec::<String>::new());
    }

    fn blocks(cidr: &str, prefix: u8) -> Blocks {
        Blocks {
            cidr: cidr.parse().unwrap(),
            prefix,
            free_from: 0,
        }
    }

    #[test]
    fn carving_steps_over_a_network_that_covers_many_blocks_at_once() {
        let free = blocks("fd00::/16", 64).first_free(&nets(&["fd00::/17"]));
        assert_eq!(free, Some("fd00:8000::/64".parse().unwrap()));
    }

    #[test]
    fn carving_avoids_a_block_of_which_only_a_part_is_in_use() {
        let free = blocks("10.0.0.0/16", 24).first_free(&nets(&["10.0.0.128/26", "10.0.1.4/30"]));
        assert_eq!(free, Some("10.0.2.0/24".parse().unwrap()));
    }

    #[test]
    fn nothing_is_carved_from_a_cidr_that_is_full() {
        assert_eq!(
            blocks("10.0.0.0/24", 25).first_free(&nets(&["10.0.0.0/25", "10.0.0.128/25"])),
            None
        );
        assert_eq!(blocks("::/0", 0).first_free(&nets(&["fd00::/64"])), None);
    }
}
