mod property;
mod world;

use meridian_api::address_pool::{ADDRESSES, CLASS, POOL};
use serde_json::json;

use super::*;
use world::{World, asking, dual, having, key, merged, reason};

#[test]
fn the_oldest_service_gets_the_lowest_address_of_the_oldest_pool() {
    let mut w = World::with(&[("z", &["198.51.100.4-198.51.100.5"]), ("a", &["198.51.100.1"])]);
    for name in ["web", "api", "db"] {
        w.service(name, &json!({}));
    }
    let plan = w.settle();
    assert_eq!(
        [w.held("web"), w.held("api"), w.held("db")],
        [["198.51.100.4"], ["198.51.100.5"], ["198.51.100.1"]]
    );
    assert_eq!(plan.decisions[&key("web")].verdict, Verdict::Served(vec!["z".into()]));
    assert_eq!(plan.given, [[2, 0], [1, 0]]);
}

#[test]
fn what_a_service_has_it_keeps_and_nobody_else_gets_it() {
    let mut w = World::with(&[("public", &["198.51.100.1-198.51.100.3"])]);
    w.service("new", &json!({}));
    w.service("old", &having(&["198.51.100.1"]));
    w.settle();
    assert_eq!(
        (w.held("old"), w.held("new")),
        (vec!["198.51.100.1".into()], vec!["198.51.100.2".into()])
    );
}

#[test]
fn of_two_with_one_address_the_older_keeps_it_and_the_other_is_told() {
    let mut w = World::with(&[("public", &["198.51.100.1-198.51.100.3"])]);
    w.service("old", &having(&["198.51.100.1"]));
    w.service("new", &having(&["198.51.100.1"]));
    let plan = w.plan();
    let lost = &plan.decisions[&key("new")].lost;
    assert_eq!(lost[0].1, "service shop/old had it before");
    w.settle();
    assert_eq!(
        (w.held("old"), w.held("new")),
        (vec!["198.51.100.1".into()], vec!["198.51.100.2".into()])
    );
}

#[test]
fn a_pool_that_is_exhausted_is_named_and_what_is_freed_is_given_to_who_waits() {
    let mut w = World::with(&[("public", &["198.51.100.1"])]);
    w.service("web", &json!({}));
    w.service("api", &json!({}));
    let plan = w.settle();
    let Verdict::Waits(trouble) = &plan.decisions[&key("api")].verdict else {
        panic!("{plan:?}")
    };
    assert_eq!(trouble.reason, "AddressPoolExhausted");
    assert!(
        trouble.message.starts_with("no IPv4 address is free in public: "),
        "{}",
        trouble.message
    );
    w.services.remove(&key("web"));
    w.settle();
    assert_eq!(w.held("api"), ["198.51.100.1"]);
}

#[test]
fn an_address_that_is_freed_is_given_only_when_that_is_written() {
    let mut w = World::with(&[("public", &["198.51.100.1"])]);
    w.service("web", &json!({}));
    w.service("api", &json!({}));
    w.settle();
    w.change("web", &json!({"spec": {"type": "ClusterIP"}}));
    let plan = w.plan();
    assert_eq!(reason(&plan, "web"), "released");
    assert!(plan.decisions[&key("api")].addresses.is_empty());
    w.settle();
    assert_eq!(
        (w.held("web").len(), w.held("api")),
        (0, vec!["198.51.100.1".to_owned()])
    );
}

#[test]
fn what_was_freed_lately_is_given_last() {
    let mut w = World::with(&[("public", &["198.51.100.1-198.51.100.3"])]);
    w.recent = vec!["198.51.100.2".parse().unwrap(), "198.51.100.1".parse().unwrap()];
    for name in ["a", "b", "c"] {
        w.service(name, &json!({}));
    }
    w.settle();
    assert_eq!(
        [w.held("a"), w.held("b"), w.held("c")],
        [["198.51.100.3"], ["198.51.100.2"], ["198.51.100.1"]]
    );
}

#[test]
fn services_of_others_are_left_alone() {
    let mut w = World::with(&[("public", &["198.51.100.1-198.51.100.3"])]);
    w.service("class", &json!({"spec": {"loadBalancerClass": "example.com/lb"}}));
    w.service(
        "hostname",
        &json!({"status": {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}}),
    );
    w.service("address", &having(&["203.0.113.9"]));
    w.service(
        "inside",
        &merged(
            &having(&["198.51.100.1"]),
            &json!({"spec": {"loadBalancerClass": "example.com/lb"}}),
        ),
    );
    w.service(
        "external",
        &json!({"spec": {"type": "ClusterIP", "externalIPs": ["198.51.100.2"]}}),
    );
    w.service("ours", &json!({"spec": {"loadBalancerClass": CLASS}}));
    let plan = w.settle();
    let decided: Vec<_> = plan.decisions.keys().map(|key| &*key.name).collect();
    assert_eq!(decided, ["ours"]);
    assert_eq!(w.held("ours"), ["198.51.100.3"]);
    assert_eq!((plan.given[0], plan.blocked[0]), ([1, 0], [2, 0]));
}

#[test]
fn without_pools_only_those_that_name_us_are_told() {
    let mut w = World::default();
    w.service("any", &json!({}));
    w.service("ours", &json!({"spec": {"loadBalancerClass": CLASS}}));
    let plan = w.plan();
    assert_eq!(plan.decisions.len(), 1);
    assert_eq!(reason(&plan, "ours"), "NoAddressPool");
}

#[test]
fn a_pool_that_goes_takes_its_addresses_with_it() {
    let mut w = World::with(&[("public", &["198.51.100.1-198.51.100.3"]), ("other", &["203.0.113.1"])]);
    w.service("web", &json!({}));
    w.service("api", &json!({}));
    w.settle();
    w.pools.remove(0);
    let plan = w.plan();
    assert_eq!(
        plan.decisions[&key("web")].lost[0].1,
        "it is in no address pool any more"
    );
    let plan = w.settle();
    assert_eq!(
        (w.held("web"), w.held("api").len()),
        (vec!["203.0.113.1".to_owned()], 0)
    );
    assert_eq!(reason(&plan, "api"), "AddressPoolExhausted");
    w.pools.clear();
    let plan = w.settle();
    assert!(w.held("web").is_empty() && plan.decisions.is_empty(), "{plan:?}");
}

#[test]
fn a_range_that_cannot_be_read_takes_nothing_away() {
    let mut w = World::with(&[("public", &["198.51.100.1-198.51.100.3", "203.0.113.1"])]);
    w.service("web", &json!({}));
    w.settle();
    w.pool(
        "public",
        &json!({"addresses": ["198.51.100.1-198.51.100.", "203.0.113.1"]}),
    );
    w.service("api", &json!({}));
    w.settle();
    assert_eq!(
        (w.held("web"), w.held("api")),
        (vec!["198.51.100.1".into()], vec!["203.0.113.1".into()])
    );
}

#[test]
fn addresses_are_of_the_families_that_the_service_has() {
    let mut w = World::with(&[
        ("four", &["198.51.100.1-198.51.100.9"]),
        ("six", &["2001:db8::1-2001:db8::2"]),
    ]);
    w.service("both", &dual("RequireDualStack"));
    w.service("six", &json!({"spec": {"ipFamilies": ["IPv6"]}}));
    w.service("late", &dual("RequireDualStack"));
    w.service("content", &dual("PreferDualStack"));
    let plan = w.settle();
    assert_eq!(w.held("both"), ["198.51.100.1", "2001:db8::1"]);
    assert_eq!(w.held("six"), ["2001:db8::2"]);
    // All or nothing, and what there is.
    assert_eq!(
        (w.held("late").len(), reason(&plan, "late")),
        (0, "AddressPoolExhausted")
    );
    assert_eq!(
        (w.held("content"), reason(&plan, "content")),
        (vec!["198.51.100.2".to_owned()], "served")
    );
    // What it has is not taken for what it lacks.
    w.pools.remove(1);
    let plan = w.settle();
    assert_eq!(
        (w.held("both"), reason(&plan, "both")),
        (vec!["198.51.100.1".to_owned()], "NoAddressPool")
    );
}

#[test]
fn an_address_that_is_asked_for_is_given_before_others_get_one() {
    let mut w = World::with(&[("public", &["198.51.100.1-198.51.100.3"])]);
    w.pool("kept", &json!({"addresses": ["203.0.113.7"], "autoAssign": false}));
    w.service("any", &json!({}));
    w.service("first", &asking(ADDRESSES, "198.51.100.1"));
    w.service("old", &json!({"spec": {"loadBalancerIP": "203.0.113.7"}}));
    w.service("late", &asking(ADDRESSES, "198.51.100.1"));
    w.service("lost", &asking(ADDRESSES, "192.0.2.1"));
    w.service("wrong", &asking(ADDRESSES, "198.51.100.one"));
    w.service("six", &asking(ADDRESSES, "2001:db8::1"));
    let plan = w.settle();
    assert_eq!(w.held("first"), ["198.51.100.1"]);
    assert_eq!(w.held("old"), ["203.0.113.7"]);
    assert_eq!(w.held("any"), ["198.51.100.2"]);
    assert_eq!(reason(&plan, "late"), "AddressInUse");
    assert_eq!(reason(&plan, "lost"), "AddressNotInPool");
    assert_eq!(reason(&plan, "wrong"), "InvalidAddressRequest");
    assert_eq!(reason(&plan, "six"), "InvalidAddressRequest");
    // It moves when it can, and keeps what it has while it cannot.
    w.change("any", &asking(ADDRESSES, "198.51.100.1"));
    assert_eq!(reason(&w.settle(), "any"), "AddressInUse");
    assert_eq!(w.held("any"), ["198.51.100.2"]);
    w.change("any", &asking(ADDRESSES, "198.51.100.3"));
    w.settle();
    assert_eq!(w.held("any"), ["198.51.100.3"]);
}

#[test]
fn a_pool_that_is_asked_for_is_the_only_one() {
    let mut w = World::with(&[("public", &["198.51.100.1"])]);
    w.pool("kept", &json!({"addresses": ["203.0.113.7"], "autoAssign": false}));
    w.service("web", &asking(POOL, "kept"));
    w.service("api", &asking(POOL, "kept"));
    w.service("db", &asking(POOL, "nowhere"));
    let plan = w.settle();
    assert_eq!(
        (w.held("web"), reason(&plan, "api")),
        (vec!["203.0.113.7".to_owned()], "AddressPoolExhausted")
    );
    assert_eq!(reason(&plan, "db"), "NoSuchAddressPool");
    w.change("web", &asking(POOL, "public"));
    w.settle();
    assert_eq!(
        (w.held("web"), w.held("api")),
        (vec!["198.51.100.1".into()], vec!["203.0.113.7".into()])
    );
}

#[test]
fn selectors_say_whose_services_a_pool_is_for() {
    let mut w = World::default();
    w.pool(
        "labelled",
        &json!({"addresses": ["198.51.100.1"], "serviceSelector": {"matchLabels": {"tier": "front"}},
                "namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}}),
    );
    w.service("plain", &json!({}));
    w.service("front", &json!({"metadata": {"labels": {"tier": "front"}}}));
    assert_eq!(reason(&w.settle(), "front"), "NoAddressPool");
    w.namespaces
        .insert("shop".into(), [("team".to_owned(), "b".to_owned())].into());
    assert_eq!(reason(&w.settle(), "plain"), "NoAddressPool");
    assert_eq!(w.held("front"), ["198.51.100.1"]);
}

#[test]
fn a_pool_that_overlaps_another_or_a_network_of_the_cluster_gives_nothing_and_takes_nothing() {
    let mut w = World::with(&[("old", &["198.51.100.1"]), ("new", &["198.51.100.0/30"])]);
    w.service("web", &having(&["198.51.100.2"]));
    w.service("api", &json!({}));
    w.service("db", &json!({}));
    w.reserved
        .add("10.244.0.0/16".parse().unwrap(), "10.244.0.0/16 of --cluster-cidr");
    w.pool("pods", &json!({"addresses": ["10.244.7.0/30"]}));
    w.pool(
        "host",
        &json!({"addresses": ["127.0.0.1", "203.0.113.1"], "autoAssign": false}),
    );
    let plan = w.settle();
    assert_eq!(
        (w.held("web"), w.held("api")),
        (vec!["198.51.100.2".into()], vec!["198.51.100.1".into()])
    );
    assert_eq!(reason(&plan, "db"), "AddressPoolExhausted");
    let faults: Vec<_> = w
        .pools()
        .list
        .iter()
        .map(|pool| pool.fault.clone().map(|f| f.message))
        .collect();
    assert!(
        faults[1].as_ref().unwrap().contains("overlaps the older pool old"),
        "{faults:?}"
    );
    assert!(faults[2].as_ref().unwrap().contains("of --cluster-cidr"), "{faults:?}");
    assert!(
        faults[3]
            .as_ref()
            .unwrap()
            .starts_with("spec.addresses[0]: 127.0.0.1 has addresses"),
        "{faults:?}"
    );
}

#[test]
fn a_service_that_is_going_gets_nothing_and_keeps_what_it_has() {
    let mut w = World::with(&[("public", &["198.51.100.1-198.51.100.3"])]);
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-03T00:00:00Z"}});
    w.service("had", &merged(&going, &having(&["198.51.100.1"])));
    w.service("late", &going);
    w.settle();
    assert_eq!((w.held("had").len(), w.held("late").len()), (1, 0));
}
