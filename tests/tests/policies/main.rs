//! Policies, compiled and translated by a real northd, let through exactly what Kubernetes says: for random clusters and policies
//! each packet's fate by `ovn-trace` is that by an evaluator of our own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

mod evaluator;
mod services;
mod world;

use std::collections::HashMap;

use meridian_tests::{Network, Port, Tracer};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;

use evaluator::{End, Law, Packet, allowed};
use world::{NODES, World, world};

/// How many random clusters; `MERIDIAN_POLICY_CASES` says otherwise.
const CASES: u32 = 50;

/// Whoever is not of the cluster.
const OUTSIDE: [&str; 2] = ["192.0.2.9", "2001:db8::9"];

const PORTS: [(&str, u16); 6] = [
    ("TCP", 80),
    ("TCP", 81),
    ("TCP", 8080),
    ("UDP", 53),
    ("UDP", 80),
    ("SCTP", 80),
];

struct Traced {
    network: Network,
    tracer: Tracer,
    ports: HashMap<String, Port>,
    routers: HashMap<&'static str, String>,
}

impl Traced {
    fn start(world: &World) -> Self {
        let objects = [
            &world.nodes,
            &world.namespaces,
            &world.pods,
            &world.policies,
            &world.of_cluster,
        ];
        let network = Network::start(objects.into_iter().flatten());
        let names = world.pods.iter().map(port_of).chain(NODES.map(host_of));
        let ports = names.map(|name| (name.clone(), network.port(&name))).collect();
        Self {
            tracer: Tracer::start(&network.central),
            routers: NODES.map(|node| (node, network.router_mac(node))).into(),
            network,
            ports,
        }
    }

    /// Whether a packet from a port on a node comes out at another.
    fn arrives(&self, (from, node): (&str, &str), source: &str, (to, on): (&str, &str), packet: &Packet<'_>) -> bool {
        let (sender, target) = (&self.ports[from], self.ports.get(to));
        // Who is on the same switch is reached straight, others by the router.
        let next = target
            .filter(|_| node == on)
            .map_or(&self.routers[node], |port| &port.mac);
        let sender = Port {
            ips: vec![source.to_owned()],
            ..sender.clone()
        };
        let l3 = sender.packet(&sender.mac, next, &packet.destination.to_string());
        let l4 = packet.protocol.to_lowercase();
        let text = format!("{l3} && {l4} && {l4}.src == 40000 && {l4}.dst == {}", packet.port);
        let outputs = self.tracer.outputs(&format!("vpc-default-{node}"), &text);
        outputs.iter().any(|output| output == to)
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap()
}

fn port_of(pod: &Value) -> String {
    format!("{}_{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"))
}

fn host_of(node: &str) -> String {
    format!("mgmt-default-{node}")
}

/// How many packets were compared, or the first that differs.
fn compare(world: &World) -> Result<usize, String> {
    let traced = Traced::start(world);
    let namespace = |pod: &Value| {
        let name = text(pod, "/metadata/namespace").to_owned();
        world
            .namespaces
            .iter()
            .find(move |namespace| text(namespace, "/metadata/name") == name)
            .unwrap()
    };
    let mut ends: Vec<(String, &str, End<'_>)> = Vec::new();
    for pod in &world.pods {
        let end = End::Pod {
            pod,
            namespace: namespace(pod),
        };
        ends.push((port_of(pod), text(pod, "/spec/nodeName"), end));
    }
    let pods = ends.len();
    ends.extend(NODES.map(|node| (host_of(node), node, End::Host { node })));
    // Somebody else comes in by a host, and is reached by the sender's own.
    ends.extend(NODES.map(|node| (host_of(node), node, End::Outside)));
    let mut compared = 0;
    for (at, (from, node, source)) in ends.iter().enumerate() {
        for (other, (to, on, target)) in ends.iter().enumerate() {
            let is_asked = at != other && (at < pods || other < pods);
            let by_own_host = !matches!((source, target), (End::Pod { .. }, End::Outside)) || node == on;
            if !is_asked || !by_own_host {
                continue;
            }
            for (family, outside) in OUTSIDE.iter().enumerate() {
                let address = |end: &End<'_>, port: &str| match end {
                    End::Outside => (*outside).to_owned(),
                    _ => traced.ports[port].ips[family].clone(),
                };
                let (src, dst) = (address(source, from), address(target, to));
                for (protocol, port) in PORTS {
                    let packet = Packet {
                        from: source.clone(),
                        source: src.parse().unwrap(),
                        to: target.clone(),
                        destination: dst.parse().unwrap(),
                        protocol,
                        port,
                    };
                    let law = Law {
                        policies: &world.policies,
                        of_cluster: &world.of_cluster,
                        nodes: &world.nodes,
                    };
                    let expected = allowed(law, &packet);
                    let arrives = traced.arrives((from, node), &src, (to, on), &packet);
                    compared += 1;
                    if arrives != expected {
                        let verdict = if expected { "let through" } else { "stopped" };
                        let acls = traced.network.central.nbctl(&["list", "ACL"]);
                        return Err(format!(
                            "{from} ({src}) to {to} ({dst}), {protocol} {port}: should be {verdict}\n{}\n{}\n{acls}",
                            serde_json::to_string_pretty(&world.policies).unwrap(),
                            serde_json::to_string_pretty(&world.of_cluster).unwrap()
                        ));
                    }
                }
            }
        }
    }
    Ok(compared)
}

#[test]
fn what_policies_let_through_is_what_kubernetes_says() {
    let cases = std::env::var("MERIDIAN_POLICY_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let compared = std::cell::Cell::new(0);
    let result = runner.run(&world(), |world| {
        let packets = compare(&world).map_err(TestCaseError::fail)?;
        compared.set(compared.get() + packets);
        Ok(())
    });
    println!("{cases} clusters, {} packets compared", compared.get());
    result.unwrap();
}
