//! Which nodes announce an address of a service.

use std::collections::BTreeSet;

use meridian_model::{AddressPool, EndpointSlice, EndpointState, Key, Node, Service, TrafficPolicy};

use crate::support::{Lab, dual_stack};

const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

fn web() -> Service {
    let service = Service::test("shop", "web").under(["10.96.0.7"]).with_port("http", 80);
    service.behind(["198.51.100.7"])
}

fn local() -> Service {
    web().with_policies(TrafficPolicy::Cluster, TrafficPolicy::Local)
}

fn slice() -> EndpointSlice {
    EndpointSlice::test("shop", "web", "x").with_port("http", 8080)
}

fn pool() -> AddressPool {
    AddressPool::test("pool", ["198.51.100.0/24"]).announced()
}

fn lab() -> Lab {
    let lab = NODES
        .into_iter()
        .fold(dual_stack(), |lab, name| lab.with(Node::test(name)));
    lab.with(pool()).with(web())
}

/// Of the first address.
fn announcers(lab: &Lab) -> Vec<String> {
    lab.service_facts("shop/web").unwrap().addresses[0].announcers.clone()
}

#[test]
fn three_nodes_stand_by_in_an_order_that_is_the_addresses_own() {
    let lab = lab();
    let order = announcers(&lab);
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 3);
    let firsts: BTreeSet<String> = (0..20)
        .map(|n| {
            let address = format!("198.51.100.{n}");
            let mut lab = self::lab();
            lab.apply(web().behind([&*address]));
            announcers(&lab).remove(0)
        })
        .collect();
    assert!(firsts.len() > 2, "addresses are spread: {firsts:?}");
}

#[test]
fn a_node_that_is_not_ready_keeps_its_place_and_another_stands_in_for_it() {
    let mut lab = lab();
    let before = announcers(&lab);
    lab.apply(Node::test(&before[0]).unready());
    let after = announcers(&lab);
    assert_eq!(after[..3], before[..]);
    assert_eq!(after.len(), 4);
    lab.apply(Node::test(&before[0]));
    assert_eq!(announcers(&lab), before);
}

#[test]
fn a_node_that_goes_leaves_the_order_of_the_others() {
    let mut lab = lab();
    let before = announcers(&lab);
    lab.delete(Key::node(&*before[1]));
    assert_eq!(announcers(&lab)[..2], [before[0].clone(), before[2].clone()]);
}

#[test]
fn a_node_that_no_load_balancer_sends_to_announces_nothing() {
    let mut lab = lab();
    let first = announcers(&lab).remove(0);
    lab.apply(Node::test(&first).labelled(EXCLUDED, ""));
    assert!(!announcers(&lab).contains(&first));
}

#[test]
fn a_node_without_a_slice_announces_nothing() {
    let mut lab = lab();
    let first = announcers(&lab).remove(0);
    lab.apply(Node::test(&first).with_cidrs(["nonsense"]));
    assert!(!announcers(&lab).contains(&first));
    lab.apply(Node::test(&first));
    assert_eq!(announcers(&lab)[0], first);
}

#[test]
fn a_pool_may_say_which_nodes_and_on_which_devices() {
    let mut lab = lab().with(pool().announced_by("edge", "true").announced_on(["eth1"]));
    assert_eq!(announcers(&lab), [""; 0]);
    lab.apply(Node::test("d").labelled("edge", "true"));
    lab.apply(Node::test("e").labelled("edge", "false"));
    let facts = lab.service_facts("shop/web").unwrap();
    assert_eq!(
        (&*facts.addresses[0].announcers, &*facts.addresses[0].interfaces),
        (&["d".to_owned()][..], &["eth1".to_owned()][..])
    );
}

#[test]
fn an_address_of_no_pool_or_of_one_that_others_route_is_not_announced() {
    let mut lab = lab();
    lab.apply(AddressPool::test("pool", ["198.51.100.0/24"]));
    assert_eq!(announcers(&lab), [""; 0]);
    lab.apply(AddressPool::test("pool", ["203.0.113.0/24"]).announced());
    assert_eq!(announcers(&lab), [""; 0]);
    lab.delete(Key::address_pool("pool"));
    assert_eq!(announcers(&lab), [""; 0]);
    lab.apply(pool());
    assert_eq!(announcers(&lab).len(), 3);
}

#[test]
fn external_ips_are_never_announced() {
    let mut lab = lab();
    lab.apply(web().with_external_ips(["198.51.100.8"]));
    assert_eq!(announcers(&lab), [""; 0], "of 198.51.100.8, in the pool or not");
}

#[test]
fn of_pools_with_one_address_the_older_one_counts() {
    let older = AddressPool {
        created: meridian_model::Timestamp(-1),
        ..AddressPool::test("z", ["198.51.100.7"])
    };
    let lab = lab().with(older);
    assert_eq!(announcers(&lab), [""; 0]);
}

#[test]
fn a_range_of_a_pool_that_is_none_is_reported_and_the_others_stand() {
    let lab = lab().with(AddressPool::test("pool", ["198.51.100.9/24", "198.51.100.0/24"]).announced());
    assert_eq!(announcers(&lab).len(), 3);
    let [problem] = &lab.problems()[..] else {
        panic!("{:?}", lab.problems())
    };
    assert!(
        problem.starts_with("addresspool/pool: spec.addresses[0]: 198.51.100.9/24 is an address"),
        "{problem}"
    );
}

#[test]
fn with_a_policy_of_local_only_nodes_with_endpoints_announce() {
    let ready = slice().ready(["10.244.1.9"]).on("b").ready(["10.244.3.9"]).on("d");
    let mut lab = lab().with(local()).with(ready);
    assert_eq!(
        announcers(&lab).into_iter().collect::<BTreeSet<_>>(),
        ["b", "d"].map(String::from).into()
    );
    lab.apply(slice().ready(["10.244.1.9"]).on("b"));
    assert_eq!(announcers(&lab), ["b"]);
    lab.delete(Key::endpoint_slice("shop", "web-x"));
    assert_eq!(announcers(&lab), [""; 0]);
}

#[test]
fn while_nothing_is_ready_nodes_whose_endpoints_are_on_their_way_out_announce() {
    let draining = slice().with_endpoints(EndpointState::Draining, ["10.244.1.9"]).on("b");
    let mut lab = lab().with(local()).with(draining.clone());
    assert_eq!(announcers(&lab), ["b"]);
    lab.apply(draining.ready(["10.244.2.9"]).on("c"));
    assert_eq!(announcers(&lab), ["c"]);
}
