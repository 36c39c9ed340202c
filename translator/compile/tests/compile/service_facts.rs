//! What hosts are told of services.

use std::collections::BTreeMap;

use meridian_api::service::{Port, Protocol, ServiceFacts};
use meridian_model::{EndpointSlice, EndpointState, Key, Node, Service, TrafficPolicy};

use crate::support::{Lab, dual_stack, vips};

/// `shop/web`, dual stack, with one port, under 30080 of every node.
fn web() -> Service {
    Service::test("shop", "web")
        .under(["10.96.0.7", "fd00:10:96::7"])
        .with_port("http", 80)
        .on_nodes(30080)
}

/// What comes from beyond the cluster is answered on the node it comes to.
fn local(service: Service) -> Service {
    service.with_policies(TrafficPolicy::Cluster, TrafficPolicy::Local)
}

/// Answered on each node by endpoints of that node, from within the cluster.
fn inside(service: Service) -> Service {
    service.with_policies(TrafficPolicy::Local, TrafficPolicy::Cluster)
}

fn slice() -> EndpointSlice {
    EndpointSlice::test("shop", "web", "x").with_port("http", 8080)
}

fn lab() -> Lab {
    dual_stack().with(Node::test("a")).with(Node::test("b"))
}

fn facts(lab: &Lab) -> ServiceFacts {
    lab.service_facts("shop/web").expect("hosts are told")
}

fn texts(port: &Port) -> Vec<String> {
    port.targets.iter().map(ToString::to_string).collect()
}

fn endpoints(lab: &Lab) -> BTreeMap<String, String> {
    let port = facts(lab).ports.remove(0);
    let text = |addresses: Vec<std::net::SocketAddr>| {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        texts.join(" ")
    };
    port.endpoints
        .into_iter()
        .map(|(node, addresses)| (node, text(addresses)))
        .collect()
}

fn by_node(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|&(node, text)| (node.to_owned(), text.to_owned()))
        .collect()
}

#[test]
fn hosts_are_told_nothing_of_services_they_have_nothing_to_do_with() {
    let plain = Service::test("shop", "web").under(["10.96.0.7"]).with_port("http", 80);
    for service in [
        plain.clone(),
        inside(plain.clone()),
        local(plain.clone()),
        web(),
        web().behind([]),
        local(web()).under(["None"]),
        Service {
            left_to_others: true,
            ..local(web())
        },
        plain.with_external_ips(["10.244.0.1"]),
    ] {
        let lab = lab().with(service);
        assert_eq!(lab.service_facts("shop/web"), None);
    }
}

#[test]
fn the_port_that_stands_for_a_service_is_on_the_switch_of_services_and_goes_with_its_reason() {
    let mut lab = lab();
    let before = lab.dump();
    lab.apply(web().with_external_ips(["192.0.2.7"]));
    let link = "<Logical_Switch services-default>.ports += <Logical_Switch_Port shop_web_service> of service/shop/web";
    assert!(lab.dump().contains(link));
    lab.apply(web());
    assert_eq!(lab.service_facts("shop/web"), None);
    lab.apply(local(web()));
    assert!(lab.service_facts("shop/web").is_some());
    lab.delete(Key::service("shop", "web"));
    assert_eq!(lab.dump(), before);
}

#[test]
fn an_external_address_is_told_with_where_to_hand_on_what_comes_to_it() {
    let service = Service::test("shop", "web")
        .under(["10.96.0.7", "fd00:10:96::7"])
        .with_port("http", 80)
        .with_port_of(meridian_model::Protocol::Udp, "dns", 53)
        .with_external_ips(["192.0.2.7"])
        .with_affinity(60);
    let lab = lab().with(service).with(slice().ready(["10.244.0.9"]).on("a"));
    let facts = facts(&lab);
    assert_eq!((&*facts.namespace, &*facts.name), ("shop", "web"));
    let [http, dns] = &facts.ports[..] else {
        panic!("{:?}", facts.ports)
    };
    assert_eq!((http.protocol, http.port), (Protocol::Tcp, 80));
    assert_eq!(texts(http), ["10.96.0.7:80", "[fd00:10:96::7]:80"]);
    assert_eq!((dns.protocol, dns.port), (Protocol::Udp, 53));
    assert_eq!(texts(dns), ["10.96.0.7:53", "[fd00:10:96::7]:53"]);
    assert!(
        http.endpoints.is_empty() && http.node_port.is_none(),
        "without a policy of Local"
    );
    assert_eq!((facts.local, facts.affinity_seconds), (None, Some(60)));
}

#[test]
fn with_an_external_policy_of_local_the_endpoints_of_each_node_are_told() {
    let six = EndpointSlice::test("shop", "web", "6")
        .of_ipv6()
        .with_port("http", 8080);
    let lab = lab()
        .with(local(web()))
        .with(
            slice()
                .ready(["10.244.0.9", "10.244.0.8"])
                .on("a")
                .ready(["10.244.1.9"])
                .on("b"),
        )
        .with(six.ready(["fd00:10:244::8"]).on("a"));
    // The first has no node, and so answers at none; hosts only learn that there is one.
    let expected = by_node(&[
        ("", "10.244.0.9:8080"),
        ("a", "10.244.0.8:8080 [fd00:10:244::8]:8080"),
        ("b", "10.244.1.9:8080"),
    ]);
    assert_eq!(endpoints(&lab), expected);
    let facts = facts(&lab);
    assert_eq!(facts.ports[0].node_port, Some(30080));
    let ready = &facts.local.as_ref().unwrap().ready;
    assert_eq!(
        ready.iter().map(|(node, n)| (&**node, *n)).collect::<Vec<_>>(),
        [("a", 1), ("b", 1)]
    );
    let frontends = vips(&lab, "shop_web_tcp");
    let all = "10.244.0.8:8080,10.244.0.9:8080,10.244.1.9:8080";
    assert_eq!(
        frontends["169.254.77.1:30080"], all,
        "pods reach all endpoints by a port of the nodes"
    );
}

#[test]
fn on_a_node_where_nothing_is_ready_what_is_on_its_way_out_answers() {
    let draining = slice().with_endpoints(EndpointState::Draining, ["10.244.0.9"]).on("a");
    let more = draining.with_endpoints(EndpointState::Draining, ["10.244.1.8"]).on("b");
    let lab = lab().with(local(web())).with(more.ready(["10.244.1.9"]).on("b"));
    assert_eq!(
        endpoints(&lab),
        by_node(&[("a", "10.244.0.9:8080"), ("b", "10.244.1.9:8080")])
    );
    let ready = facts(&lab).local.unwrap().ready;
    assert_eq!(ready.into_iter().collect::<Vec<_>>(), [("b".to_owned(), 1)]);
}

#[test]
fn an_endpoint_with_several_ports_counts_once() {
    let service = local(web().with_port("admin", 81));
    let two = slice().with_port("admin", 9090).ready(["10.244.0.8"]).on("a");
    let lab = lab().with(service).with(two.ready(["10.244.0.9"]).on("a"));
    assert_eq!(facts(&lab).local.unwrap().ready["a"], 2);
}

#[test]
fn load_balancers_learn_at_the_health_check_port_who_has_endpoints() {
    let service = local(web().behind(["198.51.100.7"])).with_health_check(32_000);
    let lab = lab().with(service.clone());
    assert_eq!(facts(&lab).local.unwrap().health_check_port, Some(32_000));
    let lab = lab.with(service.with_health_check(70_000));
    assert_eq!(facts(&lab).local.unwrap().health_check_port, None);
    assert_eq!(
        lab.problems(),
        ["service/shop/web: spec.healthCheckNodePort: 70000 is no port: it must be 1 to 65535"]
    );
}

#[test]
fn what_only_endpoints_of_the_node_answer_is_no_place_to_hand_on_to() {
    let service = inside(web().with_external_ips(["192.0.2.7"]));
    let lab = lab().with(service).with(slice().ready(["10.244.0.9"]).on("a"));
    assert_eq!(
        texts(&facts(&lab).ports[0]),
        ["169.254.77.1:30080", "[fd6d:6572:6964:6961::1]:30080"]
    );
    for node in ["a", "b"] {
        assert_eq!(lab.on(node, "169.254.77.1:30080").as_deref(), Some("10.244.0.9:8080"));
    }
}

#[test]
fn a_change_of_endpoints_is_a_change_of_two_rows_and_no_link() {
    let mut lab = lab().with(local(web())).with(slice());
    let delta = lab.apply(slice().ready(["10.244.0.9"]).on("a"));
    assert_eq!((delta.units, delta.rows.len(), delta.links.len()), (1, 2, 0));
}
