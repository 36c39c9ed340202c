//! A clustered Northbound database whose leader dies while the cluster changes.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use std::path::Path;

use meridian_tests::{Central, Manifests, Translator, difference, dump, eventually, node, pod, text_of, try_dump_rows};
use ovsdb::testing::Cluster;
use serde_json::Value;

const SCHEMA: &str = "/usr/share/ovn/ovn-nb.ovsschema";

fn remotes(cluster: &Cluster) -> String {
    let remotes: Vec<String> = cluster.remotes().iter().map(ToString::to_string).collect();
    remotes.join(",")
}

/// A running pod, so that its address does not depend on the order of events.
fn numbered(number: u8) -> Value {
    let (node, third) = if number.is_multiple_of(2) {
        ("node-1", 0)
    } else {
        ("node-2", 1)
    };
    pod(&format!("p{number}"), node)
        .running(&[&format!("10.244.{third}.{}", 10 + number)])
        .build()
}

fn present(remotes: &str, port: &str) -> Result<(), String> {
    let rows = try_dump_rows(remotes)?;
    let found = rows
        .iter()
        .any(|row| row.table == "Logical_Switch_Port" && row.name == port);
    if found { Ok(()) } else { Err(format!("no port {port}")) }
}

#[test]
fn nothing_is_lost_when_the_leader_is_killed_during_churn() {
    let mut cluster = Cluster::raft(3, Path::new(SCHEMA));
    let nodes = [node("node-1", &["10.244.0.0/24"]), node("node-2", &["10.244.1.0/24"])];
    let manifests = Manifests::of(&nodes);
    let _translator = Translator::start(&remotes(&cluster), manifests.path(), &[]).ready();

    for number in 0..60 {
        manifests.put(&numbered(number));
        if number >= 10 {
            manifests.remove(&numbered(number - 10));
        }
        match number {
            // With changes under way.
            23 => {
                let leader = cluster.leader();
                cluster.member_mut(leader).kill();
            }
            43 => {
                cluster.transfer_leadership();
            }
            // Keeps pace with the writer, so that it writes before, during and after.
            9 | 19 | 29 | 39 | 49 => {
                let name = format!("default_p{number}");
                eventually("the churn arrives", || present(&remotes(&cluster), &name));
            }
            _ => {}
        }
    }

    // What a translator that saw only the end of it writes to an empty database.
    let reference = Central::databases();
    let _reference = Translator::start(&reference.remote(), manifests.path(), &[]).ready();
    let expected = dump(&reference.remote());

    let survivors = remotes(&cluster);
    eventually("the clustered database holds what the cluster is", || {
        let now = text_of(&try_dump_rows(&survivors)?);
        if now == expected {
            Ok(())
        } else {
            Err(difference(&expected, &now))
        }
    });
}
