//! What services become.

use std::collections::BTreeMap;

use meridian_api::port::Route;
use meridian_model::{EndpointSlice, EndpointState, Event, Key, Node, Protocol, Service, ServiceType};
use ovsdb::Datum;

use crate::support::{BALANCER, Lab, dual_stack, vips};

/// `shop/web`, dual stack, with one port.
fn web() -> Service {
    Service::test("shop", "web")
        .under(["10.96.0.7", "fd00:10:96::7"])
        .with_port("http", 80)
}

fn slice(suffix: &str) -> EndpointSlice {
    EndpointSlice::test("shop", "web", suffix).with_port("http", 8080)
}

/// The backends of the IPv4 frontend of `shop/web`.
fn backends(lab: &Lab) -> String {
    vips(lab, "shop_web_tcp")["10.96.0.7:80"].clone()
}

fn option<'a>(lab: &'a Lab, balancer: &str, option: &str) -> Option<&'a str> {
    lab.row(BALANCER, balancer)?.get("options")?.get_str(option)
}

fn is_there(lab: &Lab) -> bool {
    lab.row(BALANCER, "shop_web_tcp").is_some()
}

#[test]
fn a_service_sends_to_the_endpoints_of_its_slices_family_by_family() {
    let lab = dual_stack()
        .with(web())
        .with(slice("4").ready(["10.244.1.5", "10.244.0.9"]))
        .with(slice("6").of_ipv6().ready(["fd00:10:244::9"]));
    let expected = [
        ("10.96.0.7:80", "10.244.0.9:8080,10.244.1.5:8080"),
        ("[fd00:10:96::7]:80", "[fd00:10:244::9]:8080"),
    ];
    let expected = expected.map(|(frontend, backends)| (frontend.to_owned(), backends.to_owned()));
    assert_eq!(vips(&lab, "shop_web_tcp"), BTreeMap::from(expected));
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn a_service_without_endpoints_refuses() {
    let lab = dual_stack().with(web());
    assert_eq!(backends(&lab), "");
    assert_eq!(option(&lab, "shop_web_tcp", "reject"), Some("true"));
}

#[test]
fn slices_may_come_before_their_service() {
    let lab = dual_stack().with(slice("x").ready(["10.244.0.9"])).with(web());
    assert_eq!(backends(&lab), "10.244.0.9:8080");
}

#[test]
fn slices_are_merged_and_each_endpoint_counts_once() {
    let lab = dual_stack()
        .with(web())
        .with(slice("a").ready(["10.244.0.9", "10.244.0.5"]))
        .with(slice("b").ready(["10.244.0.9", "10.244.0.7"]));
    assert_eq!(backends(&lab), "10.244.0.5:8080,10.244.0.7:8080,10.244.0.9:8080");
}

#[test]
fn an_endpoint_is_ready_if_any_slice_says_so() {
    for (first, second) in [("a", "b"), ("b", "a")] {
        let lab = dual_stack()
            .with(web())
            .with(slice(first).ready(["10.244.0.9"]))
            .with(slice(second).with_endpoints(EndpointState::Unready, ["10.244.0.9"]));
        assert_eq!(backends(&lab), "10.244.0.9:8080");
    }
}

#[test]
fn endpoints_on_their_way_out_serve_only_while_nothing_is_ready() {
    let draining = slice("x").with_endpoints(EndpointState::Draining, ["10.244.0.9"]);
    let unready = draining.clone().with_endpoints(EndpointState::Unready, ["10.244.0.8"]);
    let mut lab = dual_stack().with(web()).with(unready);
    assert_eq!(backends(&lab), "10.244.0.9:8080");
    lab.apply(draining.ready(["10.244.0.5"]));
    assert_eq!(backends(&lab), "10.244.0.5:8080");
}

#[test]
fn a_named_port_may_be_another_at_each_endpoint() {
    let lab = dual_stack()
        .with(web().with_port("admin", 81))
        .with(slice("old").ready(["10.244.0.5"]))
        .with(
            EndpointSlice::test("shop", "web", "new")
                .with_port("http", 9090)
                .with_port("admin", 9091)
                .ready(["10.244.0.6"]),
        );
    let vips = vips(&lab, "shop_web_tcp");
    assert_eq!(vips["10.96.0.7:80"], "10.244.0.5:8080,10.244.0.6:9090");
    assert_eq!(vips["10.96.0.7:81"], "10.244.0.6:9091");
}

#[test]
fn each_protocol_has_a_load_balancer_of_its_own() {
    let dns = Service::test("shop", "dns")
        .under(["10.96.0.10"])
        .with_port_of(Protocol::Udp, "dns", 53)
        .with_port_of(Protocol::Tcp, "dns-tcp", 53)
        .with_port_of(Protocol::Sctp, "sig", 53);
    let slice = EndpointSlice::test("shop", "dns", "x")
        .with_port_of(Protocol::Udp, "dns", 5353)
        .with_port_of(Protocol::Tcp, "dns-tcp", 5354)
        .with_port_of(Protocol::Sctp, "sig", 5355)
        .ready(["10.244.0.9"]);
    let lab = dual_stack().with(dns).with(slice);
    for (protocol, port) in [("udp", 5353), ("tcp", 5354), ("sctp", 5355)] {
        let name = format!("shop_dns_{protocol}");
        assert_eq!(vips(&lab, &name)["10.96.0.10:53"], format!("10.244.0.9:{port}"));
        let row = lab.row(BALANCER, &name).unwrap();
        assert_eq!(row.get("protocol").unwrap().as_str(), Some(protocol));
    }
}

#[test]
fn a_port_of_another_protocol_is_another_port() {
    let lab = dual_stack().with(web()).with(
        EndpointSlice::test("shop", "web", "x")
            .with_port_of(Protocol::Udp, "http", 8080)
            .ready(["10.244.0.9"]),
    );
    assert_eq!(backends(&lab), "");
}

#[test]
fn headless_services_and_those_of_others_have_no_rows() {
    let headless = Service::test("shop", "web").under(["None"]).with_port("http", 80);
    let mut name = web();
    name.r#type = ServiceType::ExternalName;
    let mut theirs = web();
    theirs.left_to_others = true;
    for service in [headless, name, theirs] {
        let lab = dual_stack().with(service).with(slice("x").ready(["127.0.0.1"]));
        assert!(!is_there(&lab));
        assert_eq!(lab.problems(), [""; 0]);
    }
}

#[test]
fn a_service_that_changes_its_type_changes_its_rows() {
    let mut lab = dual_stack().with(web()).with(slice("x").ready(["10.244.0.9"]));
    let mut name = web();
    name.r#type = ServiceType::ExternalName;
    lab.apply(name);
    assert!(!is_there(&lab));
    let mut outside = web();
    outside.r#type = ServiceType::LoadBalancer;
    lab.apply(outside);
    assert_eq!(backends(&lab), "10.244.0.9:8080");
}

#[test]
fn a_service_whose_addresses_and_ports_change_is_reached_under_the_new_ones_alone() {
    let mut lab = dual_stack().with(web()).with(slice("x").ready(["10.244.0.9"]));
    lab.apply(Service::test("shop", "web").under(["10.96.0.8"]).with_port("http", 82));
    let expected = BTreeMap::from([("10.96.0.8:82".to_owned(), "10.244.0.9:8080".to_owned())]);
    assert_eq!(vips(&lab, "shop_web_tcp"), expected);
}

#[test]
fn a_slice_that_changes_hands_serves_the_other_service() {
    let other = Service::test("shop", "other")
        .under(["10.96.0.8"])
        .with_port("http", 80);
    let mut lab = dual_stack()
        .with(web())
        .with(other)
        .with(slice("x").ready(["10.244.0.9"]));
    let mut moved = slice("x").ready(["10.244.0.9"]);
    moved.service = Some("other".into());
    let delta = lab.apply(moved.clone());
    assert_eq!(delta.units, 2, "both services");
    assert_eq!(backends(&lab), "");
    assert_eq!(vips(&lab, "shop_other_tcp")["10.96.0.8:80"], "10.244.0.9:8080");
    moved.service = None;
    lab.apply(moved);
    assert_eq!(vips(&lab, "shop_other_tcp")["10.96.0.8:80"], "");
}

#[test]
fn a_slice_of_another_namespace_is_another_services() {
    let mut foreign = slice("x").ready(["10.244.0.9"]);
    foreign.namespace = "elsewhere".into();
    assert_eq!(backends(&dual_stack().with(web()).with(foreign)), "");
}

#[test]
fn affinity_lasts_as_long_as_ovn_can_remember() {
    // By the hash of an IPv6 address OVN 23.03 cannot choose.
    for (seconds, written) in [(1, "1"), (10_800, "10800"), (65_535, "65535"), (86_400, "65535")] {
        let lab = dual_stack().with(web().with_affinity(seconds));
        assert_eq!(option(&lab, "shop_web_tcp", "affinity_timeout"), Some(written));
    }
    assert_eq!(
        option(&dual_stack().with(web()), "shop_web_tcp", "affinity_timeout"),
        None
    );
}

#[test]
fn affinity_that_is_longer_follows_from_the_clients_address() {
    let fields = |lab: &Lab| {
        let fields = lab.row(BALANCER, "shop_web_tcp").unwrap().get("selection_fields");
        fields.unwrap().clone()
    };
    let four = web().under(["10.96.0.7"]);
    let lab = dual_stack().with(four.clone().with_affinity(86_400));
    assert_eq!(option(&lab, "shop_web_tcp", "affinity_timeout"), None);
    assert_eq!(fields(&lab), Datum::scalar("ip_src"));
    for service in [four.with_affinity(65_535), web().with_affinity(86_400)] {
        assert_eq!(fields(&dual_stack().with(service)), Datum::empty());
    }
}

#[test]
fn what_is_tracked_of_udp_goes_with_the_endpoint() {
    let both = web().with_port_of(Protocol::Udp, "dns", 53);
    let lab = dual_stack().with(both);
    assert_eq!(option(&lab, "shop_web_udp", "ct_flush"), Some("true"));
    assert_eq!(option(&lab, "shop_web_tcp", "ct_flush"), None);
}

#[test]
fn every_switch_has_the_load_balancers_of_the_vpc() {
    let lab = dual_stack().with(Node::test("a")).with(Node::test("b")).with(web());
    let dump = lab.dump();
    for line in [
        "<Logical_Switch vpc-default-a>.load_balancer_group += <Load_Balancer_Group vpc-default> of node/a",
        "<Logical_Switch vpc-default-b>.load_balancer_group += <Load_Balancer_Group vpc-default> of node/b",
        "<Load_Balancer_Group vpc-default>.load_balancer += <Load_Balancer shop_web_tcp> of service/shop/web",
    ] {
        assert!(dump.contains(line), "{line}");
    }
}

#[test]
fn a_service_that_is_gone_leaves_nothing() {
    let mut lab = dual_stack();
    let before = lab.dump();
    lab.apply(web());
    lab.apply(slice("x").ready(["10.244.0.9"]));
    lab.delete(Key::service("shop", "web"));
    assert_eq!(lab.dump(), before);
    lab.delete(Key::endpoint_slice("shop", "web-x"));
    assert_eq!(lab.dump(), before);
}

#[test]
fn a_change_of_endpoints_changes_one_row_and_no_link() {
    let mut lab = dual_stack().with(web()).with(slice("x"));
    let delta = lab.apply(slice("x").ready(["10.244.0.9"]));
    assert_eq!((delta.units, delta.rows.len(), delta.links.len()), (1, 1, 0));
    let unready = slice("x").ready(["10.244.0.9"]);
    let unready = unready.with_endpoints(EndpointState::Unready, ["10.244.0.5"]);
    assert!(lab.apply(unready).is_empty(), "nothing is sent to what is not ready");
}

#[test]
fn the_endpoints_of_services_nobody_has_cost_nothing() {
    let mut lab = dual_stack();
    lab.apply(slice("x").ready(["10.244.0.9"]));
    lab.0.apply(Event::apply(slice("x").ready(["10.244.0.8"])));
    assert!(lab.0.compile().is_empty());
}

#[test]
fn the_host_has_a_source_of_its_own_towards_services() {
    let lab = dual_stack().with(Node::test("a"));
    let facts = lab.facts("svc-default-a").unwrap();
    // A port of its own, with nothing but services behind it.
    let own: Vec<String> = facts.ips.iter().map(ToString::to_string).collect();
    assert_eq!(own, ["169.254.77.2/32"]);
    let behind = |route: &Route| {
        [
            "10.96.0.0/16",
            "fd00:10:96::/112",
            "169.254.77.1/32",
            "fd6d:6572:6964:6961::1/128",
        ]
        .contains(&route.destination.to_string().as_str())
    };
    assert!(facts.routes.iter().all(behind), "{:?}", facts.routes);
    assert_eq!(lab.facts("mgmt-default-a").unwrap().sources, []);
    let texts = |items: &[String]| items.join(" ");
    let sources: Vec<String> = facts.sources.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts(&sources),
        "10.96.0.0/16=10.244.0.3 169.254.77.1/32=10.244.0.3 fd00:10:96::/112=fd00:10:244::3 \
         fd6d:6572:6964:6961::1/128=fd00:10:244::3"
    );
    let routes = lab.facts("mgmt-default-a").unwrap().routes;
    let routes: Vec<String> = routes.iter().map(ToString::to_string).collect();
    for route in ["10.244.0.3/32=10.244.0.1", "fd00:10:244::3/128=fd00:10:244::1"] {
        assert!(routes.contains(&route.to_owned()), "{routes:?}");
    }
}
