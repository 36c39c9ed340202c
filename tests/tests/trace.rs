//! What becomes of packets in the flows northd makes of our rows, by `ovn-trace`.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use meridian_tests::{Network, Port};

fn texts(ips: &[String]) -> Vec<&str> {
    ips.iter().map(String::as_str).collect()
}

#[test]
fn pods_reach_pods_and_their_host_and_the_outside() {
    let network = Network::start([]);
    let (a, b, c) = (network.pod("a"), network.pod("b"), network.pod("c"));
    let host = network.port("mgmt-default-node-1");
    let (router, far_router) = (network.router_mac("node-1"), network.router_mac("node-2"));
    assert_eq!((a.ips.len(), b.ips.len(), c.ips.len()), (2, 2, 2));

    // On one node the switch suffices.
    for steps in network.trace(&a, &a.mac, &b.mac, &texts(&b.ips)) {
        assert_eq!(steps, ["output(\"default_b\");"]);
    }
    for steps in network.trace(&a, &a.mac, &host.mac, &texts(&host.ips)) {
        assert_eq!(steps, ["output(\"mgmt-default-node-1\");"]);
    }
    // Across nodes the router hands over.
    for steps in network.trace(&a, &a.mac, &router, &texts(&c.ips)) {
        let expected = [
            "ip.ttl--;".to_owned(),
            format!("eth.src = {far_router};"),
            format!("eth.dst = {};", c.mac),
            "output(\"default_c\");".to_owned(),
        ];
        assert_eq!(steps, expected);
    }
    // What is not of the VPC leaves through the sender's own host.
    for steps in network.trace(&a, &a.mac, &router, &["192.0.2.1", "2001:db8::1"]) {
        let expected = [
            "ip.ttl--;".to_owned(),
            format!("eth.src = {router};"),
            format!("eth.dst = {};", host.mac),
            "output(\"mgmt-default-node-1\");".to_owned(),
        ];
        assert_eq!(steps, expected);
    }
}

#[test]
fn a_pod_cannot_forge_its_addresses() {
    let network = Network::start([]);
    let (a, b) = (network.pod("a"), network.pod("b"));
    let nothing: &[&str] = &[];

    for steps in network.trace(&a, "0a:58:00:00:00:99", &b.mac, &texts(&b.ips)) {
        assert_eq!(steps, nothing, "a stale MAC passes");
    }
    let forged = Port {
        ips: vec!["10.244.0.99".to_owned(), "fd00:10:244::99".to_owned()],
        ..network.pod("a")
    };
    for steps in network.trace(&forged, &a.mac, &b.mac, &texts(&b.ips)) {
        assert_eq!(steps, nothing, "another's address passes");
    }
}

#[test]
fn slices_of_different_lengths_reach_each_other() {
    let network = Network::of(
        [
            &["10.244.0.0/26", "fd00:10:244::/80"],
            &["10.244.1.0/24", "fd00:10:244:1::/64"],
        ],
        [],
    );
    let (a, c) = (network.pod("a"), network.pod("c"));
    let router = network.router_mac("node-1");
    let host = network.port("mgmt-default-node-1");
    for to in [texts(&c.ips), texts(&network.port("mgmt-default-node-2").ips)].concat() {
        let steps = &network.trace(&a, &a.mac, &router, &[to])[0];
        let last = steps.last().unwrap();
        assert!(
            last == "output(\"default_c\");" || last == "output(\"mgmt-default-node-2\");",
            "{to}: {steps:?}"
        );
    }
    for steps in network.trace(&a, &a.mac, &router, &["192.0.2.1", "2001:db8::1"]) {
        assert_eq!(steps.last().unwrap(), "output(\"mgmt-default-node-1\");");
    }
    // What the host sends into the network takes the same ways.
    for steps in network.trace(&host, &host.mac, &router, &texts(&c.ips)) {
        assert_eq!(steps.last().unwrap(), "output(\"default_c\");");
    }
}
