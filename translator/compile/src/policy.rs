//! Policies: who may talk to pods, and to whom pods may.
//!
//! ```text
//! pods --ports--> [ Port_Group of a selection in a VPC ] --acls--> [ ACL drop ], [ ACL allow-related: own host ]   of the selection
//!                                                        --acls--> [ ACL allow-related: from $sets, on ports ]     of the policy
//! pods --addresses--> [ Address_Set of a selection in a VPC, per family ]
//! ```
//!
//! What policies say of pods are selections ([`Selection`]), and policies that say the same share port group and address sets. A pod
//! is in those that it matches, as part of its own unit: so its port is never without the groups that isolate it, and who matches
//! nothing costs nothing. A policy's ACLs are told by names of groups and sets, and change when the policy does, not when pods do.
//!
//! What an administrator decides ([`meridian_model::ClusterPolicy`]) is made of the same groups and sets, with ACLs before and after
//! those of policies of namespaces ([`ladder`]), which nothing isolates.
//!
//! Sets are told by VPC, because addresses are: a pod of a VPC meets pods of that one and its peers, whoever else has such an address.
//!
//! An ACL's key is what it matches. So a rule that changes is an ACL that comes before another goes, and what both versions of a
//! policy allow is allowed throughout.

mod acl;
mod addresses;
mod blocks;
pub(crate) mod explain;
mod fault;
mod group;
mod host;
mod index;
mod ladder;
mod log;
mod pass;
mod ports;
mod priority;
mod resolve;
mod selection;
mod statement;
mod verdict;

use std::cell::OnceCell;

use meridian_model::{Action, ClusterPolicy, ClusterPolicyKey, Key, Name, PolicyKey, Tier};
use ovsdb::Uuid;
use ovsdb_schemas::northbound::port_group;

use self::acl::{ALLOW, Acl, DROP, families, matches};
use self::addresses::Blocks;
use self::log::Log;
use self::pass::{Passed, passed};
use self::resolve::Meant;
use crate::context::Context;
use crate::names::of_row;

pub(crate) use group::{compile as compile_selection, join};
pub(crate) use host::{join as join_host, rows as host_rows};
pub(crate) use index::{News, Policies};
pub(crate) use ladder::Ladder;
pub(crate) use log::add_meter;
pub(crate) use statement::PolicyId;
pub(crate) use verdict::{Packet, Verdict, verdict};

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// As `ACL.direction` has it.
    fn of_port(self) -> &'static str {
        match self {
            Self::Ingress => "to-lport",
            Self::Egress => "from-lport",
        }
    }

    /// The pods of a group.
    fn pods(self, group: &str) -> String {
        match self {
            Self::Ingress => format!("outport == @{group}"),
            Self::Egress => format!("inport == @{group}"),
        }
    }

    /// The field with the other end's address.
    fn peer(self) -> &'static str {
        match self {
            Self::Ingress => "src",
            Self::Egress => "dst",
        }
    }
}

/// A policy's ACLs, and the sets of its blocks.
pub(crate) fn compile(ctx: &mut Context<'_>, key: &PolicyKey) {
    let Some(policy) = ctx.policy(key) else { return };
    fault::report(ctx, policy);
    let annotated = ctx
        .namespace(&key.namespace)
        .and_then(|namespace| namespace.policy_log.as_ref());
    log::report(ctx, Key::Namespace(key.namespace.clone()), annotated);
    let log = log::of(annotated).unwrap_or_default();
    let id = PolicyId::from(key.clone());
    let blocks = Blocks::of(ctx, &id);
    blocks.add(ctx, &id);
    each(ctx, &id, |ctx, side, meant| {
        let stand = Stand {
            priority: priority::ALLOWED,
            action: ALLOW,
            below: Some(0),
            log,
        };
        stand.add(ctx, (&id, &blocks), side, meant);
    });
}

/// The same of a policy of the whole cluster.
pub(crate) fn compile_cluster(ctx: &mut Context<'_>, key: &ClusterPolicyKey) {
    let Some(policy) = ctx.cluster_policy(key) else { return };
    fault::report_cluster(ctx, policy);
    log::report(ctx, key.clone().into(), policy.log.as_ref());
    let id = PolicyId::from(key.clone());
    let blocks = Blocks::of(ctx, &id);
    blocks.add(ctx, &id);
    each(ctx, &id, |ctx, side, meant| {
        decide(ctx, policy, (&id, &blocks), side, meant);
    });
}

fn decide(
    ctx: &mut Context<'_>,
    policy: &ClusterPolicy,
    of_policy: (&PolicyId, &Blocks),
    side: &Side<'_>,
    meant: &Meant,
) {
    let direction = side.direction;
    let key = (policy.key.clone(), direction, meant.rule);
    let ladder = ctx.ladder();
    let Some(first) = ladder.priority(&key) else { return };
    let Some(rule) = ladder::rules(policy, direction).get(meant.rule) else {
        return;
    };
    let action = if rule.action == Action::Deny { DROP } else { ALLOW };
    let (priority, below) = match (policy.tier, rule.action) {
        (Tier::Admin, Action::Pass) => (ladder.end_of_pass(direction, first), None),
        (Tier::Admin, _) => (first, None),
        // After those of policies of namespaces.
        (Tier::Baseline, _) => (first, Some(priority::BASELINE - first + 2)),
    };
    let stand = Stand {
        priority,
        action,
        below,
        log: log::of(policy.log.as_ref()).unwrap_or_default(),
    };
    stand.add(ctx, of_policy, side, meant);
}

/// Does something for all that a policy's rules are about.
fn each(ctx: &mut Context<'_>, id: &PolicyId, mut act: impl FnMut(&mut Context<'_>, &Side<'_>, &Meant)) {
    let Some(resolved) = ctx.policies().resolved(id) else {
        return;
    };
    for part in &resolved.parts {
        for direction in Direction::BOTH {
            let side = Side {
                vpc: &part.vpc,
                direction,
                passed: OnceCell::new(),
            };
            for meant in part.meant(direction).into_iter().flatten() {
                act(ctx, &side, meant);
            }
        }
    }
}

/// What pods of a VPC send, or are sent: what a policy's rules are about, of either direction.
struct Side<'a> {
    vpc: &'a Name,
    direction: Direction,
    /// What is left of it to the next tier, once asked for: the same for all rules.
    passed: OnceCell<Vec<Passed>>,
}

impl Side<'_> {
    fn passed(&self, ctx: &Context<'_>) -> &[Passed] {
        self.passed.get_or_init(|| passed(ctx, self.vpc, self.direction))
    }
}

/// Where the ACLs of a rule stand, and what they do.
struct Stand {
    priority: i64,
    action: &'static str,
    /// How far below the first of what stands for a Pass it is said once more, if it is.
    below: Option<i64>,
    log: Log,
}

impl Stand {
    fn add(&self, ctx: &mut Context<'_>, (id, blocks): (&PolicyId, &Blocks), side: &Side<'_>, meant: &Meant) {
        let direction = side.direction;
        let (group, name) = group_of(ctx, &meant.pods);
        let pods = direction.pods(&name);
        let rule = format!("{}[{}]", direction.word(), meant.rule);
        let has = families(ctx, side.vpc);
        let again = self.below.map(|below| (below, side.passed(ctx)));
        for v4 in [true, false].into_iter().filter(|v4| has[usize::from(!v4)]) {
            let Some(about) = matches(ctx, (id, blocks), direction, meant, v4) else {
                continue;
            };
            let acl = |priority, matches: String, digest: String, of: &str| Acl {
                key: format!("{id}:{rule}:{digest}{of}").into(),
                name: format!("{id}:{rule}"),
                direction,
                priority,
                matches,
                action: self.action,
                log: self.log,
            };
            let own = format!("{pods} && {about}");
            let digest = ctx.digest(&own);
            acl(self.priority, own.clone(), digest, "").add(ctx, group);
            let of_family = again
                .iter()
                .flat_map(|(below, passed)| passed.iter().map(move |passed| (below, passed)));
            for (below, passed) in of_family.filter(|(_, passed)| passed.v4 == v4) {
                let both = format!("{own} && {}", passed.condition);
                let digest = ctx.digest(&both);
                acl(passed.first - below, both, digest, &format!("@{}", passed.by)).add(ctx, group);
            }
        }
    }
}

/// The key of a selection's address set, which its own unit adds.
fn set_key(seat: &selection::Seat, v4: bool) -> Name {
    format!("{seat}:{}", if v4 { "v4" } else { "v6" }).into()
}

/// A selection's port group, and its name in OVN.
fn group_of(ctx: &Context<'_>, seat: &selection::Seat) -> (Uuid, Name) {
    let group = ctx.uuid(port_group::TABLE, &seat.to_string());
    (group, of_row(group))
}
