//! What becomes of packets from one VPC to another, in the flows northd makes of our rows, by `ovn-trace`.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use meridian_tests::{Network, Port, eventually};
use serde_json::{Value, json};

fn vpc(name: &str, number: u8, peers: &[&str]) -> Value {
    let peers: Vec<Value> = peers.iter().map(|peer| json!({"name": peer})).collect();
    json!({
        "apiVersion": "meridian.dev/v1alpha1", "kind": "Vpc", "metadata": {"name": name},
        "spec": {
            "namespaceSelector": {"matchLabels": {"vpc": name}},
            "podNetwork": {"cidrs": [format!("10.{number}.0.0/16"), format!("fd00:{number}::/48")]},
            "peers": peers,
        },
    })
}

fn namespace(vpc: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("in-{vpc}"), "labels": {"vpc": vpc}}})
}

fn pod(vpc: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("on-{node}"), "namespace": format!("in-{vpc}"), "uid": format!("{vpc}-{node}")},
        "spec": {"nodeName": node, "containers": []}, "status": {"phase": "Pending"},
    })
}

fn peering(vpc: &str, peer: &str) -> Value {
    json!({
        "apiVersion": "meridian.dev/v1alpha1", "kind": "VpcPeering", "metadata": {"name": format!("{vpc}-{peer}")},
        "spec": {"vpc": vpc, "peer": peer},
    })
}

/// Blue and green are peers, and so are green and red, by what an object of its own says for red.
fn network() -> Network {
    let plain = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
    let mut objects = vec![
        plain,
        vpc("blue", 8, &["green"]),
        vpc("green", 9, &["blue", "red"]),
        vpc("red", 10, &[]),
        peering("red", "green"),
    ];
    for vpc in ["blue", "green", "red"] {
        objects.push(namespace(vpc));
        objects.extend(["node-1", "node-2"].map(|node| pod(vpc, node)));
    }
    Network::start(&objects)
}

fn port(network: &Network, vpc: &str, node: &str) -> Port {
    network.port(&format!("in-{vpc}_on-{node}"))
}

/// The last steps of packets from a VPC's pod on a node to all addresses of another's on another.
fn send(network: &Network, from: (&str, &str), to: (&str, &str)) -> Vec<String> {
    let (source, target) = (port(network, from.0, from.1), port(network, to.0, to.1));
    assert_eq!((source.ips.len(), target.ips.len()), (2, 2));
    let switch = format!("vpc-{}.{}", from.0, from.1);
    let router = network.central.nbctl(&["get", "logical_router_port", &switch, "mac"]);
    let steps = target.ips.iter().map(|ip| {
        let packet = source.packet(&source.mac, router.trim().trim_matches('"'), ip);
        let steps = network.central.trace(&switch, &[], &packet);
        steps.last().cloned().unwrap_or_default()
    });
    steps.collect()
}

fn arrives(to: (&str, &str)) -> Vec<String> {
    vec![format!("output(\"in-{}_on-{}\");", to.0, to.1); 2]
}

/// By the way that leads out of the VPC, which ends at the host: it lets nothing through to pods.
fn leaves(from: (&str, &str)) -> Vec<String> {
    vec![format!("output(\"mgmt-{}.{}\");", from.0, from.1); 2]
}

#[test]
fn pods_reach_pods_of_a_peer_and_not_of_its_peer() {
    let network = network();
    let nodes = ["node-1", "node-2"];
    for (one, other) in [("blue", "green"), ("green", "blue"), ("green", "red"), ("red", "green")] {
        for (here, there) in nodes.iter().flat_map(|here| nodes.map(|there| (*here, there))) {
            let (from, to) = ((one, here), (other, there));
            assert_eq!(send(&network, from, to), arrives(to), "{from:?} to {to:?}");
        }
    }
    for (one, other) in [("blue", "red"), ("red", "blue")] {
        let from = (one, "node-1");
        assert_eq!(send(&network, from, (other, "node-2")), leaves(from));
    }
    let inside = ("blue", "node-2");
    assert_eq!(send(&network, ("blue", "node-1"), inside), arrives(inside));
    // What no pod of the peer has ends in its router.
    let nothing = Port {
        ips: vec!["10.9.200.4".to_owned()],
        ..port(&network, "green", "node-1")
    };
    let source = port(&network, "blue", "node-1");
    let router = network
        .central
        .nbctl(&["get", "logical_router_port", "vpc-blue.node-1", "mac"]);
    let packet = source.packet(&source.mac, router.trim().trim_matches('"'), &nothing.ips[0]);
    let steps = network.central.trace("vpc-blue.node-1", &[], &packet);
    assert!(!steps.iter().any(|step| step.starts_with("output")), "{steps:?}");
}

#[test]
fn a_peering_ends_when_one_of_the_two_withdraws() {
    let network = network();
    network.manifests.put(&vpc("green", 9, &["red"]));
    until_ended(&network, ["peer-blue.green", "peer-green.blue"]);
    for (one, other) in [("blue", "green"), ("green", "blue")] {
        let from = (one, "node-1");
        assert_eq!(send(&network, from, (other, "node-2")), leaves(from));
    }
    let red = ("red", "node-2");
    assert_eq!(send(&network, ("green", "node-1"), red), arrives(red));
    network.manifests.remove(&peering("red", "green"));
    until_ended(&network, ["peer-green.red", "peer-red.green"]);
    for (one, other) in [("red", "green"), ("green", "red")] {
        let from = (one, "node-1");
        assert_eq!(send(&network, from, (other, "node-2")), leaves(from));
    }
}

fn until_ended(network: &Network, ends: [&str; 2]) {
    eventually("the peering ends", || {
        let ports = ["--bare", "--columns=name", "list", "Logical_Router_Port"];
        let ports = network.central.nbctl(&ports);
        match ports.lines().filter(|port| ends.contains(port)).count() {
            0 => Ok(()),
            left => Err(format!("{left} of its ports are left")),
        }
    });
    network.central.sync();
}
