//! What policies make of connections to services: who is judged is the pod behind.

use meridian_tests::{Network, endpoint_slice, pod, service};
use serde_json::{Value, json};

fn labelled(name: &str, node: &str) -> Value {
    let mut pod = pod(name, node).build();
    pod["metadata"]["labels"] = json!({"name": name});
    pod
}

fn policy(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    })
}

/// Service `web` has `endpoint`; a policy says this of the pods of that name.
fn network(endpoint: &str, spec: &Value) -> Network {
    let ips = ["10.244.0.4", "fd00:10:244::4", "10.244.1.4", "fd00:10:244:1::4"];
    let of = |name: &str| match name {
        "a" => &ips[..2],
        _ => &ips[2..],
    };
    let running = |name: &str, node| {
        let mut object = labelled(name, node);
        let ips = of(name);
        object["status"] = json!({"phase": "Running", "podIPs": [{"ip": ips[0]}, {"ip": ips[1]}]});
        object
    };
    let ports = ["TCP/http/8080"];
    let objects = [
        running("a", "node-1"),
        running("c", "node-2"),
        service("web", &["10.96.0.7", "fd00:10:96::7"], &["TCP/http/80"]),
        endpoint_slice("web", "v4", &of(endpoint)[..1], &ports),
        endpoint_slice("web", "v6", &of(endpoint)[1..], &ports),
        policy("p", spec),
    ];
    Network::start(&objects)
}

/// Where connections from `a` to the service come out.
fn connect(network: &Network) -> Vec<Vec<String>> {
    let a = network.pod("a");
    let connect = |to| network.connect(&a, to, ("tcp", 80), None);
    let outputs = ["10.96.0.7", "fd00:10:96::7"].map(connect).map(|steps| {
        let outputs = steps.into_iter().filter(|step| step.contains("output("));
        outputs.collect()
    });
    outputs.into()
}

#[test]
fn egress_to_a_service_is_judged_by_the_pod_and_port_behind_it() {
    let egress = |to: &str, port: u16| {
        json!({
            "podSelector": {"matchLabels": {"name": "a"}}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"podSelector": {"matchLabels": {"name": to}}}], "ports": [{"port": port}]}],
        })
    };
    let open = connect(&network("c", &egress("c", 8080)));
    assert!(
        open.iter()
            .all(|steps| steps.len() == 1 && steps[0].contains("default_c")),
        "{open:?}"
    );
    for spec in [egress("c", 80), egress("b", 8080)] {
        let closed = connect(&network("c", &spec));
        assert!(closed.iter().all(Vec::is_empty), "{closed:?}");
    }
}
