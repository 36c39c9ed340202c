//! `explain path` says of OVN's part what `ovn-trace` says: for every pair of pods, and for addresses of all kinds.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use std::collections::BTreeMap;

use meridian_tests::{Central, Manifests, Translator, endpoint_slice, node, pod, run, service, translator_binary};
use serde_json::{Value, json};

const FLAGS: [&str; 4] = [
    "--cluster-cidr",
    "10.244.0.0/16,fd00:10:244::/48",
    "--service-cidr",
    "10.96.0.0/16,fd00:10:96::/112",
];

/// The namespaces: in the default VPC, and in two VPCs of the same addresses.
const NAMESPACES: [(&str, &str); 4] = [
    ("shop", "default"),
    ("sky", "blue"),
    ("grass", "green"),
    ("lava", "red"),
];
const PODS: [(&str, &str); 3] = [("p0", "node-1"), ("p1", "node-1"), ("p2", "node-2")];

/// In Subnets of the VPCs, of which red has gateways: namespace, name, node, Subnet and address. In `edge` and `gate` are those that
/// routes of blue and green lead to.
const VMS: [(&str, &str, &str, &str, &str); 6] = [
    ("sky", "v1", "node-1", "vms", "10.20.0.2"),
    ("sky", "v2", "node-2", "vms", "10.20.0.3"),
    ("sky", "f1", "node-1", "edge", "10.22.0.5"),
    ("sky", "f2", "node-2", "edge", "10.22.0.6"),
    ("lava", "v3", "node-2", "dbs", "10.21.0.2"),
    ("grass", "f3", "node-2", "gate", "10.23.0.5"),
];

/// Addresses that something is special about, in one VPC or another.
const ADDRESSES: [&str; 31] = [
    // ClusterIPs, by ports that there are and are not: with endpoints, of other VPCs, shared, without endpoints, of a host.
    "10.96.0.7:80",
    "[fd00:10:96::7]:80",
    "10.96.0.7:81",
    "10.96.1.7:80",
    "10.96.1.8:80",
    "10.96.2.7:80",
    "10.96.2.8:80",
    "10.96.0.1:443",
    "10.96.9.9:80",
    // What stands for the nodes, and hosts.
    "169.254.77.1:30080",
    "172.30.0.11:30080",
    "172.30.0.12:22",
    "172.30.0.12",
    // Of the default VPC: the router, hosts, nobody's address, a slice nobody has.
    "10.244.0.1",
    "10.244.0.2",
    "10.244.1.2",
    "10.244.1.3",
    "10.244.1.77",
    "10.244.77.7",
    // The same of the others.
    "10.8.0.1",
    "10.8.0.2",
    "10.8.1.2",
    "10.8.1.77",
    "10.8.200.9",
    "fd00:8:0:77::7",
    // Of the Subnet: the router, nobody's address.
    "10.20.0.1",
    "fd00:20::77",
    // What routes are for.
    "192.168.7.7:80",
    "2001:db8:7::7",
    // The world.
    "192.0.2.1:443",
    "2001:db8::1",
];

struct Cluster {
    central: Central,
    manifests: Manifests,
}

/// Two nodes, and VPCs with three pods in slices each, some in Subnets, and routes to these.
fn cluster() -> Cluster {
    let manifests = Manifests::default();
    for (name, slices, address) in [
        ("node-1", ["10.244.0.0/24", "fd00:10:244::/64"], "172.30.0.11"),
        ("node-2", ["10.244.1.0/24", "fd00:10:244:1::/64"], "172.30.0.12"),
    ] {
        let mut node = node(name, &slices);
        node["status"]["addresses"] = json!([{"type": "InternalIP", "address": address}]);
        node["metadata"]["labels"] = json!({"edge": name});
        manifests.put(&node);
    }
    for (namespace, vpc) in NAMESPACES {
        manifests.put(&json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"vpc": vpc}},
        }));
        for (name, node) in PODS {
            let uid = format!("uid-{namespace}-{name}");
            manifests.put(&pod(name, node).namespace(namespace).uid(&uid).build());
        }
    }
    let gateways = json!({"mode": "Gateway", "gatewayNodeSelector": {"matchExpressions": [{"key": "edge", "operator": "Exists"}]}});
    let to_edge = json!([
        {"destination": "192.168.0.0/16", "nexthops": ["10.22.0.5", "10.22.0.6"]},
        {"destination": "2001:db8:7::/48", "nexthops": ["fd00:22::5"]},
    ]);
    let to_gate = json!([{"destination": "0.0.0.0/0", "nexthops": ["10.23.0.5"]}]);
    for (vpc, egress, routes) in [
        ("blue", json!({"mode": "Node"}), to_edge),
        ("green", json!({"mode": "None"}), to_gate),
        ("red", gateways, json!([])),
    ] {
        manifests.put(&json!({
            "apiVersion": "meridian.dev/v1alpha1", "kind": "Vpc",
            "metadata": {"name": vpc, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "namespaceSelector": {"matchLabels": {"vpc": vpc}},
                "podNetwork": {"cidrs": ["10.8.0.0/16", "fd00:8::/48"]},
                "egress": egress,
                "routes": routes,
            },
        }));
    }
    for (name, vpc, number) in [
        ("vms", "blue", 20),
        ("edge", "blue", 22),
        ("dbs", "red", 21),
        ("gate", "green", 23),
    ] {
        manifests.put(&json!({
            "apiVersion": "meridian.dev/v1alpha1", "kind": "Subnet", "metadata": {"name": name},
            "spec": {"vpc": vpc, "cidrs": [format!("10.{number}.0.0/24"), format!("fd00:{number}::/64")]},
        }));
    }
    for (namespace, name, node, subnet, address) in VMS {
        let mut vm = pod(name, node).namespace(namespace).uid(&format!("uid-{name}")).build();
        let (_, last) = address.rsplit_once('.').unwrap();
        let number = address.split('.').nth(1).unwrap();
        let addresses = format!("{address},fd00:{number}::{last}");
        vm["metadata"]["annotations"] = json!({"meridian.dev/subnet": subnet, "meridian.dev/ips": addresses});
        manifests.put(&vm);
    }
    put_service(
        &manifests,
        ("shop", "web"),
        &["10.96.0.7", "fd00:10:96::7"],
        &["10.244.0.4", "10.244.1.4"],
    );
    let v6 = endpoint_slice("web", "6", &["fd00:10:244::4", "fd00:10:244:1::4"], &["TCP/http/8080"]);
    manifests.put(&within("shop", v6));
    put_service(&manifests, ("shop", "api"), &["10.96.0.1"], &["172.30.0.10"]);
    put_service(&manifests, ("sky", "app"), &["10.96.1.7"], &["10.8.0.4", "10.8.1.4"]);
    put_service(&manifests, ("sky", "open"), &["10.96.1.8"], &["10.8.0.4"]);
    put_service(&manifests, ("grass", "app"), &["10.96.2.7"], &["10.8.0.4"]);
    put_service(&manifests, ("grass", "idle"), &["10.96.2.8"], &[]);
    let central = Central::start();
    drop(Translator::start(&central.remote(), manifests.path(), &FLAGS).ready());
    // ovn-trace takes networks in `port_security`, which those have that forward, for addresses; ovn-controller does not.
    for (namespace, name, ..) in VMS {
        let port = format!("{namespace}_{name}");
        central.nbctl(&["clear", "logical_switch_port", &port, "port_security"]);
    }
    central.sync();
    Cluster { central, manifests }
}

fn within(namespace: &str, mut object: Value) -> Value {
    object["metadata"]["namespace"] = namespace.into();
    object
}

fn put_service(manifests: &Manifests, (namespace, name): (&str, &str), ips: &[&str], endpoints: &[&str]) {
    let port = if name == "api" { "TCP/http/443" } else { "TCP/http/80" };
    let mut service = within(namespace, service(name, ips, &[port]));
    if name == "open" {
        service["metadata"]["annotations"] = json!({"meridian.dev/shared": "true"});
    }
    if (namespace, name) == ("shop", "web") {
        service["spec"]["type"] = "NodePort".into();
        service["spec"]["ports"][0]["nodePort"] = 30080.into();
    }
    manifests.put(&service);
    let mut slice = within(namespace, endpoint_slice(name, "4", endpoints, &["TCP/http/8080"]));
    for endpoint in slice["endpoints"].as_array_mut().unwrap() {
        // Where the pods are that have such addresses, as far as it matters: hosts are told by it.
        endpoint["nodeName"] = "node-1".into();
    }
    manifests.put(&slice);
}

/// A port's MAC and IP addresses.
type Addresses = (String, Vec<String>);

impl Cluster {
    fn explain(&self, from: &str, to: &str) -> Value {
        let program = translator_binary();
        let folder = self.manifests.path().to_string_lossy().into_owned();
        let remote = self.central.remote();
        let words = [
            "explain",
            "path",
            from,
            "to",
            to,
            "--output",
            "json",
            "--log-level",
            "error",
        ];
        let sources = ["--manifests", &folder, "--northbound", &remote];
        let text = run(&program.to_string_lossy(), words.iter().chain(&sources).chain(&FLAGS));
        serde_json::from_str(&text.unwrap_or_else(|error| panic!("{error}"))).unwrap()
    }

    /// The addresses of all logical ports of pods and hosts, by name.
    fn ports(&self) -> BTreeMap<String, Addresses> {
        let text = self.central.nbctl(&[
            "--format=json",
            "--columns=name,addresses",
            "find",
            "logical_switch_port",
            "type=\"\"",
        ]);
        let table: Value = serde_json::from_str(&text).unwrap();
        let rows = table["data"].as_array().unwrap().iter();
        rows.filter_map(|row| {
            let mut words = row[1].as_str()?.split(' ').map(str::to_owned);
            Some((row[0].as_str()?.to_owned(), (words.next()?, words.collect())))
        })
        .collect()
    }

    fn router_mac(&self, switch: &str) -> String {
        let mac = self.central.nbctl(&["get", "logical_router_port", switch, "mac"]);
        mac.trim().trim_matches('"').to_owned()
    }

    /// What OVN does with what a pod sends, as `ovn-trace` tells.
    fn trace(&self, ports: &BTreeMap<String, Addresses>, way: &Sent<'_>, endpoint: Option<&str>) -> Found {
        let (mac, ips) = &ports[way.port];
        let v6 = way.address.contains(':');
        let version = if v6 { "ip6" } else { "ip4" };
        let source = ips.iter().find(|ip| ip.contains(':') == v6).unwrap();
        // Who is in the sender's own slice is asked directly, and everybody else through the router.
        let beside = ports
            .iter()
            .find(|(name, (_, ips))| ips.iter().any(|ip| ip == way.address) && self.switch_of(name) == way.switch);
        let next = beside.map_or_else(|| self.router_mac(way.switch), |(_, (mac, _))| mac.clone());
        let ports = way
            .number
            .map(|number| format!(" && tcp && tcp.src == 40000 && tcp.dst == {number}"));
        let packet = format!(
            "inport == \"{}\" && eth.src == {mac} && eth.dst == {next} && {version}.src == {source} && {version}.dst == {} && \
             ip.ttl == 64{}",
            way.port,
            way.address,
            ports.unwrap_or_default()
        );
        let chosen = endpoint.map(|endpoint| format!("--lb-dst={endpoint}"));
        let options: Vec<&str> = ["--ct=new"].into_iter().chain(chosen.as_deref()).collect();
        Found::of(self.central.trace(way.switch, &options, &packet))
    }

    fn switch_of(&self, port: &str) -> String {
        let switch = self.central.nbctl(&[
            "--bare",
            "--columns=name",
            "find",
            "logical_switch",
            &format!(
                "ports{{>=}}{}",
                self.central
                    .nbctl(&[
                        "--bare",
                        "--columns=_uuid",
                        "find",
                        "logical_switch_port",
                        &format!("name={port}")
                    ])
                    .trim()
            ),
        ]);
        switch.trim().to_owned()
    }
}

/// What a pod sends.
struct Sent<'a> {
    switch: &'a str,
    port: &'a str,
    address: &'a str,
    number: Option<&'a str>,
}

/// What becomes of it.
#[derive(Debug)]
struct Found {
    /// The ports that the packet itself comes out of.
    outputs: Vec<String>,
    rejected: bool,
    steps: Vec<String>,
}

impl Found {
    /// What is in braces is another packet: a question who has an address, or a refusal; but for a connection that is followed or
    /// translated, or for which one of several ways is chosen, it is the packet itself.
    fn of(steps: Vec<String>) -> Self {
        let mut found = Self {
            outputs: Vec::new(),
            rejected: false,
            steps,
        };
        let mut others: Vec<bool> = Vec::new();
        for step in &found.steps {
            if step.starts_with('}') {
                others.pop();
                continue;
            }
            if step.ends_with('{') {
                found.rejected |= step.starts_with("tcp_reset") || step.starts_with("icmp");
                others.push(!step.starts_with("ct_") && !step.starts_with("select:"));
                continue;
            }
            if let Some(port) = step.strip_prefix("output(\"")
                && !others.contains(&true)
            {
                found.outputs.push(port.trim_end_matches("\");").to_owned());
            }
        }
        found
    }

    /// What is different from what was claimed.
    fn contradicts(&self, claim: &Value) -> bool {
        match claim["outcome"].as_str().unwrap() {
            "delivered" => {
                let [port] = &*self.outputs else { return true };
                let ports = claim["ports"].as_array().unwrap();
                !ports.iter().any(|claimed| claimed == port.as_str()) || self.rejected
            }
            "dropped" => !self.outputs.is_empty() || self.rejected,
            "rejected" => !self.outputs.is_empty() || !self.rejected,
            // The router answers pings alone.
            "router" => !self.outputs.is_empty(),
            other => panic!("{other} is no outcome"),
        }
    }
}

fn split(destination: &str) -> (String, Option<String>) {
    let destination = destination.trim_end_matches("/tcp").trim_end_matches("/udp");
    match destination.parse::<std::net::SocketAddr>() {
        Ok(address) => (address.ip().to_string(), Some(address.port().to_string())),
        Err(_) => (destination.to_owned(), None),
    }
}

#[test]
fn what_explain_says_of_ovn_is_what_ovn_trace_says() {
    let cluster = cluster();
    let ports = cluster.ports();
    let pods: Vec<String> = NAMESPACES
        .iter()
        .flat_map(|(namespace, _)| PODS.iter().map(move |(name, _)| format!("{namespace}/{name}")))
        .chain(VMS.map(|(namespace, name, ..)| format!("{namespace}/{name}")))
        .collect();
    let mut compared = BTreeMap::new();
    let mut wrong = Vec::new();
    for from in &pods {
        let others = pods.iter().filter(|to| *to != from).map(String::as_str);
        for to in others.chain(ADDRESSES) {
            let explanation = cluster.explain(from, to);
            let ways = explanation["ways"].as_array().unwrap();
            assert!(!ways.is_empty(), "{from} to {to}: {explanation:#}");
            for way in ways {
                let Some(switch) = way["switch"].as_str() else {
                    let place = way["place"].as_str().unwrap();
                    assert_eq!(place, format!("pod {from} itself"), "what leaves the pod enters OVN");
                    continue;
                };
                let (address, number) = split(way["destination"].as_str().unwrap());
                let port = from.replace('/', "_");
                let sent = Sent {
                    switch,
                    port: &port,
                    address: &address,
                    number: number.as_deref(),
                };
                for claim in way["ovn"].as_array().unwrap() {
                    let found = cluster.trace(&ports, &sent, claim["endpoint"].as_str());
                    if found.contradicts(claim) {
                        wrong.push(format!("{from} to {to} ({address}): {claim} but {:?}", found.steps));
                    }
                    *compared
                        .entry(claim["outcome"].as_str().unwrap().to_owned())
                        .or_insert(0) += 1;
                }
            }
        }
    }
    assert_eq!(wrong, [""; 0], "of {compared:?}");
    show(&compared);
    for outcome in ["delivered", "dropped", "rejected", "router"] {
        assert!(compared.contains_key(outcome), "nothing was {outcome}: {compared:?}");
    }
    assert!(compared.values().sum::<usize>() > 300, "{compared:?}");
}

#[expect(clippy::print_stderr, reason = "how much was compared is what the test is about")]
fn show(compared: &BTreeMap<String, usize>) {
    eprintln!("compared with ovn-trace: {compared:?}");
}
