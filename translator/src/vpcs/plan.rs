//! What is to be different about a VPC's status, as a patch of what it is.
//!
//! Must not: do I/O, or decide what a VPC means.

use meridian_api::vpc::{GATEWAYS, IN_USE, NAMESPACES, PEERS, READY, ROUTES, Vpc, VpcStatus};
use meridian_compile::VpcReport;
use serde_json::{Value, json};

use super::kept::{is_deleting, number};
use super::words;
use crate::upkeep::set;

/// How many namespaces a status names: of a selector that selects all, there may be more than an object has room for.
const NAMED: usize = 100;

/// What is known of a VPC beside what the API says.
type Known<'a> = super::kept::Known<'a, VpcReport>;

/// A merge patch that makes a VPC's status what it is to be; none if it is that already, or nobody knows.
pub(super) fn status(vpc: &Vpc, known: Known<'_>) -> Option<Value> {
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
            gateways: report
                .gateways
                .iter()
                .flat_map(|gateways| &gateways.nodes)
                .map(ToString::to_string)
                .collect(),
            remaining_pods: report.remaining.iter().map(ToString::to_string).collect(),
            ..wanted
        };
        let conditions = &mut wanted.conditions;
        set(conditions, NAMESPACES, &words::namespaces(report), generation);
        for (r#type, verdict) in [
            (PEERS, words::peers(report)),
            (GATEWAYS, words::gateways(report)),
            (ROUTES, words::routes(report)),
        ] {
            match verdict {
                Some(verdict) => set(conditions, r#type, &verdict, generation),
                None => conditions.retain(|condition| condition.type_ != r#type),
            }
        }
        if is_deleting(vpc) {
            set(
                conditions,
                IN_USE,
                &words::in_use(report.pods, &report.first, known.doubt),
                generation,
            );
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
            "gateways": wanted.gateways,
            "remainingPods": wanted.remaining_pods,
            "conditions": wanted.conditions,
        });
        json!({"metadata": {"resourceVersion": vpc.metadata.resource_version}, "status": status})
    })
}

#[cfg(test)]
mod tests;
