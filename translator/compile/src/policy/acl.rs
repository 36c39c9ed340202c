//! [`Acl`]: an ACL of a port group, and what it matches.

use std::fmt::Write as _;
use std::sync::Arc;

use meridian_model::{Name, Protocol};
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::{acl, port_group};

use super::addresses::{Blocks, block_key};
use super::log::Log;
use super::resolve::{Meant, Peers};
use super::{Direction, PolicyId, ports, set_key};
use crate::address_set;
use crate::context::Context;
use crate::names::DEFAULT_VPC;

/// ACLs that are looked at once services' addresses have been translated, so that who is connected to is the pod itself.
const AFTER_LB: &str = "apply-after-lb";

/// What an ACL does: it lets through, answers included.
pub(super) const ALLOW: &str = "allow-related";

/// What an ACL does: nobody is told.
pub(super) const DROP: &str = "drop";

/// What a name in OVN has room for, in bytes.
const NAME_ROOM: usize = 63;

/// An ACL of a port group.
pub(super) struct Acl {
    pub(super) key: Arc<str>,
    pub(super) name: String,
    pub(super) direction: Direction,
    pub(super) priority: i64,
    pub(super) matches: String,
    pub(super) action: &'static str,
    pub(super) log: Log,
}

impl Acl {
    pub(super) fn add(mut self, ctx: &mut Context<'_>, group: Uuid) {
        while self.name.len() > NAME_ROOM {
            self.name.pop();
        }
        let options = match self.direction {
            Direction::Ingress => Datum::empty(),
            Direction::Egress => ctx.map([(AFTER_LB, "true")]),
        };
        let is_logged = if self.action == DROP {
            self.log.denied
        } else {
            self.log.allowed
        };
        let meter = is_logged.then(|| ctx.names().policy_log());
        let columns = [
            (acl::ACTION, Datum::scalar(ctx.known_text(self.action))),
            (acl::DIRECTION, Datum::scalar(ctx.known_text(self.direction.of_port()))),
            (acl::LOG, Datum::scalar(is_logged)),
            (acl::SEVERITY, Datum::set(is_logged.then(|| ctx.known_text("info")))),
            (acl::METER, Datum::set(meter)),
            (acl::MATCH, Datum::scalar(self.matches)),
            (acl::NAME, Datum::scalar(self.name)),
            (acl::OPTIONS, options),
            (acl::PRIORITY, Datum::scalar(self.priority)),
        ];
        let row = ctx.row(acl::TABLE, self.key, columns, []);
        ctx.link(port_group::TABLE, group, port_group::ACLS, row);
    }
}

/// Whether a VPC has IPv4, and whether it has IPv6.
pub(super) fn families(ctx: &Context<'_>, vpc: &Name) -> [bool; 2] {
    let cidrs = match ctx.vpc(vpc) {
        _ if &**vpc == DEFAULT_VPC => ctx.config().cluster_cidrs(),
        Some(state) => state.network.cidrs(),
        None => &[],
    };
    [true, false].map(|v4| cidrs.iter().any(|cidr| cidr.is_ipv4() == v4))
}

/// What a rule is about, the pods it is about aside; none if that is nothing, in a family.
pub(super) fn matches(
    ctx: &Context<'_>,
    (id, blocks): (&PolicyId, &Blocks),
    direction: Direction,
    meant: &Meant,
    v4: bool,
) -> Option<String> {
    let ip = if v4 { "ip4" } else { "ip6" };
    let mut matches = match &meant.peers {
        Peers::Anybody => ip.to_owned(),
        Peers::Some {
            sets,
            blocks: with_blocks,
        } => {
            let sets = sets.iter().map(|seat| address_set::name(ctx, &set_key(seat, v4)));
            let has = *with_blocks && blocks.has(direction, meant.rule, v4);
            let blocks = has.then(|| address_set::name(ctx, &block_key(id, direction, meant.rule, v4)));
            let all: Vec<String> = sets.chain(blocks).map(|name| format!("${name}")).collect();
            if all.is_empty() {
                return None;
            }
            format!("{ip}.{} == {{{}}}", direction.peer(), all.join(", "))
        }
    };
    if let Some((protocol, ranges)) = &meant.ports {
        let l4 = l4(protocol);
        // Writing into a string cannot fail.
        let _ = if ranges.contains(&(1..=u16::MAX)) {
            write!(matches, " && {l4}")
        } else {
            write!(matches, " && {l4}.dst == {{{}}}", ports::set(ranges.iter().cloned()))
        };
    }
    Some(matches)
}

fn l4(protocol: &Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        // Others are not among what is meant.
        Protocol::Sctp | Protocol::Other(_) => "sctp",
    }
}
