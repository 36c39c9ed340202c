//! What is to be different about a Subnet's status, as a patch of what it is.
//!
//! Must not: do I/O, or decide what a Subnet means.

use meridian_api::subnet::{IN_USE, READY, Subnet, SubnetStatus, Usage};
use meridian_compile::SubnetReport;
use serde_json::{Value, json};

use super::kept::{Known, is_deleting, number};
use super::words::{self, verdict};
use crate::upkeep::{Verdict, set};

pub(super) fn status(subnet: &Subnet, known: Known<'_, SubnetReport>) -> Option<Value> {
    let generation = subnet.metadata.generation;
    let now = subnet.status.clone().unwrap_or_default();
    let mut wanted = now.clone();
    wanted.observed_generation = generation;
    if let Some(report) = known.report {
        let usage = report.fill.iter().map(|fill| Usage {
            cidr: fill.network.to_string(),
            used: number(fill.used),
            free: number(fill.free),
        });
        wanted = SubnetStatus {
            pods: number(report.pods),
            nodes: number(report.nodes),
            addresses: usage.collect(),
            ..wanted
        };
        if is_deleting(subnet) {
            let verdict = words::in_use(report.pods, &report.first, known.doubt);
            set(&mut wanted.conditions, IN_USE, &verdict, generation);
        }
    }
    let ready = match (known.unreadable, known.report) {
        (Some(why), _) => words::unreadable(why),
        (None, Some(report)) => ready(report, is_deleting(subnet)),
        (None, None) => return None,
    };
    set(&mut wanted.conditions, READY, &ready, generation);
    (wanted != now).then(|| {
        // Everything by name, because what a merge patch leaves out stays.
        let status = json!({
            "observedGeneration": wanted.observed_generation,
            "pods": wanted.pods,
            "nodes": wanted.nodes,
            "addresses": wanted.addresses,
            "conditions": wanted.conditions,
        });
        json!({"metadata": {"resourceVersion": subnet.metadata.resource_version}, "status": status})
    })
}

/// Whether pods can be in it.
fn ready(report: &SubnetReport, deleting: bool) -> Verdict {
    if !report.faults.is_empty() {
        return words::faults(&report.faults, report.conflict);
    }
    if let Some(why) = &report.waiting {
        return verdict(false, "Waiting", why);
    }
    if deleting {
        return words::deleting();
    }
    if !report.flaws.is_empty() {
        let flaws = words::faults(&report.flaws, false);
        return verdict(
            false,
            flaws.reason,
            format!("{}; pods can be in it nevertheless", flaws.message),
        );
    }
    verdict(true, "Ready", "pods can be in it")
}

#[cfg(test)]
mod tests {
    use meridian_compile::Fill;
    use meridian_model::PodKey;

    use super::*;
    use crate::vpcs::kept::finalizer;

    fn subnet(metadata: &Value) -> Subnet {
        let mut all = json!({"name": "vms", "resourceVersion": "7", "generation": 3});
        all.as_object_mut()
            .unwrap()
            .extend(metadata.as_object().unwrap().clone());
        let spec = json!({"vpc": "blue", "cidrs": ["10.20.0.0/16"]});
        serde_json::from_value(json!({"metadata": all, "spec": spec})).unwrap()
    }

    fn report() -> SubnetReport {
        SubnetReport {
            name: "vms".into(),
            vpc: "blue".into(),
            fill: vec![Fill {
                network: "fd00::/64".parse().unwrap(),
                used: 2,
                free: u128::MAX,
            }],
            pods: 2,
            nodes: 1,
            first: vec![PodKey::new("sky", "a"), PodKey::new("sky", "b")],
            ..SubnetReport::default()
        }
    }

    fn known(report: &SubnetReport) -> Known<'_, SubnetReport> {
        Known {
            report: Some(report),
            ..Known::default()
        }
    }

    /// Status, reason and message of a condition.
    fn condition(subnet: &Subnet, report: &SubnetReport, of: &str) -> String {
        let patch = status(subnet, known(report)).unwrap();
        let conditions = patch["status"]["conditions"].as_array().unwrap().clone();
        let found = conditions.iter().find(|condition| condition["type"] == of).unwrap();
        ["status", "reason", "message"]
            .map(|field| found[field].as_str().unwrap())
            .join(" ")
    }

    #[test]
    fn the_status_counts_pods_and_addresses_once() {
        let mut subnet = subnet(&json!({}));
        let patch = status(&subnet, known(&report())).unwrap();
        assert_eq!(patch["status"]["pods"], 2);
        assert_eq!(
            patch["status"]["addresses"],
            json!([{"cidr": "fd00::/64", "used": 2, "free": i64::MAX}])
        );
        subnet.status = Some(serde_json::from_value(patch["status"].clone()).unwrap());
        assert_eq!(status(&subnet, known(&report())), None);
        assert_eq!(status(&subnet, Known::default()), None, "nothing is known");
    }

    #[test]
    fn what_keeps_pods_out_is_said_before_what_does_not() {
        let subnet = subnet(&json!({}));
        let mut report = report();
        let ready = |report: &SubnetReport| condition(&subnet, report, READY);
        assert_eq!(ready(&report), "True Ready pods can be in it");
        report.flaws = vec![("spec.reservedRanges[0]".into(), "odd".into())];
        assert_eq!(
            ready(&report),
            "False Invalid spec.reservedRanges[0]: odd; pods can be in it nevertheless"
        );
        report.waiting = Some("there is no VPC blue".into());
        assert_eq!(ready(&report), "False Waiting there is no VPC blue");
        report.faults = vec![("spec.cidrs[0]".into(), "overlaps".into())];
        report.conflict = true;
        assert_eq!(ready(&report), "False Conflict spec.cidrs[0]: overlaps");
    }

    #[test]
    fn it_stays_until_no_pod_is_in_it() {
        let leaving = subnet(&json!({
            "finalizers": [meridian_api::subnet::FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z",
        }));
        let mut report = SubnetReport {
            deleting: true,
            ..report()
        };
        assert_eq!(finalizer(&leaving, known(&report)), None);
        assert_eq!(
            condition(&leaving, &report, IN_USE),
            "True Pods 2 pods are in it: sky/a, sky/b"
        );
        assert!(condition(&leaving, &report, READY).starts_with("False Deleting"));
        (report.pods, report.first) = (0, Vec::new());
        let patch = finalizer(&leaving, known(&report)).unwrap();
        assert_eq!(patch["metadata"]["finalizers"], json!([]));
        assert_eq!(condition(&leaving, &report, IN_USE), "False NoPods no pod is in it");
    }
}
