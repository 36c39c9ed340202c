//! The rows of small clusters, in full, as files to read and review. `UPDATE_GOLDEN=1` writes them anew.

use std::path::Path;

use meridian_compile::{Config, Settings};
use meridian_model::{
    Action, AddressPool, ClusterPolicy, EndpointSlice, Namespace, NetworkAttachment, NetworkPolicy, Node, Phase, Pod,
    PodsOf, PolicyPeer, PolicyPort, PolicyRule, PortMatch, Protocol, Selector, Service, Subnet, Tier, TierPeer,
    TierRule, TrafficPolicy, Vpc,
};

use crate::support::{Lab, ipv4};

fn check(name: &str, lab: &Lab) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/compile/golden")
        .join(name);
    let mut text = lab.dump();
    for problem in lab.problems() {
        text.push_str(&problem);
        text.push('\n');
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, golden,
        "{name} is out of date: if the change is meant, run the test with UPDATE_GOLDEN=1"
    );
}

#[test]
fn one_node_ipv4() {
    let lab = Lab::of(&["10.244.0.0/16"])
        .with(Node::test("a").with_cidrs(["10.244.3.0/24"]))
        .with(
            Pod::test("shop", "web-0")
                .on("a")
                .with_ips(["10.244.3.7"])
                .in_phase(Phase::Running),
        )
        .with(Pod::test("shop", "web-1").on("a"));
    check("one_node_ipv4.txt", &lab);
}

#[test]
fn two_nodes_dual_stack_in_a_shared_database() {
    let config = Config::new(Settings {
        cluster_id: Some("east".into()),
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap(), "fd00:10:244::/48".parse().unwrap()],
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap(), "fd00:10:96::/112".parse().unwrap()],
        mtu: Some(1400),
        ..Settings::default()
    });
    let lab = Lab::new(config.unwrap())
        .with(Node::test("a"))
        .with(Node::test("b"))
        .with(Pod::test("shop", "web-0").on("b"))
        .with(Pod::test("shop", "web-1").on("c"))
        .with(
            Service::test("shop", "dns")
                .under(["10.96.0.10", "fd00:10:96::a"])
                .with_port_of(Protocol::Udp, "dns", 53)
                .with_port("dns-tcp", 53)
                .with_affinity(10_800),
        )
        .with(
            EndpointSlice::test("shop", "dns", "4")
                .with_port_of(Protocol::Udp, "dns", 5353)
                .with_port("dns-tcp", 5353)
                .ready(["10.244.1.4", "172.30.0.10"]),
        );
    check("two_nodes_dual_stack_in_a_shared_database.txt", &lab);
}

#[test]
fn one_node_ipv6() {
    let lab = Lab::of(&["fd00:10:244::/48"])
        .with(Node::test("a"))
        .with(Pod::test("shop", "web-0").on("a"));
    check("one_node_ipv6.txt", &lab);
}

#[test]
fn a_vpc_with_a_pod_and_a_service() {
    let lab = ipv4()
        .with(Node::test("a"))
        .with(Vpc::test("blue", ["10.10.0.0/16"]))
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(Pod::test("sky", "web-0").on("a"))
        .with(Service::test("sky", "web").under(["10.96.0.7"]).with_port("http", 80))
        .with(
            EndpointSlice::test("sky", "web", "x")
                .with_port("http", 8080)
                .ready(["10.10.0.4"])
                .on("a"),
        );
    check("a_vpc_with_a_pod_and_a_service.txt", &lab);
}

#[test]
fn two_peers_dual_stack() {
    let vpc = |name: &str, number: u8, peer: &str| {
        let cidrs = [format!("10.{number}.0.0/16"), format!("fd00:{number}::/48")];
        Vpc::test(name, cidrs.iter().map(String::as_str)).with_peers([peer])
    };
    let lab = Lab::of(&["10.244.0.0/16"])
        .with(Node::test("a"))
        .with(vpc("blue", 8, "green"))
        .with(vpc("green", 9, "blue"))
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(Pod::test("sky", "web-0").on("a"));
    check("two_peers_dual_stack.txt", &lab);
}

#[test]
fn a_subnet_with_dhcp_and_pods() {
    let mut subnet = Subnet::test("vms", "blue", ["10.20.0.0/24", "fd00:20::/64"]).with_dhcp();
    subnet.gateways = ["10.20.0.254".into()].into();
    let mut vpc = Vpc::test("blue", ["10.8.0.0/16", "fd00:8::/48"]);
    vpc.dns_servers = ["10.96.0.10".into(), "fd00:10:96::a".into()].into();
    vpc.search_domains = ["cluster.local".into()].into();
    let lab = Lab::of(&["10.244.0.0/16"])
        .with(Node::test("a"))
        .with(vpc)
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(subnet)
        .with(Pod::test("sky", "vm-0").on("a").in_subnet("vms"))
        .with(
            Pod::test("sky", "vm-1")
                .on("a")
                .in_subnet("vms")
                .asking_for("10.20.0.254"),
        );
    check("a_subnet_with_dhcp_and_pods.txt", &lab);
}

#[test]
fn a_pod_with_a_further_interface() {
    let lab = Lab::of(&["10.244.0.0/16", "fd00:10:244::/48"])
        .with(Node::test("a"))
        .with(Vpc::test("green", ["10.9.0.0/16", "fd00:9::/48"]).open_to([""]))
        .with(Namespace::test("shop").in_vpc(""))
        .with(NetworkAttachment::test("shop", "storage", "green"))
        .with(Pod::test("shop", "web-0").on("a").attached("shop", "storage"));
    check("a_pod_with_a_further_interface.txt", &lab);
}

#[test]
fn services_of_zones_nodes_and_beyond() {
    use TrafficPolicy::{Cluster, Local};
    let service = |name: &str, ip: &str| Service::test("shop", name).under([ip]).with_port("http", 80);
    let slice = |service: &str| EndpointSlice::test("shop", service, "x").with_port("http", 8080);
    let zonal = slice("zonal").ready(["10.244.0.4"]).meant_for(&["east"], &[]);
    let near = slice("near").ready(["10.244.0.5"]).meant_for(&[], &["a"]);
    let web = slice("web").ready(["10.244.0.7"]).on("a");
    let lab = ipv4()
        .with(Node::test("a").in_zone("east"))
        .with(Node::test("b").in_zone("west"))
        .with(AddressPool::test("public", ["198.51.100.0/24"]).announced_on(["eth1"]))
        .with(service("zonal", "10.96.0.4"))
        .with(zonal.ready(["10.244.1.4"]).meant_for(&["west"], &[]))
        .with(service("near", "10.96.0.5"))
        .with(near.ready(["10.244.1.5"]).meant_for(&[], &["a"]))
        .with(service("inside", "10.96.0.6").with_policies(Local, Cluster))
        .with(slice("inside").ready(["10.244.0.6"]).on("a"))
        .with(
            service("web", "10.96.0.7")
                .on_nodes(30080)
                .behind(["198.51.100.7"])
                .with_policies(Cluster, Local)
                .with_health_check(31_000),
        )
        .with(web.ready(["10.244.1.7"]).on("b"));
    check("services_of_zones_nodes_and_beyond.txt", &lab);
}

#[test]
fn a_vpc_with_two_gateways() {
    let config = Config::new(Settings {
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap(), "fd00:10:244::/48".parse().unwrap()],
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        ..Settings::default()
    });
    let lab = Lab::new(config.unwrap())
        .with(Node::test("a"))
        .with(Node::test("b").labelled("edge", ""))
        .with(Node::test("c").labelled("edge", ""))
        .with(Vpc::test("blue", ["10.8.0.0/16", "fd00:8::/48"]).by_gateways())
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(Pod::test("sky", "web-0").on("a"));
    check("a_vpc_with_two_gateways.txt", &lab);
}

#[test]
fn a_vpc_with_routes_to_a_firewall() {
    let vpc = Vpc::test("blue", ["10.8.0.0/16"])
        .with_route("0.0.0.0/0", ["10.21.0.5", "10.21.0.6"])
        .with_route("192.168.0.0/16", ["10.21.0.5"]);
    let lab = ipv4()
        .with(Node::test("a"))
        .with(vpc)
        .with(Subnet::test("edge", "blue", ["10.21.0.0/24"]))
        .with(Subnet::test("vms", "blue", ["10.20.0.0/24"]))
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(
            Pod::test("sky", "firewall-0")
                .on("a")
                .in_subnet("edge")
                .asking_for("10.21.0.5"),
        )
        .with(Pod::test("sky", "vm-0").on("a").in_subnet("vms"));
    check("a_vpc_with_routes_to_a_firewall.txt", &lab);
}

#[test]
fn a_policy_with_pods_blocks_and_named_ports() {
    let web = PolicyRule {
        peers: [
            PolicyPeer::Pods {
                namespaces: Some(Selector::of_label("team", "a")),
                pods: Selector::of_label("app", "client"),
            },
            PolicyPeer::Block {
                cidr: "192.0.2.0/24".into(),
                except: ["192.0.2.64/26".into()].into(),
            },
        ]
        .into(),
        ports: [PortMatch::Named("http".into()), PortMatch::Range(8000..=8005)]
            .map(|port| PolicyPort {
                protocol: Protocol::Tcp,
                port,
            })
            .into(),
    };
    let policy = NetworkPolicy::test("shop", "web")
        .of_pods("app", "web")
        .with_ingress([web])
        .with_egress([]);
    let pod = |namespace: &str, name: &str, app: &str| Pod::test(namespace, name).on("a").labelled("app", app);
    let lab = Lab::of(&["10.244.0.0/16"])
        .with(Node::test("a").with_cidrs(["10.244.3.0/24"]))
        .with(Namespace::test("shop"))
        .with(Namespace::test("team").labelled("team", "a"))
        .with(policy)
        .with(pod("shop", "web-0", "web").with_named_port("http", Protocol::Tcp, 80))
        .with(pod("shop", "db-0", "db"))
        .with(pod("team", "client-0", "client"));
    check("a_policy_with_pods_blocks_and_named_ports.txt", &lab);
}

#[test]
fn what_an_administrator_decides_before_and_after_policies_of_namespaces() {
    let team = |name: &str| TierPeer::Pods(PodsOf::labelled(Some(("team", name)), None));
    let admin = ClusterPolicy::test("guard", Tier::Admin, 10)
        .about(PodsOf::labelled(Some(("team", "shop")), None))
        .on_ingress(TierRule::test(Action::Pass, [team("shop")]))
        .on_ingress(TierRule::test(Action::Deny, [team("guests")]))
        .on_egress(
            TierRule::test(
                Action::Accept,
                [
                    TierPeer::Nodes(Selector::of_label("edge", "yes")),
                    TierPeer::Networks(["192.0.2.0/24".into()].into()),
                ],
            )
            .to_port(Protocol::Tcp, PortMatch::Range(443..=443)),
        );
    let baseline = ClusterPolicy::test("default", Tier::Baseline, 0)
        .on_ingress(TierRule::test(Action::Deny, [team("shop")]).to_port(Protocol::Udp, PortMatch::Any));
    let policy = NetworkPolicy::test("shop", "web")
        .of_pods("app", "web")
        .with_ingress([PolicyRule::default()]);
    let mut node = Node::test("a").with_cidrs(["10.244.3.0/24"]).labelled("edge", "yes");
    node.internal_ips = ["172.30.0.11".parse().unwrap()].into();
    let lab = Lab::of(&["10.244.0.0/16"])
        .with(node)
        .with(Namespace::test("shop").labelled("team", "shop"))
        .with(Namespace::test("guests").labelled("team", "guests"))
        .with(admin)
        .with(baseline)
        .with(policy)
        .with(Pod::test("shop", "web-0").on("a").labelled("app", "web"))
        .with(Pod::test("guests", "guest-0").on("a"));
    check("what_an_administrator_decides.txt", &lab);
}
