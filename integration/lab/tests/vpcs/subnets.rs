//! Pods in Subnets, on whichever node: who reaches them, what they reach, and what is left of them.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;

use meridian_lab::cluster::object::Key;
use meridian_lab::command::Cmd;
use meridian_lab::wait;
use serde_json::json;

use crate::cluster::{Cluster, NODES, OUTSIDE, SUBNET, WORLD, annotated, listening, pod, shared, subnet, vpc};
use crate::leftovers::rows;
use crate::service::{Frontend, Service};

/// On node-1 and node-2.
const PODS: [&str; 2] = ["sky/db-1", "sky/db-2"];

impl Cluster {
    /// Routes of a host to a single address.
    fn routes(&self, host: &str, address: IpAddr) -> String {
        let family = if address.is_ipv4() { "-4" } else { "-6" };
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let to = format!("{address}/{prefix}");
        let shown = Cmd::new("ip")
            .args([family, "route", "show", &to])
            .netns(&self.place(host));
        shown.run().unwrap_or_else(|e| panic!("{host}: {e}"))
    }
}

#[test]
fn pods_in_a_subnet_reach_their_vpc_and_its_peers_and_are_reached() {
    let Some(cluster) = shared() else { return };
    let others = ["sky/web-1", "sky/web-2", "sky/last", "sea/client-1"];
    for who in PODS {
        let seen = cluster.pod_ips(who);
        for pod in PODS.into_iter().chain(others) {
            cluster.from(&[who], cluster.at(pod)).seen_as(seen).answered_by(&[pod]);
        }
    }
    for who in others {
        for pod in PODS {
            let seen = cluster.pod_ips(who);
            cluster.from(&[who], cluster.at(pod)).seen_as(seen).answered_by(&[pod]);
        }
    }
}

#[test]
fn nobody_else_reaches_a_pod_in_a_subnet() {
    let Some(cluster) = shared() else { return };
    cluster.route(&SUBNET.map(str::to_owned), "node-1");
    let asking = [
        "plain-1",
        "plain-2",
        "node-3",
        OUTSIDE,
        "grass/client-1",
        "grass/client-3",
        "earth/web-1",
    ];
    let at: Vec<Frontend> = PODS.iter().flat_map(|pod| cluster.at(pod)).collect();
    cluster.from(&asking, at).unanswered();
    // A host reaches those of its own.
    cluster.from(&["node-1"], cluster.at("sky/db-2")).unanswered();
    let plain: Vec<Frontend> = ["plain-1", "plain-3"].iter().flat_map(|pod| cluster.at(pod)).collect();
    cluster.from(&PODS, plain).unanswered();
}

#[test]
fn hosts_reach_their_pods_in_subnets_and_these_the_world_by_their_host() {
    let Some(cluster) = shared() else { return };
    for (node, pod) in [("node-1", "sky/db-1"), ("node-2", "sky/db-2")] {
        cluster.from(&[node], cluster.at(pod)).answered_by(&[pod]);
        let world = cluster.from(std::slice::from_ref(&pod), listening(WORLD)).over_tcp();
        world.seen_as(cluster.host_ips(node)).answered_by(&[OUTSIDE]);
    }
    let hosts = NODES.iter().flat_map(|node| cluster.host_ips(node));
    cluster.from(&PODS, listening(hosts)).over_tcp().always_refused();
}

#[test]
fn services_are_answered_by_pods_in_subnets_and_answer_them() {
    let Some(cluster) = shared() else { return };
    let ends = PODS.map(|pod| cluster.endpoint(pod));
    let blue = Service::new("db", 60).of("sky").balanced().answered_by(&ends);
    let common = Service::new("db-shared", 61).of("sky").shared().answered_by(&ends);
    let plain = Service::new("db-plain", 62)
        .shared()
        .answered_by(&[cluster.endpoint("plain-2")]);
    let private = Service::new("db-private", 63).answered_by(&[cluster.endpoint("plain-2")]);
    for service in [&blue, &common, &plain, &private] {
        cluster.put(service);
    }
    let own = ["sky/client-1", "sky/client-2", "sky/db-1", "sky/db-2"];
    cluster.from(&own, blue.cluster()).answered_by(&PODS);
    cluster.from(&NODES, blue.cluster()).answered_by_any(&PODS);
    for node in NODES {
        let addresses: Vec<String> = blue.balancer().iter().map(|at| at.ip.to_string()).collect();
        cluster.route(&addresses, node);
        let ports = blue.at_nodes(cluster.host_ips(node));
        let all = blue.balancer().into_iter().chain(ports);
        cluster.from(&[OUTSIDE], all).answered_by_any(&PODS);
    }
    let others = ["grass/client-1", "grass/client-3", "plain-1", "plain-3"];
    cluster.from(&others, common.cluster()).answered_by_any(&PODS);
    cluster.from(&others, blue.cluster()).always_refused();
    cluster.from(&PODS, plain.cluster()).answered_by(&["plain-2"]);
    cluster.from(&PODS, private.cluster()).always_refused();
}

#[test]
fn with_a_local_policy_pods_in_subnets_see_who_asks() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("db-local", 64).of("sky").balanced().local();
    let service = service.answered_by(&PODS.map(|pod| cluster.endpoint(pod)));
    cluster.put(&service);
    for (node, pod) in [("node-1", "sky/db-1"), ("node-2", "sky/db-2")] {
        let addresses: Vec<String> = service.balancer().iter().map(|at| at.ip.to_string()).collect();
        cluster.route(&addresses, node);
        cluster
            .from(&[OUTSIDE], service.balancer())
            .seen_as(WORLD)
            .answered_by(&[pod]);
    }
}

#[test]
fn inside_a_local_policy_leads_pods_in_subnets_to_endpoints_of_their_node() {
    let Some(cluster) = shared() else { return };
    let mixed = ["sky/web-1", "sky/db-2"].map(|pod| cluster.endpoint(pod));
    let service = Service::new("db-near", 65)
        .of("sky")
        .with("internalTrafficPolicy", "Local")
        .answered_by(&mixed);
    cluster.put(&service);
    for (who, pod) in [
        ("sky/db-1", "sky/web-1"),
        ("sky/db-2", "sky/db-2"),
        ("sky/client-2", "sky/db-2"),
    ] {
        cluster.from(&[who], service.cluster()).answered_by(&[pod]);
    }
    // Nobody else's.
    cluster
        .from(&["grass/client-1", "sea/client-1"], service.cluster())
        .always_refused();
    let far = Service::new("db-far", 66)
        .of("sky")
        .with("internalTrafficPolicy", "Local");
    cluster.put(&far.clone().answered_by(&mixed[1..]));
    cluster.from(&["sky/db-1"], far.cluster()).refused();
}

/// A VPC with a Subnet that answers who asks by DHCP. Of its own, because pods of it are on every node.
fn grove(cluster: &Cluster, name: &str, namespace: &str, network: u8) -> [String; 2] {
    let cidrs = [format!("10.{network}.0.0/16"), format!("fd00:10:{network}::/64")];
    cluster.apply(vpc(name, namespace, "{}"));
    let dhcp = json!({"enabled": true, "dnsServers": ["10.96.0.10", "fd00:10:96::a"], "domainName": "grove.test", "leaseTime": 600});
    let object = subnet(&format!("{name}-trees"), name, [&*cidrs[0], &*cidrs[1]], &dhcp);
    cluster.apply(vec![object]);
    cidrs
}

#[test]
fn pods_have_the_addresses_they_ask_for_on_any_node_and_leave_nothing() {
    let Some(cluster) = shared() else { return };
    grove(&cluster, "olive", "grove", 21);
    let trees = ("subnet", "olive-trees");
    let fixed = |node: &str| {
        let asked = ("ips", "10.21.0.77,fd00:10:21::77");
        annotated(pod("grove/fixed", node), &[trees, asked])
    };
    let of_set = |ordinal: u8, node: &str| {
        let asked = ("ips", "10.21.1.16-10.21.1.31,fd00:10:21::1:10-fd00:10:21::1:1f");
        annotated(pod(&format!("grove/set-{ordinal}"), node), &[trees, asked])
    };
    cluster.apply(vec![
        fixed("node-1"),
        of_set(0, "node-2"),
        of_set(3, "node-3"),
        pod("grove/in-slice", "node-1"),
    ]);
    let ips = |four: &str, six: &str| [four, six].map(|ip| ip.parse::<IpAddr>().expect("an address"));
    let [at_fixed, set_0, set_3] = [
        ips("10.21.0.77", "fd00:10:21::77"),
        ips("10.21.1.16", "fd00:10:21::1:10"),
        ips("10.21.1.19", "fd00:10:21::1:13"),
    ];
    for (pod, ips) in [
        ("grove/fixed", at_fixed),
        ("grove/set-0", set_0),
        ("grove/set-3", set_3),
    ] {
        assert_eq!(cluster.pod_ips(pod), ips, "{pod}");
        cluster.from(&["grove/in-slice"], cluster.at(pod)).answered_by(&[pod]);
    }
    let all = ["grove/fixed", "grove/set-0", "grove/set-3"];
    for pod in all {
        cluster.from(&all, cluster.at(pod)).answered_by(&[pod]);
    }
    assert!(!cluster.routes("node-1", at_fixed[0]).is_empty());

    // It takes its address along.
    cluster.delete(&[Key::new("Pod", "grove", "fixed")]);
    cluster.apply(vec![fixed("node-3")]);
    assert_eq!(cluster.pod_ips("grove/fixed"), at_fixed);
    let left = wait::until(wait::PATIENCE, || {
        cluster.routes("node-1", at_fixed[0]).is_empty().then_some(())
    });
    assert!(left.is_some(), "{}", cluster.routes("node-1", at_fixed[0]));
    let from = ["grove/in-slice", "grove/set-0", "node-3"];
    cluster
        .from(&from, cluster.at("grove/fixed"))
        .answered_by(&["grove/fixed"]);
    let world = cluster.from(&["grove/fixed"], listening(WORLD)).over_tcp();
    world.seen_as(cluster.host_ips("node-3")).answered_by(&[OUTSIDE]);

    let pods = ["fixed", "set-0", "set-3", "in-slice"];
    cluster.delete(&pods.map(|pod| Key::new("Pod", "grove", pod)));
    cluster.delete(&[Key::new("Subnet", "", "olive-trees"), Key::new("Vpc", "", "olive")]);
    let mut last = Vec::new();
    let gone = wait::until(wait::PATIENCE, || {
        last.clear();
        let owners = ["subnet/olive-trees", "vpc/olive"].map(str::to_owned).into_iter();
        let slices = NODES.map(|node| format!("slice/olive/{node}"));
        let ports = pods.map(|pod| format!("pod/grove/{pod}"));
        for owner in owners.chain(slices).chain(ports) {
            last.extend(rows(&cluster, &owner));
        }
        for (node, ip) in NODES
            .iter()
            .flat_map(|node| [at_fixed, set_0, set_3].concat().into_iter().map(move |ip| (node, ip)))
        {
            let routes = cluster.routes(node, ip);
            last.extend((!routes.is_empty()).then(|| format!("{node}: {routes}")));
        }
        last.is_empty().then_some(())
    });
    assert!(gone.is_some(), "{last:#?}");
}

#[test]
fn who_asks_by_dhcp_is_told_its_address_its_router_and_dns() {
    let Some(cluster) = shared() else { return };
    grove(&cluster, "lime", "orchard", 22);
    let asked = [("subnet", "lime-trees"), ("ips", "10.22.0.66,fd00:10:22::66")];
    cluster.apply(vec![annotated(pod("orchard/vm", "node-2"), &asked)]);
    let script = cluster.lab.lab.plan().dir.join("dhcp-script");
    let text = "#!/bin/sh\n[ \"$1\" = bound ] && echo \"ip=$ip/$mask router=$router dns=$dns domain=$domain lease=$lease server=$serverid\"\n";
    std::fs::write(&script, text).expect("the lab's folder takes files");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("and programs");
    let script = script.display().to_string();
    let ask = [
        "udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "10", "-T", "1", "-s", &script,
    ];
    let told = Cmd::new("busybox").args(ask).netns(&cluster.place("orchard/vm")).run();
    let told = told.unwrap_or_else(|e| panic!("{e}"));
    let expected = "ip=10.22.0.66/16 router=10.22.0.9 dns=10.96.0.10 domain=grove.test lease=600 server=10.22.0.9";
    assert!(told.contains(expected), "{told}");
    // Elsewhere nobody answers.
    let silent = Cmd::new("busybox")
        .args([
            "udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "2", "-T", "1", "-s", &script,
        ])
        .netns(&cluster.place("sky/db-1"));
    assert!(silent.run().is_err());
}
