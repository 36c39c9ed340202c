//! What is to be different about a VPC or a peering, as patches of what it is.
//!
//! Must not: do I/O, or decide what a VPC means.

use meridian_api::vpc::{FINALIZER, IN_USE, NAMESPACES, PEERS, READY, Vpc, VpcStatus};
use meridian_api::vpc_peering::{CONNECTED, VpcPeering};
use meridian_compile::{VpcPeeringReport, VpcReport};
use serde_json::{Value, json};

use super::words;
use crate::upkeep::set;

/// How many namespaces a status names: of a selector that selects all, there may be more than an object has room for.
const NAMED: usize = 100;

/// What is known of an object beside what the API says.
#[derive(Debug)]
pub(super) struct Known<'a, R> {
    /// What the compiler says; none if it has never heard of it.
    pub(super) report: Option<&'a R>,
    /// Why it cannot be read as it is now.
    pub(super) unreadable: Option<&'a str>,
    /// Why there may be pods that nobody has told the compiler of.
    pub(super) doubt: Option<&'a str>,
}

/// A merge patch that puts our finalizer on a VPC, or takes it away; none if it is right as it is.
///
/// It goes when the compiler knows that the VPC is to be deleted, so that nothing new comes in, and finds no pod in it. To know
/// of no pods before that is not enough.
pub(super) fn finalizer(vpc: &Vpc, known: Known<'_, VpcReport>) -> Option<Value> {
    let now = vpc.metadata.finalizers.as_deref().unwrap_or_default();
    let is_held = now.iter().any(|finalizer| finalizer == FINALIZER);
    let may_go = known.doubt.is_none() && known.report.is_some_and(|report| report.deleting && report.pods == 0);
    let wanted: Vec<&str> = match (is_deleting(vpc), is_held) {
        (false, false) => now.iter().map(String::as_str).chain([FINALIZER]).collect(),
        (true, true) if may_go => now
            .iter()
            .map(String::as_str)
            .filter(|other| *other != FINALIZER)
            .collect(),
        _ => return None,
    };
    // The list is written as a whole: whoever has changed it meanwhile is not to be overruled.
    Some(json!({"metadata": {"resourceVersion": vpc.metadata.resource_version, "finalizers": wanted}}))
}

/// A merge patch that makes a VPC's status what it is to be; none if it is that already, or nobody knows.
pub(super) fn status(vpc: &Vpc, known: Known<'_, VpcReport>) -> Option<Value> {
    let generation = vpc.metadata.generation;
    let now = vpc.status.clone().unwrap_or_default();
    let mut wanted = now.clone();
    wanted.observed_generation = generation;
    if let Some(report) = known.report {
        wanted = VpcStatus {
            namespaces: report.namespaces.iter().take(NAMED).map(ToString::to_string).collect(),
            namespace_count: number(report.namespaces.len()),
            pods: number(report.pods),
            nodes: number(report.nodes),
            remaining_pods: report.remaining.iter().map(ToString::to_string).collect(),
            ..wanted
        };
        let conditions = &mut wanted.conditions;
        set(conditions, NAMESPACES, &words::namespaces(report), generation);
        match words::peers(report) {
            Some(peers) => set(conditions, PEERS, &peers, generation),
            None => conditions.retain(|condition| condition.type_ != PEERS),
        }
        if is_deleting(vpc) {
            set(conditions, IN_USE, &words::in_use(report, known.doubt), generation);
        }
    }
    let ready = match (known.unreadable, known.report) {
        (Some(why), _) => words::unreadable(why),
        (None, Some(report)) => words::ready(report, is_deleting(vpc)),
        (None, None) => return None,
    };
    set(&mut wanted.conditions, READY, &ready, generation);
    (wanted != now).then(|| {
        // Everything by name, because what a merge patch leaves out stays.
        let status = json!({
            "observedGeneration": wanted.observed_generation,
            "namespaces": wanted.namespaces,
            "namespaceCount": wanted.namespace_count,
            "pods": wanted.pods,
            "nodes": wanted.nodes,
            "remainingPods": wanted.remaining_pods,
            "conditions": wanted.conditions,
        });
        json!({"metadata": {"resourceVersion": vpc.metadata.resource_version}, "status": status})
    })
}

/// The same of a peering.
pub(super) fn peering_status(peering: &VpcPeering, known: Known<'_, VpcPeeringReport>) -> Option<Value> {
    let generation = peering.metadata.generation;
    let now = peering.status.clone().unwrap_or_default();
    let mut wanted = now.clone();
    wanted.observed_generation = generation;
    let connected = match (known.unreadable, known.report) {
        (Some(why), _) => words::unreadable(why),
        (None, Some(report)) => words::connected(&peering.spec, &report.peering),
        (None, None) => return None,
    };
    set(&mut wanted.conditions, CONNECTED, &connected, generation);
    (wanted != now).then(|| {
        let status = json!({"observedGeneration": wanted.observed_generation, "conditions": wanted.conditions});
        json!({"metadata": {"resourceVersion": peering.metadata.resource_version}, "status": status})
    })
}

fn is_deleting(vpc: &Vpc) -> bool {
    vpc.metadata.deletion_timestamp.is_some()
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl<R> Clone for Known<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Known<'_, R> {}

impl<R> Default for Known<'_, R> {
    fn default() -> Self {
        Self {
            report: None,
            unreadable: None,
            doubt: None,
        }
    }
}

#[cfg(test)]
mod tests;
