//! What is told of what pods in Subnets send to services that their own node is to answer.

use meridian_compile::{PathQuestion, PathTarget, Verdict};
use meridian_model::{EndpointSlice, Namespace, Node, Pod, PodKey, Service, ServiceKey, Subnet, TrafficPolicy, Vpc};

use crate::support::{Lab, dual_stack};

fn verdict(lab: &Lab, from: &str) -> Verdict {
    let told = lab.0.explain_path(&PathQuestion {
        from: PodKey::new("sky", from),
        to: PathTarget::Service(ServiceKey::new("sky", "web")),
        protocol: None,
        port: None,
    });
    let told = told.unwrap();
    let [way] = &*told.ways else { panic!("{told:?}") };
    way.verdict
}

#[test]
fn a_local_policy_is_the_hosts_to_keep_for_pods_in_subnets() {
    let mut service = Service::test("sky", "web").under(["10.96.0.7"]).with_port("", 80);
    service.internal_policy = TrafficPolicy::Local;
    let lab = dual_stack()
        .with(Node::test("a"))
        .with(Node::test("b"))
        .with(Vpc::test("blue", ["10.8.0.0/16"]))
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(Subnet::test("vms", "blue", ["10.20.0.0/24"]))
        .with(Pod::test("sky", "web-0").on("a").with_ips(["10.8.0.4"]))
        .with(Pod::test("sky", "here").on("a").in_subnet("vms"))
        .with(Pod::test("sky", "there").on("b").in_subnet("vms"))
        .with(service)
        .with(
            EndpointSlice::test("sky", "web", "x")
                .with_port("", 8080)
                .ready(["10.8.0.4"])
                .on("a"),
        );
    assert_eq!(verdict(&lab, "here"), Verdict::Reached);
    assert_eq!(verdict(&lab, "there"), Verdict::Refused);
}
