//! What cannot be translated is named, by object and field, and keeps nothing else from being translated.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use std::process::Command;

use meridian_tests::{Central, Manifests, Translator, difference, dump, eventually, node, pod, translator_binary};
use serde_json::Value;

/// One thing wrong in an otherwise good cluster.
struct Case {
    /// Puts it there.
    spoil: fn(&Manifests),
    /// What every report of it must say: the object (or file), the field, and what is wrong with it.
    says: &'static [&'static str],
}

fn check(case: &Case) {
    let manifests = Manifests::of([
        &node("node-1", &["10.244.0.0/24"]),
        &node("node-2", &["10.244.1.0/24"]),
        &pod("good", "node-1").build(),
    ]);
    (case.spoil)(&manifests);
    let central = Central::databases();
    let translator = Translator::start(&central.remote(), manifests.path(), &[]).ready();

    let rows = dump(&central.remote());
    assert!(rows.contains("Logical_Switch_Port default_good\n"), "{rows}");
    problems(&translator, case.says);
    says_all("the log", &translator.log(), case.says);
    says_all("plan", &plan(&central, &manifests), case.says);
}

/// What `/status` lists as problems.
fn problem_list(translator: &Translator) -> Result<String, String> {
    let (_, status) = translator.get("/status")?;
    let status: Value = serde_json::from_str(&status).map_err(|error| format!("{error}: {status}"))?;
    Ok(status["problems"].to_string())
}

/// Waits until `/status` says all of this.
fn problems(translator: &Translator, words: &[&str]) {
    eventually("/status names the problem", || {
        let text = problem_list(translator)?;
        let missing = words.iter().find(|word| !text.contains(**word));
        missing.map_or(Ok(()), |word| Err(format!("no {word:?} in {text}")))
    });
}

fn written(central: &Central, port: &str) {
    eventually("the port is written", || {
        let rows = dump(&central.remote());
        let found = rows.contains(&format!("Logical_Switch_Port {port}\n"));
        if found { Ok(()) } else { Err(rows) }
    });
}

fn says_all(what: &str, text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{what} does not say {word:?}:\n{text}");
    }
}

fn plan(central: &Central, manifests: &Manifests) -> String {
    let output = Command::new(translator_binary())
        .args(["plan", "--northbound", &central.remote(), "--manifests"])
        .arg(manifests.path())
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{stdout}{stderr}")
}

#[test]
fn a_manifest_that_does_not_parse() {
    check(&Case {
        spoil: |manifests| manifests.put_text("broken.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: [\n"),
        says: &["broken.yaml", "line 3"],
    });
}

#[test]
fn a_manifest_that_breaks_later_keeps_what_it_said() {
    let manifests = Manifests::of([&node("node-1", &["10.244.0.0/24"])]);
    manifests.put_text("a.json", &pod("a", "node-1").build().to_string());
    let central = Central::databases();
    let translator = Translator::start(&central.remote(), manifests.path(), &[]).ready();
    let before = dump(&central.remote());

    manifests.put_text("a.json", "{");
    problems(&translator, &["a.json"]);
    manifests.put(&pod("b", "node-1").build());
    written(&central, "default_b");
    manifests.remove(&pod("b", "node-1").build());
    eventually("nothing but the other pod has come and gone", || {
        let now = dump(&central.remote());
        if now == before {
            Ok(())
        } else {
            Err(difference(&before, &now))
        }
    });
}

#[test]
fn a_problem_goes_away_with_its_reason() {
    let manifests = Manifests::of([&node("node-1", &["10.244.0.0/24"]), &pod("early", "node-2").build()]);
    let central = Central::databases();
    let translator = Translator::start(&central.remote(), manifests.path(), &[]).ready();
    problems(&translator, &["pod/default/early"]);

    manifests.put(&node("node-2", &["10.244.1.0/24"]));
    written(&central, "default_early");
    eventually("no problem is left", || match problem_list(&translator)? {
        text if text == "[]" => Ok(()),
        text => Err(text),
    });
}

#[test]
fn a_field_of_the_wrong_type() {
    check(&Case {
        spoil: |manifests| {
            let text = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd", "namespace": "default"},
                           "spec": {"nodeName": 7, "containers": []}}"#;
            manifests.put_text("odd.json", text);
        },
        says: &["odd.json", "nodeName"],
    });
}

#[test]
fn a_pod_on_an_unknown_node() {
    check(&Case {
        spoil: |manifests| manifests.put(&pod("lost", "node-9").build()),
        says: &["pod/default/lost", "spec.nodeName", "node-9"],
    });
}

#[test]
fn overlapping_pod_cidrs() {
    check(&Case {
        spoil: |manifests| manifests.put(&node("node-3", &["10.244.1.0/25"])),
        says: &["node/node-3", "spec.podCIDRs", "10.244.1.0/25", "node-2"],
    });
}

#[test]
fn a_pod_cidr_that_is_none() {
    check(&Case {
        spoil: |manifests| manifests.put(&node("node-3", &["10.244.300.0/24"])),
        says: &["node/node-3", "spec.podCIDRs", "10.244.300.0/24"],
    });
}

#[test]
fn one_address_in_two_statuses() {
    check(&Case {
        spoil: |manifests| {
            manifests.put(&pod("first", "node-1").running(&["10.244.0.30"]).build());
            manifests.put(&pod("second", "node-1").running(&["10.244.0.30"]).build());
        },
        says: &["pod/default/second", "status.podIPs", "10.244.0.30", "default/first"],
    });
}

#[test]
fn an_address_outside_the_node() {
    check(&Case {
        spoil: |manifests| manifests.put(&pod("stray", "node-1").running(&["10.244.1.30"]).build()),
        says: &["pod/default/stray", "status.podIPs", "10.244.1.30"],
    });
}

#[test]
fn a_node_without_pod_cidr_gets_a_slice_of_the_cluster() {
    let manifests = Manifests::of([
        &node("node-1", &["10.244.0.0/24"]),
        &node("node-2", &[]),
        &pod("good", "node-2").build(),
    ]);
    let central = Central::databases();
    let _translator = Translator::start(&central.remote(), manifests.path(), &[]).ready();
    let networks = central.nbctl(&["get", "logical_router_port", "vpc-default-node-2", "networks"]);
    assert!(
        networks.contains("10.244.") && !networks.contains("10.244.0."),
        "{networks}"
    );
    let addresses = central.nbctl(&["lsp-get-addresses", "default_good"]);
    assert!(addresses.contains(" 10.244."), "{addresses}");
}

#[test]
fn a_node_without_pod_cidr_when_the_cluster_is_full() {
    let manifests = Manifests::of([&node("node-1", &["10.244.0.0/24"]), &node("node-2", &[])]);
    manifests.put(&pod("good", "node-1").build());
    let central = Central::databases();
    let flags = ["--cluster-cidr", "10.244.0.0/24"];
    let translator = Translator::start(&central.remote(), manifests.path(), &flags).ready();
    problems(&translator, &["node/node-2", "spec.podCIDRs", "10.244.0.0/24"]);
    central.nbctl(&["lsp-get-addresses", "default_good"]);
}
