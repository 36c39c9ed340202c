//! Which endpoints answer where: traffic policies, and hints of endpoints.

use meridian_model::{EndpointSlice, EndpointState, Event, Key, Kind, Node, Service, TrafficPolicy};

use crate::support::{Lab, dual_stack, vips};

const WEB: &str = "10.96.0.7:80";
const ALL: &str = "10.244.0.9:8080,10.244.1.9:8080";

fn web() -> Service {
    Service::test("shop", "web").under(["10.96.0.7"]).with_port("http", 80)
}

/// Answered on each node by endpoints of that node.
fn local() -> Service {
    web().with_policies(TrafficPolicy::Local, TrafficPolicy::Cluster)
}

fn slice() -> EndpointSlice {
    EndpointSlice::test("shop", "web", "x").with_port("http", 8080)
}

/// One endpoint on `a` and one on `b`, meant for these zones and nodes.
fn meant(a: (&[&str], &[&str]), b: (&[&str], &[&str])) -> EndpointSlice {
    let first = slice().ready(["10.244.0.9"]).on("a").meant_for(a.0, a.1);
    first.ready(["10.244.1.9"]).on("b").meant_for(b.0, b.1)
}

/// Nodes `a` in zone `east`, `b` in `west`, `c` in none.
fn zones() -> Lab {
    dual_stack()
        .with(Node::test("a").in_zone("east"))
        .with(Node::test("b").in_zone("west"))
        .with(Node::test("c"))
}

fn everywhere(lab: &Lab) -> [Option<String>; 3] {
    ["a", "b", "c"].map(|node| lab.on(node, WEB))
}

fn expect(lab: &Lab, a: &str, b: &str, c: &str) {
    assert_eq!(everywhere(lab), [a, b, c].map(|text| Some(text.to_owned())));
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn with_an_internal_policy_of_local_each_node_has_its_own_endpoints_and_others_none() {
    let both = slice().ready(["10.244.0.9"]).on("a").ready(["10.244.1.9"]).on("b");
    let lab = zones().with(local()).with(both);
    let expected = [Some("10.244.0.9:8080"), Some("10.244.1.9:8080"), None];
    assert_eq!(everywhere(&lab), expected.map(|text| text.map(str::to_owned)));
    assert_eq!(lab.balancers(), ["shop_web_tcp@node/a", "shop_web_tcp@node/b"]);
    let dump = lab.dump();
    let link =
        "<Logical_Switch vpc-default-a>.load_balancer += <Load_Balancer shop_web_tcp@node/a> of service/shop/web";
    assert!(dump.contains(link), "{dump}");
}

#[test]
fn while_a_local_service_has_no_endpoint_at_all_everybody_is_refused() {
    let mut lab = zones().with(local());
    expect(&lab, "", "", "");
    lab.apply(slice().with_endpoints(EndpointState::Unready, ["10.244.0.9"]).on("a"));
    expect(&lab, "", "", "");
    assert_eq!(lab.balancers(), ["shop_web_tcp"]);
    lab.apply(slice().ready(["10.244.0.9"]).on("a"));
    assert_eq!(lab.balancers(), ["shop_web_tcp@node/a"]);
    lab.delete(Key::endpoint_slice("shop", "web-x"));
    expect(&lab, "", "", "");
}

#[test]
fn an_endpoint_on_its_way_out_answers_on_its_node_if_none_is_ready_there() {
    let draining = slice().with_endpoints(EndpointState::Draining, ["10.244.0.9"]).on("a");
    let lab = zones().with(local()).with(draining.ready(["10.244.1.9"]).on("b"));
    let lab = lab.with(web_two_on_b());
    assert_eq!(lab.on("a", WEB).as_deref(), Some("10.244.0.9:8080"));
    assert_eq!(lab.on("b", WEB).as_deref(), Some("10.244.1.9:8080"));
}

/// One endpoint more on `b`, on its way out.
fn web_two_on_b() -> EndpointSlice {
    let slice = EndpointSlice::test("shop", "web", "y").with_port("http", 8080);
    slice.with_endpoints(EndpointState::Draining, ["10.244.1.10"]).on("b")
}

#[test]
fn endpoints_of_a_local_service_on_no_node_or_one_without_slice_answer_nobody() {
    let lab = zones().with(local()).with(slice().ready(["10.244.0.9"]).on("gone"));
    assert_eq!(everywhere(&lab), [None, None, None]);
    let mut lab = lab.with(slice().ready(["10.244.0.9"]));
    assert_eq!(everywhere(&lab), [None, None, None]);
    lab.apply(slice().ready(["10.244.3.9"]).on("late"));
    lab.apply(Node::test("late"));
    assert_eq!(lab.on("late", WEB).as_deref(), Some("10.244.3.9:8080"));
    lab.delete(Key::node("late"));
    assert_eq!(lab.balancers(), [""; 0]);
}

#[test]
fn a_local_services_other_frontends_are_answered_by_all() {
    let lab = zones()
        .with(local().on_nodes(30080).with_external_ips(["192.0.2.7"]))
        .with(slice().ready(["10.244.0.9"]).on("a"));
    for node in ["a", "b", "c"] {
        for frontend in ["169.254.77.1:30080", "192.0.2.7:80"] {
            assert_eq!(lab.on(node, frontend).as_deref(), Some("10.244.0.9:8080"));
        }
    }
    assert_eq!(lab.on("b", WEB), None);
    assert_eq!(lab.balancers(), ["shop_web_tcp", "shop_web_tcp@node/a"]);
}

#[test]
fn endpoints_meant_for_zones_answer_there_and_all_where_none_is_meant_for() {
    let lab = zones().with(web()).with(meant((&["east"], &[]), (&["west"], &[])));
    expect(&lab, "10.244.0.9:8080", "10.244.1.9:8080", ALL);
    let names = ["shop_web_tcp@zone/", "shop_web_tcp@zone/east", "shop_web_tcp@zone/west"];
    assert_eq!(lab.balancers(), names);
    let lab = lab.with(Node::test("d").in_zone("north"));
    assert_eq!(lab.on("d", WEB).as_deref(), Some(ALL));
}

#[test]
fn an_endpoint_may_be_meant_for_several_zones() {
    let lab = zones()
        .with(web())
        .with(meant((&["east", "west"], &[]), (&["west"], &[])));
    expect(&lab, "10.244.0.9:8080", ALL, ALL);
}

#[test]
fn one_endpoint_without_a_hint_and_all_answer_everywhere() {
    let hinted = meant((&["east"], &[]), (&["west"], &[]));
    let mut lab = zones().with(web()).with(hinted.clone());
    lab.apply(hinted.ready(["10.244.2.9"]).on("c"));
    let all = format!("{ALL},10.244.2.9:8080");
    expect(&lab, &all, &all, &all);
    assert_eq!(lab.balancers(), ["shop_web_tcp"]);
}

#[test]
fn in_a_cluster_without_zones_hints_of_zones_mean_nothing() {
    let mut lab = dual_stack()
        .with(Node::test("a"))
        .with(Node::test("b"))
        .with(Node::test("c"));
    lab.apply(web());
    lab.apply(meant((&["east"], &[]), (&["west"], &[])));
    expect(&lab, ALL, ALL, ALL);
    assert_eq!(lab.balancers(), ["shop_web_tcp"]);
    assert!(!lab.dump().contains("vpc-default@"), "no group of a zone");
}

#[test]
fn endpoints_that_are_not_ready_have_no_say_in_it() {
    let hinted = meant((&["east"], &[]), (&["west"], &[]));
    let unready = hinted.with_endpoints(EndpointState::Unready, ["10.244.2.9"]).on("c");
    let lab = zones().with(web()).with(unready);
    expect(&lab, "10.244.0.9:8080", "10.244.1.9:8080", ALL);
}

#[test]
fn what_is_on_its_way_out_answers_everywhere_whatever_it_is_meant_for() {
    let draining = |zones: &[&str], nodes: &[&str]| {
        let slice = slice().with_endpoints(EndpointState::Draining, ["10.244.0.9"]).on("a");
        zones_lab(slice.meant_for(zones, nodes))
    };
    for lab in [draining(&["east"], &[]), draining(&["east"], &["a"])] {
        expect(&lab, "10.244.0.9:8080", "10.244.0.9:8080", "10.244.0.9:8080");
        assert_eq!(lab.balancers(), ["shop_web_tcp"]);
    }
}

fn zones_lab(slice: EndpointSlice) -> Lab {
    zones().with(web()).with(slice)
}

#[test]
fn a_node_that_changes_its_zone_changes_its_group_and_what_it_reaches() {
    let mut lab = zones().with(web()).with(meant((&["east"], &[]), (&["west"], &[])));
    lab.apply(Node::test("a").in_zone("west"));
    expect(&lab, "10.244.1.9:8080", "10.244.1.9:8080", ALL);
    assert!(!lab.dump().contains("east"), "a zone without nodes leaves nothing");
    lab.apply(Node::test("c").in_zone("east"));
    expect(&lab, "10.244.1.9:8080", "10.244.1.9:8080", "10.244.0.9:8080");
    assert_eq!(lab.balancers(), ["shop_web_tcp@zone/east", "shop_web_tcp@zone/west"]);
    let bare = ["a", "b", "c"].map(|name| Node::test(name).into());
    lab.0.apply(Event::Replace(Kind::Node, bare.into()));
    lab.0.compile();
    expect(&lab, ALL, ALL, ALL);
    assert_eq!(lab.balancers(), ["shop_web_tcp"]);
}

#[test]
fn a_node_without_a_zone_has_a_group_only_beside_nodes_with_one() {
    let mut lab = dual_stack().with(Node::test("c"));
    let groups = |lab: &Lab| {
        let dump = lab.dump();
        let of_c = |line: &&str| line.starts_with("<Logical_Switch vpc-default-c>.load_balancer_group");
        dump.lines().filter(of_c).count()
    };
    assert_eq!(groups(&lab), 1);
    lab.apply(Node::test("a").in_zone("east"));
    assert_eq!(groups(&lab), 2);
    lab.delete(Key::node("a"));
    assert_eq!(groups(&lab), 1);
}

#[test]
fn endpoints_meant_for_nodes_answer_there_and_all_elsewhere() {
    let lab = zones().with(web()).with(meant((&[], &["a"]), (&[], &["b"])));
    expect(&lab, "10.244.0.9:8080", "10.244.1.9:8080", ALL);
    let names = ["shop_web_tcp@node/a", "shop_web_tcp@node/b", "shop_web_tcp@rest/"];
    assert_eq!(lab.balancers(), names);
}

#[test]
fn where_no_endpoint_is_meant_for_the_node_those_of_the_zone_answer() {
    let lab = zones()
        .with(Node::test("d").in_zone("east"))
        .with(web())
        .with(meant((&["east"], &["a"]), (&["west"], &["b"])));
    expect(&lab, "10.244.0.9:8080", "10.244.1.9:8080", ALL);
    assert_eq!(lab.on("d", WEB).as_deref(), Some("10.244.0.9:8080"));
    assert!(lab.balancers().contains(&"shop_web_tcp@rest/east".to_owned()));
}

#[test]
fn if_not_all_are_meant_for_nodes_it_goes_by_zone() {
    let lab = zones().with(web()).with(meant((&["east"], &["a"]), (&["west"], &[])));
    expect(&lab, "10.244.0.9:8080", "10.244.1.9:8080", ALL);
    assert_eq!(lab.balancers()[0], "shop_web_tcp@zone/");
}

#[test]
fn a_new_node_joins_those_that_no_endpoint_is_meant_for() {
    let mut lab = zones().with(web()).with(meant((&[], &["a"]), (&[], &["b"])));
    lab.apply(Node::test("d"));
    assert_eq!(lab.on("d", WEB).as_deref(), Some(ALL));
    lab.apply(meant((&[], &["a"]), (&[], &["d"])));
    assert_eq!(lab.on("d", WEB).as_deref(), Some("10.244.1.9:8080"));
    assert_eq!(lab.on("b", WEB).as_deref(), Some(ALL));
    lab.delete(Key::node("d"));
    expect(&lab, "10.244.0.9:8080", ALL, ALL);
}

#[test]
fn hints_count_port_by_port_and_a_node_has_each_frontend_once() {
    let other = EndpointSlice::test("shop", "web", "y")
        .with_port("admin", 9090)
        .ready(["10.244.2.9"]);
    let lab = zones()
        .with(web().with_port("admin", 81))
        .with(meant((&[], &["a"]), (&[], &["b"])))
        .with(other);
    expect(&lab, "10.244.0.9:8080", "10.244.1.9:8080", ALL);
    for node in ["a", "b", "c"] {
        assert_eq!(lab.on(node, "10.96.0.7:81").as_deref(), Some("10.244.2.9:9090"));
    }
    assert_eq!(vips(&lab, "shop_web_tcp").len(), 1);
}

#[test]
fn hints_have_no_say_over_endpoints_of_a_local_service() {
    let lab = zones()
        .with(local())
        .with(meant((&["west"], &["b"]), (&["east"], &["a"])));
    assert_eq!(lab.on("a", WEB).as_deref(), Some("10.244.0.9:8080"));
    assert_eq!(lab.on("b", WEB).as_deref(), Some("10.244.1.9:8080"));
}
