//! What two would have: one keeps it, the other is told, and has it once the first is gone.

use meridian_model::Protocol::{Tcp, Udp};
use meridian_model::{EndpointSlice, Key, Node, Service, TrafficPolicy};

use crate::support::{Lab, dual_stack, vips};

fn service(name: &str, ip: &str) -> Service {
    Service::test("shop", name).under([ip]).with_port("http", 80)
}

/// Under 10.96.0.7, created earlier.
fn old() -> Service {
    service("old", "10.96.0.7").created_at(1)
}

fn young() -> Service {
    service("young", "10.96.0.8").created_at(2)
}

fn frontends(lab: &Lab, service: &str) -> Vec<String> {
    vips(lab, &format!("shop_{service}_tcp")).into_keys().collect()
}

/// Both orders of coming, then the older one goes.
fn contest(old: &Service, young: &Service, contested: &str, problem: &str) {
    for pair in [[old, young], [young, old]] {
        let mut lab = pair
            .into_iter()
            .fold(dual_stack(), |lab, service| lab.with(service.clone()));
        assert!(frontends(&lab, &old.name).contains(&contested.to_owned()));
        assert!(!frontends(&lab, &young.name).contains(&contested.to_owned()));
        assert_eq!(lab.problems(), [problem]);
        lab.delete(Key::service("shop", &*old.name));
        assert!(frontends(&lab, &young.name).contains(&contested.to_owned()));
        assert_eq!(lab.problems(), [""; 0]);
    }
}

#[test]
fn of_two_services_under_one_cluster_ip_the_older_keeps_it() {
    contest(
        &old(),
        &young().under(["10.96.0.7"]),
        "10.96.0.7:80",
        "service/shop/young: spec.clusterIPs: 10.96.0.7:80 (tcp) is that of service shop/old, which is older and keeps it: \
         take another",
    );
}

#[test]
fn of_two_services_of_one_age_the_one_whose_name_comes_first_keeps_it() {
    contest(
        &old(),
        &young().created_at(1).under(["10.96.0.7"]),
        "10.96.0.7:80",
        "service/shop/young: spec.clusterIPs: 10.96.0.7:80 (tcp) is that of service shop/old, which is older and keeps it: \
         take another",
    );
}

#[test]
fn of_two_services_with_one_port_of_the_nodes_the_older_keeps_it() {
    contest(
        &old().on_nodes(30080),
        &young().on_nodes(30080),
        "169.254.77.1:30080",
        "service/shop/young: spec.ports: port 30080 of the nodes (tcp) is that of service shop/old, which is older and keeps \
         it: take another",
    );
}

#[test]
fn of_two_services_with_one_external_address_the_older_keeps_it() {
    contest(
        &old().with_external_ips(["192.0.2.7"]),
        &young().with_external_ips(["192.0.2.7"]),
        "192.0.2.7:80",
        "service/shop/young: spec.externalIPs: 192.0.2.7:80 (tcp) is that of service shop/old, which is older and keeps it: \
         take another",
    );
}

#[test]
fn an_external_address_and_that_of_a_load_balancer_are_of_one_kind() {
    contest(
        &old().with_external_ips(["192.0.2.7"]),
        &young().behind(["192.0.2.7"]),
        "192.0.2.7:80",
        "service/shop/young: status.loadBalancer.ingress: 192.0.2.7:80 (tcp) is that of service shop/old, which is older and \
         keeps it: take another",
    );
}

#[test]
fn services_share_an_address_by_ports_or_protocols() {
    let shared = |service: Service, protocol, port| {
        let ip = service.cluster_ips.clone();
        let bare = Service::test("shop", &service.name)
            .under([&*ip[0]])
            .behind(["192.0.2.7"]);
        bare.with_port_of(protocol, "http", port)
    };
    for (protocol, port) in [(Tcp, 81), (Udp, 80)] {
        let lab = dual_stack()
            .with(shared(old(), Tcp, 80))
            .with(shared(young(), protocol, port));
        assert_eq!(lab.problems(), [""; 0]);
    }
}

#[test]
fn what_a_service_gave_up_hosts_are_not_told_of() {
    let local = |service: Service| service.with_policies(TrafficPolicy::Cluster, TrafficPolicy::Local);
    let lab = dual_stack()
        .with(local(old().on_nodes(30080)))
        .with(local(young().on_nodes(30080).with_external_ips(["192.0.2.7"])));
    let facts = lab.service_facts("shop/young").unwrap();
    assert_eq!(facts.ports[0].node_port, None);
    assert_eq!(facts.ports[0].targets, ["10.96.0.8:80".parse().unwrap()]);
    assert_eq!(lab.service_facts("shop/old").unwrap().ports[0].node_port, Some(30080));
}

#[test]
fn what_comes_for_a_service_is_never_handed_on_to_another() {
    let lab = dual_stack()
        .with(old())
        .with(young().under(["10.96.0.7"]).with_external_ips(["192.0.2.7"]));
    let facts = lab.service_facts("shop/young").unwrap();
    assert_eq!(facts.ports[0].targets, []);
}

#[test]
fn nobody_takes_a_cluster_ip_by_naming_it_as_an_external_address() {
    // Without service CIDRs only this keeps an older service from it.
    let lab = Lab::of(&["10.244.0.0/16"])
        .with(old().with_external_ips(["10.96.0.8"]))
        .with(young());
    assert_eq!(frontends(&lab, "young"), ["10.96.0.8:80"]);
    assert_eq!(frontends(&lab, "old"), ["10.96.0.7:80"]);
    assert_eq!(
        lab.problems(),
        [
            "service/shop/old: spec.externalIPs: 10.96.0.8:80 (tcp) is that of service shop/young, which has it for a ClusterIP: \
          take another"
        ]
    );
}

#[test]
fn an_external_address_that_leads_nowhere_is_not_kept_from_others() {
    let lab = dual_stack()
        .with(old().with_external_ips(["2001:db8::7"]))
        .with(young().under(["fd00:10:96::8"]).with_external_ips(["2001:db8::7"]));
    assert_eq!(frontends(&lab, "young"), ["[2001:db8::7]:80", "[fd00:10:96::8]:80"]);
    assert_eq!(lab.problems().len(), 1);
}

#[test]
fn services_that_nobody_balances_keep_nothing_from_others() {
    let headless = old().under(["None"]).with_external_ips(["192.0.2.7"]);
    let theirs = Service {
        left_to_others: true,
        ..old().with_external_ips(["192.0.2.7"])
    };
    for other in [headless, theirs] {
        let lab = dual_stack().with(other).with(young().with_external_ips(["192.0.2.7"]));
        assert_eq!(frontends(&lab, "young"), ["10.96.0.8:80", "192.0.2.7:80"]);
        assert_eq!(lab.problems(), [""; 0]);
    }
}

#[test]
fn an_older_service_that_comes_to_an_address_takes_it_over() {
    let mut lab = dual_stack().with(old()).with(young().with_external_ips(["192.0.2.7"]));
    let delta = lab.apply(old().with_external_ips(["192.0.2.7"]));
    assert_eq!(delta.units, 2, "both services");
    assert_eq!(frontends(&lab, "young"), ["10.96.0.8:80"]);
    lab.apply(old());
    assert_eq!(frontends(&lab, "young"), ["10.96.0.8:80", "192.0.2.7:80"]);
}

#[test]
fn of_two_ports_of_a_service_with_one_port_of_the_nodes_the_first_keeps_it() {
    let lab = dual_stack().with(old().on_nodes(30080).with_port("admin", 81).on_nodes(30080));
    assert_eq!(
        frontends(&lab, "old"),
        ["10.96.0.7:80", "10.96.0.7:81", "169.254.77.1:30080"]
    );
    assert_eq!(
        lab.problems(),
        [
            "service/shop/old: spec.ports[1].nodePort: 30080/TCP is also that of spec.ports[0], which keeps it: give one of them \
          another nodePort"
        ]
    );
}

#[test]
fn an_endpoint_written_by_hand_that_nothing_can_have_is_reported_as_long_as_that_is_so() {
    let slice = EndpointSlice::test("shop", "old", "x").with_port("http", 8080);
    let slice = slice.ready(["10.244.1.9"]);
    let mut lab = dual_stack().with(old()).with(Node::test("a")).with(slice.clone());
    assert_eq!(
        lab.problems(),
        [""; 0],
        "the controller of slices knows of pods that come later"
    );
    lab.apply(slice.by_hand());
    assert_eq!(
        lab.problems(),
        [
            "endpointslice/shop/old-x: endpoints[0].addresses[0]: 10.244.1.9 is in the cluster CIDR 10.244.0.0/16 and in no \
          node's slice of it, so that nothing can have it"
        ]
    );
    lab.apply(Node::test("b"));
    assert_eq!(lab.problems(), [""; 0]);
    lab.delete(Key::node("b"));
    assert_eq!(lab.problems().len(), 1);
}
