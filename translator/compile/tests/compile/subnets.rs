//! Subnets: who is in which, with which address, and what keeps pods out.

use meridian_compile::{Compiler, SubnetReport};
use meridian_model::{EndpointSlice, Key, Namespace, Node, Pod, Service, Subnet, Vpc};

use crate::support::{BALANCER, Lab, dual_stack};

/// Two nodes, VPC blue of namespace `sky` with the Subnet `vms`, and VPC green of namespace `grass`.
fn lab() -> Lab {
    dual_stack()
        .with(Node::test("a"))
        .with(Node::test("b"))
        .with(Vpc::test("blue", ["10.8.0.0/16", "fd00:8::/48"]))
        .with(Vpc::test("green", ["10.9.0.0/16", "fd00:9::/48"]))
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(Namespace::test("grass").in_vpc("green"))
        .with(Subnet::test("vms", "blue", ["10.20.0.0/24", "fd00:20::/64"]))
}

fn vm(name: &str) -> Pod {
    Pod::test("sky", name).on("a").in_subnet("vms")
}

fn report(lab: &Lab, name: &str) -> SubnetReport {
    let reports = Compiler::subnets(&lab.0);
    reports.into_iter().find(|report| &*report.name == name).unwrap()
}

/// The one thing wrong with an object.
fn problem(lab: &Lab, object: &str) -> String {
    let problems = lab.problems();
    let mut found = problems.iter().filter_map(|problem| problem.strip_prefix(object));
    let problem = found
        .next()
        .unwrap_or_else(|| panic!("nothing is wrong: {problems:#?}"));
    assert_eq!(found.next(), None, "{problems:#?}");
    problem.trim_start_matches(": ").to_owned()
}

#[test]
fn a_pod_is_in_the_subnet_that_it_or_its_namespace_or_its_vpc_names() {
    let mut lab = lab().with(vm("own"));
    assert_eq!(lab.ips("sky_own"), ["10.20.0.2/24", "fd00:20::2/64"]);
    lab.apply(Pod::test("sky", "plain").on("a"));
    assert_eq!(lab.ips("sky_plain"), ["10.8.0.4/24", "fd00:8::4/64"]);
    // Who has an address on record stays where it is.
    lab.apply(Pod::test("sky", "plain").on("a").with_ips(["10.8.0.4", "fd00:8::4"]));
    lab.apply(Vpc::test("blue", ["10.8.0.0/16", "fd00:8::/48"]).with_default_subnet("vms"));
    lab.apply(Pod::test("sky", "of-vpc").on("b"));
    assert_eq!(lab.ips("sky_of-vpc")[0], "10.20.0.3/24");
    lab.apply(Pod::test("sky", "of-vpc").on("b").with_ips(["10.20.0.3"]));
    lab.apply(Subnet::test("dbs", "blue", ["10.21.0.0/24"]));
    lab.apply(Namespace::test("sky").in_vpc("blue").in_subnet("dbs"));
    lab.apply(Pod::test("sky", "of-namespace").on("b"));
    assert_eq!(lab.ips("sky_of-namespace"), ["10.21.0.2/24"]);
    assert_eq!(lab.ips("sky_plain"), ["10.8.0.4/24", "fd00:8::4/64"]);
    let facts = lab.facts("sky_own").unwrap();
    assert_eq!(
        facts.gateways,
        ["10.20.0.1", "fd00:20::1"].map(|ip| ip.parse::<std::net::IpAddr>().unwrap())
    );
}

#[test]
fn addresses_outlive_a_wiped_database_and_other_annotations() {
    let mut lab = lab();
    lab.apply(Pod::test("sky", "p").on("a").with_ips(["10.20.0.9", "fd00:20::9"]));
    assert_eq!(lab.ips("sky_p"), ["10.20.0.9/24", "fd00:20::9/64"]);
    lab.apply(
        Pod::test("sky", "p")
            .on("a")
            .with_ips(["10.20.0.9", "fd00:20::9"])
            .in_subnet("other")
            .asking_for("10.20.0.77"),
    );
    assert_eq!(lab.ips("sky_p"), ["10.20.0.9/24", "fd00:20::9/64"]);
    assert_eq!(lab.problems(), Vec::<String>::new());
}

#[test]
fn a_pod_has_the_addresses_that_it_asks_for() {
    let mut lab = lab().with(vm("first"));
    lab.apply(vm("fixed").asking_for("10.20.0.17,fd00:20::17"));
    assert_eq!(lab.ips("sky_fixed"), ["10.20.0.17/24", "fd00:20::17/64"]);
    // The Subnet is found by the address, and the family that is missing is given.
    lab.apply(Pod::test("sky", "half").on("b").asking_for("fd00:20::99"));
    assert_eq!(lab.ips("sky_half"), ["10.20.0.3/24", "fd00:20::99/64"]);
    for ordinal in 0..3 {
        let name = format!("db-{ordinal}");
        lab.apply(
            Pod::test("sky", &name)
                .on("b")
                .asking_for("10.20.0.32/30,fd00:20::20-fd00:20::2f"),
        );
        let expected = [
            format!("10.20.0.3{}/24", 2 + ordinal),
            format!("fd00:20::2{ordinal}/64"),
        ];
        assert_eq!(lab.ips(&format!("sky_{name}")), expected);
    }
    // In a slice, if it is of the node.
    lab.apply(Pod::test("sky", "slice").on("a").asking_for("10.8.0.77"));
    assert_eq!(lab.ips("sky_slice")[0], "10.8.0.77/24");
    lab.apply(Pod::test("sky", "elsewhere").on("b").asking_for("10.8.0.78"));
    assert!(
        problem(&lab, "pod/sky/elsewhere").starts_with(
            "metadata.annotations[meridian.dev/ips]: 10.8.0.78 is not in 10.8.1.0/24, fd00:8:0:1::/64, where the pod is"
        ),
        "{:?}",
        lab.problems()
    );
}

#[test]
fn of_two_pods_that_ask_for_one_address_the_older_has_it() {
    let mut lab = lab()
        .with(vm("young").created_at(2).asking_for("10.20.0.17"))
        .with(vm("old").created_at(1).asking_for("10.20.0.17"));
    assert_eq!(lab.ips("sky_old")[0], "10.20.0.17/24");
    assert_eq!(
        problem(&lab, "pod/sky/young"),
        "metadata.annotations[meridian.dev/ips]: 10.20.0.17 of pod sky/young is also that of pod sky/old, which is older \
         and keeps it: delete one of them"
    );
    // One that has it on record keeps it, however young.
    lab.apply(vm("young").created_at(2).with_ips(["10.20.0.17", "fd00:20::3"]));
    assert_eq!(lab.ips("sky_young")[0], "10.20.0.17/24");
    assert!(problem(&lab, "pod/sky/old").contains("sky/young, which has it already and keeps it"));
    lab.delete(Key::pod("sky", "young"));
    assert_eq!(lab.ips("sky_old")[0], "10.20.0.17/24");
}

#[test]
fn reserved_ranges_are_for_those_who_ask_and_gateways_for_nobody() {
    let subnet = Subnet::test("small", "blue", ["10.30.0.0/29"])
        .with_gateways(["10.30.0.6"])
        .reserving(["10.30.0.1-10.30.0.2", "10.30.0.4"]);
    let in_small = |name: &str| Pod::test("sky", name).on("a").in_subnet("small");
    let mut lab = lab().with(subnet).with(in_small("p")).with(in_small("q"));
    assert_eq!(
        (lab.ips("sky_p"), lab.ips("sky_q")),
        (vec!["10.30.0.3/29".into()], vec!["10.30.0.5/29".into()])
    );
    lab.apply(in_small("r"));
    assert_eq!(
        problem(&lab, "pod/sky/r"),
        "status.podIPs: Subnet small has no free address: all 2 pod addresses of 10.30.0.0/29 are in use; the pod gets one as \
         soon as another pod is gone, or reserve fewer addresses"
    );
    lab.apply(in_small("r").asking_for("10.30.0.4"));
    assert_eq!(lab.ips("sky_r"), ["10.30.0.4/29"]);
    for ip in ["10.30.0.0", "10.30.0.6", "10.30.0.7"] {
        lab.apply(in_small("s").asking_for(ip));
        assert!(
            problem(&lab, "pod/sky/s").contains("is no pod's in 10.30.0.0/29"),
            "{ip}"
        );
    }
    let fill = &report(&lab, "small").fill[0];
    assert_eq!((fill.used, fill.free), (3, 0));
    assert_eq!(report(&lab, "small").pods, 4);
}

#[test]
fn a_subnet_of_another_vpc_is_named_and_waited_for() {
    let mut lab = lab().with(Pod::test("grass", "p").on("a").in_subnet("vms"));
    assert_eq!(
        problem(&lab, "pod/grass/p"),
        "metadata.annotations[meridian.dev/subnet]: Subnet vms is of VPC blue, and namespace grass is in VPC green: name a \
         Subnet of VPC green, or have VPC blue select the namespace"
    );
    lab.apply(Pod::test("grass", "p").on("a").in_subnet("later"));
    assert!(problem(&lab, "pod/grass/p").ends_with("there is no Subnet later: the pod gets its port once there is"));
    lab.apply(Subnet::test("later", "green", ["10.20.0.0/24"]));
    assert_eq!(lab.ips("grass_p"), ["10.20.0.2/24"]);
    assert_eq!(lab.problems(), Vec::<String>::new());
}

#[test]
fn pods_of_two_vpcs_on_a_node_never_have_one_address() {
    let mut lab = lab().with(Subnet::test("same", "green", ["10.20.0.0/24"]));
    let theirs = |name: &str, node: &str| Pod::test("grass", name).on(node).in_subnet("same").created_at(5);
    lab.apply(vm("p"));
    lab.apply(theirs("p", "a"));
    lab.apply(theirs("q", "b"));
    assert_eq!(lab.ips("sky_p")[0], "10.20.0.2/24");
    assert_eq!(
        lab.ips("grass_p"),
        ["10.20.0.3/24"],
        "10.20.0.2 is avoided on this node"
    );
    assert_eq!(lab.ips("grass_q"), ["10.20.0.2/24"], "and not on the other");
    lab.apply(theirs("r", "a").asking_for("10.20.0.77"));
    lab.apply(vm("r").created_at(3).asking_for("10.20.0.77"));
    assert_eq!(lab.ips("sky_r")[0], "10.20.0.77/24");
    assert_eq!(
        problem(&lab, "pod/grass/r"),
        "metadata.annotations[meridian.dev/ips]: 10.20.0.77 of pod grass/r is also that of pod sky/r of VPC blue on the same \
         node, whose host could not tell them apart: delete one of them, or have it run on another node"
    );
    lab.delete(Key::pod("sky", "r"));
    assert_eq!(lab.ips("grass_r"), ["10.20.0.77/24"]);
}

#[test]
fn what_is_wrong_with_a_subnet_is_said() {
    let mut lab = lab();
    let mut refused = |subnet: Subnet| {
        lab.apply(subnet.created_at(7));
        assert!(lab.row("Logical_Switch", "subnet-s").is_none());
        problem(&lab, "subnet/s")
    };
    let of = |cidr: &str| Subnet::test("s", "blue", [cidr]);
    for (subnet, why) in [
        (
            of("10.8.128.0/24"),
            "spec.cidrs[0]: 10.8.128.0/24 overlaps 10.8.0.0/16 of VPC blue",
        ),
        (
            of("10.9.0.0/24"),
            "spec.cidrs[0]: 10.9.0.0/24 overlaps 10.9.0.0/16 of VPC green",
        ),
        (
            of("10.20.0.128/25"),
            "overlaps 10.20.0.0/24 of Subnet vms of the same VPC",
        ),
        (of("10.244.0.0/24"), "overlaps the cluster CIDR"),
        (of("10.96.7.0/24"), "overlaps the service CIDR"),
        (of("10.30.0.1/24"), "did you mean 10.30.0.0/24"),
        (of("10.30.0.0/31"), "has no room for a gateway and a pod"),
        (of("what"), "is not a network"),
        (
            of("10.30.0.0/24").with_gateways(["10.31.0.1"]),
            "spec.gateways[0]: 10.31.0.1 is in none of spec.cidrs",
        ),
        (
            of("10.30.0.0/24").with_gateways(["10.30.0.255"]),
            "is the first or the last address",
        ),
        (
            Subnet::test("s", "default", ["10.30.0.0/24"]),
            "spec.vpc: the VPC default has no Subnets",
        ),
        (
            Subnet::test("s", "red", ["10.30.0.0/24"]),
            "spec.vpc: there is no VPC red",
        ),
    ] {
        let said = refused(subnet);
        assert!(said.contains(why), "{said}");
    }
    lab.apply(Vpc::test("red", ["10.10.0.0/16"]));
    lab.apply(Subnet::test("s", "red", ["10.30.0.0/24", "fd00:30::/64"]).created_at(7));
    assert!(
        problem(&lab, "subnet/s")
            .starts_with("spec.cidrs[1]: fd00:30::/64 is of IPv6, and VPC red has no network of IPv6")
    );
    // What can be mended keeps nobody out.
    lab.apply(of("10.30.0.0/24").reserving(["10.31.0.1"]));
    assert!(problem(&lab, "subnet/s").ends_with("nothing is reserved by it"));
    assert!(lab.row("Logical_Switch", "subnet-s").is_some());
    // A VPC that came later than a Subnet with its network.
    lab.apply(Vpc::test("late", ["10.30.0.0/16"]).created_at(9));
    assert!(problem(&lab, "vpc/late").contains("overlaps 10.30.0.0/24 of Subnet s of VPC blue"));
}

#[test]
fn a_subnet_that_goes_lets_nothing_in_and_leaves_nothing() {
    let subnet = Subnet::test("vms", "blue", ["10.20.0.0/24", "fd00:20::/64"]).with_dhcp();
    let mut lab = lab().with(subnet.clone()).with(vm("p"));
    assert!(lab.row("DHCP_Options", "subnet-vms.dhcp-v4").is_some());
    lab.apply(vm("p").with_ips(["10.20.0.2", "fd00:20::2"]));
    lab.apply(subnet.being_deleted());
    assert_eq!(lab.ips("sky_p")[0], "10.20.0.2/24");
    lab.apply(vm("q"));
    assert!(problem(&lab, "pod/sky/q").ends_with("Subnet vms is being deleted: nothing new is let in"));
    let report = report(&lab, "vms");
    assert!(report.deleting && report.pods == 1 && report.first[0].to_string() == "sky/p");
    lab.delete(Key::pod("sky", "p"));
    lab.delete(Key::pod("sky", "q"));
    lab.delete(Key::subnet("vms"));
    assert!(!lab.dump().contains("subnet"), "{}", lab.dump());
}

#[test]
fn hosts_and_peers_are_told_of_subnets() {
    let mut lab = lab()
        .with(Vpc::test("blue", ["10.8.0.0/16", "fd00:8::/48"]).with_peers(["green"]))
        .with(Vpc::test("green", ["10.9.0.0/16", "fd00:9::/48"]).with_peers(["blue"]))
        .with(vm("p"))
        .with(Pod::test("grass", "p").on("b"));
    let networks = lab.facts("mgmt-blue.a").unwrap().vpc.unwrap().networks;
    assert_eq!(
        networks[2..],
        ["10.20.0.0/24", "fd00:20::/64"].map(|cidr| cidr.parse().unwrap())
    );
    assert!(
        lab.row("Logical_Router_Static_Route", "peer-green.blue.b@vms-v4")
            .is_some()
    );
    assert!(
        lab.row("Logical_Router_Static_Route", "subnet-vms.peer.green-v6")
            .is_some()
    );
    // Peers' Subnets must not overlap.
    lab.apply(Subnet::test("same", "green", ["10.20.0.0/24"]));
    assert!(
        problem(&lab, "vpc/blue")
            .contains("10.20.0.0/24 of Subnet vms of VPC blue overlaps 10.20.0.0/24 of Subnet same of VPC green"),
        "{:?}",
        lab.problems()
    );
    assert!(
        lab.row("Logical_Router_Static_Route", "subnet-vms.peer.green-v6")
            .is_none()
    );
}

#[test]
fn the_way_out_of_a_subnet_is_there_as_long_as_pods_need_it() {
    let mut lab = lab().with(vm("p"));
    let set = |lab: &Lab, node: &str| {
        lab.row("Address_Set", &format!("subnets-blue.{node}-v4"))
            .map(|row| row.uuid)
    };
    let uuid = set(&lab, "a").unwrap();
    let elements = |lab: &Lab| {
        let links = lab.0.desired().links("Address_Set", uuid, "addresses");
        links
            .map(|(atom, _)| atom.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!((elements(&lab), set(&lab, "b")), (vec!["10.20.0.2".to_owned()], None));
    // One pod more is a port, two links for it and for its addresses, and no policy.
    let delta = lab.apply(vm("q"));
    assert_eq!(delta.rows.len(), 1, "{delta:?}");
    assert_eq!(delta.links.len(), 3, "{delta:?}");
    lab.delete(Key::pod("sky", "p"));
    lab.delete(Key::pod("sky", "q"));
    assert_eq!(set(&lab, "a"), None);
    assert!(
        lab.row("Logical_Router_Policy", "inside-blue-v4").is_some(),
        "that is the VPC's"
    );
}

#[test]
fn load_balancers_of_some_nodes_alone_are_not_missing_in_subnets() {
    let service = |name: &str, ip: &str| Service::test("sky", name).under([ip]).with_port("", 80);
    let slice = |name: &str| {
        EndpointSlice::test("sky", name, "x")
            .with_port("", 80)
            .ready(["10.20.0.9"])
    };
    let lab = lab()
        .with(Node::test("a").in_zone("east"))
        .with(Node::test("b").in_zone("west"))
        .with(vm("p"))
        .with(service("zonal", "10.96.0.4"))
        .with(slice("zonal").meant_for(&["east"], &[]))
        .with(service("near", "10.96.0.5"))
        .with(slice("near").meant_for(&[], &["a"]));
    let switch = meridian_compile::row_uuid(None, "Logical_Switch", "subnet-vms");
    let found: Vec<&str> = crate::support::balancers(lab.0.desired(), switch)
        .into_iter()
        .map(|row| &*row.key)
        .collect();
    assert_eq!(found, ["sky_zonal_tcp@zone/", "sky_near_tcp@rest/"]);
    assert!(lab.row(BALANCER, "sky_zonal_tcp@zone/east").is_some());
}
