//! What is made of a selection's pods in a VPC: a port group with what isolates them, and address sets.

use std::net::IpAddr;

use meridian_model::PodKey;
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::port_group;

use super::acl::{ALLOW, Acl, DROP};
use super::log::{self, Log};
use super::pass::{Passed, passed};
use super::selection::Within;
use super::{Direction, group_of, host, priority, set_key};
use crate::address_set;
use crate::context::Context;

/// What OVN turns round: a pod has connected to a service, and is itself behind it. It comes under the service's address.
const ITSELF: &str = "ip && flags.loopback";

/// The rows of a selection, which a name stands for.
pub(crate) fn compile(ctx: &mut Context<'_>, name: &str) {
    let Some((seat, wanted)) = ctx.policies().wanted(name) else {
        return;
    };
    if wanted.sets > 0 {
        for v4 in [true, false] {
            address_set::add(ctx, set_key(seat, v4));
        }
    }
    if wanted.groups == 0 {
        return;
    }
    let (_, name) = group_of(ctx, seat);
    let columns = [(port_group::NAME, Datum::scalar(&name))];
    let group = ctx.row(port_group::TABLE, seat.to_string().into(), columns, []);
    let log = match &seat.selection.within {
        Within::Namespace(namespace) => log::of_namespace(ctx, namespace),
        Within::Labelled(_) => Log::default(),
    };
    let isolated = [(Direction::Ingress, wanted.ingress), (Direction::Egress, wanted.egress)];
    for (direction, by) in isolated {
        if by == 0 {
            continue;
        }
        let pods = direction.pods(&name);
        // Not what is no IP: neighbours have to find one another.
        let isolation = Acl {
            key: format!("{seat}:{}", direction.word()).into(),
            name: format!("{}:{}:isolated", seat.selection, direction.word()),
            direction,
            priority: priority::ISOLATED,
            matches: format!("{pods} && ip"),
            action: DROP,
            log,
        };
        isolation.add(ctx, group);
        // So it is with what an administrator's rules leave to policies of namespaces.
        for Passed {
            by, first, condition, ..
        } in passed(ctx, &seat.vpc, direction)
        {
            let matches = format!("{pods} && {condition}");
            let acl = Acl {
                key: format!("{seat}:{}:{}@{by}", direction.word(), ctx.digest(&matches)).into(),
                name: format!("{}:{}:isolated", seat.selection, direction.word()),
                direction,
                priority: first - 1,
                matches,
                action: DROP,
                log,
            };
            acl.add(ctx, group);
        }
        if direction == Direction::Ingress {
            let always = [("host", host::matches(ctx)), ("itself", ITSELF.to_owned())];
            for (who, matches) in always {
                let acl = Acl {
                    key: format!("{seat}:{who}").into(),
                    name: format!("{}:{who}", seat.selection),
                    direction,
                    priority: priority::ALWAYS,
                    matches: format!("{pods} && {matches}"),
                    action: ALLOW,
                    // The kubelet's probes, all the time.
                    log: Log::default(),
                };
                acl.add(ctx, group);
            }
        }
    }
}

/// Has a pod's port and addresses in what is made of its selections.
pub(crate) fn join(ctx: &mut Context<'_>, pod: &PodKey, port: Uuid, ips: &[IpAddr]) {
    for (seat, wanted) in ctx.policies().of_pod(pod) {
        if wanted.groups > 0 {
            let (group, _) = group_of(ctx, seat);
            ctx.link(port_group::TABLE, group, port_group::PORTS, port);
        }
        if wanted.sets > 0 {
            for ip in ips {
                let set = address_set::of(ctx, &set_key(seat, ip.is_ipv4()));
                address_set::put(ctx, set, ip.to_string());
            }
        }
    }
}
