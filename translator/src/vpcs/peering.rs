//! What becomes of a `VpcPeering`, as its status says it. Must not: do I/O.

use meridian_api::vpc_peering::{CONNECTED, VpcPeering};
use meridian_compile::VpcPeeringReport;
use serde_json::{Value, json};

use super::kept::Known;
use super::words;
use crate::upkeep::set;

/// A merge patch that makes its status what it is to be; none if it is that already, or nobody knows.
pub(super) fn status(peering: &VpcPeering, known: Known<'_, VpcPeeringReport>) -> Option<Value> {
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

#[cfg(test)]
mod tests {
    use meridian_compile::Peering;

    use super::*;

    fn told(status: &str, reason: &str, message: &str) -> String {
        format!("{status} {reason}: {message}")
    }

    #[test]
    fn a_peering_says_how_the_two_fare_and_once_written_nothing_more() {
        let metadata = json!({"name": "a", "resourceVersion": "7", "generation": 3});
        let spec = json!({"vpc": "blue", "peer": "green"});
        let object: VpcPeering = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
        let said = |peering: Peering, unreadable| {
            let report = VpcPeeringReport {
                name: "a".into(),
                peering,
            };
            let known = Known {
                report: Some(&report),
                unreadable,
                ..Known::default()
            };
            let patch = status(&object, known).unwrap();
            assert_eq!(patch["metadata"], json!({"resourceVersion": "7"}));
            let mut now = object.clone();
            now.status = Some(serde_json::from_value(patch["status"].clone()).unwrap());
            assert_eq!(status(&now, known), None);
            let text = |field: &str| patch["status"]["conditions"][0][field].as_str().unwrap();
            assert_eq!(text("type"), "Connected");
            told(text("status"), text("reason"), text("message"))
        };
        let connected = told(
            "True",
            "Connected",
            "pods of VPC blue and pods of VPC green reach each other",
        );
        assert_eq!(said(Peering::Connected, None), connected);
        let why = || "there is no VPC green".to_owned();
        assert_eq!(said(Peering::Waiting(why()), None), told("False", "Waiting", &why()));
        assert_eq!(said(Peering::Refused(why()), None), told("False", "Conflict", &why()));
        let unreadable = "spec.peer: what; what was read of it before still counts";
        assert_eq!(
            said(Peering::Connected, Some("spec.peer: what")),
            told("False", "Invalid", unreadable)
        );
        assert_eq!(status(&object, Known::default()), None, "nobody knows anything yet");
    }
}
