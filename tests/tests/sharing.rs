//! Two clusters in one Northbound database.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use meridian_tests::{Central, DumpedRow, Manifests, Translator, dump_rows, eventually, node, pod};

fn start(central: &Central, manifests: &Manifests, id: &str) -> Translator {
    Translator::start(&central.remote(), manifests.path(), &["--cluster-id", id]).ready()
}

/// The rows of one cluster, with their identifiers.
fn rows_of(central: &Central, id: &str) -> Vec<DumpedRow> {
    let mine = format!("meridian/cluster = {id}");
    let mut rows = dump_rows(&central.remote());
    rows.retain(|row| row.columns.get("external_ids").is_some_and(|ids| ids.contains(&mine)));
    rows
}

#[test]
fn neither_cluster_touches_the_rows_of_the_other() {
    let central = Central::databases();
    // The same objects, down to their names and addresses.
    let objects = [node("node-1", &["10.244.0.0/24"]), pod("a", "node-1").build()];
    let (east, west) = (Manifests::of(&objects), Manifests::of(&objects));
    let _east = start(&central, &east, "east");
    let easts = rows_of(&central, "east");
    assert!(!easts.is_empty());

    let mut second = start(&central, &west, "west");
    assert_eq!(rows_of(&central, "west").len(), easts.len());
    west.remove(&objects[1]);
    eventually("the west loses its pod", || {
        let rows = rows_of(&central, "west");
        let found = rows.iter().any(|row| row.name == "west_default_a");
        if found { Err("still there") } else { Ok(()) }
    });
    second.terminate();
    start(&central, &west, "west").terminate();
    assert_eq!(rows_of(&central, "east"), easts);
}
