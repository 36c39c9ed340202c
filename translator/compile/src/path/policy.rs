//! What policies do to what is sent: at the pod that sends, and at the one that is sent to.

use std::net::IpAddr;

use meridian_api::service::Protocol;
use meridian_model::PodKey;

use super::Map;
use super::destination::Destination;
use super::trail::Step;
use crate::policy::{Packet, PolicyId, Verdict, verdict};

/// Tells what policies of a pod say of a packet, if any isolates it: the step, and whether it goes on.
pub(super) fn judge(
    map: Map<'_>,
    (pod, node): (&PodKey, &str),
    ingress: bool,
    other: IpAddr,
    to: &Destination,
) -> Option<(Step, bool)> {
    let protocol = match to.protocol {
        Protocol::Tcp => meridian_model::Protocol::Tcp,
        Protocol::Udp => meridian_model::Protocol::Udp,
        Protocol::Sctp => meridian_model::Protocol::Sctp,
    };
    let packet = Packet {
        pod,
        ingress,
        other,
        protocol,
        port: to.port,
    };
    let way = if ingress { "in" } else { "out" };
    let step = |does: String, by: &PolicyId, row: String| Step {
        at: format!("node {node}"),
        does,
        object: Some(by.for_people()),
        row: Some(format!("ACL {row}")),
        rule: None,
    };
    match verdict(map.world, map.desired, &packet) {
        Verdict::Open => None,
        Verdict::Allowed { by, rule } => {
            let does = match &by {
                PolicyId::Namespaced(_) => format!("pod {pod} is isolated, and rule {rule} lets it {way}"),
                PolicyId::Cluster(_) => {
                    format!("rule {rule} of an administrator's lets it {way}, whatever policies of namespaces say")
                }
            };
            let row = format!("{by}:{rule}");
            Some((step(does, &by, row), true))
        }
        Verdict::Denied { by, rule } => {
            let between = if ingress { "from" } else { "to" };
            let does = format!("rule {rule} stops what pod {pod} has {between} {other}: dropped");
            let row = format!("{by}:{rule}");
            Some((step(does, &by, row), false))
        }
        Verdict::Stopped { by, acl } => {
            let all: Vec<String> = by.iter().map(ToString::to_string).collect();
            let does = format!(
                "pod {pod} is isolated by {}, and no rule lets {to} {} {other} {way}: dropped",
                all.join(", "),
                if ingress { "from" } else { "to" },
            );
            let first = by.first()?;
            Some((step(does, first, acl), false))
        }
    }
}
