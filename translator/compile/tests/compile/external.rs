//! Addresses from beyond the cluster: which the VPC knows, and which make no sense.

use meridian_model::{EndpointSlice, Node, Service, TrafficPolicy};

use crate::support::{Lab, dual_stack, vips};

/// `shop/web`, dual stack, with one port.
fn web() -> Service {
    Service::test("shop", "web")
        .under(["10.96.0.7", "fd00:10:96::7"])
        .with_port("http", 80)
}

fn slice() -> EndpointSlice {
    EndpointSlice::test("shop", "web", "x")
        .with_port("http", 8080)
        .ready(["10.244.0.9"])
        .on("a")
}

fn lab() -> Lab {
    dual_stack().with(Node::test("a")).with(slice())
}

/// The frontends beside ClusterIPs.
fn others(lab: &Lab) -> Vec<String> {
    let own = ["10.96.0.7:80", "[fd00:10:96::7]:80"];
    let all = vips(lab, "shop_web_tcp");
    for frontend in own {
        assert!(all.contains_key(frontend), "the rest of the service stands");
    }
    all.into_keys().filter(|frontend| !own.contains(&&**frontend)).collect()
}

#[test]
fn external_addresses_are_frontends_that_all_endpoints_answer() {
    for policy in [TrafficPolicy::Cluster, TrafficPolicy::Local] {
        let service = web().with_policies(TrafficPolicy::Cluster, policy);
        let service = service
            .behind(["198.51.100.7"])
            .with_external_ips(["192.0.2.7", "2001:db8::7"]);
        let lab = lab().with(service);
        let vips = vips(&lab, "shop_web_tcp");
        for frontend in ["192.0.2.7:80", "198.51.100.7:80"] {
            assert_eq!(vips[frontend], "10.244.0.9:8080");
        }
        assert_eq!(vips["[2001:db8::7]:80"], "");
        assert_eq!(lab.problems(), [""; 0]);
    }
}

#[test]
fn an_address_that_is_not_for_everybody_is_left_to_the_hosts() {
    let service = web().behind(["198.51.100.7"]).with_external_ips(["192.0.2.7"]);
    let lab = lab().with(service.only_for([" 203.0.113.0/24 ", "203.0.113.9/25"]));
    assert_eq!(others(&lab), ["192.0.2.7:80"]);
    let facts = lab.service_facts("shop/web").unwrap();
    let addresses: Vec<_> = facts
        .addresses
        .iter()
        .map(|a| (a.address.to_string(), a.restricted))
        .collect();
    assert_eq!(
        addresses,
        [("192.0.2.7".to_owned(), false), ("198.51.100.7".to_owned(), true)]
    );
    let ranges: Vec<String> = facts.source_ranges.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["203.0.113.0/24", "203.0.113.0/25"]);
}

#[test]
fn a_source_range_that_is_none_lets_nobody_in_and_is_reported() {
    let lab = lab().with(web().behind(["198.51.100.7"]).only_for(["home"]));
    assert_eq!(others(&lab), [""; 0]);
    let facts = lab.service_facts("shop/web").unwrap();
    assert!(facts.addresses[0].restricted && facts.source_ranges.is_empty());
    assert_eq!(
        lab.problems(),
        ["service/shop/web: spec.loadBalancerSourceRanges[0]: \"home\" is no network: nobody is let in for it"]
    );
}

#[test]
fn addresses_of_a_load_balancer_are_those_of_a_service_of_that_type() {
    let mut service = web().behind(["198.51.100.7"]);
    service.r#type = meridian_model::ServiceType::NodePort;
    let lab = lab().with(service);
    assert_eq!(others(&lab), [""; 0]);
    assert_eq!(lab.service_facts("shop/web"), None);
}

#[test]
fn external_addresses_that_make_no_sense_are_left_out_one_by_one() {
    let bad = [
        ("ten", "\"ten\" is no IP address"),
        (
            "10.244.3.4",
            "10.244.3.4 is in the cluster CIDR 10.244.0.0/16, whose addresses are those of pods",
        ),
        (
            "10.96.0.9",
            "10.96.0.9 is in the service CIDR 10.96.0.0/16, whose addresses are ClusterIPs",
        ),
        ("10.96.0.7", "10.96.0.7 is a ClusterIP of the service already"),
        ("0.0.0.0", "0.0.0.0 is no address that a client could connect to"),
        ("127.0.0.1", "127.0.0.1 is no address that a client could connect to"),
        (
            "169.254.77.1",
            "169.254.77.1 is no address that a client could connect to",
        ),
        (
            "fd6d:6572:6964:6961::1",
            "fd6d:6572:6964:6961::1 stands for nodes that services have ports of",
        ),
    ];
    let texts = bad.map(|(text, _)| text);
    let lab = lab().with(web().with_external_ips(texts.into_iter().chain(["192.0.2.7", "192.0.2.7"])));
    assert_eq!(others(&lab), ["192.0.2.7:80"]);
    let facts = lab.service_facts("shop/web").unwrap();
    assert_eq!(facts.addresses.len(), 1);
    for (index, (_, message)) in bad.iter().enumerate() {
        let problem = format!("service/shop/web: spec.externalIPs[{index}]: {message}");
        assert!(lab.problems().contains(&problem), "{problem}");
    }
    assert_eq!(lab.problems().len(), bad.len());
}

#[test]
fn an_address_of_a_load_balancer_that_makes_no_sense_is_reported_where_it_is_written() {
    let lab = lab().with(web().behind(["10.244.0.1", "198.51.100.7"]));
    assert_eq!(others(&lab), ["198.51.100.7:80"]);
    let [problem] = &lab.problems()[..] else {
        panic!("{:?}", lab.problems())
    };
    let expected = "service/shop/web: status.loadBalancer.ingress[0].ip: 10.244.0.1 is in the cluster CIDR";
    assert!(problem.starts_with(expected), "{problem}");
}

#[test]
fn an_address_of_a_family_that_the_service_has_no_cluster_ip_of_leads_nowhere() {
    let lab = lab().with(web().under(["10.96.0.7"]).with_external_ips(["2001:db8::7"]));
    assert_eq!(
        vips(&lab, "shop_web_tcp").into_keys().collect::<Vec<_>>(),
        ["10.96.0.7:80"]
    );
    assert_eq!(
        lab.problems(),
        [
            "service/shop/web: spec.externalIPs[0]: 2001:db8::7 leads nowhere, because the service has no IPv6 ClusterIP: set \
          spec.ipFamilyPolicy to PreferDualStack, or take an address of the other family"
        ]
    );
}

#[test]
fn without_service_cidrs_an_address_of_its_own_is_still_no_external_one() {
    let service = Service::test("shop", "web").under(["10.96.0.7"]).with_port("http", 80);
    let service = service.with_policies(TrafficPolicy::Local, TrafficPolicy::Cluster);
    let lab = Lab::of(&["10.244.0.0/16"])
        .with(Node::test("a"))
        .with(slice())
        .with(service.with_external_ips(["10.96.0.7"]));
    assert_eq!(lab.on("a", "10.96.0.7:80").as_deref(), Some("10.244.0.9:8080"));
    assert_eq!(lab.balancers(), ["shop_web_tcp@node/a"]);
    assert_eq!(lab.problems().len(), 1);
}
