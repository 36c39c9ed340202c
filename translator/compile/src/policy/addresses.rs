//! [`Blocks`]: the addresses that rules name themselves, as sets.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use meridian_model::{ClusterPolicy, Name, NetworkPolicy, PolicyPeer, PolicyRule, TierPeer, TierPeers, TierRule};

use super::ladder::rules;
use super::{Direction, PolicyId, blocks};
use crate::context::Context;
use crate::{address_set, ip};

/// A block of addresses, and what is excepted of it.
type Block = (IpNetwork, Vec<IpNetwork>);

/// The networks that each rule names, where it names any: by direction, rule and family.
pub(super) struct Blocks(BTreeMap<(Direction, usize, bool), Vec<IpNetwork>>);

impl Blocks {
    /// Of a policy.
    pub(super) fn of(ctx: &Context<'_>, id: &PolicyId) -> Self {
        let mut networks = BTreeMap::new();
        for direction in Direction::BOTH {
            let of_rules = match id {
                PolicyId::Namespaced(key) => ctx.policy(key).map(|policy| of_namespaced(policy, direction)),
                PolicyId::Cluster(key) => ctx.cluster_policy(key).map(|policy| of_cluster(ctx, policy, direction)),
            };
            for (at, all) in of_rules.into_iter().flatten().enumerate() {
                for v4 in [true, false] {
                    let of_family = blocks::networks(all.iter().map(|(cidr, except)| (*cidr, &**except)), v4);
                    if !of_family.is_empty() {
                        networks.insert((direction, at, v4), of_family);
                    }
                }
            }
        }
        Self(networks)
    }

    /// Adds the sets.
    pub(super) fn add(&self, ctx: &mut Context<'_>, id: &PolicyId) {
        for ((direction, rule, v4), networks) in &self.0 {
            let (set, _) = address_set::add(ctx, block_key(id, *direction, *rule, *v4));
            for network in networks {
                // Of one address the prefix length goes without saying.
                let whole = network.prefix() == ip::width(*network);
                let text = if whole {
                    network.ip().to_string()
                } else {
                    network.to_string()
                };
                address_set::put(ctx, set, text);
            }
        }
    }

    /// Whether a rule has such a set.
    pub(super) fn has(&self, direction: Direction, rule: usize, v4: bool) -> bool {
        self.0.contains_key(&(direction, rule, v4))
    }

    /// The networks of a rule.
    pub(super) fn of_rule(&self, direction: Direction, rule: usize) -> impl Iterator<Item = &IpNetwork> {
        let families = [true, false].into_iter();
        families
            .filter_map(move |v4| self.0.get(&(direction, rule, v4)))
            .flatten()
    }
}

/// The key of the address set of a rule's blocks.
pub(super) fn block_key(policy: &PolicyId, direction: Direction, rule: usize, v4: bool) -> Name {
    let family = if v4 { "v4" } else { "v6" };
    format!("{policy}:{}[{rule}]:{family}", direction.word()).into()
}

fn of_namespaced(policy: &NetworkPolicy, direction: Direction) -> Vec<Vec<Block>> {
    let block = |peer: &PolicyPeer| match peer {
        // What cannot be read of what is excepted takes the whole block with it.
        PolicyPeer::Block { cidr, except } => {
            let except: Result<_, _> = except.iter().map(|except| except.parse()).collect();
            Some((cidr.parse().ok()?, except.ok()?))
        }
        PolicyPeer::Pods { .. } => None,
    };
    let rules = match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    };
    let of_rule = |rule: &PolicyRule| rule.peers.iter().filter_map(block).collect();
    rules.iter().flatten().map(of_rule).collect()
}

fn of_cluster(ctx: &Context<'_>, policy: &ClusterPolicy, direction: Direction) -> Vec<Vec<Block>> {
    let of_peer = |peer: &TierPeer| -> Vec<Block> {
        match peer {
            TierPeer::Networks(networks) => {
                let networks = networks.iter().filter_map(|network| network.parse().ok());
                networks.map(|network| (network, Vec::new())).collect()
            }
            TierPeer::Nodes(selector) => {
                let nodes = ctx.nodes().filter(|node| selector.matches(&node.labels));
                let addresses = nodes.flat_map(|node| node.internal_ips.iter());
                addresses
                    .map(|address| (IpNetwork::from(*address), Vec::new()))
                    .collect()
            }
            TierPeer::Pods(_) | TierPeer::DomainNames(_) => Vec::new(),
        }
    };
    let of_rule = |rule: &TierRule| match &rule.peers {
        TierPeers::Everybody => Vec::new(),
        TierPeers::Some(peers) => peers.iter().flat_map(of_peer).collect(),
    };
    rules(policy, direction).iter().map(of_rule).collect()
}
