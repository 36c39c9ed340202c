//! [`Verdict`]: what policies say of a packet, for people. It is read from what the ACLs are made of.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{PodKey, PolicyKey, Protocol};
use ovsdb_schemas::northbound::address_set;

use super::resolve::{Allowed, Peers};
use super::selection::Seat;
use super::{Direction, block_key, set_key};
use crate::Desired;
use crate::context::World;
use crate::identity::row_uuid;

/// What is asked of policies.
#[derive(Clone, Debug)]
pub(crate) struct Packet<'a> {
    /// The pod that may be isolated.
    pub(crate) pod: &'a PodKey,
    /// Whether it is connected to, or else connects.
    pub(crate) ingress: bool,
    /// The other end.
    pub(crate) other: IpAddr,
    pub(crate) protocol: Protocol,
    /// That of who is connected to; none for what has no ports.
    pub(crate) port: Option<u16>,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No policy isolates the pod in that direction.
    Open,
    /// A policy's rule lets it through: `ingress[0]`.
    Allowed { by: PolicyKey, rule: String },
    /// These isolate the pod, and no rule of theirs lets it through; the key of an ACL that stops it.
    Stopped { by: Vec<PolicyKey>, acl: String },
}

pub(crate) fn verdict(world: World<'_>, desired: &Desired, packet: &Packet<'_>) -> Verdict {
    let seats: BTreeSet<&Seat> = world
        .policies
        .of_pod(packet.pod)
        .into_iter()
        .map(|(seat, _)| seat)
        .collect();
    let direction = if packet.ingress {
        Direction::Ingress
    } else {
        Direction::Egress
    };
    let mut isolating = Vec::new();
    let mut acl = None;
    let of_namespace = world
        .cluster
        .policies()
        .filter(|policy| policy.namespace == packet.pod.namespace);
    for key in of_namespace.map(|policy| policy.key()) {
        let Some(resolved) = world.policies.resolved(&key) else {
            continue;
        };
        for part in resolved.parts.iter().filter(|part| seats.contains(&part.isolated)) {
            let rules = if packet.ingress { &part.ingress } else { &part.egress };
            let Some(rules) = rules else { continue };
            let lets = |allowed: &&Allowed| {
                seats.contains(&allowed.pods)
                    && has_port(allowed, packet)
                    && has_peer(world, desired, &key, direction, allowed, packet.other)
            };
            if let Some(allowed) = rules.iter().find(lets) {
                let rule = format!("{}[{}]", direction.word(), allowed.rule);
                return Verdict::Allowed { by: key, rule };
            }
            isolating.push(key.clone());
            acl.get_or_insert_with(|| format!("{}:{}", part.isolated, direction.word()));
        }
    }
    match acl {
        Some(acl) => Verdict::Stopped { by: isolating, acl },
        None => Verdict::Open,
    }
}

fn has_port(allowed: &Allowed, packet: &Packet<'_>) -> bool {
    allowed.ports.as_ref().is_none_or(|(protocol, ranges)| {
        *protocol == packet.protocol
            && packet
                .port
                .is_some_and(|port| ranges.iter().any(|range| range.contains(&port)))
    })
}

fn has_peer(
    world: World<'_>,
    desired: &Desired,
    policy: &PolicyKey,
    direction: Direction,
    allowed: &Allowed,
    other: IpAddr,
) -> bool {
    let v4 = other.is_ipv4();
    let in_set = |key: &str| {
        let set = row_uuid(world.config.cluster_id().map(|id| &**id), address_set::TABLE, key);
        let mut addresses = desired.links(address_set::TABLE, set, address_set::ADDRESSES);
        addresses.any(|(address, _)| {
            let network = address.as_str().and_then(|text| text.parse::<IpNetwork>().ok());
            network.is_some_and(|network| network.contains(other))
        })
    };
    match &allowed.peers {
        Peers::Anybody => true,
        Peers::Some { sets, blocks } => {
            sets.iter().any(|seat| in_set(&set_key(seat, v4)))
                || *blocks && in_set(&block_key(policy, direction, allowed.rule, v4))
        }
    }
}
