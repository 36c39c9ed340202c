use meridian_api::vpc::FINALIZER;
use meridian_compile::{GatewayReport, Peering, RouteReport};
use meridian_model::PodKey;

use super::*;
use crate::vpcs::kept::finalizer;

fn vpc(metadata: &Value, status: &Value) -> Vpc {
    let mut all = json!({"name": "blue", "resourceVersion": "7", "generation": 3});
    let more = metadata.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(more);
    let spec = json!({"podNetwork": {"cidrs": ["10.8.0.0/16"]}});
    serde_json::from_value(json!({"metadata": all, "spec": spec, "status": status})).unwrap()
}

/// One that is held by us and by somebody else, and is to be deleted.
fn leaving() -> Vpc {
    let metadata = json!({"finalizers": ["example.com/other", FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z"});
    vpc(&metadata, &Value::Null)
}

fn report() -> VpcReport {
    VpcReport {
        name: "blue".into(),
        namespaces: vec!["shop".into()],
        ..VpcReport::default()
    }
}

fn used() -> VpcReport {
    VpcReport {
        deleting: true,
        pods: 12,
        nodes: 2,
        first: vec![PodKey::new("shop", "a"), PodKey::new("shop", "b")],
        remaining: vec![PodKey::new("shop", "b")],
        ..report()
    }
}

fn known(report: &VpcReport) -> Known<'_> {
    Known {
        report: Some(report),
        ..Known::default()
    }
}

/// The VPC as it is when a patch of its status is written.
fn written(mut vpc: Vpc, patch: &Value) -> Vpc {
    vpc.status = Some(serde_json::from_value(patch["status"].clone()).unwrap());
    vpc
}

/// Status, reason and message of a condition.
fn condition(vpc: &Vpc, known: Known<'_>, of: &str) -> Option<String> {
    let patch = status(vpc, known).unwrap();
    let conditions = patch["status"]["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|condition| condition["type"] == of)?;
    assert_eq!(condition["observedGeneration"], 3);
    let text = |field: &str| condition[field].as_str().unwrap();
    Some(told(text("status"), text("reason"), text("message")))
}

fn told(is: &str, reason: &str, message: &str) -> String {
    format!("{is} {reason}: {message}")
}

#[test]
fn a_vpc_is_held_from_the_first_and_whoever_else_holds_it_stays() {
    let fresh = vpc(&json!({"finalizers": ["example.com/other"]}), &Value::Null);
    let patch = finalizer(&fresh, Known::default()).unwrap();
    assert_eq!(
        patch["metadata"],
        json!({"resourceVersion": "7", "finalizers": ["example.com/other", FINALIZER]})
    );
    let held = vpc(&json!({"finalizers": [FINALIZER]}), &Value::Null);
    let empty = VpcReport {
        deleting: true,
        ..report()
    };
    assert_eq!(finalizer(&held, known(&empty)), None);
}

#[test]
fn a_vpc_goes_only_when_no_pod_is_in_it_and_none_can_come() {
    let vpc = leaving();
    assert_eq!(finalizer(&vpc, Known::default()), None, "nobody knows");
    assert_eq!(finalizer(&vpc, known(&used())), None);
    assert_eq!(
        finalizer(&vpc, known(&report())),
        None,
        "a pod may have come since the compiler looked"
    );
    let empty = VpcReport {
        deleting: true,
        ..report()
    };
    let doubtful = Known {
        doubt: Some("1 of the pods could not be read since the start"),
        ..known(&empty)
    };
    assert_eq!(finalizer(&vpc, doubtful), None);
    let patch = finalizer(&vpc, known(&empty)).unwrap();
    assert_eq!(patch["metadata"]["finalizers"], json!(["example.com/other"]));
}

#[test]
fn one_that_is_to_be_deleted_and_is_not_ours_to_hold_is_left_alone() {
    let metadata = json!({"finalizers": ["example.com/other"], "deletionTimestamp": "2026-01-01T00:00:00Z"});
    assert_eq!(finalizer(&vpc(&metadata, &Value::Null), known(&used())), None);
}

#[test]
fn gateways_are_named_or_it_is_said_why_there_are_none() {
    let vpc = vpc(&json!({}), &Value::Null);
    let with = |nodes: &[&str], lack: Option<&str>, conflict| VpcReport {
        gateways: Some(GatewayReport {
            nodes: nodes.iter().map(|node| (*node).into()).collect(),
            lack: lack.map(str::to_owned),
            conflict,
        }),
        ..report()
    };
    assert_eq!(
        condition(&vpc, known(&report()), GATEWAYS),
        None,
        "there are none to have"
    );
    let why = "no node has the labels edge";
    for (report, expected) in [
        (
            with(&["a", "b"], None, false),
            told("True", "Ready", "gateways are a, b"),
        ),
        (
            with(&["a"], None, false),
            told(
                "True",
                "Ready",
                "a is the only gateway: nothing takes its place when it dies",
            ),
        ),
        (with(&[], Some(why), false), told("False", "NoNodes", why)),
        (with(&[], Some(why), true), told("False", "Conflict", why)),
    ] {
        assert_eq!(condition(&vpc, known(&report), GATEWAYS), Some(expected));
    }
    let patch = status(&vpc, known(&with(&["a"], None, false))).unwrap();
    assert_eq!(patch["status"]["gateways"], json!(["a"]));
    // Once another mode is chosen nothing is left of it.
    let now = written(vpc, &patch);
    assert_eq!(status(&now, known(&report())).unwrap()["status"]["gateways"], json!([]));
    assert_eq!(condition(&now, known(&report()), GATEWAYS), None);
}

#[test]
fn routes_lead_somewhere_or_it_is_said_what_is_wrong_with_them() {
    let vpc = vpc(&json!({}), &Value::Null);
    let with = |count, faults: &[(&str, &str)], conflict| VpcReport {
        routes: Some(RouteReport {
            count,
            faults: faults
                .iter()
                .map(|(field, message)| ((*field).to_owned(), (*message).to_owned()))
                .collect(),
            conflict,
        }),
        ..report()
    };
    assert_eq!(
        condition(&vpc, known(&report()), ROUTES),
        None,
        "there are none to have"
    );
    let faults = [("spec.routes[0].destination", "it clashes"), ("spec.routes[1]", "what")];
    let why = "spec.routes[0].destination: it clashes; spec.routes[1]: what";
    for (report, expected) in [
        (
            with(1, &[], false),
            told("True", "Ready", "there is a route for one network"),
        ),
        (
            with(2, &[], false),
            told("True", "Ready", "there are routes for 2 networks"),
        ),
        (with(1, &faults, true), told("False", "Conflict", why)),
        (with(1, &faults, false), told("False", "Invalid", why)),
    ] {
        assert_eq!(condition(&vpc, known(&report), ROUTES), Some(expected));
    }
    let now = written(vpc.clone(), &status(&vpc, known(&with(1, &[], false))).unwrap());
    assert_eq!(condition(&now, known(&report()), ROUTES), None);
}

#[test]
fn the_status_says_what_the_compiler_reports_and_once_written_nothing_more() {
    let vpc = vpc(&json!({}), &Value::Null);
    let report = VpcReport {
        deleting: false,
        ..used()
    };
    let patch = status(&vpc, known(&report)).unwrap();
    assert_eq!(patch["metadata"], json!({"resourceVersion": "7"}));
    let mut said = patch["status"].clone();
    said["conditions"].take();
    assert_eq!(
        said,
        json!({
            "observedGeneration": 3, "namespaces": ["shop"], "namespaceCount": 1, "pods": 12, "nodes": 2, "gateways": [],
            "remainingPods": ["shop/b"],
            "conditions": null,
        })
    );
    assert_eq!(
        condition(&vpc, known(&report), READY).unwrap(),
        told("True", "Ready", "pods can be in it")
    );
    assert_eq!(condition(&vpc, known(&report), IN_USE), None);
    let now = written(vpc, &patch);
    assert_eq!(status(&now, known(&report)), None);
    // What there is no more is written as nothing, because what a merge patch leaves out stays.
    let patch = status(&now, known(&VpcReport::default())).unwrap();
    assert_eq!(
        (
            &patch["status"]["namespaces"],
            &patch["status"]["remainingPods"],
            &patch["status"]["pods"]
        ),
        (&json!([]), &json!([]), &json!(0))
    );
}

#[test]
fn of_many_namespaces_the_first_are_named_and_all_are_counted() {
    let report = VpcReport {
        namespaces: (0..250).map(|number| format!("n{number:03}").into()).collect(),
        ..report()
    };
    let patch = status(&vpc(&json!({}), &Value::Null), known(&report)).unwrap();
    let named = patch["status"]["namespaces"].as_array().unwrap();
    assert_eq!((named.len(), &named[99]), (NAMED, &json!("n099")));
    assert_eq!(patch["status"]["namespaceCount"], 250);
}

#[test]
fn a_vpc_that_pods_cannot_be_in_says_why() {
    let vpc = vpc(&json!({}), &Value::Null);
    let mut report = VpcReport {
        faults: vec![
            ("spec.podNetwork.cidrs[0]".into(), "is no network".into()),
            ("spec.podNetwork.cidrs[1]".into(), "overlaps 10.244.0.0/16".into()),
        ],
        ..report()
    };
    let message = "spec.podNetwork.cidrs[0]: is no network; spec.podNetwork.cidrs[1]: overlaps 10.244.0.0/16";
    assert_eq!(
        condition(&vpc, known(&report), READY).unwrap(),
        told("False", "Invalid", message)
    );
    report.conflict = true;
    assert_eq!(
        condition(&vpc, known(&report), READY).unwrap(),
        told("False", "Conflict", message)
    );
}

#[test]
fn namespaces_that_an_older_vpc_has_are_named() {
    let vpc = vpc(&json!({}), &Value::Null);
    let has_all = told("True", "Selected", "it has every namespace that it selects");
    assert_eq!(condition(&vpc, known(&report()), NAMESPACES).unwrap(), has_all);
    let many = (0..11).map(|n| (format!("n{n:02}").into(), "green".into()));
    let report = VpcReport {
        lost: many.chain([("shop".into(), "red".into())]).collect(),
        ..report()
    };
    assert_eq!(
        condition(&vpc, known(&report), NAMESPACES).unwrap(),
        "False Conflict: VPC green, which is older, has n00, n01, n02, n03, n04, n05, n06, n07, n08, n09 and 1 more; VPC red, which is \
         older, has shop: let only one of them select a namespace"
    );
}

#[test]
fn it_is_told_how_it_fares_with_its_peers_as_long_as_it_names_any() {
    let vpc = vpc(&json!({}), &Value::Null);
    let of = |peers: Vec<Peering>| {
        let names = ["green", "red", "white"].map(Into::into);
        VpcReport {
            peers: names.into_iter().zip(peers).collect(),
            ..report()
        }
    };
    let said = |peers: Vec<Peering>| condition(&vpc, known(&of(peers)), PEERS);
    assert_eq!(said(Vec::new()), None);
    let connected = vec![Peering::Connected; 2];
    assert_eq!(
        said(connected.clone()).unwrap(),
        told("True", "Connected", "it is connected to green, red")
    );
    let waiting = Peering::Waiting("there is no VPC red".into());
    assert_eq!(
        said(vec![Peering::Connected, waiting.clone()]).unwrap(),
        told("False", "Waiting", "there is no VPC red; it is connected to green")
    );
    let refused = Peering::Refused("the two overlap".into());
    assert_eq!(
        said(vec![waiting, refused]).unwrap(),
        told("False", "Conflict", "the two overlap; there is no VPC red")
    );
    let patch = status(&vpc, known(&of(connected))).unwrap();
    let now = written(vpc.clone(), &patch);
    assert_eq!(condition(&now, known(&report()), PEERS), None, "it names none any more");
}

#[test]
fn one_that_is_to_be_deleted_says_which_pods_keep_it() {
    let vpc = leaving();
    let report = used();
    assert_eq!(
        condition(&vpc, known(&report), IN_USE).unwrap(),
        told("True", "Pods", "12 pods are in it: shop/a, shop/b and 10 more")
    );
    assert_eq!(
        condition(&vpc, known(&report), READY).unwrap(),
        told(
            "False",
            "Deleting",
            "it is being deleted: the pods in it stay, and no others come"
        )
    );
    let empty = VpcReport {
        pods: 0,
        first: Vec::new(),
        ..report
    };
    assert_eq!(
        condition(&vpc, known(&empty), IN_USE).unwrap(),
        told("False", "NoPods", "no pod is in it")
    );
    let doubtful = Known {
        doubt: Some("1 of the pods could not be read since the start"),
        ..known(&empty)
    };
    assert_eq!(
        condition(&vpc, doubtful, IN_USE).unwrap(),
        told(
            "True",
            "Doubt",
            "pods may be in it: 1 of the pods could not be read since the start"
        )
    );
}

#[test]
fn one_that_cannot_be_read_says_so_beside_what_is_known_of_it() {
    let fresh = vpc(&json!({}), &Value::Null);
    assert_eq!(status(&fresh, Known::default()), None, "nobody knows anything yet");
    let unreadable = Known {
        unreadable: Some("metadata.name: what"),
        ..Known::default()
    };
    let patch = status(&fresh, unreadable).unwrap();
    assert_eq!(patch["status"]["conditions"].as_array().unwrap().len(), 1);
    let message = "metadata.name: what; what was read of it before still counts";
    assert_eq!(
        condition(&fresh, unreadable, READY).unwrap(),
        told("False", "Invalid", message)
    );
    // Without a report, what was written before stays.
    let report = used();
    let before = written(fresh, &status(&vpc(&json!({}), &Value::Null), known(&report)).unwrap());
    let patch = status(&before, unreadable).unwrap();
    assert_eq!(patch["status"]["pods"], 12);
}
