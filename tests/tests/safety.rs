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

/// How many ports of pods there are.
fn ports(central: &Central) -> usize {
    let rows = dump_rows(&central.remote());
    rows.iter().filter(|row| row.name.starts_with("default_p")).count()
}
