//! VPCs that leave by gateways.

use meridian_compile::{Claim, Config, GatewayReport, Settings, Verdict};
use meridian_model::{Egress, Key, Namespace, Node, Pod, Subnet, Vpc};

use crate::support::Lab;

/// The policies for what pods in Subnets on `a` send: all that leaves the VPC, or what the host is for.
const ALL: &str = "subnets-blue.a-v4";
const OWN: &str = "subnets-blue.a.own-v4";
const PORT: &str = "Logical_Router_Port";

fn settings() -> Settings {
    Settings {
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        ..Settings::default()
    }
}

fn blue() -> Vpc {
    Vpc::test("blue", ["10.8.0.0/16"]).created_at(1).by_gateways()
}

fn green() -> Vpc {
    Vpc::test("green", ["10.8.0.0/16"]).created_at(2).by_gateways()
}

fn edge(name: &str) -> Node {
    Node::test(name).labelled("edge", "")
}

/// Pods on `a`, of VPCs that leave by `edge` nodes.
fn lab(settings: Settings) -> Lab {
    Lab::new(Config::new(settings).unwrap())
        .with(Node::test("a"))
        .with(edge("g1"))
        .with(edge("g2"))
        .with(blue())
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(Pod::test("sky", "p").on("a"))
}

fn report(lab: &Lab, vpc: &str) -> GatewayReport {
    let reports = lab.0.vpcs();
    let report = reports.into_iter().find(|report| &*report.name == vpc);
    report.unwrap().gateways.unwrap()
}

#[test]
fn what_leaves_leaves_by_every_gateway_and_what_is_for_the_own_host_does_not() {
    let lab = lab(settings());
    assert_eq!(
        lab.routes("vpc-blue.a"),
        [
            "0.0.0.0/0 100.66.0.1 egress-blue.g1",
            "0.0.0.0/0 100.66.0.1 egress-blue.g2",
            "10.244.0.0/16 10.8.0.2 -",
            "10.8.0.0/16 10.8.0.2 -",
            "10.96.0.0/16 10.8.0.2 -",
        ]
    );
    assert_eq!(lab.routes("vpc-default-a"), ["0.0.0.0/0 10.244.0.2 -"]);
    let facts = lab.facts("mgmt-blue.a").unwrap().vpc.unwrap();
    assert!(!facts.outside && facts.services, "the own host is no way out");
    assert_eq!(report(&lab, "blue").nodes, ["g1".into(), "g2".into()]);
    assert!(report(&lab, "blue").lack.is_none() && lab.problems().is_empty());
}

/// The match of a policy for what pods in Subnets on `a` send, without the source.
fn policy(lab: &Lab, policy: &str) -> Option<String> {
    lab.row("Logical_Router_Policy", policy)?;
    let matches = lab.text("Logical_Router_Policy", policy, "match");
    let rest = matches.strip_prefix("ip4.src == $mrd_").unwrap();
    Some(rest.trim_start_matches(|c: char| c.is_ascii_hexdigit()).to_owned())
}

#[test]
fn pods_in_subnets_leave_by_gateways_like_those_in_slices() {
    let subnet = |name: &str, cidr: &str| Subnet::test(name, "blue", [cidr]);
    let mut lab = lab(settings())
        .with(subnet("vms", "10.20.0.0/24"))
        .with(subnet("dbs", "10.21.0.0/24"))
        .with(Pod::test("sky", "vm").on("a").in_subnet("vms"));
    let ways = [
        "0.0.0.0/0 100.66.0.1 egress-blue.g1",
        "0.0.0.0/0 100.66.0.1 egress-blue.g2",
        "10.8.0.0/16 169.254.77.9 subnet-vms",
    ];
    assert_eq!(lab.routes("subnet-vms"), ways);
    assert_eq!(
        policy(&lab, OWN).as_deref(),
        Some(" && ip4.dst == {10.96.0.0/16, 10.244.0.0/16}")
    );
    let nat = |lab: &Lab, key: &str| ["logical_ip", "external_ip"].map(|column| lab.text("NAT", key, column));
    assert_eq!(nat(&lab, "egress-blue.g1-v4"), ["10.8.0.0/16", "100.66.0.2"]);
    assert_eq!(nat(&lab, "egress-blue.g1@vms-v4"), ["10.20.0.0/24", "100.66.0.2"]);
    assert_eq!(nat(&lab, "egress-blue.g2@dbs-v4"), ["10.21.0.0/24", "100.66.0.3"]);
    let host = Some("mgmt-blue.a".to_owned());
    assert_eq!(
        lab.way("sky/vm", "192.0.2.1"),
        (Verdict::Leaves, Some("egress-default".to_owned()))
    );
    assert_eq!(lab.way("sky/vm", "10.96.0.9").1, host, "services are the own host's");
    assert_eq!(lab.way("sky/vm", "10.244.3.4"), (Verdict::Refused, host.clone()));
    assert_eq!(lab.way("sky/vm", "10.8.200.9"), (Verdict::Dropped, None), "nobody's");
    lab.apply(Node::test("g1"));
    assert_eq!(lab.routes("subnet-vms"), ways[1..]);
    assert!(lab.row("NAT", "egress-blue.g1@vms-v4").is_none());
    // Without any, their own host refuses it.
    lab.apply(Node::test("g2"));
    assert_eq!(lab.routes("subnet-vms"), ["0.0.0.0/0 169.254.77.9 subnet-vms"]);
    assert_eq!((policy(&lab, ALL).as_deref(), policy(&lab, OWN)), (Some(""), None));
    assert_eq!(lab.way("sky/vm", "192.0.2.1"), (Verdict::Refused, host));
    lab.apply(edge("g2"));
    assert_eq!(lab.routes("subnet-vms"), ways[1..]);
    lab.delete(Key::Subnet("dbs".into()));
    assert!(lab.row("NAT", "egress-blue.g2@dbs-v4").is_none());
    assert_eq!(lab.restarted().dump(), lab.dump());
}

#[test]
fn where_the_own_host_is_for_nothing_no_policy_is_in_the_way_of_the_gateways() {
    let lab = lab(Settings {
        cluster_cidrs: vec!["fd00:10:244::/48".parse().unwrap()],
        service_cidrs: vec!["fd00:10:96::/112".parse().unwrap()],
        ..Settings::default()
    })
    .with(Subnet::test("vms", "blue", ["10.20.0.0/24"]))
    .with(Pod::test("sky", "vm").on("a").in_subnet("vms"));
    assert_eq!(lab.routes("subnet-vms").len(), 3);
    assert_eq!((policy(&lab, ALL), policy(&lab, OWN)), (None, None));
    let set = lab.text("Address_Set", "subnets-blue.a-v4", "name");
    assert!(set.starts_with("mrd_"), "pods are in it whatever becomes of the policy");
}

#[test]
fn hosts_know_that_they_are_gateways_and_in_which_families() {
    let mut lab = lab(settings());
    let facts = lab.facts("gateway-g1").unwrap();
    assert_eq!(facts.ips, ["100.66.0.1/16".parse().unwrap()], "nobody has IPv6");
    assert!(lab.facts("gateway-a").is_none());
    lab.apply(Vpc::test("six", ["fd00:8::/48"]).by_gateways());
    assert_eq!(lab.facts("gateway-g1").unwrap().ips.len(), 2);
    // The same on all hosts, whatever they are gateways of.
    assert_eq!(lab.facts("gateway-g2").unwrap().mac, facts.mac);
    lab.delete(Key::Vpc("blue".into()));
    lab.delete(Key::Vpc("six".into()));
    assert!(lab.facts("gateway-g1").is_none());
    assert!(lab.row("Logical_Switch", "egress-default").is_none());
}

#[test]
fn a_slot_has_an_address_of_its_own_and_keeps_it() {
    let mut lab = lab(settings()).with(green());
    let address = |lab: &Lab, slot: &str| lab.text(PORT, slot, "networks");
    assert_eq!(address(&lab, "egress-blue.g1"), "100.66.0.2/16");
    assert_eq!(address(&lab, "egress-blue.g2"), "100.66.0.3/16");
    let green = address(&lab, "egress-green.g1");
    assert_eq!(lab.text("NAT", "egress-green.g1-v4", "external_ip"), "100.66.0.4");
    lab.apply(Node::test("g1"));
    assert!(lab.row(PORT, "egress-blue.g1").is_none() && lab.row("NAT", "egress-blue.g1-v4").is_none());
    // Another gateway takes what is free; nobody else changes.
    lab.apply(edge("g0"));
    assert_eq!(address(&lab, "egress-blue.g2"), "100.66.0.3/16");
    lab.apply(edge("g1"));
    assert_ne!(address(&lab, "egress-green.g1"), "");
    let restarted = lab.restarted();
    assert_eq!(restarted.dump(), lab.dump());
    assert_ne!(green, "");
}

#[test]
fn the_database_is_the_record_as_long_as_it_can_be_right() {
    let claim = |node: &str, address: &str| Claim::Gateway {
        vpc: "blue".into(),
        node: node.into(),
        addresses: [address.parse().unwrap()].into(),
    };
    let lab = lab(settings());
    let kept = lab.restarted_with(vec![
        claim("g1", "100.66.7.7"),
        claim("g2", "192.0.2.1"),
        claim("a", "100.66.0.2"),
    ]);
    assert_eq!(kept.text(PORT, "egress-blue.g1", "networks"), "100.66.7.7/16");
    assert_eq!(
        kept.text(PORT, "egress-blue.g2", "networks"),
        "100.66.0.2/16",
        "not of the network, and nobody's"
    );
}

#[test]
fn a_dead_gateways_slots_are_spread_over_the_others() {
    let mut lab = lab(settings());
    for node in ["g3", "g4", "g5", "g6", "g7"] {
        lab.apply(edge(node));
    }
    let mut heirs = std::collections::BTreeSet::new();
    for vpc in 0..12 {
        let name = format!("v{vpc}");
        lab.apply(Vpc::test(&name, ["10.8.0.0/16"]).by_gateways());
        let of_slot = lab
            .0
            .desired()
            .rows("Gateway_Chassis")
            .filter(|row| row.key.starts_with(&format!("egress-{name}.g1@")));
        let mut chassis: Vec<_> = of_slot
            .map(|row| {
                (
                    row.get("priority").unwrap().to_string(),
                    row.get("chassis_name").unwrap().to_string(),
                )
            })
            .collect();
        chassis.sort();
        assert_eq!(chassis.len(), 5, "the home and four others");
        assert_eq!(chassis.pop().unwrap().1, "\"g1\"", "the home comes first");
        heirs.insert(chassis.pop().unwrap().1);
    }
    assert!(heirs.len() > 2, "{heirs:?}");
}

#[test]
fn without_a_gateway_the_own_host_refuses_and_the_vpc_says_why() {
    let mut lab = lab(settings());
    lab.apply(Node::test("g1"));
    lab.apply(Node::test("g2"));
    assert_eq!(lab.routes("vpc-blue.a"), ["0.0.0.0/0 10.8.0.2 -"]);
    assert!(!lab.facts("mgmt-blue.a").unwrap().vpc.unwrap().outside);
    let problem = "vpc/blue: spec.egress.gatewayNodeSelector: no node has the labels edge: pods have no way out, and what they send is \
                   refused. Label the nodes that are to be gateways";
    assert_eq!(lab.problems(), [problem]);
    let report = report(&lab, "blue");
    assert!(report.nodes.is_empty() && !report.conflict && report.lack.is_some());
    // A mode without gateways asks for none.
    lab.apply(Vpc {
        egress: Egress::None,
        ..blue()
    });
    assert!(lab.problems().is_empty() && lab.0.vpcs()[0].gateways.is_none());
}

#[test]
fn a_node_with_an_address_of_the_egress_network_is_named() {
    let mut lab = lab(settings());
    let mut node = Node::test("b");
    node.internal_ips = ["100.66.3.4".parse().unwrap()].into();
    lab.apply(node);
    assert_eq!(lab.routes("vpc-blue.a"), ["0.0.0.0/0 10.8.0.2 -"]);
    let problem = &lab.problems()[0];
    assert!(
        problem.contains("100.66.3.4 of node b is in the egress CIDR 100.66.0.0/16"),
        "{problem}"
    );
    assert!(report(&lab, "blue").conflict);
    lab.delete(Key::Node("b".into()));
    assert_eq!(lab.routes("vpc-blue.a").len(), 5);
}

#[test]
fn a_family_without_an_egress_network_has_no_way_out() {
    let mut lab = lab(Settings {
        egress_cidrs: vec!["100.70.0.0/24".parse().unwrap()],
        ..settings()
    });
    lab.apply(
        Vpc::test("blue", ["10.8.0.0/16", "fd00:8::/48"])
            .created_at(1)
            .by_gateways(),
    );
    assert_eq!(lab.text("NAT", "egress-blue.g1-v4", "external_ip"), "100.70.0.2");
    assert!(lab.routes("vpc-blue.a").contains(&"::/0 fd00:8::2 -".to_owned()));
    assert!(
        lab.problems()[0].contains("fd00:8::/48 has no way out"),
        "{:?}",
        lab.problems()
    );
}

#[test]
fn egress_networks_that_are_used_up_are_named() {
    let mut lab = lab(Settings {
        egress_cidrs: vec!["100.70.0.0/29".parse().unwrap()],
        ..settings()
    });
    for node in ["g3", "g4", "g5", "g6"] {
        lab.apply(edge(node));
    }
    // Of eight addresses three are nobody's or the host's.
    assert_eq!(report(&lab, "blue").nodes.len(), 5);
    assert!(
        lab.problems()[0].contains("1 of 6 nodes are no gateways"),
        "{:?}",
        lab.problems()
    );
    lab.apply(Node::test("g1"));
    assert_eq!(report(&lab, "blue").nodes.len(), 5);
    assert!(lab.problems().is_empty());
}

#[test]
fn no_vpc_has_addresses_of_an_egress_network() {
    let lab = lab(settings()).with(Vpc::test("red", ["100.64.0.0/10"]));
    assert!(
        lab.problems()[0].contains("100.64.0.0/10 overlaps the egress CIDR 100.66.0.0/16"),
        "{:?}",
        lab.problems()
    );
}
