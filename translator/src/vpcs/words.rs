//! What the conditions of a VPC and of a peering say.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use meridian_api::vpc::CONFLICT;
use meridian_api::vpc_peering::VpcPeeringSpec;
use meridian_compile::{Peering, VpcReport};

use crate::upkeep::Verdict;

/// Namespaces named in a message: of more, how many there are is enough.
const NAMED: usize = 10;

fn verdict(is: bool, reason: &'static str, message: impl Into<String>) -> Verdict {
    Verdict {
        is,
        reason,
        message: message.into(),
    }
}

/// Whether pods can be in it.
pub(super) fn ready(report: &VpcReport, deleting: bool) -> Verdict {
    if !report.faults.is_empty() {
        let faults = report
            .faults
            .iter()
            .map(|(field, message)| format!("{field}: {message}"));
        let reason = if report.conflict { CONFLICT } else { "Invalid" };
        return verdict(false, reason, faults.collect::<Vec<_>>().join("; "));
    }
    if deleting {
        let message = "it is being deleted: the pods in it stay, and no others come";
        return verdict(false, "Deleting", message);
    }
    verdict(true, "Ready", "pods can be in it")
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
pub(super) fn in_use(report: &VpcReport, doubt: Option<&str>) -> Verdict {
    if report.pods > 0 {
        let first: Vec<String> = report.first.iter().map(ToString::to_string).collect();
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        let (noun, verb) = if report.pods == 1 {
            ("pod", "is")
        } else {
            ("pods", "are")
        };
        let which = some_of(&first, report.pods, first.len());
        let message = format!("{} {noun} {verb} in it: {which}", report.pods);
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
