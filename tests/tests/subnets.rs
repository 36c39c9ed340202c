//! What becomes of packets from and to pods in Subnets, in the flows northd makes of our rows, by `ovn-trace`.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use meridian_tests::{Network, Port, endpoint_slice, service};
use serde_json::{Value, json};

fn vpc(name: &str, number: u8, peer: &str) -> Value {
    json!({
        "apiVersion": "meridian.dev/v1alpha1", "kind": "Vpc", "metadata": {"name": name},
        "spec": {
            "namespaceSelector": {"matchLabels": {"vpc": name}},
            "podNetwork": {"cidrs": [format!("10.{number}.0.0/16"), format!("fd00:{number}::/48")]},
            "peers": [{"name": peer}],
            "dns": {"servers": ["10.96.0.10", "fd00:10:96::a"], "searchDomains": ["cluster.local", "example.com"]},
        },
    })
}

fn subnet(name: &str, vpc: &str, number: u8) -> Value {
    json!({
        "apiVersion": "meridian.dev/v1alpha1", "kind": "Subnet", "metadata": {"name": name},
        "spec": {
            "vpc": vpc, "cidrs": [format!("10.{number}.0.0/24"), format!("fd00:{number}::/64")],
            "dhcp": {
                "enabled": true, "domainName": "example.com", "ntpServers": ["192.0.2.1", "192.0.2.2"],
                "leaseTime": 7200, "mtu": 1400,
            },
        },
    })
}

fn namespace(vpc: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("in-{vpc}"), "labels": {"vpc": vpc}}})
}

fn pod(vpc: &str, subnet: &str, node: &str) -> Value {
    let name = if subnet.is_empty() { "plain" } else { subnet };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{name}-{node}"), "namespace": format!("in-{vpc}"), "uid": format!("{vpc}-{name}-{node}"),
            "annotations": {"meridian.dev/subnet": subnet},
        },
        "spec": {"nodeName": node, "containers": []}, "status": {"phase": "Pending"},
    })
}

/// Nobody is let in to pods of blue.
fn isolation() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "nobody", "namespace": "in-blue"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    })
}

/// Blue and green are peers. Blue has Subnets `vms` and `dbs`, green `far`, with pods on both nodes.
fn network(more: impl IntoIterator<Item = Value>) -> Network {
    let plain = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
    let mut web = service("web", &["10.96.0.7"], &["TCP/http/80"]);
    web["metadata"]["namespace"] = "in-blue".into();
    let mut slice = endpoint_slice("web", "4", &["10.20.0.3"], &["TCP/http/8080"]);
    slice["metadata"]["namespace"] = "in-blue".into();
    let mut objects = vec![
        plain,
        vpc("blue", 8, "green"),
        vpc("green", 9, "blue"),
        subnet("vms", "blue", 20),
        subnet("dbs", "blue", 21),
        subnet("far", "green", 22),
        namespace("blue"),
        namespace("green"),
        web,
        slice,
    ];
    for node in ["node-1", "node-2"] {
        objects.extend(["", "vms", "dbs"].map(|subnet| pod("blue", subnet, node)));
        objects.push(pod("green", "far", node));
    }
    objects.extend(more);
    Network::start(&objects)
}

fn router_mac(network: &Network, switch: &str) -> String {
    let mac = network.central.nbctl(&["get", "logical_router_port", switch, "mac"]);
    mac.trim().trim_matches('"').to_owned()
}

/// The last steps of packets from a port on a switch to these addresses, by the router.
fn send(network: &Network, (from, switch): (&Port, &str), to: &[String]) -> Vec<String> {
    let router = router_mac(network, switch);
    let steps = to.iter().map(|ip| {
        let packet = from.packet(&from.mac, &router, ip);
        let steps = network.central.trace(switch, &[], &packet);
        output(&steps)
    });
    steps.collect()
}

/// The port that a packet leaves by in the end.
fn output(steps: &[String]) -> String {
    let mut last = steps.iter().rev().filter(|step| step.starts_with("output"));
    last.next().cloned().unwrap_or_else(|| format!("{steps:?}"))
}

fn arrives(port: &str) -> Vec<String> {
    vec![format!("output(\"{port}\");"); 2]
}

#[test]
fn pods_in_subnets_reach_what_pods_in_slices_reach() {
    let network = network([]);
    let port = |name: &str| {
        let port = network.port(name);
        assert_eq!(port.ips.len(), 2, "{name}: {port:?}");
        port
    };
    let places = [
        ("in-blue_vms-node-1", "subnet-vms"),
        ("in-blue_vms-node-2", "subnet-vms"),
        ("in-blue_dbs-node-1", "subnet-dbs"),
        ("in-blue_dbs-node-2", "subnet-dbs"),
        ("in-blue_plain-node-1", "vpc-blue.node-1"),
        ("in-blue_plain-node-2", "vpc-blue.node-2"),
        ("in-green_far-node-1", "subnet-far"),
        ("in-green_far-node-2", "subnet-far"),
    ];
    for (from, switch) in places {
        for (to, other) in places {
            if switch != other {
                let sent = send(&network, (&port(from), switch), &port(to).ips);
                assert_eq!(sent, arrives(to), "{from} to {to}");
            }
        }
        // What is of nobody inside leaves by the sender's own node.
        let node = &from[from.len() - 6..];
        let vpc = if from.starts_with("in-blue") { "blue" } else { "green" };
        let host = format!("mgmt-{vpc}.{node}");
        let outside = ["192.0.2.1", "2001:db8::1", "10.96.0.1", "fd00:10:96::1"].map(str::to_owned);
        let sent = send(&network, (&port(from), switch), &outside);
        assert_eq!(sent, [arrives(&host), arrives(&host)].concat(), "{from}");
        // And its host reaches it, and is reached.
        let sent = send(&network, (&port(from), switch), &port(&host).ips);
        if switch.starts_with("subnet") {
            assert_eq!(sent, arrives(&host), "{from} to its host");
            let slice = format!("vpc-{vpc}.{node}");
            assert_eq!(send(&network, (&port(&host), &slice), &port(from).ips), arrives(from));
        }
    }
    // On one switch nobody asks the router.
    let (one, other) = (port("in-blue_vms-node-1"), port("in-blue_vms-node-2"));
    let packet = one.packet(&one.mac, &other.mac, &other.ips[0]);
    let steps = network.central.trace("subnet-vms", &[], &packet);
    assert_eq!(output(&steps), "output(\"in-blue_vms-node-2\");");
    assert!(!steps.contains(&"ip.ttl--;".to_owned()), "{steps:?}");
}

#[test]
fn a_host_reaches_its_pods_in_subnets_whatever_policies_say() {
    let network = network([isolation()]);
    let [host, other, pod] =
        ["mgmt-blue.node-1", "in-blue_plain-node-1", "in-blue_vms-node-1"].map(|port| network.port(port));
    let from = |sender: &Port| {
        let router = router_mac(&network, "vpc-blue.node-1");
        let steps = pod.ips.iter().map(|ip| {
            let packet = sender.packet(&sender.mac, &router, ip);
            let packet = format!("{packet} && tcp && tcp.src == 40000 && tcp.dst == 80");
            output(&network.central.trace("vpc-blue.node-1", &["--ct=new"; 6], &packet))
        });
        steps.collect::<Vec<_>>()
    };
    assert_eq!(from(&host), arrives("in-blue_vms-node-1"));
    assert!(
        !from(&other).iter().any(|step| step.starts_with("output")),
        "{:?}",
        from(&other)
    );
}

#[test]
fn services_are_reached_from_subnets() {
    let network = network([]);
    let from = network.port("in-blue_dbs-node-2");
    let packet = from.packet(&from.mac, &router_mac(&network, "subnet-dbs"), "10.96.0.7");
    let packet = format!("{packet} && tcp && tcp.src == 40000 && tcp.dst == 80");
    let steps = network.central.trace("subnet-dbs", &["--ct=new"], &packet);
    let target = network.port("in-blue_vms-node-2");
    assert!(target.ips.contains(&"10.20.0.3".to_owned()), "{target:?}");
    assert_eq!(output(&steps), "output(\"in-blue_vms-node-2\");");
}

#[test]
fn dhcp_is_answered_as_the_subnet_says() {
    let network = network([]);
    let from = network.port("in-blue_vms-node-1");
    let packet = format!(
        "inport == \"{}\" && eth.src == {} && eth.dst == ff:ff:ff:ff:ff:ff && ip4.src == 0.0.0.0 && \
         ip4.dst == 255.255.255.255 && udp.src == 68 && udp.dst == 67 && ip.ttl == 64",
        from.name, from.mac
    );
    let flows = network.central.sbctl(&["lflow-list", "subnet-vms"]);
    let put = |action: &str| {
        let mut found = flows.lines().filter(|line| line.contains(action));
        found
            .find(|line| line.contains(&from.mac))
            .unwrap_or_default()
            .to_owned()
    };
    let v4 = put("put_dhcp_opts(");
    for option in [
        "offerip = 10.20.0.2",
        "router = 10.20.0.1",
        "server_id = 10.20.0.1",
        "lease_time = 7200",
        "mtu = 1400",
        "dns_server = {10.96.0.10}",
        "ntp_server = {192.0.2.1, 192.0.2.2}",
        "domain_name = \"example.com\"",
        "domain_search_list = \"cluster.local,example.com\"",
    ] {
        assert!(v4.contains(option), "{option} is not in {v4}");
    }
    let v6 = put("put_dhcpv6_opts(");
    for option in [
        "ia_addr = fd00:20::2",
        "dns_server = {fd00:10:96::a}",
        "domain_search = \"cluster.local,example.com\"",
    ] {
        assert!(v6.contains(option), "{option} is not in {v6}");
    }
    // ovn-trace reads every action as ovn-controller does, and refuses what makes no sense.
    let steps = network.central.trace("subnet-vms", &[], &packet);
    assert_eq!(output(&steps), "output(\"in-blue_vms-node-1\");");
    let router = network.central.sbctl(&["lflow-list", "vpc-blue"]);
    assert!(router.contains("put_nd_ra_opts("), "no router is advertised");
}
