//! Which slice each node gets.

use meridian_compile::Claim;
use meridian_model::{Key, Node, Pod};

use crate::support::{Lab, config};

#[test]
fn pod_cidrs_of_the_node_are_its_slice() {
    let lab = Lab::of(&["10.244.0.0/16"]).with(Node::test("a").with_cidrs(["10.244.7.0/24"]));
    assert_eq!(lab.slice("a"), ["10.244.7.1/24"]);
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn a_node_without_pod_cidrs_gets_the_first_free_slice_of_each_family() {
    let lab = Lab::of(&["10.244.0.0/16", "fd00::/48"])
        .with(Node::test("a").with_cidrs(["10.244.0.0/24", "fd00::/64"]))
        .with(Node::test("b"));
    assert_eq!(lab.slice("b"), ["10.244.1.1/24", "fd00:0:0:1::1/64"]);
}

#[test]
fn an_ipv6_only_cluster_has_ipv6_slices() {
    let lab = Lab::of(&["fd00::/48"]).with(Node::test("a"));
    assert_eq!(lab.slice("a"), ["fd00::1/64"]);
}

#[test]
fn a_second_cluster_cidr_is_used_when_the_first_is_full() {
    let lab = Lab::of(&["10.1.0.0/24", "10.2.0.0/24"])
        .with(Node::test("a"))
        .with(Node::test("b"));
    assert_eq!(lab.slice("b"), ["10.2.0.1/24"]);
}

#[test]
fn a_carved_slice_survives_a_restart_whatever_nodes_came_and_went() {
    let mut lab = Lab::of(&["10.244.0.0/16"]).with(Node::test("a")).with(Node::test("b"));
    lab.delete(Key::node("a"));
    assert_eq!(lab.restarted().slice("b"), ["10.244.1.1/24"]);
}

#[test]
fn a_node_takes_up_the_slice_that_became_free() {
    let mut lab = Lab::of(&["10.244.0.0/24"]).with(Node::test("a")).with(Node::test("b"));
    assert_eq!(
        lab.problems(),
        [
            "node/b: spec.podCIDRs: the node has no podCIDR, and the cluster CIDRs (10.244.0.0/24) have no free slice left \
          for it (/24 of 10.244.0.0/24): add a cluster CIDR, set spec.podCIDRs, or remove nodes"
        ]
    );
    lab.delete(Key::node("a"));
    assert_eq!(lab.slice("b"), ["10.244.0.1/24"]);
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn of_waiting_nodes_the_oldest_is_served_first() {
    let mut lab = Lab::of(&["10.244.0.0/24"])
        .with(Node::test("a"))
        .with(Node::test("b").created_at(2))
        .with(Node::test("c").created_at(1));
    lab.delete(Key::node("a"));
    assert_eq!((lab.slice("b").len(), lab.slice("c").len()), (0, 1));
}

#[test]
fn of_overlapping_pod_cidrs_the_older_node_keeps_its_own() {
    let mut lab = Lab::of(&["10.244.0.0/16"])
        .with(Node::test("young").created_at(2).with_cidrs(["10.244.1.0/24"]))
        .with(Node::test("old").created_at(1).with_cidrs(["10.244.0.0/20"]));
    assert_eq!((lab.slice("old").len(), lab.slice("young").len()), (1, 0));
    assert_eq!(
        lab.problems(),
        [
            "node/young: spec.podCIDRs[0]: 10.244.1.0/24 of node young overlaps 10.244.0.0/20 of node old, which is older \
          and keeps it: give young another podCIDR, or remove node old"
        ]
    );
    lab.apply(Node::test("old").created_at(1).with_cidrs(["10.244.16.0/20"]));
    assert_eq!(lab.slice("young"), ["10.244.1.1/24"]);
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn pods_of_a_node_without_a_slice_have_a_problem_until_it_has_one() {
    let mut lab = Lab::of(&["10.244.0.0/16"])
        .with(Node::test("a").with_cidrs(["10.244.300.0/24"]))
        .with(Pod::test("shop", "web").on("a"));
    assert!(lab.problems()[0].starts_with("node/a: spec.podCIDRs[0]: \"10.244.300.0/24\" is not a network"));
    assert_eq!(
        lab.problems()[1],
        "pod/shop/web: spec.nodeName: node a has no slice of the pod network: see what is reported on the node"
    );
    lab.apply(Node::test("a").with_cidrs(["10.244.3.0/24"]));
    assert_eq!(lab.ips("shop_web"), ["10.244.3.4/24"]);
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn a_slice_needs_room_for_gateway_and_host() {
    let lab = Lab::of(&["10.244.0.0/16"]).with(Node::test("a").with_cidrs(["10.244.0.0/31"]));
    assert_eq!(
        lab.problems(),
        [
            "node/a: spec.podCIDRs[0]: 10.244.0.0/31 has no room for a gateway and the addresses of the host: give the \
          node at least a /29"
        ]
    );
}

#[test]
fn pod_cidrs_outside_the_cluster_cidrs_are_refused() {
    let lab = Lab::of(&["10.244.0.0/16"]).with(Node::test("a").with_cidrs(["10.1.0.0/24"]));
    assert_eq!(lab.slice("a"), [""; 0]);
    assert!(lab.problems()[0].contains("10.1.0.0/24 is not in the cluster CIDRs (10.244.0.0/16)"));
}

#[test]
fn every_unusable_cidr_is_reported() {
    let lab = Lab::of(&["10.244.0.0/16"]).with(Node::test("a").with_cidrs(["x", "10.244.0.0/24", "10.244.1.0/24"]));
    let fields: Vec<String> = lab.0.problems().map(|problem| problem.field.to_string()).collect();
    assert_eq!(fields, ["spec.podCIDRs[0]", "spec.podCIDRs[2]"]);
}

#[test]
fn pod_cidrs_given_later_replace_the_carved_slice() {
    let mut lab = Lab::of(&["10.244.0.0/16"])
        .with(Node::test("a"))
        .with(Pod::test("shop", "web").on("a"));
    lab.apply(Node::test("a").with_cidrs(["10.244.9.0/24"]));
    assert_eq!(lab.ips("shop_web"), ["10.244.9.4/24"]);
}

#[test]
fn a_node_whose_carved_slice_another_nodes_pod_cidrs_name_gets_another() {
    let lab = Lab::of(&["10.244.0.0/16"])
        .with(Node::test("carved"))
        .with(Node::test("given").created_at(9).with_cidrs(["10.244.0.0/24"]));
    assert_eq!(lab.slice("given"), ["10.244.0.1/24"]);
    assert_eq!(lab.slice("carved"), ["10.244.1.1/24"]);
}

#[test]
fn a_cluster_that_gains_a_family_keeps_the_slices_it_has() {
    let old = Lab::of(&["10.244.0.0/16"]).with(Node::test("a")).with(Node::test("b"));
    let mut new = Lab::of(&["10.244.0.0/16", "fd00::/48"]);
    new.0.claim(old.0.claims());
    let new = new.with(Node::test("b"));
    assert_eq!(new.slice("b"), ["10.244.1.1/24", "fd00::1/64"]);
}

#[test]
fn claims_outside_the_cluster_cidrs_are_ignored() {
    let lab = Lab::of(&["10.244.0.0/16"]).with(Node::test("a"));
    let claim = Claim::Slice {
        vpc: "default".into(),
        node: "a".into(),
        networks: ["10.9.0.0/24".parse().unwrap()].into(),
    };
    assert_eq!(lab.restarted_with(vec![claim]).slice("a"), ["10.244.0.1/24"]);
}

#[test]
fn a_node_that_is_gone_leaves_no_rows() {
    let mut lab = Lab::new(config(&["10.244.0.0/16"], 24, 64));
    let before = lab.dump();
    lab.apply(Node::test("a").in_zone("east"));
    lab.delete(Key::node("a"));
    assert_eq!(lab.dump(), before);
}

#[test]
fn a_slice_claimed_by_a_node_that_is_gone_is_free_again() {
    let claim = Claim::Slice {
        vpc: "default".into(),
        node: "gone".into(),
        networks: ["10.244.5.0/24".parse().unwrap()].into(),
    };
    let lab = Lab::of(&["10.244.0.0/16"])
        .restarted_with(vec![claim])
        .with(Node::test("gone"));
    assert_eq!(lab.slice("gone"), ["10.244.0.1/24"]);
}
