//! What a small cluster becomes in Northbound, row by row, beside the last agreed text.
//!
//! `UPDATE_GOLDEN=1 cargo test -p meridian-tests --test golden` accepts what is written now.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use std::path::Path;

use meridian_tests::{Central, Manifests, Translator, difference, dump, endpoint_slice, node, pod, service};

struct Family {
    name: &'static str,
    cluster: &'static str,
    services: &'static str,
    nodes: [&'static [&'static str]; 2],
    /// Of the one pod that runs already; the others get theirs from the translator.
    running: &'static [&'static str],
    /// Of the one service.
    cluster_ips: &'static [&'static str],
}

fn compare(family: &Family) {
    let manifests = Manifests::default();
    let pod_port = ["TCP/http/8080", "UDP/dns/5353"];
    for (suffix, endpoint) in ["0", "1"].into_iter().zip(family.running) {
        manifests.put(&endpoint_slice("web", suffix, &[endpoint], &pod_port));
    }
    for object in [
        &node("node-1", family.nodes[0]),
        &node("node-2", family.nodes[1]),
        &pod("web", "node-1").running(family.running).build(),
        &pod("db", "node-1").build(),
        &pod("cache", "node-2").namespace("shop").build(),
        &service("web", family.cluster_ips, &["TCP/http/80", "UDP/dns/53"]),
    ] {
        manifests.put(object);
    }
    let central = Central::databases();
    let flags = ["--cluster-cidr", family.cluster, "--service-cidr", family.services];
    let _translator = Translator::start(&central.remote(), manifests.path(), &flags).ready();

    let written = dump(&central.remote());
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{}.txt", family.name));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let agreed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == agreed,
        "{} differs; read the difference, then accept it with UPDATE_GOLDEN=1\n{}",
        path.display(),
        difference(&agreed, &written)
    );
}

#[test]
fn an_ipv4_cluster_has_the_agreed_rows() {
    compare(&Family {
        name: "ipv4",
        cluster: "10.244.0.0/16",
        services: "10.96.0.0/16",
        nodes: [&["10.244.0.0/24"], &["10.244.1.0/24"]],
        running: &["10.244.0.7"],
        cluster_ips: &["10.96.0.7"],
    });
}

#[test]
fn an_ipv6_cluster_has_the_agreed_rows() {
    compare(&Family {
        name: "ipv6",
        cluster: "fd00:10:244::/48",
        services: "fd00:10:96::/112",
        nodes: [&["fd00:10:244::/64"], &["fd00:10:244:1::/64"]],
        running: &["fd00:10:244::7"],
        cluster_ips: &["fd00:10:96::7"],
    });
}

#[test]
fn a_dual_stack_cluster_has_the_agreed_rows() {
    compare(&Family {
        name: "dual",
        cluster: "10.244.0.0/16,fd00:10:244::/48",
        services: "10.96.0.0/16,fd00:10:96::/112",
        nodes: [
            &["10.244.0.0/24", "fd00:10:244::/64"],
            &["10.244.1.0/24", "fd00:10:244:1::/64"],
        ],
        running: &["10.244.0.7", "fd00:10:244::7"],
        cluster_ips: &["10.96.0.7", "fd00:10:96::7"],
    });
}
