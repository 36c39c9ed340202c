//! Northbound follows the cluster and nothing else: restarts, other hands, and a lost database.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use meridian_tests::{Central, Manifests, Translator, difference, dump, dump_rows, eventually, node, pod};

fn cluster() -> Manifests {
    Manifests::of([
        &node("node-1", &["10.244.0.0/24"]),
        &node("node-2", &["10.244.1.0/24"]),
        &pod("a", "node-1").running(&["10.244.0.77"]).build(),
        &pod("b", "node-2").running(&["10.244.1.88"]).build(),
        &pod("new", "node-2").build(),
    ])
}

fn start(central: &Central, manifests: &Manifests) -> Translator {
    Translator::start(&central.remote(), manifests.path(), &[]).ready()
}

fn becomes(central: &Central, expected: &str) {
    eventually("Northbound is as before", || {
        let now = dump(&central.remote());
        if now == expected {
            Ok(())
        } else {
            Err(difference(expected, &now))
        }
    });
}

#[test]
fn restarting_with_nothing_changed_writes_nothing() {
    let (central, manifests) = (Central::databases(), cluster());
    start(&central, &manifests).terminate();
    let written = central.transactions();
    assert!(!written.is_empty());

    for _ in 0..2 {
        start(&central, &manifests).terminate();
    }
    assert_eq!(central.transactions(), written);
}

#[test]
fn the_newest_schema_is_served_as_well() {
    let (central, manifests) = (Central::newest_databases(), cluster());
    start(&central, &manifests).terminate();
    let written = central.transactions();

    start(&central, &manifests).terminate();
    assert_eq!(central.transactions(), written);
    manifests.remove(&pod("a", "node-1").build());
    let _translator = start(&central, &manifests);
    assert_eq!(port(&central, "default_a"), Err("no such port"));
}

#[test]
fn a_pod_more_is_one_transaction() {
    let (central, manifests) = (Central::databases(), cluster());
    let _translator = start(&central, &manifests);
    let before = central.transactions().len();

    manifests.put(&pod("late", "node-1").build());
    eventually("the pod has a port", || port(&central, "default_late"));
    assert_eq!(central.transactions().len(), before + 1);
}

#[test]
fn rows_of_others_stay() {
    let (central, manifests) = (Central::databases(), cluster());
    start(&central, &manifests).terminate();
    central.nbctl(&["ls-add", "theirs"]);
    central.nbctl(&["lsp-add", "vpc-default-node-1", "their-port"]);
    central.nbctl(&["lr-route-add", "vpc-default", "192.0.2.0/24", "10.244.0.50"]);
    let with_theirs = dump(&central.remote());

    let _translator = start(&central, &manifests);
    manifests.remove(&pod("b", "node-2").running(&["10.244.1.88"]).build());
    eventually("the removed pod's port goes", || {
        port(&central, "default_b").map_or(Ok(()), |()| Err("still there"))
    });
    manifests.put(&pod("b", "node-2").running(&["10.244.1.88"]).build());
    becomes(&central, &with_theirs);
}

#[test]
fn what_was_edited_by_hand_is_put_back() {
    let (central, manifests) = (Central::databases(), cluster());
    let _translator = start(&central, &manifests);
    let agreed = dump(&central.remote());

    for edit in [
        &["lsp-set-addresses", "default_a", "unknown"][..],
        &["lsp-set-port-security", "default_a"],
        &["lsp-del", "default_b"],
        &["lsp-del", "mgmt-default-node-1"],
        &["lrp-del", "vpc-default-node-2"],
        &["clear", "logical_router", "vpc-default", "static_routes"],
        &["ls-del", "vpc-default-node-1"],
        &["lr-del", "vpc-default"],
    ] {
        let before = central.transactions().len();
        central.nbctl(edit);
        becomes(&central, &agreed);
        assert!(central.transactions().len() >= before + 2, "{edit:?} changed nothing");
    }
}

#[test]
fn a_wiped_database_is_rebuilt_with_the_same_addresses() {
    let (mut central, manifests) = (Central::databases(), cluster());
    let _translator = start(&central, &manifests);
    let agreed = dump(&central.remote());

    central.server_mut().wipe();
    becomes(&central, &agreed);
}

#[test]
fn a_wiped_database_is_rebuilt_by_a_translator_that_never_saw_it() {
    let (mut central, manifests) = (Central::databases(), cluster());
    // Once the kubelet has reported it, the record of every address is the pod's status.
    manifests.put(&pod("new", "node-2").running(&["10.244.1.200"]).build());
    let mut translator = start(&central, &manifests);
    let agreed = dump(&central.remote());
    translator.kill();

    central.server_mut().wipe();
    let _translator = start(&central, &manifests);
    assert_eq!(dump(&central.remote()), agreed);
}

#[test]
fn an_address_not_yet_in_a_status_survives_a_restart() {
    let (central, manifests) = (Central::databases(), cluster());
    // Of several, so that the address is not simply the first one.
    for name in ["p1", "p2", "p3"] {
        manifests.put(&pod(name, "node-2").build());
    }
    start(&central, &manifests).terminate();
    let address = central.nbctl(&["lsp-get-addresses", "default_p3"]);

    for name in ["p1", "p2"] {
        manifests.remove(&pod(name, "node-2").build());
    }
    let _translator = start(&central, &manifests);
    assert_eq!(central.nbctl(&["lsp-get-addresses", "default_p3"]), address);
}

fn port(central: &Central, name: &str) -> Result<(), &'static str> {
    let rows = dump_rows(&central.remote());
    let found = rows
        .iter()
        .any(|row| row.table == "Logical_Switch_Port" && row.name == name);
    if found { Ok(()) } else { Err("no such port") }
}
