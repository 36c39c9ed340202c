//! Northd carries the facts about a port to the Southbound side, where the node reads them.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use meridian_api::name;
use meridian_api::port::{PortFacts, PortKind};
use meridian_tests::{Central, Manifests, Translator, node, pod};

fn facts(central: &Central, port: &str) -> PortFacts {
    let ids = central.binding_ids(port);
    PortFacts::from_external_ids(|key| ids.get(key).map(String::as_str)).unwrap()
}

#[test]
fn port_bindings_carry_the_facts_the_node_needs() {
    let manifests = Manifests::of([
        &node("node-1", &["10.244.0.0/24", "fd00:10:244::/64"]),
        &pod("a", "node-1").running(&["10.244.0.9", "fd00:10:244::9"]).build(),
    ]);
    let central = Central::start();
    let flags = ["--cluster-cidr", "10.244.0.0/16,fd00:10:244::/48"];
    let _translator = Translator::start(&central.remote(), manifests.path(), &flags).ready();
    central.sync();

    let a = facts(&central, "default_a");
    assert_eq!(a.kind, PortKind::Pod);
    assert_eq!(a.mac, "0a:58:0a:f4:00:09");
    assert_eq!(a.uid.as_deref(), Some("uid-a"));
    let ips: Vec<String> = a.ips.iter().map(ToString::to_string).collect();
    assert_eq!(ips, ["10.244.0.9/24", "fd00:10:244::9/64"]);
    let gateways: Vec<String> = a.gateways.iter().map(ToString::to_string).collect();
    assert_eq!(gateways, ["10.244.0.1", "fd00:10:244::1"]);

    let host = facts(&central, "mgmt-default-node-1");
    assert_eq!(host.kind, PortKind::Management);
    let ips: Vec<String> = host.ips.iter().map(ToString::to_string).collect();
    assert_eq!(ips, ["10.244.0.2/24", "fd00:10:244::2/64"]);
    let routes: Vec<String> = host.routes.iter().map(ToString::to_string).collect();
    assert!(routes.contains(&"10.244.0.0/16=10.244.0.1".to_owned()), "{routes:?}");
}

#[test]
fn the_node_finds_the_ports_of_a_cluster_with_an_id_by_the_names_it_derives() {
    let manifests = Manifests::of([&node("node-1", &["10.244.0.0/24"]), &pod("a", "node-1").build()]);
    let central = Central::start();
    let _translator = Translator::start(&central.remote(), manifests.path(), &["--cluster-id", "east"]).ready();
    central.sync();

    let prefix = name::prefix(Some("east"));
    let a = facts(&central, &name::pod_port(&prefix, "default", "a"));
    assert_eq!((a.kind, a.uid.as_deref()), (PortKind::Pod, Some("uid-a")));
    let host = facts(&central, &name::management_port(&prefix, name::DEFAULT_VPC, "node-1"));
    assert_eq!(host.kind, PortKind::Management);
}
