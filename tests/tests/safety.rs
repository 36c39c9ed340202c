//! A cluster that seems to lose much at once is rather a mistake.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use meridian_tests::{Central, Manifests, Translator, dump, dump_rows, eventually, node, pod};
use serde_json::{Value, json};

/// More pods than the floor of the default deletion budget.
const PODS: u8 = 80;

/// All pods in one file, so that they come and go at once.
fn pods() -> Value {
    let pods = (0..PODS).map(|number| {
        pod(&format!("p{number}"), "node-1")
            .running(&[&format!("10.244.0.{}", 10 + number)])
            .build()
    });
    let pods: Vec<Value> = pods.collect();
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"name": "pods"}, "items": pods})
}

fn cluster() -> Manifests {
    Manifests::of([&node("node-1", &["10.244.0.0/24"]), &pods()])
}

fn holds_back(translator: &Translator) {
    eventually(
        "the translator says that it holds deletions back",
        || match translator.get("/readyz")? {
            (503, body) if body.contains("held back") => Ok(()),
            (code, body) => Err(format!("{code} {body}")),
        },
    );
}

#[test]
fn an_emptied_folder_does_not_empty_northbound() {
    let (central, manifests) = (Central::databases(), cluster());
    let translator = Translator::start(&central.remote(), manifests.path(), &[]).ready();
    let full = dump(&central.remote());

    manifests.remove(&pods());
    holds_back(&translator);
    assert_eq!(ports(&central), usize::from(PODS));

    // The objects come back: whoever emptied the folder has seen the mistake.
    manifests.put(&pods());
    eventually("everything is as before", || {
        let (code, body) = translator.get("/readyz")?;
        if code == 200 && dump(&central.remote()) == full {
            Ok(())
        } else {
            Err(body)
        }
    });
}

#[test]
fn whoever_means_it_says_so() {
    let (central, manifests) = (Central::databases(), cluster());
    let flags = ["--deletion-budget", "unlimited"];
    let _translator = Translator::start(&central.remote(), manifests.path(), &flags).ready();
    manifests.remove(&pods());
    eventually("all pods' ports are gone", || {
        if ports(&central) == 0 {
            Ok(())
        } else {
            Err("some are left")
        }
    });
}

#[test]
fn an_empty_folder_at_start_deletes_nothing_beyond_the_budget() {
    let (central, manifests) = (Central::databases(), cluster());
    Translator::start(&central.remote(), manifests.path(), &[])
        .ready()
        .terminate();
    let written = central.transactions();

    let empty = Manifests::default();
    let translator = Translator::start(&central.remote(), empty.path(), &[]);
    holds_back(&translator);
    assert_eq!(central.transactions(), written);
}

/// A policy with that many rules.
fn policy(name: &str, rules: u16) -> Value {
    let rule = |port| json!({"ports": [{"port": 1000 + port}]});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"podSelector": {"matchLabels": {"name": name}}, "ingress": (0..rules).map(rule).collect::<Vec<_>>()},
    })
}

#[test]
fn a_policy_is_gone_at_once_however_many_rules_it_has_and_many_policies_are_not() {
    let (central, manifests) = (Central::databases(), cluster());
    let acls = || {
        dump_rows(&central.remote())
            .iter()
            .filter(|row| row.table == "ACL")
            .count()
    };
    manifests.put(&policy("long", 300));
    let translator = Translator::start(&central.remote(), manifests.path(), &[]).ready();
    assert!(acls() > 300);
    manifests.remove(&policy("long", 300));
    eventually("nothing is left of it", || match (acls(), translator.get("/readyz")?) {
        (0, (200, _)) => Ok(()),
        (left, answer) => Err(format!("{left} ACLs are left: {answer:?}")),
    });

    let many: Vec<Value> = (0..200).map(|number| policy(&format!("p{number}"), 1)).collect();
    let many = json!({"apiVersion": "v1", "kind": "List", "metadata": {"name": "many"}, "items": many});
    manifests.put(&many);
    eventually("they are there", || if acls() > 200 { Ok(()) } else { Err(acls()) });
    manifests.remove(&many);
    holds_back(&translator);
}

/// How many ports of pods there are.
fn ports(central: &Central) -> usize {
    let rows = dump_rows(&central.remote());
    rows.iter().filter(|row| row.name.starts_with("default_p")).count()
}
