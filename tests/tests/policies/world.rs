//! Random clusters with random policies.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// Namespaces, pods, policies, and a node.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) namespaces: Vec<Value>,
    pub(crate) pods: Vec<Value>,
    pub(crate) policies: Vec<Value>,
    /// Policies of the whole cluster.
    pub(crate) of_cluster: Vec<Value>,
    /// Nodes that others are told of: one with the addresses of [`super::OUTSIDE`].
    pub(crate) nodes: Vec<Value>,
}

pub(crate) const NODES: [&str; 2] = ["node-1", "node-2"];
const NAMESPACES: [&str; 3] = ["x", "y", "z"];

prop_compose! {
    fn namespace(name: &'static str)(team in select(vec!["a", "b"])) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"team": team, "kubernetes.io/metadata.name": name}},
        })
    }
}

fn pod(namespace: &'static str, name: &'static str) -> impl Strategy<Value = Value> {
    let node = select(NODES.to_vec());
    let app = select(vec!["web", "db"]);
    let tier = prop::option::of(select(vec!["1", "2"]));
    let http = prop::option::weighted(0.8, select(vec![80, 8080]));
    (node, app, tier, http, any::<bool>()).prop_map(move |(node, app, tier, http, dns)| {
        let mut labels = json!({"app": app});
        if let Some(tier) = tier {
            labels["tier"] = json!(tier);
        }
        let http = http.map(|port| json!({"name": "http", "containerPort": port}));
        let dns = dns.then(|| json!({"name": "dns", "containerPort": 53, "protocol": "UDP"}));
        let ports: Vec<Value> = http.into_iter().chain(dns).collect();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "uid": format!("{namespace}-{name}"), "labels": labels},
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "example.com/main", "ports": ports}]},
            "status": {"phase": "Pending"},
        })
    })
}

fn pod_selector() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(json!({})),
        2 => select(vec!["web", "db"]).prop_map(|app| json!({"matchLabels": {"app": app}})),
        1 => select(vec!["1", "2"]).prop_map(|tier| json!({"matchLabels": {"tier": tier, "app": "web"}})),
        1 => select(vec!["Exists", "DoesNotExist"])
            .prop_map(|operator| json!({"matchExpressions": [{"key": "tier", "operator": operator}]})),
        1 => select(vec!["In", "NotIn"])
            .prop_map(|operator| json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": ["1", "3"]}]})),
    ]
}

fn namespace_selector() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        select(vec!["a", "b"]).prop_map(|team| json!({"matchLabels": {"team": team}})),
        select(NAMESPACES.to_vec()).prop_map(|name| json!({"matchLabels": {"kubernetes.io/metadata.name": name}})),
        select(NAMESPACES.to_vec()).prop_map(|name| json!({
            "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [name]}],
        })),
    ]
}

/// Around the addresses that pods, hosts and [`super::OUTSIDE`] have.
fn block() -> impl Strategy<Value = Value> {
    let v4 = vec![
        "10.244.0.0/24",
        "10.244.1.0/24",
        "10.244.0.4/30",
        "10.244.1.5/32",
        "192.0.2.0/24",
        "10.244.0.0/16",
    ];
    let v6 = vec![
        "fd00:10:244::/64",
        "fd00:10:244:1::4/126",
        "2001:db8::/32",
        "fd00:10:244::/48",
    ];
    let all = |all: &[&'static str], everything: &'static str| {
        let cidr = [all, &[everything]].concat();
        let except = all.to_vec();
        (select(cidr), prop::collection::vec(select(except), 0..3))
            .prop_map(|(cidr, except)| json!({"ipBlock": {"cidr": cidr, "except": except}}))
    };
    prop_oneof![all(&v4, "0.0.0.0/0"), all(&v6, "::/0")]
}

fn peer() -> impl Strategy<Value = Value> {
    prop_oneof![
        pod_selector().prop_map(|pods| json!({"podSelector": pods})),
        namespace_selector().prop_map(|namespaces| json!({"namespaceSelector": namespaces})),
        (namespace_selector(), pod_selector())
            .prop_map(|(namespaces, pods)| json!({"namespaceSelector": namespaces, "podSelector": pods})),
        block(),
    ]
}

fn port() -> impl Strategy<Value = Value> {
    prop_oneof![
        select(vec![80, 8080, 81]).prop_map(|port| json!({"port": port})),
        select(vec![
            json!({"port": 53, "protocol": "UDP"}),
            json!({"port": 80, "protocol": "SCTP"})
        ]),
        select(vec!["TCP", "UDP", "SCTP"]).prop_map(|protocol| json!({"protocol": protocol})),
        Just(json!({"port": "http"})),
        Just(json!({"port": "dns", "protocol": "UDP"})),
        (70..90, 0..9000).prop_map(|(first, more)| json!({"port": first, "endPort": first + more})),
    ]
}

fn rules(peers: &'static str) -> impl Strategy<Value = Value> {
    let peer = prop::collection::vec(peer(), 0..3);
    let ports = prop::collection::vec(port(), 0..3);
    let rule = (peer, ports).prop_map(move |(of, ports)| json!({peers: of, "ports": ports}));
    prop::collection::vec(rule, 0..3).prop_map(Value::from)
}

fn policy(name: &'static str) -> impl Strategy<Value = Value> {
    let types = select(vec![vec!["Ingress"], vec!["Egress"], vec!["Ingress", "Egress"]]);
    let namespace = select(NAMESPACES.to_vec());
    (namespace, pod_selector(), types, rules("from"), rules("to")).prop_map(
        move |(namespace, pods, types, ingress, egress)| {
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"podSelector": pods, "policyTypes": types, "ingress": ingress, "egress": egress},
            })
        },
    )
}

/// Pods as policies of the whole cluster have them.
fn pods_of() -> impl Strategy<Value = Value> {
    prop_oneof![
        namespace_selector().prop_map(|namespaces| json!({"namespaces": namespaces})),
        (namespace_selector(), pod_selector())
            .prop_map(|(namespaces, pods)| json!({"pods": {"namespaceSelector": namespaces, "podSelector": pods}})),
    ]
}

/// Addresses and nodes are for what is sent.
fn cluster_peer(egress: bool) -> BoxedStrategy<Value> {
    if !egress {
        return pods_of().boxed();
    }
    let networks = select(vec![
        "10.244.0.0/24",
        "10.244.1.4/30",
        "10.244.0.0/16",
        "192.0.2.0/24",
        "0.0.0.0/0",
        "fd00:10:244::/64",
        "2001:db8::/32",
        "::/0",
    ]);
    let networks = prop::collection::vec(networks, 1..3).prop_map(|networks| json!({"networks": networks}));
    let nodes = select(vec![
        json!({}),
        json!({"matchLabels": {"edge": "yes"}}),
        json!({"matchLabels": {"edge": "no"}}),
    ]);
    prop_oneof![3 => pods_of(), 2 => networks, 1 => nodes.prop_map(|nodes| json!({"nodes": nodes}))].boxed()
}

fn protocol(named: bool) -> BoxedStrategy<Value> {
    let port = prop_oneof![
        1 => Just(json!({})),
        3 => select(vec![80, 8080, 81, 53]).prop_map(|port| json!({"destinationPort": {"number": port}})),
        1 => (70..90, 1..9000).prop_map(|(first, more)| json!({"destinationPort": {"range": {"start": first, "end": first + more}}})),
    ];
    let by_number = (select(vec!["tcp", "tcp", "udp", "sctp"]), port).prop_map(|(of, port)| json!({of: port}));
    if !named {
        return by_number.boxed();
    }
    let by_name = select(vec!["http", "dns"]).prop_map(|name| json!({"destinationNamedPort": name}));
    prop_oneof![4 => by_number, 1 => by_name].boxed()
}

fn cluster_rules(egress: bool) -> impl Strategy<Value = Value> {
    let peers = if egress { "to" } else { "from" };
    let action = select(vec!["Accept", "Deny", "Deny", "Pass"]);
    // What has no pods has no names for its ports.
    let named = any::<bool>();
    let rule = named.prop_flat_map(move |named| {
        let of = prop::collection::vec(cluster_peer(egress && !named), 1..3);
        let protocols = prop::collection::vec(protocol(named), 0..3);
        (action.clone(), of, protocols).prop_map(move |(action, of, protocols)| {
            let mut rule = json!({"action": action, peers: of});
            if !protocols.is_empty() {
                rule["protocols"] = protocols.into();
            }
            rule
        })
    });
    prop::collection::vec(rule, 0..4).prop_map(Value::from)
}

fn cluster_policy(
    name: &'static str,
    tier: &'static str,
    priorities: std::ops::Range<u16>,
) -> impl Strategy<Value = Value> {
    (priorities, pods_of(), cluster_rules(false), cluster_rules(true)).prop_map(
        move |(priority, subject, ingress, egress)| {
            json!({
                "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
                "metadata": {"name": name},
                "spec": {"tier": tier, "priority": priority, "subject": subject, "ingress": ingress, "egress": egress},
            })
        },
    )
}

/// Up to three, no two of a tier with one priority.
fn of_cluster() -> impl Strategy<Value = Vec<Value>> {
    let policies = (
        prop::option::weighted(0.6, cluster_policy("first", "Admin", 0..500)),
        prop::option::weighted(0.4, cluster_policy("second", "Admin", 500..1001)),
        prop::option::weighted(0.6, cluster_policy("last", "Baseline", 0..1001)),
    );
    policies.prop_map(|(first, second, last)| [first, second, last].into_iter().flatten().collect())
}

fn far_node() -> Value {
    let addresses = super::OUTSIDE.map(|address| json!({"type": "InternalIP", "address": address}));
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "far", "uid": "far", "labels": {"edge": "yes"}},
        "spec": {}, "status": {"addresses": addresses},
    })
}

/// Six pods in three namespaces, up to four policies, and up to three of the whole cluster.
pub(crate) fn world() -> impl Strategy<Value = World> {
    let namespaces = NAMESPACES.map(namespace);
    let pods = [
        pod("x", "a"),
        pod("x", "b"),
        pod("y", "a"),
        pod("y", "b"),
        pod("z", "a"),
        pod("z", "b"),
    ];
    let policies = (
        policy("p"),
        prop::option::of(policy("q")),
        prop::option::of(policy("r")),
        prop::option::of(policy("s")),
    );
    (namespaces, pods, policies, of_cluster()).prop_map(|(namespaces, pods, (p, q, r, s), of_cluster)| {
        let more = [q, r, s].into_iter().flatten();
        World {
            namespaces: namespaces.into(),
            pods: pods.into(),
            policies: [p].into_iter().chain(more).collect(),
            of_cluster,
            nodes: vec![far_node()],
        }
    })
}
