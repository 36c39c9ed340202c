//! Networks of ClusterIPs that objects tell.

use meridian_model::{EndpointSlice, Key, Node, Service, ServiceCidr};

use crate::support::{Lab, dual_stack, vips};

fn routes(lab: &Lab) -> Vec<String> {
    let facts = lab.facts("svc-default-a");
    let routes = facts.map_or_else(Vec::new, |facts| facts.routes);
    routes.iter().map(|route| route.destination.to_string()).collect()
}

/// An IPv4 cluster whose settings tell no network.
fn untold() -> Lab {
    Lab::of(&["10.244.0.0/16"]).with(Node::test("a"))
}

#[test]
fn hosts_reach_networks_that_come_at_run_time_and_no_longer_those_that_go() {
    let mut lab = untold();
    assert_eq!(routes(&lab), [""; 0]);
    lab.apply(ServiceCidr::test("kubernetes", ["10.96.0.0/16"]));
    assert_eq!(routes(&lab), ["10.96.0.0/16", "169.254.77.1/32"]);
    lab.apply(ServiceCidr::test("more", ["10.97.0.0/24"]));
    assert_eq!(routes(&lab), ["10.96.0.0/16", "10.97.0.0/24", "169.254.77.1/32"]);
    let sources = lab.facts("svc-default-a").unwrap().sources;
    assert_eq!(sources.len(), 3);
    lab.delete(Key::service_cidr("kubernetes"));
    assert_eq!(routes(&lab), ["10.97.0.0/24", "169.254.77.1/32"]);
    lab.delete(Key::service_cidr("more"));
    assert_eq!(routes(&lab), [""; 0]);
    assert!(lab.facts("svc-default-a").is_none(), "nothing leads there any more");
}

#[test]
fn a_network_in_another_is_not_told_twice() {
    let mut lab = dual_stack().with(Node::test("a"));
    let before = routes(&lab);
    lab.apply(ServiceCidr::test("kubernetes", ["10.96.0.0/16", "fd00:10:96::/112"]));
    lab.apply(ServiceCidr::test("part", ["10.96.8.0/24"]));
    assert_eq!(routes(&lab), before);
    lab.apply(ServiceCidr::test("wide", ["10.96.0.0/12"]));
    assert!(routes(&lab).contains(&"10.96.0.0/12".to_owned()) && !routes(&lab).contains(&"10.96.0.0/16".to_owned()));
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn a_network_of_pods_or_none_at_all_is_reported_and_the_others_stand() {
    let cidrs = ["10.244.8.0/24", "ten", "10.96.0.0/16"];
    let mut lab = untold().with(ServiceCidr::test("kubernetes", cidrs));
    assert_eq!(routes(&lab), ["10.96.0.0/16", "169.254.77.1/32"]);
    assert_eq!(
        lab.problems(),
        [
            "servicecidr/kubernetes: spec.cidrs[0]: 10.244.8.0/24 overlaps the cluster CIDR 10.244.0.0/16, whose addresses are \
          those of pods: no service gets an address of it",
            "servicecidr/kubernetes: spec.cidrs[1]: \"ten\" is no network",
        ]
    );
    lab.delete(Key::service_cidr("kubernetes"));
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn a_service_outside_all_networks_is_one_once_its_network_comes() {
    let service = Service::test("shop", "web").under(["10.97.0.7"]).with_port("http", 80);
    let mut lab = dual_stack().with(service);
    assert!(
        lab.problems()[0].contains("10.97.0.7 is not in the service CIDRs"),
        "{:?}",
        lab.problems()
    );
    lab.apply(ServiceCidr::test("more", ["10.97.0.0/24"]));
    assert!(vips(&lab, "shop_web_tcp").contains_key("10.97.0.7:80"));
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn external_addresses_and_endpoints_in_a_network_that_comes_are_left_out_from_then_on() {
    let service = Service::test("shop", "web").under(["10.96.0.7"]).with_port("http", 80);
    let slice = EndpointSlice::test("shop", "web", "x").with_port("http", 8080);
    let mut lab = dual_stack()
        .with(service.with_external_ips(["10.97.0.9"]))
        .with(slice.ready(["10.97.0.10", "10.244.0.9"]));
    assert_eq!(
        vips(&lab, "shop_web_tcp")["10.97.0.9:80"],
        "10.97.0.10:8080,10.244.0.9:8080"
    );
    lab.apply(ServiceCidr::test("more", ["10.97.0.0/24"]));
    assert_eq!(
        vips(&lab, "shop_web_tcp").into_iter().collect::<Vec<_>>(),
        [("10.96.0.7:80".to_owned(), "10.244.0.9:8080".to_owned())]
    );
    assert_eq!(lab.problems().len(), 2);
}
