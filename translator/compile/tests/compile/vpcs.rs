//! VPCs beside the default one: which pods and services are in which, and what of them is where.

use std::collections::BTreeSet;

use meridian_api::hosts::HostFacts;
use meridian_model::{
    Egress, EndpointSlice, Event, Key, Namespace, Node, Pod, PodKey, Requirement, Selector, Service, Vpc,
};

use crate::support::{BALANCER, LSP, Lab, dual_stack, ipv4};

const POLICY: &str = "Logical_Router_Policy";
const SWITCH: &str = "Logical_Switch";

/// Two nodes, two VPCs of one network, a namespace in each, and one in none.
fn lab() -> Lab {
    ipv4()
        .with(Node::test("a"))
        .with(Node::test("b"))
        .with(Vpc::test("blue", ["10.10.0.0/16"]).created_at(1))
        .with(Vpc::test("green", ["10.10.0.0/16"]).created_at(2))
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(Namespace::test("grass").in_vpc("green"))
        .with(Namespace::test("plain"))
}

fn pod(namespace: &str, name: &str, node: &str) -> Pod {
    Pod::test(namespace, name).on(node)
}

fn switches(lab: &Lab) -> BTreeSet<String> {
    let rows = lab.0.desired().rows(SWITCH);
    rows.map(|row| row.key.to_string())
        .filter(|key| !key.starts_with("services-"))
        .collect()
}

fn problems(lab: &Lab, object: &Key) -> Vec<String> {
    let of_object = lab.0.problems().filter(|problem| problem.object == *object);
    of_object
        .map(|problem| format!("{}: {}", problem.field, problem.message))
        .collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn a_node_has_of_a_vpc_what_its_pods_need_and_as_long_as_they_do() {
    let mut lab = lab();
    let before = names(&["vpc-default-a", "vpc-default-b"]);
    assert_eq!(switches(&lab), before);
    lab.apply(pod("sky", "p", "a"));
    assert_eq!(switches(&lab), &before | &names(&["vpc-blue.a"]));
    assert_eq!(lab.ips("sky_p"), ["10.10.0.4/24"]);
    let host = lab.facts("mgmt-blue.a").unwrap();
    assert_eq!(host.ips, ["10.10.0.2/24".parse().unwrap()]);
    assert_eq!(host.routes, [], "the host reaches nothing of the VPC but its own slice");
    let vpc = host.vpc.unwrap();
    assert_eq!((&*vpc.name, vpc.services, vpc.outside), ("blue", true, true));
    assert!(lab.row(LSP, "svc-blue.a").is_none());
    lab.delete(Key::pod("sky", "p"));
    assert_eq!(switches(&lab), before);
    assert!(lab.0.vpcs().iter().all(|vpc| vpc.pods == 0 && vpc.nodes == 0));
}

#[test]
fn vpcs_of_one_network_have_other_slices_on_one_node_and_may_have_the_same_on_two() {
    let lab = lab()
        .with(pod("sky", "p", "a"))
        .with(pod("grass", "p", "a"))
        .with(pod("grass", "q", "b"));
    assert_eq!(lab.ips("sky_p"), ["10.10.0.4/24"]);
    assert_eq!(lab.ips("grass_p"), ["10.10.1.4/24"]);
    assert_eq!(lab.ips("grass_q"), ["10.10.0.4/24"]);
}

#[test]
fn where_a_node_could_not_tell_two_vpcs_apart_the_second_has_no_pods() {
    let small = |name: &str, created| Vpc::test(name, ["10.10.0.0/24"]).created_at(created);
    let mut lab = lab()
        .with(small("blue", 1))
        .with(small("green", 2))
        .with(pod("sky", "p", "a"))
        .with(pod("grass", "p", "a"));
    assert_eq!(lab.ips("grass_p"), [""; 0]);
    let [why] = &*problems(&lab, &Key::pod("grass", "p")) else {
        panic!()
    };
    assert!(
        why.contains("would not overlap what the node has of other VPCs"),
        "{why}"
    );
    lab.delete(Key::pod("sky", "p"));
    assert_eq!(lab.ips("grass_p"), ["10.10.0.4/24"]);
}

#[test]
fn a_restart_and_a_lost_database_leave_everybody_where_they_are() {
    let mut lab = lab().with(pod("sky", "p", "a")).with(pod("grass", "p", "a"));
    let ip = |lab: &Lab, port: &str| lab.ips(port)[0].trim_end_matches("/24").to_owned();
    let green = ip(&lab, "grass_p");
    for (namespace, ip) in [("sky", ip(&lab, "sky_p")), ("grass", green.clone())] {
        lab.apply(pod(namespace, "p", "a").with_ips([&*ip]));
    }
    let objects = |lab: &Lab| -> Vec<Event> {
        let cluster = lab.0.cluster();
        let vpcs = cluster.vpcs().map(|vpc| Event::apply((**vpc).clone()));
        let namespaces = cluster
            .namespaces()
            .map(|namespace| Event::apply((**namespace).clone()));
        let nodes = cluster.nodes().map(|node| Event::apply((**node).clone()));
        let pods = cluster.pods().map(|pod| Event::apply((**pod).clone()));
        vpcs.chain(namespaces).chain(nodes).chain(pods).collect()
    };
    for claims in [lab.0.claims(), Vec::new()] {
        let mut fresh = meridian_compile::Compiler::new(lab.0.config().clone());
        fresh.claim(claims);
        for event in objects(&lab) {
            fresh.apply(event);
        }
        fresh.compile();
        assert_eq!(fresh.desired(), lab.0.desired());
    }
}

#[test]
fn a_namespace_that_moves_leaves_its_pods_behind() {
    let mut lab = lab().with(pod("sky", "old", "a").with_ips(["10.10.0.7"]));
    lab.apply(Namespace::test("sky"));
    lab.apply(pod("sky", "new", "a"));
    assert_eq!(lab.ips("sky_old"), ["10.10.0.7/24"]);
    assert_eq!(lab.ips("sky_new"), ["10.244.0.4/24"]);
    let blue = &lab.0.vpcs()[0];
    assert_eq!(blue.remaining, [PodKey::new("sky", "old")]);
    assert_eq!((blue.pods, blue.namespaces.len()), (1, 0));
    lab.apply(Namespace::test("sky").in_vpc("green"));
    assert_eq!(
        lab.ips("sky_old"),
        ["10.10.0.7/24"],
        "though the other VPC has such an address"
    );
    assert_eq!(lab.facts("sky_old").unwrap().vpc.unwrap().name, "blue");
}

#[test]
fn a_pod_that_came_before_its_vpc_was_known_moves_as_long_as_it_has_no_address() {
    let mut lab = Lab::of(&["10.244.0.0/16"])
        .with(Node::test("a"))
        .with(pod("sky", "p", "a"))
        .with(pod("sky", "runs", "a").with_ips(["10.244.0.9"]));
    assert_eq!(lab.ips("sky_p"), ["10.244.0.4/24"]);
    lab.apply(Namespace::test("sky").in_vpc("blue"));
    lab.apply(Vpc::test("blue", ["10.10.0.0/16"]));
    assert_eq!(lab.ips("sky_p"), ["10.10.0.4/24"]);
    assert_eq!(lab.ips("sky_runs"), ["10.244.0.9/24"]);
}

#[test]
fn nothing_is_in_the_default_vpc_of_which_it_is_not_known_that_it_is() {
    let mut lab = lab();
    lab.apply(pod("unheard", "p", "a"));
    lab.apply(Service::test("unheard", "s").under(["10.96.0.9"]).with_port("", 80));
    assert!(lab.row(LSP, "unheard_p").is_none() && lab.row(BALANCER, "unheard_s_tcp").is_none());
    for object in [Key::pod("unheard", "p"), Key::service("unheard", "s")] {
        let [why] = &*problems(&lab, &object) else { panic!() };
        assert!(
            why.starts_with("metadata.namespace: namespace unheard is not known"),
            "{why}"
        );
    }
    lab.apply(Namespace::test("unheard"));
    assert_eq!(lab.ips("unheard_p"), ["10.244.0.4/24"]);
    assert!(lab.row(BALANCER, "unheard_s_tcp").is_some());
}

#[test]
fn the_oldest_vpc_has_a_namespace_that_several_select() {
    let everything = |name: &str, created| Vpc {
        namespaces: Some(Selector::default()),
        ..Vpc::test(name, ["10.20.0.0/16"]).created_at(created)
    };
    let mut lab = lab().with(everything("all", 3)).with(pod("plain", "p", "a"));
    assert_eq!(lab.ips("plain_p"), ["10.20.0.4/24"]);
    let [grass, sky] = &*problems(&lab, &Key::vpc("all")) else {
        panic!()
    };
    assert!(
        grass.contains("namespace grass is selected by VPC green, too, which is older"),
        "{grass}"
    );
    assert!(sky.contains("namespace sky is selected by VPC blue"), "{sky}");
    lab.apply(everything("all", 0));
    let report = lab.0.vpcs().remove(0);
    assert_eq!((&*report.name, report.namespaces.len()), ("all", 3));
    assert_eq!(problems(&lab, &Key::vpc("all")), [""; 0]);
    assert_eq!(problems(&lab, &Key::vpc("blue")).len(), 1);
}

#[test]
fn networks_that_overlap_others_are_refused_by_the_name_of_what_they_overlap() {
    let mut node = Node::test("old");
    node.internal_ips = ["192.0.2.7".parse().unwrap()].into();
    let mut lab = lab()
        .with(node)
        .with(Namespace::test("n").in_vpc("bad"))
        .with(pod("n", "p", "a"));
    for (cidr, expected) in [
        ("10.244.8.0/24", "overlaps the cluster CIDR 10.244.0.0/16"),
        ("10.0.0.0/8", "overlaps the cluster CIDR"),
        ("10.96.4.0/24", "overlaps the service CIDR 10.96.0.0/16"),
        ("192.0.2.0/24", "overlaps the address 192.0.2.7 of node old"),
        ("169.254.0.0/16", "is of link-local addresses"),
        ("fd6d:6572:6964:6961::/64", "overlaps what stands for nodes"),
        ("10.10.0.1/16", "did you mean 10.10.0.0/16?"),
        ("10.10.0.0/28", "at least /28 and at most /29"),
        ("ten", "is not a network"),
    ] {
        lab.apply(Vpc::test("bad", [cidr]).created_at(1));
        let [why] = &*problems(&lab, &Key::vpc("bad")) else {
            panic!("{cidr}")
        };
        assert!(why.starts_with("spec.podNetwork.") && why.contains(expected), "{why}");
        let [why] = &*problems(&lab, &Key::pod("n", "p")) else {
            panic!("{cidr}")
        };
        assert!(why.contains("VPC bad is not ready"), "{why}");
        assert!(lab.row(LSP, "n_p").is_none(), "it is not let into another VPC instead");
        assert!(lab.row("Logical_Router", "vpc-bad").is_none());
    }
    lab.apply(Vpc::test("bad", ["10.10.0.0/16", "10.11.0.0/16"]));
    assert!(problems(&lab, &Key::vpc("bad"))[0].contains("is a second IPv4 network beside 10.10.0.0/16"));
    lab.apply(Vpc::test("bad", ["10.11.0.0/16"]));
    assert_eq!(lab.ips("n_p"), ["10.11.0.4/24"]);
}

#[test]
fn a_node_that_comes_with_an_address_of_a_vpc_is_told_and_takes_nothing_away() {
    let mut lab = lab().with(pod("sky", "p", "a"));
    let mut node = Node::test("late").created_at(9);
    node.internal_ips = ["10.10.7.1".parse().unwrap()].into();
    lab.apply(node);
    assert_eq!(lab.ips("sky_p"), ["10.10.0.4/24"]);
    let of_node = problems(&lab, &Key::node("late"));
    assert!(
        of_node[0].contains("10.10.7.1 is in 10.10.0.0/16 of VPC blue"),
        "{of_node:?}"
    );
}

#[test]
fn a_vpc_that_is_being_deleted_keeps_its_pods_and_lets_no_other_in() {
    let mut lab = lab().with(pod("sky", "p", "a").with_ips(["10.10.0.4"]));
    lab.apply(Vpc {
        deleting: true,
        ..Vpc::test("blue", ["10.10.0.0/16"]).created_at(1)
    });
    lab.apply(pod("sky", "q", "a"));
    assert_eq!(lab.ips("sky_p"), ["10.10.0.4/24"]);
    assert!(problems(&lab, &Key::pod("sky", "q"))[0].contains("VPC blue is being deleted"));
    assert_eq!(lab.0.vpcs()[0].first, [PodKey::new("sky", "p")]);
    lab.delete(Key::pod("sky", "p"));
    lab.delete(Key::vpc("blue"));
    assert!(
        lab.0
            .desired()
            .tables()
            .flat_map(|table| lab.0.desired().rows(table))
            .all(|row| !row.key.contains("blue"))
    );
}

#[test]
fn what_pods_of_a_vpc_reach_beyond_it_is_for_the_vpc_to_say() {
    let mut vpc = Vpc::test("blue", ["10.10.0.0/16"]).created_at(1);
    vpc.egress = Egress::None;
    vpc.shared_services = false;
    let lab = lab().with(vpc).with(pod("sky", "p", "a"));
    let vpc = lab.facts("mgmt-blue.a").unwrap().vpc.unwrap();
    assert_eq!((vpc.services, vpc.outside), (false, false));
}

fn endpoints(service: &str, endpoints: &[(&str, &str)]) -> EndpointSlice {
    let slice = EndpointSlice::test("sky", service, "x").with_port("", 8080);
    endpoints
        .iter()
        .fold(slice, |slice, (address, node)| slice.ready([*address]).on(node))
}

#[test]
fn a_service_is_in_the_vpc_of_its_namespace_and_hosts_are_told_of_it() {
    let mut lab = lab()
        .with(pod("sky", "p", "a"))
        .with(pod("sky", "q", "b"))
        .with(
            Service::test("sky", "web")
                .under(["10.96.0.7"])
                .with_port("", 80)
                .on_nodes(30080),
        )
        .with(endpoints("web", &[("10.10.0.4", "a"), ("10.10.1.4", "b")]));
    assert_eq!(lab.on("a", "10.96.0.7:80"), None, "the default VPC does not know it");
    assert_eq!(
        lab.on_slice("blue.a", "10.96.0.7:80").as_deref(),
        Some("10.10.0.4:8080,10.10.1.4:8080")
    );
    assert_eq!(
        lab.on_slice("blue.a", "169.254.77.1:30080"),
        None,
        "hosts translate their ports themselves"
    );
    let facts = lab.service_facts("sky/web").unwrap();
    assert_eq!(facts.vpc.as_deref(), Some("blue"));
    assert_eq!((facts.cluster_ips.len(), facts.shared), (1, false));
    assert_eq!(facts.ports[0].node_port, Some(30080));
    assert_eq!(facts.ports[0].endpoints["b"], ["10.10.1.4:8080".parse().unwrap()]);
    let hop = |lab: &Lab| {
        let policy = lab.row(POLICY, "sky_web_10.96.0.7")?;
        assert_eq!(policy.get("match").unwrap().as_str(), Some("ip4.dst == 10.96.0.7"));
        Some(policy.get("nexthops").unwrap().as_str().unwrap().to_owned())
    };
    let first = hop(&lab).unwrap();
    let management = |lab: &Lab, node: &str| {
        lab.facts(&format!("mgmt-default-{node}")).unwrap().ips[0]
            .ip()
            .to_string()
    };
    let other = ["a", "b"]
        .into_iter()
        .find(|node| management(&lab, node) != first)
        .unwrap();
    let address = if other == "a" { "10.10.0.4" } else { "10.10.1.4" };
    lab.apply(endpoints("web", &[(address, other)]));
    assert_eq!(hop(&lab), Some(management(&lab, other)), "to where there are endpoints");
    lab.apply(endpoints("web", &[]));
    assert_eq!(hop(&lab), None);
}

#[test]
fn services_are_shared_by_annotation_and_the_api_and_dns_by_default() {
    let service = |namespace: &str, name: &str, ip: &str| Service::test(namespace, name).under([ip]).with_port("", 80);
    let lab = lab()
        .with(Namespace::test("default"))
        .with(service("default", "kubernetes", "10.96.0.1"))
        .with(service("plain", "own", "10.96.0.2"))
        .with(service("plain", "all", "10.96.0.3").shared());
    for (name, shared) in [("default/kubernetes", true), ("plain/all", true), ("plain/own", false)] {
        let facts = lab.service_facts(name);
        assert_eq!(facts.as_ref().is_some_and(|facts| facts.shared), shared, "{name}");
        assert!(facts.is_none_or(|facts| facts.cluster_ips.len() == 1 && facts.vpc.is_none()));
    }
}

#[test]
fn hosts_are_told_of_each_other_as_long_as_there_are_vpcs() {
    let mut node = Node::test("c").with_cidrs(["10.244.7.0/24"]);
    node.internal_ips = ["192.0.2.7".parse().unwrap()].into();
    let mut lab = lab().with(node);
    let facts = |lab: &Lab| {
        let ids = lab.row(LSP, "hosts-default")?.get("external_ids")?;
        Some(HostFacts::from_json(ids.get_str("meridian/hosts")?).unwrap())
    };
    let told = facts(&lab).unwrap();
    assert_eq!(told.addresses, ["192.0.2.7".parse().unwrap()].into());
    assert_eq!(
        told.sources,
        ["10.244.0.3", "10.244.1.3", "10.244.7.3"]
            .map(|ip| ip.parse().unwrap())
            .into()
    );
    lab.delete(Key::vpc("blue"));
    lab.delete(Key::vpc("green"));
    assert_eq!(facts(&lab), None);
}

#[test]
fn a_service_follows_its_namespace() {
    let mut lab = lab()
        .with(pod("sky", "p", "a"))
        .with(Service::test("sky", "web").under(["10.96.0.7"]).with_port("", 80));
    assert!(lab.on_slice("blue.a", "10.96.0.7:80").is_some());
    lab.apply(Namespace::test("sky"));
    assert!(lab.on("a", "10.96.0.7:80").is_some());
    assert_eq!(lab.on_slice("blue.a", "10.96.0.7:80"), None);
}

#[test]
fn selectors_are_those_of_kubernetes() {
    let vpc = Vpc {
        namespaces: Some(
            [Requirement::NotIn("vpc".into(), ["blue".into(), "green".into()].into())]
                .into_iter()
                .collect(),
        ),
        ..Vpc::test("rest", ["10.30.0.0/16"])
    };
    let lab = lab().with(vpc).with(pod("plain", "p", "a")).with(pod("sky", "p", "a"));
    assert_eq!(lab.ips("plain_p"), ["10.30.0.4/24"]);
    assert_eq!(lab.ips("sky_p"), ["10.10.0.4/24"]);
}

#[test]
fn a_vpc_can_have_both_families_or_one_that_the_cluster_has_not() {
    let lab = dual_stack()
        .with(Node::test("a"))
        .with(Vpc::test("blue", ["fd00:1::/48", "10.10.0.0/16"]))
        .with(Vpc::test("green", ["fd00:1::/48"]).created_at(2))
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(Namespace::test("grass").in_vpc("green"))
        .with(pod("sky", "p", "a"))
        .with(pod("grass", "p", "a"));
    assert_eq!(lab.ips("sky_p"), ["fd00:1::4/64", "10.10.0.4/24"]);
    assert_eq!(lab.ips("grass_p"), ["fd00:1:0:1::4/64"]);
}
