//! [`Cidrs`]: the networks of a VPC, as the space that nodes' slices come from.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;

use crate::arbiter::{Item, Space};
use crate::ip;

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

/// The CIDRs of a VPC, as blocks of the length that each slice has.
#[derive(Debug)]
pub(super) struct Cidrs {
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
    /// Networks, and the prefix length of each slice of them.
    pub(super) fn new(cidrs: impl Iterator<Item = (IpNetwork, u8)>) -> Self {
        let blocks = cidrs.map(|(cidr, prefix)| Blocks {
            cidr,
            prefix,
            free_from: 0,
        });
        Self {
            blocks: blocks.collect(),
        }
    }
}

impl Cidrs {
    /// Whether it is made of these.
    pub(super) fn is_of(&self, cidrs: impl Iterator<Item = (IpNetwork, u8)>) -> bool {
        self.blocks.iter().map(|blocks| (blocks.cidr, blocks.prefix)).eq(cidrs)
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

    fn first_free<V>(&mut self, in_use: &BTreeMap<IpNetwork, V>, avoid: &[IpNetwork]) -> Option<IpNetwork> {
        let mut at = self.free_from;
        loop {
            let block = ip::nth_subnet(self.cidr, self.prefix, at)?;
            let users = block.overlapping(in_use);
            // A user may cover many blocks: go on behind it.
            if let Some(end) = users.iter().map(IpNetwork::broadcast).max() {
                let next = self.index_of(end)? + 1;
                // What was passed over for others' sake is free still.
                if self.free_from == at {
                    self.free_from = next;
                }
                at = next;
                continue;
            }
            let avoided = avoid.iter().filter(|other| ip::overlap(**other, block));
            let Some(end) = avoided.map(IpNetwork::broadcast).max() else {
                return Some(block);
            };
            at = self.index_of(end)? + 1;
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

    fn complete<V>(
        &mut self,
        in_use: &BTreeMap<IpNetwork, V>,
        held: &[IpNetwork],
        avoid: &[IpNetwork],
    ) -> Option<Vec<IpNetwork>> {
        let mut found: Vec<IpNetwork> = Vec::new();
        // The family of the first CIDR is the primary one.
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
                found.push(family.find_map(|blocks| blocks.first_free(in_use, avoid))?);
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
        let free = blocks("fd00::/16", 64).first_free(&nets(&["fd00::/17"]), &[]);
        assert_eq!(free, Some("fd00:8000::/64".parse().unwrap()));
    }

    #[test]
    fn carving_avoids_a_block_of_which_only_a_part_is_in_use() {
        let free = blocks("10.0.0.0/16", 24).first_free(&nets(&["10.0.0.128/26", "10.0.1.4/30"]), &[]);
        assert_eq!(free, Some("10.0.2.0/24".parse().unwrap()));
    }

    #[test]
    fn nothing_is_carved_from_a_cidr_that_is_full() {
        assert_eq!(
            blocks("10.0.0.0/24", 25).first_free(&nets(&["10.0.0.0/25", "10.0.0.128/25"]), &[]),
            None
        );
        assert_eq!(blocks("::/0", 0).first_free(&nets(&["fd00::/64"]), &[]), None);
    }

    #[test]
    fn carving_passes_over_what_is_to_be_avoided_and_comes_back_to_it_for_another() {
        let mut blocks = blocks("10.0.0.0/16", 24);
        let avoid = ["10.0.0.0/23".parse().unwrap()];
        let in_use = nets(&["10.0.2.0/24"]);
        assert_eq!(blocks.first_free(&in_use, &avoid), Some("10.0.3.0/24".parse().unwrap()));
        assert_eq!(blocks.first_free(&in_use, &[]), Some("10.0.0.0/24".parse().unwrap()));
        let everything = ["10.0.0.0/8".parse().unwrap()];
        assert_eq!(blocks.first_free(&in_use, &everything), None);
    }
}
