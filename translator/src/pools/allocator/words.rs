//! What the allocator says of what it does: problems, events, and what others say of pools.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use meridian_model::ServiceKey;

use crate::events::{Complaint, Subject};
use crate::pools::plan::{Decision, Plan, Verdict};
use crate::pools::pool::{Fault, Pools};
use crate::problems::{Found, Origin, Problem};

/// What is wrong.
pub(super) fn problems<'a>(
    plan: &Plan,
    pools: &Pools,
    refused: impl Iterator<Item = (&'a ServiceKey, &'a str)>,
    failures: impl Iterator<Item = &'a String>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |object: String, reason, message: String| {
        problems.push(Problem {
            object,
            field: None,
            reason,
            message,
            place: None,
        });
    };
    for pool in &pools.list {
        if let Some(fault) = &pool.fault {
            say(
                format!("addresspool/{}", pool.name),
                Some(fault.reason),
                fault.message.clone(),
            );
        }
    }
    for (key, decision) in &plan.decisions {
        if let Verdict::Waits(trouble) = &decision.verdict {
            say(format!("service/{key}"), Some(trouble.reason), trouble.message.clone());
        }
    }
    for (key, message) in refused {
        say(format!("service/{key}"), Some("FailedStatusWrite"), message.to_owned());
    }
    for failure in failures {
        say("addresspools".to_owned(), None, failure.clone());
    }
    problems
}

/// What a service has lost without having asked for it.
pub(super) fn lost(key: &ServiceKey, decision: &Decision) -> Vec<Complaint> {
    let complaint = |(address, why): &(std::net::IpAddr, String)| {
        let mut note = format!("{address} is not the service's any more: {why}; ");
        if decision.addresses.is_empty() {
            note.push_str("it has none now");
        } else {
            let now: Vec<String> = decision.addresses.iter().map(ToString::to_string).collect();
            let _ = write!(note, "it has {} now", now.join(" and "));
        }
        Complaint {
            subject: Subject::Service,
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            reason: "AddressLost",
            action: "AllocateAddress",
            note,
        }
    };
    decision.lost.iter().map(complaint).collect()
}

/// What others find wrong with pools, by name.
pub(super) fn found(found: &Found) -> BTreeMap<String, Fault> {
    let others = [Origin::Compile, Origin::AddressPools];
    let problems = others.iter().filter_map(|origin| found.get(origin)).flatten();
    problems
        .filter_map(|problem| {
            let name = problem.object.strip_prefix("addresspool/")?;
            let field = problem.field.as_ref().map(|field| format!("{field}: "));
            let message = format!("{}{}", field.unwrap_or_default(), problem.message);
            let fault = Fault {
                reason: "Invalid",
                message,
            };
            Some((name.to_owned(), fault))
        })
        .collect()
}
