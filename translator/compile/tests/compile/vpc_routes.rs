//! Routes of VPCs: to pods that forward what is for networks beyond.

use meridian_compile::{RouteReport, Verdict};
use meridian_model::{Key, Namespace, Node, Pod, Subnet, Vpc};

use crate::support::{LSP, Lab, ipv4};

const POLICY: &str = "Logical_Router_Policy";

fn blue() -> Vpc {
    Vpc::test("blue", ["10.8.0.0/16", "fd00:8::/48"]).created_at(1)
}

/// A pod in the slice on `a`, one in the Subnet `vms` there, and what forwards in the Subnet `edge` on `b`.
fn lab(vpc: Vpc) -> Lab {
    ipv4()
        .with(Node::test("a"))
        .with(Node::test("b"))
        .with(vpc)
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(Subnet::test("edge", "blue", ["10.21.0.0/24", "fd00:21::/64"]))
        .with(Subnet::test("vms", "blue", ["10.20.0.0/24"]))
        .with(Pod::test("sky", "p").on("a"))
        .with(Pod::test("sky", "vm").on("a").in_subnet("vms"))
        .with(forwarder("fw", "10.21.0.5"))
}

fn forwarder(name: &str, address: &str) -> Pod {
    Pod::test("sky", name).on("b").in_subnet("edge").asking_for(address)
}

fn report(lab: &Lab) -> RouteReport {
    let reports = lab.0.vpcs();
    let report = reports.into_iter().find(|report| &*report.name == "blue").unwrap();
    report.routes.unwrap()
}

fn faults(lab: &Lab) -> Vec<String> {
    let faults = report(lab).faults.into_iter();
    let faults: Vec<String> = faults.map(|(field, message)| format!("{field}: {message}")).collect();
    for fault in &faults {
        let problem = format!("vpc/blue: {fault}");
        assert!(
            lab.problems().contains(&problem),
            "{problem} is not among {:?}",
            lab.problems()
        );
    }
    faults
}

/// The match of a policy.
fn matches(lab: &Lab, policy: &str) -> Option<String> {
    lab.row(POLICY, policy)?;
    Some(lab.text(POLICY, policy, "match"))
}

#[test]
fn what_is_for_a_network_goes_to_who_forwards_it_but_from_where_that_is() {
    let lab = lab(blue().with_route("192.168.0.0/16", ["10.21.0.5"]));
    assert_eq!(
        lab.routes("vpc-blue.a"),
        [
            "0.0.0.0/0 10.8.0.2 -",
            "10.244.0.0/16 10.8.0.2 -",
            "10.8.0.0/16 10.8.0.2 -",
            "10.96.0.0/16 10.8.0.2 -",
            "192.168.0.0/16 10.21.0.5 subnet-edge",
            "::/0 fd00:8::2 -",
        ]
    );
    assert_eq!(
        lab.routes("subnet-vms"),
        [
            "0.0.0.0/0 169.254.77.9 subnet-vms",
            "10.8.0.0/16 169.254.77.9 subnet-vms",
            "192.168.0.0/16 10.21.0.5 subnet-edge",
        ]
    );
    let routed = r#"inport == \"subnet-vms\" && ip4.dst == {192.168.0.0/16}"#;
    assert_eq!(matches(&lab, "subnet-vms.routed-v4").as_deref(), Some(routed));
    let own = matches(&lab, "subnets-blue.a.own-v4").unwrap();
    assert!(own.ends_with(" && ip4.dst == {10.96.0.0/16, 10.244.0.0/16}"), "{own}");
    assert_eq!(lab.routes("subnet-edge")[0], "0.0.0.0/0 169.254.77.9 subnet-edge");
    assert!(matches(&lab, "subnet-edge.routed-v4").is_none());
    for (pod, to, way) in [
        ("sky/p", "192.168.7.7", (Verdict::Forwarded, "sky_fw")),
        ("sky/vm", "192.168.7.7", (Verdict::Forwarded, "sky_fw")),
        ("sky/fw", "192.168.7.7", (Verdict::Leaves, "mgmt-blue.b")),
        ("sky/p", "192.0.2.1", (Verdict::Leaves, "mgmt-blue.a")),
        ("sky/vm", "192.0.2.1", (Verdict::Leaves, "mgmt-blue.a")),
    ] {
        assert_eq!(lab.way(pod, to), (way.0, Some(way.1.to_owned())), "{pod} to {to}");
    }
    assert_eq!((report(&lab).count, faults(&lab).len()), (1, 0));
}

#[test]
fn only_who_forwards_may_send_what_others_sent() {
    let mut lab = lab(blue()
        .with_route("192.168.0.0/16", ["10.21.0.5"])
        .with_route("0.0.0.0/0", ["10.21.0.5", "10.21.0.6"]))
    .with(forwarder("other", "10.21.0.9"));
    let security = |lab: &Lab, port| lab.text(LSP, port, "port_security");
    assert_eq!(
        security(&lab, "sky_fw"),
        "0a:58:0a:15:00:05 10.21.0.5 fd00:21::2 192.168.0.0/16 0.0.0.0/0"
    );
    assert_eq!(security(&lab, "sky_other"), "0a:58:0a:15:00:09 10.21.0.9 fd00:21::3");
    assert_eq!(
        lab.text(LSP, "sky_fw", "addresses"),
        "0a:58:0a:15:00:05 10.21.0.5 fd00:21::2"
    );
    lab.apply(blue());
    assert_eq!(security(&lab, "sky_fw"), "0a:58:0a:15:00:05 10.21.0.5 fd00:21::2");
}

#[test]
fn a_route_for_everything_takes_the_place_of_the_way_out_and_leaves_services_alone() {
    let routed = |vpc: Vpc| vpc.with_route("0.0.0.0/0", ["10.21.0.5", "10.21.0.6"]);
    let mut lab = lab(routed(blue())).with(forwarder("fw2", "10.21.0.6"));
    let hops = ["0.0.0.0/0 10.21.0.5 subnet-edge", "0.0.0.0/0 10.21.0.6 subnet-edge"];
    for table in ["vpc-blue.a", "subnet-vms"] {
        assert_eq!(lab.routes(table)[..2], hops);
        assert!(!lab.routes(table)[2].starts_with("0.0.0.0/0"));
    }
    assert_eq!(
        matches(&lab, "subnet-vms.routed-v4").as_deref(),
        Some(r#"inport == \"subnet-vms\" && ip4"#)
    );
    let host = |node: &str| Some(format!("mgmt-blue.{node}"));
    for pod in ["sky/p", "sky/vm"] {
        assert_eq!(
            lab.way(pod, "192.0.2.1"),
            (Verdict::Forwarded, Some("sky_fw".to_owned()))
        );
        assert_eq!(lab.way(pod, "10.96.0.9").1, host("a"), "services are the own host's");
        assert_eq!(
            lab.way(pod, "10.8.200.9").1.filter(|port| port.starts_with("sky")),
            None,
            "nobody's"
        );
    }
    assert_eq!(lab.way("sky/fw", "192.0.2.1"), (Verdict::Leaves, host("b")));
    // With gateways, those are for who forwards.
    lab.apply(Node::test("g").labelled("edge", ""));
    lab.apply(routed(blue().by_gateways()));
    for table in ["vpc-blue.a", "subnet-vms"] {
        assert_eq!(lab.routes(table)[..2], hops);
        assert!(!lab.routes(table)[2].starts_with("0.0.0.0/0"));
    }
    assert_eq!(lab.way("sky/vm", "192.0.2.1").0, Verdict::Forwarded);
    assert_eq!(
        lab.way("sky/fw", "192.0.2.1"),
        (Verdict::Leaves, Some("egress-default".to_owned()))
    );
}

#[test]
fn who_forwards_and_is_gone_takes_nothing_with_it_but_its_share() {
    let mut lab = lab(blue().with_route("0.0.0.0/0", ["10.21.0.5"]));
    lab.delete(Key::pod("sky", "fw"));
    assert_eq!(
        lab.way("sky/p", "192.0.2.1"),
        (Verdict::Dropped, None),
        "not by another way"
    );
    lab.apply(forwarder("fw", "10.21.0.5"));
    lab.delete(Key::subnet("edge"));
    let why = "10.21.0.5 is in no Subnet of VPC blue: name an address of one, which what forwards it has; what is for 0.0.0.0/0 is \
               dropped";
    assert_eq!(faults(&lab), [format!("spec.routes[0].nexthops[0]: {why}")]);
    for pod in ["sky/p", "sky/vm"] {
        assert_eq!(
            lab.way(pod, "192.0.2.1"),
            (Verdict::Dropped, None),
            "not by another way"
        );
    }
    lab.apply(blue());
    assert_eq!(lab.way("sky/p", "192.0.2.1").0, Verdict::Leaves);
    assert!(lab.0.vpcs()[0].routes.is_none());
}

#[test]
fn what_has_a_place_already_is_led_nowhere_else() {
    let green = Vpc::test("green", ["10.9.0.0/16"]).created_at(2).with_peers(["blue"]);
    let mut vpc = blue().with_peers(["green"]);
    let clashes = [
        ("10.8.3.0/24", "10.8.0.0/16 of VPC blue"),
        ("10.20.0.0/24", "10.20.0.0/24 of VPC blue"),
        ("10.9.0.0/17", "10.9.0.0/16 of peer green"),
        ("10.244.0.0/16", "the cluster CIDR 10.244.0.0/16"),
        ("10.96.7.0/24", "the service CIDR 10.96.0.0/16"),
        ("100.66.1.0/24", "the egress CIDR 100.66.0.0/16"),
    ];
    for (destination, _) in clashes {
        vpc = vpc.with_route(destination, ["10.21.0.5"]);
    }
    let lab = lab(vpc).with(green);
    let told = faults(&lab);
    for (index, (destination, whose)) in clashes.iter().enumerate() {
        let why = format!(
            "spec.routes[{index}].destination: {destination} is inside {whose}: routes are for what is beyond the VPC, its peers and the \
             cluster: the route is left out"
        );
        assert_eq!(told[index], why);
    }
    assert!(report(&lab).conflict && report(&lab).count == 0);
    assert!(lab.routes("vpc-blue.a").iter().all(|route| !route.contains("edge")));
}

#[test]
fn what_makes_no_sense_is_named_and_keeps_nothing_else_from_being_used() {
    let lab = lab(blue()
        .with_route("what", ["10.21.0.5"])
        .with_route("192.168.7.0/16", ["10.21.0.5"])
        .with_route("224.0.0.0/8", ["10.21.0.5"])
        .with_route(
            "192.168.0.0/16",
            ["10.8.0.4", "10.21.0.1", "fd00:21::5", "x", "10.21.0.5", "10.21.0.5"],
        )
        .with_route("192.168.0.0/16", ["10.21.0.6"])
        .with_route("172.16.0.0/12", []));
    let told = faults(&lab);
    for (fault, expected) in told.iter().zip([
        "spec.routes[0].destination: \"what\" is not a network",
        "spec.routes[1].destination: 192.168.7.0/16 is an address with a prefix length, not a network: did you mean 192.168.0.0/16?",
        "spec.routes[2].destination: 224.0.0.0/8 is of multicast addresses, which are not routed",
        "spec.routes[3].nexthops[0]: 10.8.0.4 is of 10.8.0.0/16, whose addresses nodes have",
        "spec.routes[3].nexthops[1]: 10.21.0.1 is the gateway of Subnet edge, the router itself",
        "spec.routes[3].nexthops[2]: fd00:21::5 is of another family than 192.168.0.0/16",
        "spec.routes[3].nexthops[3]: \"x\" is no IP address",
        "spec.routes[4].destination: 192.168.0.0/16 is named twice",
        "spec.routes[5].nexthops: nobody is named who forwards it: what is for 172.16.0.0/12 is dropped",
    ]) {
        assert!(fault.starts_with(expected), "{fault}\nexpected: {expected}");
    }
    assert_eq!((told.len(), report(&lab).conflict, report(&lab).count), (9, false, 2));
    assert_eq!(lab.way("sky/p", "192.168.1.1").0, Verdict::Forwarded);
    assert_eq!(lab.way("sky/p", "172.16.1.1").0, Verdict::Dropped);
}
