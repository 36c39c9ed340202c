//! [`PolicyExplanation`]: which pods a policy is about, and what its rules come to, for people.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;
use meridian_model::Action;
use ovsdb_schemas::northbound::acl;
use serde::Serialize;

use super::addresses::Blocks;
use super::ladder::rules;
use super::resolve::{Meant, Part, Peers};
use super::statement::{PolicyId, Statement};
use super::{Direction, Policies};
use crate::context::{Context, World};
use crate::{Desired, Unit};

/// Which pods a policy is about, and what its rules come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyExplanation {
    /// Its kind and name.
    pub policy: String,
    /// Of a policy of the whole cluster, when its rules are asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<PolicyOrder>,
    /// What it comes to in each VPC that it has pods in.
    pub vpcs: Vec<PolicyInVpc>,
    /// How many ACLs it has, those of selections that it shares aside.
    pub acls: usize,
}

/// When rules are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyOrder {
    /// `spec.tier`.
    pub tier: String,
    /// `spec.priority`.
    pub priority: u16,
    /// The policies of its tier that are asked before it, in that order.
    pub after: Vec<String>,
}

/// What a policy comes to in a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyInVpc {
    /// The VPC.
    pub vpc: String,
    /// The pods that it is about.
    pub pods: Vec<String>,
    /// In which directions it isolates them.
    pub isolated: Vec<&'static str>,
    /// Its rules.
    pub rules: Vec<PolicyRuleExplanation>,
}

/// What a rule comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRuleExplanation {
    /// Which: `ingress[0]`.
    pub rule: String,
    /// Its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `Allow`, or of a policy of the whole cluster `Accept`, `Deny` or `Pass`.
    pub action: String,
    /// What it is about; nothing if it matches nothing.
    pub about: Vec<PolicyMatch>,
}

/// Some connections that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyMatch {
    /// Only of these of the policy's pods, which have a port of the name that the rule gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// The other ends that are pods; none of the two for anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<Vec<String>>,
    /// Those that are addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<IpNetwork>,
    /// Protocol and ports, as `TCP 80, 8080-8090`; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<String>,
}

/// What becomes of a policy, if there is such.
pub(crate) fn explain(world: World<'_>, desired: &Desired, id: &PolicyId) -> Option<PolicyExplanation> {
    let statement = Statement::of(id, world.cluster)?;
    let unit = Unit::from(id.clone());
    let ctx = Context::new(world, &unit);
    let blocks = Blocks::of(&ctx, id);
    let parts = world.policies.resolved(id).map_or(&[][..], |resolved| &resolved.parts);
    let in_vpc = |part: &Part| {
        let isolated = Direction::BOTH
            .into_iter()
            .filter(|direction| part.isolates && part.meant(*direction).is_some());
        let of_direction = |direction: Direction| {
            let count = statement.rules(direction).map_or(0, <[_]>::len);
            let (blocks, policies) = (&blocks, world.policies);
            (0..count).map(move |at| {
                let meant = part.meant(direction).into_iter().flatten();
                let about = meant.filter(|meant| meant.rule == at);
                let (action, name) = action(world, id, direction, at);
                PolicyRuleExplanation {
                    rule: format!("{}[{at}]", direction.word()),
                    name,
                    action,
                    about: about
                        .map(|meant| about_of(policies, blocks, part, direction, meant))
                        .collect(),
                }
            })
        };
        PolicyInVpc {
            vpc: part.vpc.to_string(),
            pods: names(world.policies, &part.subject),
            isolated: isolated.map(Direction::word).collect(),
            rules: Direction::BOTH.into_iter().flat_map(of_direction).collect(),
        }
    };
    Some(PolicyExplanation {
        policy: id.for_people(),
        order: order(world, id),
        vpcs: parts.iter().map(in_vpc).collect(),
        acls: desired.rows(acl::TABLE).filter(|row| row.owner == unit).count(),
    })
}

fn order(world: World<'_>, id: &PolicyId) -> Option<PolicyOrder> {
    let PolicyId::Cluster(key) = id else { return None };
    let policy = world.cluster.cluster_policy(key)?;
    let before = world.policies.ladder().order().iter().take_while(|other| *other != key);
    let of_tier = before.filter(|other| {
        let other = world.cluster.cluster_policy(other);
        other.is_some_and(|other| other.tier == policy.tier)
    });
    Some(PolicyOrder {
        tier: policy.tier.to_string(),
        priority: policy.priority,
        after: of_tier.map(ToString::to_string).collect(),
    })
}

/// What a rule does, and what it is called.
fn action(world: World<'_>, id: &PolicyId, direction: Direction, at: usize) -> (String, Option<String>) {
    let rule = match id {
        PolicyId::Namespaced(_) => None,
        PolicyId::Cluster(key) => {
            let policy = world.cluster.cluster_policy(key);
            policy.and_then(|policy| rules(policy, direction).get(at))
        }
    };
    match rule {
        None => ("Allow".to_owned(), None),
        Some(rule) => (
            Action::to_string(&rule.action),
            rule.name.as_ref().map(ToString::to_string),
        ),
    }
}

fn about_of(policies: &Policies, blocks: &Blocks, part: &Part, direction: Direction, meant: &Meant) -> PolicyMatch {
    let (pods, networks) = match &meant.peers {
        Peers::Anybody => (None, Vec::new()),
        Peers::Some {
            sets,
            blocks: with_blocks,
        } => {
            let pods: BTreeSet<String> = sets.iter().flat_map(|set| names(policies, set)).collect();
            let networks = blocks.of_rule(direction, meant.rule).filter(|_| *with_blocks);
            (Some(pods.into_iter().collect()), networks.copied().collect())
        }
    };
    let range = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    let ports = meant.ports.as_ref().map(|(protocol, ranges)| {
        if ranges.contains(&(1..=u16::MAX)) {
            return protocol.to_string();
        }
        let ranges: Vec<String> = ranges.iter().map(range).collect();
        format!("{protocol} {}", ranges.join(", "))
    });
    PolicyMatch {
        only: (meant.pods != part.subject).then(|| names(policies, &meant.pods)),
        pods,
        networks,
        ports,
    }
}

fn names(policies: &Policies, seat: &super::selection::Seat) -> Vec<String> {
    let mut names: Vec<String> = policies.members(seat).map(ToString::to_string).collect();
    names.sort_unstable();
    names
}
