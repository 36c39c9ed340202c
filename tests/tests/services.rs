//! What becomes of connections to services in the flows northd makes of our rows, by `ovn-trace`.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use meridian_tests::{Network, endpoint_slice, service};
use serde_json::Value;

const PORTS: [&str; 3] = ["TCP/http/80", "UDP/dns/53", "SCTP/sig/36412"];
const POD_PORTS: [&str; 3] = ["TCP/http/8080", "UDP/dns/5353", "SCTP/sig/36413"];
/// The service's ports as OVN calls them, and those of its endpoints.
const CONNECTIONS: [(&str, u16, u16); 3] = [("tcp", 80, 8080), ("udp", 53, 5353), ("sctp", 36412, 36413)];

/// `web` with pods `b` and `c`, `api` with a host, `idle` with nothing.
fn objects() -> Vec<Value> {
    vec![
        service("web", &["10.96.0.7", "fd00:10:96::7"], &PORTS),
        endpoint_slice("web", "4", &["10.244.0.5", "10.244.1.4"], &POD_PORTS),
        endpoint_slice("web", "6", &["fd00:10:244::5", "fd00:10:244:1::4"], &POD_PORTS),
        service("api", &["10.96.0.1", "fd00:10:96::1"], &["TCP/https/443"]),
        endpoint_slice("api", "4", &["172.30.0.10"], &["TCP/https/6443"]),
        endpoint_slice("api", "6", &["fd00:172:30::a"], &["TCP/https/6443"]),
        service("idle", &["10.96.0.8", "fd00:10:96::8"], &PORTS),
    ]
}

fn outputs(steps: &[String]) -> Vec<&str> {
    steps
        .iter()
        .map(String::as_str)
        .filter(|step| step.starts_with("output("))
        .collect()
}

fn sent_by_service(network: &Network, from: &str) {
    let from = network.port(from);
    let (b, c) = (network.pod("b"), network.pod("c"));
    for (protocol, port, endpoint_port) in CONNECTIONS {
        for (vip, family) in [("10.96.0.7", 0), ("fd00:10:96::7", 1)] {
            for (pod, output) in [(&b, "output(\"default_b\");"), (&c, "output(\"default_c\");")] {
                let ip = &pod.ips[family];
                let chosen = if family == 0 {
                    format!("{ip}:{endpoint_port}")
                } else {
                    format!("[{ip}]:{endpoint_port}")
                };
                let steps = network.connect(&from, vip, (protocol, port), Some(&chosen));
                assert_eq!(
                    outputs(&steps),
                    [output],
                    "{protocol} from {} to {vip} at {chosen}: {steps:#?}",
                    from.name
                );
            }
        }
    }
}

#[test]
fn pods_and_hosts_reach_a_services_pods_on_every_node() {
    let network = Network::start(&objects());
    sent_by_service(&network, "default_a");
    sent_by_service(&network, "svc-default-node-1");
}

#[test]
fn an_endpoint_that_is_a_host_is_reached_through_the_clients_own_host() {
    let network = Network::start(&objects());
    let host = network.port("mgmt-default-node-1");
    for from in [network.pod("a"), network.port("svc-default-node-1")] {
        for vip in ["10.96.0.1", "fd00:10:96::1"] {
            let steps = network.connect(&from, vip, ("tcp", 443), None);
            assert_eq!(outputs(&steps), ["output(\"mgmt-default-node-1\");"], "{steps:#?}");
            let to_host = format!("eth.dst = {};", host.mac);
            assert!(steps.contains(&to_host), "{steps:#?}");
        }
    }
}

#[test]
fn a_service_without_endpoints_refuses_at_once() {
    let network = Network::start(&objects());
    for from in [network.pod("a"), network.port("svc-default-node-1")] {
        for vip in ["10.96.0.8", "fd00:10:96::8"] {
            for (protocol, port, _) in CONNECTIONS {
                let steps = network.connect(&from, vip, (protocol, port), None);
                let refusal = match protocol {
                    "tcp" => "tcp_reset",
                    "sctp" => "sctp_abort",
                    _ => "icmp",
                };
                assert!(
                    steps.iter().any(|step| step.contains(refusal)),
                    "{protocol} to {vip}: {steps:#?}"
                );
                assert_eq!(
                    outputs(&steps),
                    [format!("output(\"{}\");", from.name)],
                    "the answer goes back"
                );
            }
        }
    }
}

#[test]
fn what_is_no_services_is_no_business_of_the_load_balancers() {
    let network = Network::start(&objects());
    let a = network.pod("a");
    for vip in ["10.96.0.7", "fd00:10:96::7"] {
        let steps = network.connect(&a, vip, ("tcp", 81), None);
        assert_eq!(
            outputs(&steps),
            ["output(\"mgmt-default-node-1\");"],
            "to the host, which refuses it: {steps:#?}"
        );
    }
}
