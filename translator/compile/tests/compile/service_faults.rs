//! What of services and their endpoints makes no sense is reported and left out, and the rest stands.

use meridian_model::{EndpointSlice, Protocol, Service};

use crate::support::{Lab, dual_stack, vips};

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

#[test]
fn a_cluster_ip_outside_the_service_cidrs_is_left_out() {
    let lab = dual_stack().with(
        Service::test("shop", "web")
            .under(["10.97.0.7", "fd00:10:96::7"])
            .with_port("http", 80),
    );
    assert_eq!(
        vips(&lab, "shop_web_tcp").into_keys().collect::<Vec<_>>(),
        ["[fd00:10:96::7]:80"]
    );
    assert_eq!(
        lab.problems(),
        [
            "service/shop/web: spec.clusterIPs[0]: 10.97.0.7 is not in the service CIDRs (10.96.0.0/16, fd00:10:96::/112), \
          so that hosts cannot reach it: add its network to --service-cidr, or give the service another address"
        ]
    );
}

#[test]
fn without_service_cidrs_a_cluster_ip_may_be_any_but_a_pods() {
    let lab = Lab::of(&["10.244.0.0/16"]).with(
        Service::test("shop", "web")
            .under(["10.96.0.7", "10.244.3.4"])
            .with_port("http", 80),
    );
    assert_eq!(
        vips(&lab, "shop_web_tcp").into_keys().collect::<Vec<_>>(),
        ["10.96.0.7:80"]
    );
    assert_eq!(
        lab.problems(),
        [
            "service/shop/web: spec.clusterIPs[1]: 10.244.3.4 is in the cluster CIDR 10.244.0.0/16, whose addresses are \
          those of pods: give the service another address"
        ]
    );
}

#[test]
fn a_service_that_nothing_gave_an_address_is_reported() {
    let lab = dual_stack().with(Service::test("shop", "web").with_port("http", 80));
    assert!(lab.problems()[0].starts_with("service/shop/web: spec.clusterIPs: the service has no address"));
    let lab = lab.with(Service::test("shop", "web").under(["ten"]).with_port("http", 80));
    assert_eq!(
        lab.problems(),
        ["service/shop/web: spec.clusterIPs[0]: \"ten\" is no IP address"]
    );
}

#[test]
fn ports_that_make_no_sense_are_left_out() {
    let service = web()
        .with_port("again", 80)
        .with_port("none", 0)
        .with_port("far", 65_536)
        .with_port_of(Protocol::Other("ICMP".into()), "ping", 7)
        .with_port("admin", 81);
    let lab = dual_stack().with(service);
    let frontends: Vec<String> = vips(&lab, "shop_web_tcp").into_keys().collect();
    assert_eq!(
        frontends,
        [
            "10.96.0.7:80",
            "10.96.0.7:81",
            "[fd00:10:96::7]:80",
            "[fd00:10:96::7]:81"
        ]
    );
    assert_eq!(
        lab.problems(),
        [
            "service/shop/web: spec.ports[1].port: 80/TCP is also that of spec.ports[0], which keeps it: give one of \
             them another port",
            "service/shop/web: spec.ports[2].port: 0 is no port: it must be 1 to 65535",
            "service/shop/web: spec.ports[3].port: 65536 is no port: it must be 1 to 65535",
            "service/shop/web: spec.ports[4].protocol: \"ICMP\" is none of TCP, UDP, SCTP",
        ]
    );
}

#[test]
fn endpoints_that_cannot_be_reached_are_left_out() {
    let lab = dual_stack()
        .with(web())
        .with(slice("4").ready([
            "127.0.0.1",
            "169.254.1.1",
            "224.0.0.1",
            "0.0.0.0",
            "10.96.0.8",
            "fd00::1",
            "10.244.0.9",
        ]))
        .with(
            slice("6")
                .of_ipv6()
                .ready(["::1", "fe80::1", "ff02::1", "fd00:10:244::9"]),
        );
    assert_eq!(backends(&lab), "10.244.0.9:8080");
    assert_eq!(
        vips(&lab, "shop_web_tcp")["[fd00:10:96::7]:80"],
        "[fd00:10:244::9]:8080"
    );
    let problems = lab.problems();
    assert_eq!(problems.len(), 9, "{problems:#?}");
    assert_eq!(
        problems[0],
        "endpointslice/shop/web-4: endpoints[0].addresses[0]: 127.0.0.1 is a loopback address, which means another host \
         to each: the endpoint is left out"
    );
}

#[test]
fn ports_of_endpoints_that_make_no_sense_are_left_out() {
    let mut odd = slice("x").ready(["10.244.0.9"]);
    odd.ports = odd
        .ports
        .into_iter()
        .chain(slice("y").with_port("http", 70_000).ports)
        .collect();
    odd = odd.with_port_of(Protocol::Other("ICMP".into()), "http", 7);
    let lab = dual_stack().with(web()).with(odd);
    assert_eq!(backends(&lab), "10.244.0.9:8080");
    assert_eq!(
        lab.problems(),
        [
            "endpointslice/shop/web-x: ports[2].port: 70000 is no port: it must be 1 to 65535",
            "endpointslice/shop/web-x: ports[3].protocol: \"ICMP\" is none of TCP, UDP, SCTP",
        ]
    );
}

#[test]
fn a_cluster_ip_that_no_client_could_connect_to_is_left_out() {
    for ip in [
        "127.0.0.1",
        "0.0.0.0",
        "169.254.77.1",
        "fd6d:6572:6964:6961::1",
        "fe80::1",
        "ff02::1",
    ] {
        let lab = Lab::of(&["10.244.0.0/16"]).with(web().under([ip, "10.96.0.7"]));
        assert_eq!(
            vips(&lab, "shop_web_tcp").into_keys().collect::<Vec<_>>(),
            ["10.96.0.7:80"]
        );
        assert!(
            lab.problems()[0].starts_with("service/shop/web: spec.clusterIPs[0]: "),
            "{ip}"
        );
    }
}
