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
//! Sets are told by VPC, because addresses are: a pod of a VPC meets pods of that one and its peers, whoever else has such an address.
//!
//! An ACL's key is what it matches. So a rule that changes is an ACL that comes before another goes, and what both versions of a
//! policy allow is allowed throughout.

mod blocks;
mod fault;
mod group;
mod host;
mod index;
mod ports;
mod priority;
mod resolve;
mod selection;
mod verdict;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_model::{Name, NetworkPolicy, PolicyKey, PolicyPeer, PolicyRule, Protocol};
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::{acl, port_group};

use self::resolve::{Allowed, Part, Peers};
use crate::address_set;
use crate::context::Context;
use crate::names::{DEFAULT_VPC, of_row};

pub(crate) use group::{compile as compile_selection, join};
pub(crate) use host::{join as join_host, rows as host_rows};
pub(crate) use index::{News, Policies};
pub(crate) use verdict::{Packet, Verdict, verdict};

/// ACLs that are looked at once services' addresses have been translated, so that who is connected to is the pod itself.
const AFTER_LB: &str = "apply-after-lb";

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

impl Direction {
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
    let Some(resolved) = ctx.policies().resolved(key) else {
        return;
    };
    let blocks = Blocks::of(ctx, policy);
    for part in &resolved.parts {
        let directions = [(Direction::Ingress, &part.ingress), (Direction::Egress, &part.egress)];
        for (direction, allowed) in directions {
            for allowed in allowed.iter().flatten() {
                allow(ctx, policy, part, direction, allowed, &blocks);
            }
        }
    }
}

/// The sets of the blocks of each rule that has any, by direction, rule and family: names, where they are not empty.
struct Blocks(BTreeMap<(&'static str, usize, bool), Name>);

impl Blocks {
    fn of(ctx: &mut Context<'_>, policy: &NetworkPolicy) -> Self {
        let mut sets = BTreeMap::new();
        let directions = [
            (Direction::Ingress, &policy.ingress),
            (Direction::Egress, &policy.egress),
        ];
        for (direction, rules) in directions {
            for (at, rule) in rules.iter().flat_map(|rules| rules.iter()).enumerate() {
                for v4 in [true, false] {
                    if let Some(name) = blocks_of_rule(ctx, policy, direction, at, rule, v4) {
                        sets.insert((direction.word(), at, v4), name);
                    }
                }
            }
        }
        Self(sets)
    }

    fn get(&self, direction: Direction, rule: usize, v4: bool) -> Option<&Name> {
        self.0.get(&(direction.word(), rule, v4))
    }
}

fn blocks_of_rule(
    ctx: &mut Context<'_>,
    policy: &NetworkPolicy,
    direction: Direction,
    at: usize,
    rule: &PolicyRule,
    v4: bool,
) -> Option<Name> {
    let blocks: Vec<(IpNetwork, Vec<IpNetwork>)> = rule
        .peers
        .iter()
        .filter_map(|peer| match peer {
            // What cannot be read of what is excepted takes the whole block with it.
            PolicyPeer::Block { cidr, except } => {
                let except: Result<_, _> = except.iter().map(|except| except.parse()).collect();
                Some((cidr.parse().ok()?, except.ok()?))
            }
            PolicyPeer::Pods { .. } => None,
        })
        .collect();
    let networks = blocks::networks(blocks.iter().map(|(cidr, except)| (*cidr, &**except)), v4);
    if networks.is_empty() {
        return None;
    }
    let (set, name) = address_set::add(ctx, block_key(&policy.key(), direction, at, v4));
    for network in networks {
        // Of one address the prefix length goes without saying.
        let whole = network.prefix() == crate::ip::width(network);
        let text = if whole {
            network.ip().to_string()
        } else {
            network.to_string()
        };
        address_set::put(ctx, set, text);
    }
    Some(name)
}

/// The key of the address set of a rule's blocks.
fn block_key(policy: &PolicyKey, direction: Direction, rule: usize, v4: bool) -> Name {
    let family = if v4 { "v4" } else { "v6" };
    format!("{policy}:{}[{rule}]:{family}", direction.word()).into()
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

/// Whether a VPC has IPv4, and whether it has IPv6.
fn families(ctx: &Context<'_>, vpc: &Name) -> [bool; 2] {
    let cidrs = match ctx.vpc(vpc) {
        _ if &**vpc == DEFAULT_VPC => ctx.config().cluster_cidrs(),
        Some(state) => state.network.cidrs(),
        None => &[],
    };
    [true, false].map(|v4| cidrs.iter().any(|cidr| cidr.is_ipv4() == v4))
}

fn allow(
    ctx: &mut Context<'_>,
    policy: &NetworkPolicy,
    part: &Part,
    direction: Direction,
    allowed: &Allowed,
    blocks: &Blocks,
) {
    let (group, name) = group_of(ctx, &allowed.pods);
    let pods = direction.pods(&name);
    let ports = allowed
        .ports
        .as_ref()
        .map(|(protocol, ranges)| (l4(protocol), ports::set(ranges.iter().cloned())));
    let has = families(ctx, &part.vpc);
    for (v4, ip) in [(true, "ip4"), (false, "ip6")] {
        if !has[usize::from(!v4)] {
            continue;
        }
        let peers = match &allowed.peers {
            Peers::Anybody => ip.to_owned(),
            Peers::Some {
                sets,
                blocks: with_blocks,
            } => {
                let sets = sets.iter().map(|seat| address_set::name(ctx, &set_key(seat, v4)));
                let blocks = blocks
                    .get(direction, allowed.rule, v4)
                    .filter(|_| *with_blocks)
                    .cloned();
                let all: Vec<String> = sets.chain(blocks).map(|name| format!("${name}")).collect();
                if all.is_empty() {
                    continue;
                }
                format!("{ip}.{} == {{{}}}", direction.peer(), all.join(", "))
            }
        };
        let mut matches = format!("{pods} && {peers}");
        if let Some((protocol, ports)) = &ports {
            // Writing into a string cannot fail.
            let _ = write!(matches, " && {protocol}.dst == {{{ports}}}");
        }
        let rule = format!("{}[{}]", direction.word(), allowed.rule);
        let acl = Acl {
            key: format!("{}:{rule}:{}", policy.key(), ctx.digest(&matches)).into(),
            name: format!("{}:{rule}", policy.key()),
            direction,
            priority: priority::ALLOWED,
            matches,
            action: "allow-related",
        };
        acl.add(ctx, group);
    }
}

fn l4(protocol: &Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        // Others are not among what is allowed.
        Protocol::Sctp | Protocol::Other(_) => "sctp",
    }
}

/// An ACL of a port group.
struct Acl {
    key: Arc<str>,
    name: String,
    direction: Direction,
    priority: i64,
    matches: String,
    action: &'static str,
}

/// What a name in OVN has room for, in bytes.
const NAME_ROOM: usize = 63;

impl Acl {
    fn add(mut self, ctx: &mut Context<'_>, group: Uuid) {
        while self.name.len() > NAME_ROOM {
            self.name.pop();
        }
        let options = match self.direction {
            Direction::Ingress => Datum::empty(),
            Direction::Egress => ctx.map([(AFTER_LB, "true")]),
        };
        let columns = [
            (acl::ACTION, Datum::scalar(ctx.known_text(self.action))),
            (acl::DIRECTION, Datum::scalar(ctx.known_text(self.direction.of_port()))),
            (acl::MATCH, Datum::scalar(self.matches)),
            (acl::NAME, Datum::scalar(self.name)),
            (acl::OPTIONS, options),
            (acl::PRIORITY, Datum::scalar(self.priority)),
        ];
        let row = ctx.row(acl::TABLE, self.key, columns, []);
        ctx.link(port_group::TABLE, group, port_group::ACLS, row);
    }
}
