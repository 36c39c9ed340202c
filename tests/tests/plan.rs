//! `plan` tells what `run` would write, and writes nothing itself.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use std::process::{Command, Output};

use meridian_tests::{Central, Manifests, Translator, dump, node, pod, translator_binary};

fn cluster() -> Manifests {
    Manifests::of([&node("node-1", &["10.244.0.0/24"]), &pod("a", "node-1").build()])
}

/// Exit code and what was printed.
fn plan(central: &Central, manifests: &Manifests) -> (Option<i32>, String) {
    let Output { status, stdout, .. } = Command::new(translator_binary())
        .args(["plan", "--northbound", &central.remote(), "--manifests"])
        .arg(manifests.path())
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    (status.code(), String::from_utf8(stdout).unwrap())
}

#[test]
fn a_plan_for_an_empty_database_names_every_row_and_writes_none() {
    let (central, manifests) = (Central::databases(), cluster());
    let (code, text) = plan(&central, &manifests);
    assert_eq!(code, Some(2));
    for name in ["vpc-default", "vpc-default-node-1", "mgmt-default-node-1", "default_a"] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    assert!(central.transactions().is_empty());
}

#[test]
fn a_plan_after_the_fact_is_empty() {
    let (central, manifests) = (Central::databases(), cluster());
    Translator::start(&central.remote(), manifests.path(), &[])
        .ready()
        .terminate();
    let (code, text) = plan(&central, &manifests);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_plan_beside_a_writer_sees_only_what_differs() {
    let (central, manifests) = (Central::databases(), cluster());
    let translator = Translator::start(&central.remote(), manifests.path(), &[]).ready();
    translator.pause();
    let before = dump(&central.remote());
    manifests.put(&pod("b", "node-1").build());
    let (code, text) = plan(&central, &manifests);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("default_b") && !text.contains("default_a"), "{text}");
    assert_eq!(dump(&central.remote()), before);
}
