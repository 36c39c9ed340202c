//! Peers: which VPCs are connected, and what of it each of them has.

use meridian_compile::{Config, Peering, Settings};
use meridian_model::{Key, Namespace, Node, Pod, Vpc, VpcPeering};

use crate::support::Lab;

const PORT: &str = "Logical_Router_Port";
const ROUTE: &str = "Logical_Router_Static_Route";

fn blue() -> Vpc {
    Vpc::test("blue", ["10.8.0.0/16"]).created_at(1).with_peers(["green"])
}

fn green() -> Vpc {
    Vpc::test("green", ["10.9.0.0/16", "fd00:9::/48"]).created_at(2)
}

/// A node with a pod in each of two VPCs, of which only the first names the other.
fn lab() -> Lab {
    let config = Config::new(Settings {
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        ..Settings::default()
    });
    Lab::new(config.unwrap())
        .with(Node::test("a"))
        .with(blue())
        .with(green())
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(Namespace::test("grass").in_vpc("green"))
        .with(Pod::test("sky", "p").on("a"))
        .with(Pod::test("grass", "p").on("a"))
}

fn peers(lab: &Lab, vpc: &str) -> Vec<Peering> {
    let reports = lab.0.vpcs();
    let report = reports.into_iter().find(|report| &*report.name == vpc).unwrap();
    report.peers.into_iter().map(|(_, peering)| peering).collect()
}

fn waiting(why: &str) -> Vec<Peering> {
    vec![Peering::Waiting(why.to_owned())]
}

/// The keys of the rows that are there because of peers.
fn rows(lab: &Lab) -> Vec<String> {
    let tables = [PORT, ROUTE].into_iter();
    let rows = tables.flat_map(|table| lab.0.desired().rows(table));
    let mut keys: Vec<String> = rows
        .filter(|row| row.key.starts_with("peer-"))
        .map(|row| row.key.to_string())
        .collect();
    keys.sort();
    keys
}

const BOTH: [&str; 5] = [
    "peer-blue.green",
    "peer-blue.green.a-v4",
    "peer-blue.green.a-v6",
    "peer-green.blue",
    "peer-green.blue.a-v4",
];

#[test]
fn two_vpcs_are_connected_as_long_as_each_names_the_other() {
    let mut lab = lab();
    assert_eq!(
        peers(&lab, "blue"),
        waiting("VPC green does not name blue among its peers, and no VpcPeering does so for it")
    );
    assert!(peers(&lab, "green").is_empty() && rows(&lab).is_empty());
    lab.apply(green().with_peers(["blue"]));
    for vpc in ["blue", "green"] {
        assert_eq!(peers(&lab, vpc), [Peering::Connected]);
    }
    assert_eq!(rows(&lab), BOTH);
    let text = |table: &str, row: &str, column: &str| lab.row(table, row).unwrap().get(column).unwrap().to_string();
    for (port, network, peer) in [
        ("peer-blue.green", "169.254.77.5/30", "peer-green.blue"),
        ("peer-green.blue", "169.254.77.6/30", "peer-blue.green"),
    ] {
        assert!(text(PORT, port, "networks").contains(network));
        assert!(text(PORT, port, "peer").contains(peer));
    }
    for (route, prefix, nexthop) in [
        ("peer-blue.green.a-v4", "10.9.0.0/16", "169.254.77.6"),
        ("peer-blue.green.a-v6", "fd00:9::/48", "fe80::858:a9ff:fefe:4d06"),
    ] {
        assert!(text(ROUTE, route, "ip_prefix").contains(prefix));
        assert!(text(ROUTE, route, "nexthop").contains(nexthop));
        assert!(text(ROUTE, route, "output_port").contains("peer-blue.green"));
        assert!(text(ROUTE, route, "route_table").contains("vpc-blue.a"));
    }
    lab.apply(blue().with_peers([]));
    assert_eq!(
        peers(&lab, "green"),
        waiting("VPC blue does not name green among its peers, and no VpcPeering does so for it")
    );
    assert!(rows(&lab).is_empty());
}

#[test]
fn a_peering_has_no_routes_where_no_pod_of_the_two_is() {
    let mut lab = lab().with(green().with_peers(["blue"]));
    lab.delete(Key::pod("sky", "p"));
    assert_eq!(
        rows(&lab),
        ["peer-blue.green", "peer-green.blue", "peer-green.blue.a-v4"]
    );
}

#[test]
fn one_that_goes_or_cannot_be_used_any_more_ends_the_peering_of_the_other() {
    let runs = Pod::test("grass", "p").on("a").with_ips(["10.9.0.4", "fd00:9::4"]);
    let mut lab = lab().with(green().with_peers(["blue"])).with(runs);
    lab.apply(Vpc {
        deleting: true,
        ..green().with_peers(["blue"])
    });
    assert_eq!(rows(&lab), BOTH, "its pods stay, and so does what they reach");
    lab.apply(Vpc::test("green", ["nonsense"]).created_at(2).with_peers(["blue"]));
    assert_eq!(peers(&lab, "blue"), waiting("VPC green is not ready"));
    assert_eq!(peers(&lab, "green"), waiting("VPC green is not ready"));
    assert!(rows(&lab).is_empty());
    lab.apply(green().with_peers(["blue"]));
    assert_eq!(rows(&lab), BOTH);
    lab.delete(Key::vpc("green"));
    assert_eq!(peers(&lab, "blue"), waiting("there is no VPC green"));
    assert!(rows(&lab).is_empty());
}

#[test]
fn what_follows_the_network_of_a_peer_are_the_routes_to_it() {
    let mut lab = lab().with(green().with_peers(["blue"]));
    lab.apply(Vpc::test("green", ["10.19.0.0/16"]).created_at(2).with_peers(["blue"]));
    let route = lab.row(ROUTE, "peer-blue.green.a-v4").unwrap();
    assert!(route.get("ip_prefix").unwrap().to_string().contains("10.19.0.0/16"));
    assert!(lab.row(ROUTE, "peer-blue.green.a-v6").is_none());
}

fn refused(lab: &Lab, vpc: &str, index: usize, why: &str) {
    assert_eq!(peers(lab, vpc)[index], Peering::Refused(why.to_owned()), "{vpc}");
    let mut problems = lab.0.problems().filter(|problem| problem.object == Key::vpc(vpc));
    assert!(
        problems.any(|problem| *problem.field == *format!("spec.peers[{index}]") && *problem.message == *why),
        "{vpc}"
    );
}

#[test]
fn networks_that_overlap_are_refused_by_both_names() {
    let green = Vpc::test("green", ["10.8.64.0/24"]).created_at(2).with_peers(["blue"]);
    let lab = lab().with(green);
    let why = "10.8.0.0/16 of VPC blue overlaps 10.8.64.0/24 of VPC green: peers need networks of their own";
    refused(&lab, "blue", 0, why);
    refused(&lab, "green", 0, why);
    assert!(rows(&lab).is_empty());
}

#[test]
fn of_two_peers_that_overlap_each_other_the_older_stays() {
    let red = |created| {
        let red = Vpc::test("red", ["10.9.0.0/17"]).created_at(created);
        red.with_peers(["blue"])
    };
    let mut lab = lab()
        .with(blue().with_peers(["red", "green"]))
        .with(green().with_peers(["blue"]))
        .with(red(3));
    let why = "10.9.0.0/17 of VPC red overlaps 10.9.0.0/16 of VPC green, which is a peer of VPC blue, too: peers need \
               networks of their own";
    refused(&lab, "blue", 0, why);
    refused(&lab, "red", 0, why);
    assert_eq!(peers(&lab, "green"), [Peering::Connected]);
    lab.apply(red(0));
    assert_eq!(peers(&lab, "red"), [Peering::Connected]);
    assert!(matches!(*peers(&lab, "green"), [Peering::Refused(_)]));
}

#[test]
fn neither_the_default_vpc_nor_the_vpc_itself_is_a_peer_and_none_is_twice() {
    let lab = lab().with(blue().with_peers(["default", "blue", "green", "green"]));
    let default = "the VPC default cannot be a peer: it is no object that could agree";
    refused(&lab, "blue", 0, default);
    refused(&lab, "blue", 1, "a VPC cannot be a peer of itself");
    refused(&lab, "blue", 3, "VPC green is named twice");
}

/// How a consent of an object of its own fares.
fn consent(lab: &Lab, name: &str) -> Peering {
    let reports = lab.0.vpc_peerings();
    let report = reports.into_iter().find(|report| &*report.name == name).unwrap();
    report.peering
}

#[test]
fn either_side_may_agree_by_an_object_of_its_own() {
    let lab = lab().with(VpcPeering::test("green", "blue"));
    for vpc in ["blue", "green"] {
        assert_eq!(peers(&lab, vpc), [Peering::Connected]);
    }
    assert_eq!(consent(&lab, "green-blue"), Peering::Connected);
    assert_eq!(rows(&lab), BOTH);
    // Now the other, too, and twice: that is as good as once.
    let twice = VpcPeering {
        name: "again".into(),
        ..VpcPeering::test("blue", "green")
    };
    let mut lab = lab
        .with(VpcPeering::test("blue", "green"))
        .with(twice)
        .with(blue().with_peers([]));
    for name in ["blue-green", "again", "green-blue"] {
        assert_eq!(consent(&lab, name), Peering::Connected, "{name}");
    }
    assert_eq!(peers(&lab, "blue"), [Peering::Connected]);
    lab.delete(Key::vpc_peering("again"));
    assert_eq!(rows(&lab), BOTH);
    lab.delete(Key::vpc_peering("blue-green"));
    assert!(rows(&lab).is_empty() && peers(&lab, "blue").is_empty());
    let why = "VPC blue does not name green among its peers, and no VpcPeering does so for it";
    assert_eq!(consent(&lab, "green-blue"), Peering::Waiting(why.to_owned()));
    assert_eq!(peers(&lab, "green"), waiting(why));
}

#[test]
fn a_consent_waits_for_vpcs_and_counts_no_more_once_it_is_to_be_deleted() {
    let mut lab = lab()
        .with(VpcPeering::test("green", "red"))
        .with(VpcPeering::test("red", "blue"));
    for name in ["green-red", "red-blue"] {
        assert_eq!(
            consent(&lab, name),
            Peering::Waiting("there is no VPC red".to_owned()),
            "{name}"
        );
    }
    assert_eq!(peers(&lab, "green"), waiting("there is no VPC red"));
    lab.apply(Vpc::test("red", ["nonsense"]));
    assert_eq!(
        consent(&lab, "red-blue"),
        Peering::Waiting("VPC red is not ready".to_owned())
    );
    lab.apply(Vpc::test("red", ["10.10.0.0/16"]).with_peers(["green"]));
    assert_eq!(consent(&lab, "green-red"), Peering::Connected);
    lab.apply(VpcPeering {
        deleting: true,
        ..VpcPeering::test("green", "red")
    });
    assert!(matches!(consent(&lab, "green-red"), Peering::Waiting(why) if why.starts_with("it is being deleted")));
    assert!(rows(&lab).is_empty());
    lab.delete(Key::vpc("red"));
    assert_eq!(
        consent(&lab, "red-blue"),
        Peering::Waiting("there is no VPC red".to_owned())
    );
}

#[test]
fn a_consent_to_what_cannot_be_is_refused_by_both_names() {
    let green = Vpc::test("green", ["10.8.64.0/24"]).created_at(2);
    let lab = lab().with(green).with(VpcPeering::test("green", "blue"));
    let why = "10.8.0.0/16 of VPC blue overlaps 10.8.64.0/24 of VPC green: peers need networks of their own";
    assert_eq!(consent(&lab, "green-blue"), Peering::Refused(why.to_owned()));
    assert_eq!(
        lab.problems(),
        [
            format!("vpc/blue: spec.peers[0]: {why}"),
            format!("vpcpeering/green-blue: spec.peer: {why}")
        ]
    );
    assert!(rows(&lab).is_empty());
}
