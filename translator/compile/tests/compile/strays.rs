//! Pods that their namespace left behind in another VPC, and the services that select them.

use meridian_model::{EndpointSlice, Key, Namespace, Node, Pod, Service, ServiceKey, TrafficPolicy, Vpc};

use crate::support::{Lab, ipv4, vips};

const FRONTEND: &str = "10.96.0.7:80";

/// A namespace that was in `blue` and is in `green`, with a pod of either, and two services that have both for endpoints.
fn moved() -> Lab {
    let mut lab = ipv4()
        .with(Node::test("a"))
        .with(Node::test("b"))
        .with(Vpc::test("blue", ["10.10.0.0/16"]).created_at(1))
        .with(Vpc::test("green", ["10.11.0.0/16"]).created_at(2))
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(old());
    lab.apply(Namespace::test("sky").in_vpc("green"));
    lab.with(Pod::test("sky", "new").on("b").with_ips(["10.11.0.4"]))
        .with(service("web", "10.96.0.7"))
        .with(both("web"))
        .with(service("other", "10.96.0.8"))
        .with(
            EndpointSlice::test("sky", "other", "x")
                .with_port("", 8080)
                .ready(["10.11.0.4"])
                .on("b"),
        )
}

fn old() -> Pod {
    Pod::test("sky", "old").on("a").with_ips(["10.10.0.4"])
}

fn service(name: &str, ip: &str) -> Service {
    Service::test("sky", name).under([ip]).with_port("", 80)
}

fn both(service: &str) -> EndpointSlice {
    EndpointSlice::test("sky", service, "x")
        .with_port("", 8080)
        .ready(["10.10.0.4"])
        .on("a")
        .ready(["10.11.0.4"])
        .on("b")
}

fn backends(lab: &Lab) -> String {
    vips(lab, "sky_web_tcp")[FRONTEND].clone()
}

fn complaints(lab: &Lab) -> Vec<String> {
    let web = Key::service("sky", "web");
    let of_web = lab.0.problems().filter(|problem| problem.object == web);
    of_web.map(ToString::to_string).collect()
}

#[test]
fn pods_of_another_vpc_are_left_out_and_hosts_are_not_told_of_them() {
    let lab = moved();
    assert_eq!(backends(&lab), "10.11.0.4:8080");
    let facts = lab.service_facts("sky/web").unwrap();
    let nodes: Vec<&String> = facts.ports[0].endpoints.keys().collect();
    assert_eq!(nodes, ["b"]);
    let [complaint] = &*complaints(&lab) else {
        panic!("{:?}", complaints(&lab))
    };
    assert!(
        complaint.contains("pods that are in VPC blue since before namespace sky was in VPC green"),
        "{complaint}"
    );
}

#[test]
fn it_is_told_which_endpoint_is_left_out_and_why() {
    let lab = moved();
    let told = lab.0.explain_service(&ServiceKey::new("sky", "web")).unwrap();
    let left_out: Vec<_> = told
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.address.to_string(), endpoint.left_out.clone()))
        .collect();
    let [(old, Some(why)), (new, None)] = &*left_out else {
        panic!("{left_out:?}")
    };
    assert_eq!((&**old, &**new), ("10.10.0.4", "10.11.0.4"));
    assert!(
        why.starts_with("pod sky/old is in VPC blue, and the service in VPC green"),
        "{why}"
    );
}

#[test]
fn a_service_follows_its_pods_and_its_namespace_and_others_are_not_touched() {
    let mut lab = moved();
    // The pod and the service that has it, and nothing else.
    let delta = lab.delete(Key::pod("sky", "old"));
    assert_eq!(delta.units, 3, "the pod, its slice and the service");
    assert_eq!(
        backends(&lab),
        "10.10.0.4:8080,10.11.0.4:8080",
        "whose it is nobody knows"
    );
    assert_eq!(complaints(&lab), [""; 0]);
    lab.apply(old());
    assert_eq!(backends(&lab), "10.11.0.4:8080");
    let delta = lab.apply(Pod::test("sky", "another").on("b").with_ips(["10.11.0.5"]));
    assert_eq!(delta.units, 1, "one that is where its namespace is concerns no service");
    lab.apply(Namespace::test("sky").in_vpc("blue"));
    assert_eq!(backends(&lab), "10.10.0.4:8080");
    lab.apply(Namespace::test("sky"));
    assert_eq!(backends(&lab), "", "both are left behind");
    let [complaint] = &*complaints(&lab) else {
        panic!("{:?}", complaints(&lab))
    };
    assert!(complaint.contains("in VPC blue and green"), "{complaint}");
}

#[test]
fn a_pod_of_the_default_vpc_is_one_like_any_other() {
    let mut lab = moved();
    lab.apply(Namespace::test("sky"));
    lab.apply(Pod::test("sky", "plain").on("a").with_ips(["10.244.0.4"]));
    let slice = || both("web").ready(["10.244.0.4"]).on("a");
    lab.apply(slice());
    assert_eq!(backends(&lab), "10.244.0.4:8080");
    lab.apply(Namespace::test("sky").in_vpc("blue"));
    assert_eq!(backends(&lab), "10.10.0.4:8080");
    lab.delete(Key::pod("sky", "plain"));
    assert_eq!(backends(&lab), "10.10.0.4:8080,10.244.0.4:8080");
}

#[test]
fn of_pods_with_one_address_on_two_nodes_that_of_the_vpc_answers() {
    let mut lab = moved();
    lab.apply(Vpc::test("red", ["10.10.0.0/16"]).created_at(3));
    lab.apply(Namespace::test("sky").in_vpc("red"));
    lab.apply(Pod::test("sky", "twin").on("b").with_ips(["10.10.0.4"]));
    let slice = EndpointSlice::test("sky", "web", "x").with_port("", 8080);
    lab.apply(slice.ready(["10.10.0.4"]).on("a").ready(["10.10.0.4"]).on("b"));
    let mut local = service("web", "10.96.0.7");
    local.internal_policy = TrafficPolicy::Local;
    lab.apply(local);
    assert_eq!(lab.on_slice("red.b", FRONTEND).as_deref(), Some("10.10.0.4:8080"));
    let told = lab.0.explain_service(&ServiceKey::new("sky", "web")).unwrap();
    let left_out: Vec<bool> = told
        .endpoints
        .iter()
        .map(|endpoint| endpoint.left_out.is_some())
        .collect();
    assert_eq!(left_out, [true, false]);
}
