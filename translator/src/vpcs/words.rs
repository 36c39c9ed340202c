//! What the conditions of VPCs, peerings and Subnets say.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use meridian_api::vpc::CONFLICT;
use meridian_api::vpc_peering::VpcPeeringSpec;
use meridian_compile::{Peering, VpcReport};
use meridian_model::PodKey;

use crate::upkeep::Verdict;

/// Namespaces named in a message: of more, how many there are is enough.
const NAMED: usize = 10;

/// No node is a gateway.
const NO_NODES: &str = "NoNodes";

pub(super) fn verdict(is: bool, reason: &'static str, message: impl Into<String>) -> Verdict {
    Verdict {
        is,
        reason,
        message: message.into(),
    }
}

/// Whether pods can be in it.
pub(super) fn ready(report: &VpcReport, deleting: bool) -> Verdict {
    if !report.faults.is_empty() {
        return faults(&report.faults, report.conflict);
    }
    if deleting {
        return self::deleting();
    }
    verdict(true, "Ready", "pods can be in it")
}

/// Of one that pods cannot be in.
pub(super) fn faults(faults: &[(String, String)], conflict: bool) -> Verdict {
    let faults = faults.iter().map(|(field, message)| format!("{field}: {message}"));
    let reason = if conflict { CONFLICT } else { "Invalid" };
    verdict(false, reason, faults.collect::<Vec<_>>().join("; "))
}

/// Of one that is to be deleted.
pub(super) fn deleting() -> Verdict {
    let message = "it is being deleted: the pods in it stay, and no others come";
    verdict(false, "Deleting", message)
}

/// Of one that cannot be read.
pub(super) fn unreadable(why: &str) -> Verdict {
    verdict(
        false,
        "Invalid",
        format!("{why}; what was read of it before still counts"),
    )
}

/// Whether it has every namespace that it selects.
pub(super) fn namespaces(report: &VpcReport) -> Verdict {
    if report.lost.is_empty() {
        let message = match report.namespaces.len() {
            0 => "it selects no namespace",
            _ => "it has every namespace that it selects",
        };
        return verdict(true, "Selected", message);
    }
    let mut lost: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (namespace, vpc) in &report.lost {
        lost.entry(vpc).or_default().push(namespace);
    }
    let lost = lost.into_iter().map(|(vpc, namespaces)| {
        let which = some_of(&namespaces, namespaces.len(), NAMED);
        format!("VPC {vpc}, which is older, has {which}")
    });
    let message = lost.collect::<Vec<_>>().join("; ") + ": let only one of them select a namespace";
    verdict(false, CONFLICT, message)
}

/// Whether it is connected to every peer that it names; none if it names none.
pub(super) fn peers(report: &VpcReport) -> Option<Verdict> {
    if report.peers.is_empty() {
        return None;
    }
    let (mut connected, mut waiting, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (name, peering) in &report.peers {
        match peering {
            Peering::Connected => connected.push(&**name),
            Peering::Waiting(why) => waiting.push(&**why),
            Peering::Refused(why) => refused.push(&**why),
        }
    }
    let reason = match (refused.is_empty(), waiting.is_empty()) {
        (false, _) => CONFLICT,
        (true, false) => "Waiting",
        (true, true) => "Connected",
    };
    // What is wrong first: of a long message the end may be lost.
    let mut parts: Vec<String> = refused.into_iter().chain(waiting).map(str::to_owned).collect();
    let is = parts.is_empty();
    if !connected.is_empty() {
        let which = some_of(&connected, connected.len(), NAMED);
        parts.push(format!("it is connected to {which}"));
    }
    Some(verdict(is, reason, parts.join("; ")))
}

/// Whether it has gateways; none if pods do not reach the world through such.
pub(super) fn gateways(report: &VpcReport) -> Option<Verdict> {
    let gateways = report.gateways.as_ref()?;
    if !report.faults.is_empty() {
        return Some(verdict(false, NO_NODES, "the VPC is not ready"));
    }
    let names: Vec<&str> = gateways.nodes.iter().map(|node| &**node).collect();
    let which = some_of(&names, names.len(), NAMED);
    Some(match (&gateways.lack, names.len()) {
        (None, 1) => verdict(
            true,
            "Ready",
            format!("{which} is the only gateway: nothing takes its place when it dies"),
        ),
        (None, _) => verdict(true, "Ready", format!("gateways are {which}")),
        (Some(why), 0) if gateways.conflict => verdict(false, CONFLICT, why.clone()),
        (Some(why), 0) => verdict(false, NO_NODES, why.clone()),
        (Some(why), _) => verdict(true, "Ready", format!("gateways are {which}; {why}")),
    })
}

/// Whether its routes lead somewhere; none if it has none.
pub(super) fn routes(report: &VpcReport) -> Option<Verdict> {
    let routes = report.routes.as_ref()?;
    if !report.faults.is_empty() {
        return Some(verdict(false, "Invalid", "the VPC is not ready"));
    }
    if !routes.faults.is_empty() {
        return Some(faults(&routes.faults, routes.conflict));
    }
    let message = match routes.count {
        1 => "there is a route for one network".to_owned(),
        count => format!("there are routes for {count} networks"),
    };
    Some(verdict(true, "Ready", message))
}

/// How the two VPCs of a peering fare with each other.
pub(super) fn connected(of: &VpcPeeringSpec, peering: &Peering) -> Verdict {
    match peering {
        Peering::Connected => {
            let message = format!("pods of VPC {} and pods of VPC {} reach each other", of.vpc, of.peer);
            verdict(true, "Connected", message)
        }
        Peering::Waiting(why) => verdict(false, "Waiting", &**why),
        Peering::Refused(why) => verdict(false, CONFLICT, &**why),
    }
}

/// Which pods keep one that is to be deleted, or why nobody knows.
pub(super) fn in_use(pods: usize, first: &[PodKey], doubt: Option<&str>) -> Verdict {
    if pods > 0 {
        let first: Vec<String> = first.iter().map(ToString::to_string).collect();
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        let (noun, verb) = if pods == 1 { ("pod", "is") } else { ("pods", "are") };
        let which = some_of(&first, pods, first.len());
        let message = format!("{pods} {noun} {verb} in it: {which}");
        return verdict(true, "Pods", message);
    }
    match doubt {
        Some(doubt) => verdict(true, "Doubt", format!("pods may be in it: {doubt}")),
        None => verdict(false, "NoPods", "no pod is in it"),
    }
}

/// `a, b and 3 more`.
fn some_of(names: &[&str], all: usize, most: usize) -> String {
    let shown = names.len().min(most);
    let mut text = names[..shown].join(", ");
    if all > shown {
        let _ = write!(text, " and {} more", all - shown);
    }
    text
}
