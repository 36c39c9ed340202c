//! [`Verdict`]: what policies say of a packet, for people. It is read from what the ACLs are made of.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Action, PodKey, Protocol, Tier};
use ovsdb_schemas::northbound::address_set;

use super::addresses::block_key;
use super::ladder::rules;
use super::resolve::{Meant, Peers};
use super::selection::Seat;
use super::statement::PolicyId;
use super::{Direction, set_key};
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
    /// No policy has to do with it.
    Open,
    /// A policy's rule lets it through: `ingress[0]`.
    Allowed { by: PolicyId, rule: String },
    /// A rule of an administrator's stops it.
    Denied { by: PolicyId, rule: String },
    /// These isolate the pod, and no rule of theirs lets it through; the key of an ACL that stops it.
    Stopped { by: Vec<PolicyId>, acl: String },
}

/// What the policies of a pod say of a packet, those of namespaces between the tiers of an administrator's.
pub(crate) fn verdict(world: World<'_>, desired: &Desired, packet: &Packet<'_>) -> Verdict {
    let asked = Asked {
        world,
        desired,
        packet,
        seats: world
            .policies
            .of_pod(packet.pod)
            .into_iter()
            .map(|(seat, _)| seat)
            .collect(),
    };
    let decided = asked.of_tier(Tier::Admin).or_else(|| asked.of_namespace());
    decided
        .or_else(|| asked.of_tier(Tier::Baseline))
        .unwrap_or(Verdict::Open)
}

/// What is asked, and the selections that the pod is in.
struct Asked<'a> {
    world: World<'a>,
    desired: &'a Desired,
    packet: &'a Packet<'a>,
    seats: BTreeSet<&'a Seat>,
}

impl Asked<'_> {
    fn direction(&self) -> Direction {
        if self.packet.ingress {
            Direction::Ingress
        } else {
            Direction::Egress
        }
    }

    fn rule(&self, meant: &Meant) -> String {
        format!("{}[{}]", self.direction().word(), meant.rule)
    }

    /// Whether it is what a rule is about.
    fn is(&self, id: &PolicyId, meant: &Meant) -> bool {
        self.seats.contains(&meant.pods) && has_port(meant, self.packet) && self.has_peer(id, meant)
    }

    /// What an administrator's rules decide; nothing if they leave it to others.
    fn of_tier(&self, tier: Tier) -> Option<Verdict> {
        let direction = self.direction();
        for key in self.world.policies.ladder().order() {
            let policy = self
                .world
                .cluster
                .cluster_policy(key)
                .filter(|policy| policy.tier == tier);
            let id = PolicyId::from(key.clone());
            let (Some(policy), Some(resolved)) = (policy, self.world.policies.resolved(&id)) else {
                continue;
            };
            let parts = resolved.parts.iter().filter_map(|part| part.meant(direction));
            // Of one rule there may be several, and rules are in order only part by part.
            let mut meant: Vec<&Meant> = parts.flatten().filter(|meant| self.is(&id, meant)).collect();
            meant.sort_by_key(|meant| meant.rule);
            let Some(first) = meant.first() else { continue };
            let (by, rule) = (id.clone(), self.rule(first));
            return match rules(policy, direction)[first.rule].action {
                Action::Pass if tier == Tier::Admin => None,
                Action::Deny => Some(Verdict::Denied { by, rule }),
                Action::Accept | Action::Pass => Some(Verdict::Allowed { by, rule }),
            };
        }
        None
    }

    fn of_namespace(&self) -> Option<Verdict> {
        let direction = self.direction();
        let mut isolating = Vec::new();
        let mut acl = None;
        let all = self.world.cluster.policies();
        let of_namespace = all.filter(|policy| policy.namespace == self.packet.pod.namespace);
        for id in of_namespace.map(|policy| PolicyId::from(policy.key())) {
            let Some(resolved) = self.world.policies.resolved(&id) else {
                continue;
            };
            for part in resolved.parts.iter().filter(|part| self.seats.contains(&part.subject)) {
                let Some(rules) = part.meant(direction) else { continue };
                if let Some(meant) = rules.iter().find(|meant| self.is(&id, meant)) {
                    let rule = self.rule(meant);
                    return Some(Verdict::Allowed { by: id, rule });
                }
                isolating.push(id.clone());
                acl.get_or_insert_with(|| format!("{}:{}", part.subject, direction.word()));
            }
        }
        let acl = acl?;
        Some(Verdict::Stopped { by: isolating, acl })
    }

    fn has_peer(&self, id: &PolicyId, meant: &Meant) -> bool {
        let v4 = self.packet.other.is_ipv4();
        let in_set = |key: &str| {
            let cluster = self.world.config.cluster_id().map(|id| &**id);
            let set = row_uuid(cluster, address_set::TABLE, key);
            let mut addresses = self.desired.links(address_set::TABLE, set, address_set::ADDRESSES);
            addresses.any(|(address, _)| {
                let network = address.as_str().and_then(|text| text.parse::<IpNetwork>().ok());
                network.is_some_and(|network| network.contains(self.packet.other))
            })
        };
        match &meant.peers {
            Peers::Anybody => true,
            Peers::Some { sets, blocks } => {
                sets.iter().any(|seat| in_set(&set_key(seat, v4)))
                    || *blocks && in_set(&block_key(id, self.direction(), meant.rule, v4))
            }
        }
    }
}

fn has_port(meant: &Meant, packet: &Packet<'_>) -> bool {
    meant.ports.as_ref().is_none_or(|(protocol, ranges)| {
        *protocol == packet.protocol
            && packet
                .port
                .is_some_and(|port| ranges.iter().any(|range| range.contains(&port)))
    })
}
