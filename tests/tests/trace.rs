//! What becomes of packets in the flows northd makes of our rows, by `ovn-trace`.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use meridian_tests::{Central, Manifests, Translator, node, pod};

/// A dual-stack cluster of two nodes: `a` and `b` on node-1, `c` on node-2.
struct Network {
    central: Central,
    _translator: Translator,
    _manifests: Manifests,
}

/// A logical port's addresses, as written.
struct Port {
    name: String,
    mac: String,
    ips: Vec<String>,
}

impl Network {
    fn start() -> Self {
        Self::of([
            &["10.244.0.0/24", "fd00:10:244::/64"],
            &["10.244.1.0/24", "fd00:10:244:1::/64"],
        ])
    }

    /// With these slices.
    fn of(slices: [&[&str]; 2]) -> Self {
        let manifests = Manifests::of([
            &node("node-1", slices[0]),
            &node("node-2", slices[1]),
            &pod("a", "node-1").build(),
            &pod("b", "node-1").build(),
            &pod("c", "node-2").build(),
        ]);
        let central = Central::start();
        let flags = ["--cluster-cidr", "10.244.0.0/16,fd00:10:244::/48"];
        let translator = Translator::start(&central.remote(), manifests.path(), &flags).ready();
        central.sync();
        Self {
            central,
            _translator: translator,
            _manifests: manifests,
        }
    }

    fn port(&self, name: &str) -> Port {
        let addresses = self.central.nbctl(&["lsp-get-addresses", name]);
        let mut words = addresses.split_whitespace().map(str::to_owned);
        Port {
            name: name.to_owned(),
            mac: words.next().unwrap(),
            ips: words.collect(),
        }
    }

    fn pod(&self, name: &str) -> Port {
        self.port(&format!("default_{name}"))
    }

    fn router_mac(&self, node: &str) -> String {
        let port = format!("vpc-default-{node}");
        let mac = self.central.nbctl(&["get", "logical_router_port", &port, "mac"]);
        mac.trim().trim_matches('"').to_owned()
    }

    /// Traces a packet from a port on node-1, one for each family of both ends.
    fn trace(&self, from: &Port, source_mac: &str, next_hop: &str, to: &[&str]) -> Vec<Vec<String>> {
        to.iter()
            .map(|to| {
                let version = if to.contains(':') { "ip6" } else { "ip4" };
                let source = from.ips.iter().find(|ip| ip.contains(':') == to.contains(':')).unwrap();
                let packet = format!(
                    "inport == \"{}\" && eth.src == {source_mac} && eth.dst == {next_hop} && \
                     {version}.src == {source} && {version}.dst == {to} && ip.ttl == 64",
                    from.name
                );
                self.central.trace("vpc-default-node-1", &packet)
            })
            .collect()
    }
}

fn texts(ips: &[String]) -> Vec<&str> {
    ips.iter().map(String::as_str).collect()
}

#[test]
fn pods_reach_pods_and_their_host_and_the_outside() {
    let network = Network::start();
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
    let network = Network::start();
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
    let network = Network::of([
        &["10.244.0.0/26", "fd00:10:244::/80"],
        &["10.244.1.0/24", "fd00:10:244:1::/64"],
    ]);
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
