//! Further interfaces of pods: who has which, where, and why not.

use meridian_compile::{Claim, Config, Settings};
use meridian_model::{
    AttachmentConfig, Key, Name, Namespace, NetworkAttachment, Node, Pod, PodKey, PortKey, Subnet, Vpc,
};

use crate::support::{LSP, Lab};

/// A VPC beside the default one that lets in what is in the default one.
fn lab() -> Lab {
    let config = Config::new(Settings {
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap(), "fd00:10:244::/48".parse().unwrap()],
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        ..Settings::default()
    });
    Lab::new(config.unwrap())
        .with(Node::test("a"))
        .with(Node::test("b"))
        .with(Vpc::test("green", ["10.9.0.0/16", "fd00:9::/48"]).open_to([""]))
        .with(Namespace::test("shop").in_vpc(""))
        .with(Namespace::test("grass").in_vpc("green"))
        .with(Namespace::test("fields").in_vpc("brown"))
        .with(NetworkAttachment::test("shop", "storage", "green"))
}

fn pod(name: &str) -> Pod {
    Pod::test("shop", name).on("a").attached("shop", "storage")
}

/// What is wrong with a pod.
fn wrong(lab: &Lab, namespace: &str, name: &str) -> Vec<String> {
    let key = Key::pod(namespace, name);
    let of_pod = lab.0.problems().filter(|problem| problem.object == key);
    of_pod
        .map(|problem| format!("{}: {}", problem.field, problem.message))
        .collect()
}

fn only_wrong(lab: &Lab, what: &str) {
    let wrong = wrong(lab, "shop", "p");
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(
        wrong[0].starts_with("metadata.annotations[k8s.v1.cni.cncf.io/networks]: entry ") && wrong[0].contains(what),
        "{wrong:?}"
    );
    assert!(
        lab.row(LSP, "shop_p").is_some(),
        "the first interface is there all the same"
    );
}

#[test]
fn a_further_interface_has_a_port_in_its_vpc_and_no_default_gateway() {
    let lab = lab().with(pod("p"));
    assert_eq!(lab.problems(), [""; 0]);
    let first = lab.facts("shop_p").unwrap();
    assert_eq!((first.gateways.len(), first.routes.len(), first.vpc), (2, 0, None));
    let further = lab.facts("shop_p@net1").unwrap();
    assert_eq!(lab.ips("shop_p@net1"), ["10.9.0.4/24", "fd00:9::4/64"]);
    assert_eq!(
        (&*further.mac, further.uid.as_deref()),
        ("0a:58:0a:09:00:04", Some("p-uid"))
    );
    assert!(further.gateways.is_empty());
    let routes: Vec<String> = further.routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["10.9.0.0/16=10.9.0.1", "fd00:9::/48=fd00:9::1"]);
    assert_eq!(further.vpc.unwrap().name, "green");
    let row = lab.row(LSP, "shop_p@net1").unwrap();
    assert_eq!(row.owner.to_string(), "pod/shop/p");
    let options = row.get("options").unwrap();
    assert_eq!(options.get_str("requested-chassis"), Some("a"));
    assert_eq!(options.get_str("iface-id-ver"), Some("p-uid"));
    assert!(
        lab.row("Logical_Switch", "vpc-green.a").is_some(),
        "the node has a slice of the VPC"
    );
}

#[test]
fn the_slice_goes_with_the_last_interface() {
    let mut lab = lab().with(pod("p"));
    let report = |lab: &Lab| lab.0.vpcs()[0].clone();
    assert_eq!((report(&lab).pods, report(&lab).nodes), (1, 1));
    assert_eq!(report(&lab).first, [PodKey::new("shop", "p")]);
    assert!(
        report(&lab).remaining.is_empty(),
        "it is no pod that its namespace has left behind"
    );
    lab.apply(Pod::test("shop", "p").on("a"));
    assert!(lab.row(LSP, "shop_p@net1").is_none() && lab.row(LSP, "shop_p").is_some());
    assert!(lab.row("Logical_Switch", "vpc-green.a").is_none());
    assert_eq!(report(&lab).pods, 0);
}

#[test]
fn a_pod_with_two_interfaces_in_a_vpc_is_one_pod_of_it() {
    let lab = lab()
        .with(NetworkAttachment::test("grass", "again", "green"))
        .with(Pod::test("grass", "p").on("a").attached("grass", "again"));
    assert_eq!(lab.0.vpcs()[0].pods, 1);
    let wrong = wrong(&lab, "grass", "p");
    assert!(
        wrong[0].ends_with("its first interface is in 10.9.0.0/24 of VPC green already"),
        "{wrong:?}"
    );
}

#[test]
fn addresses_are_kept_by_the_row_or_else_by_the_network_status() {
    let mut lab = lab().with(pod("p")).with(pod("q"));
    assert_eq!(lab.ips("shop_q@net1")[0], "10.9.0.5/24");
    lab.delete(Key::pod("shop", "p"));
    let claim = |claim: &Claim| matches!(claim, Claim::Pod { port, .. } if port.interface.is_some());
    let claims = lab.0.claims();
    assert_eq!(claims.iter().filter(|of| claim(of)).count(), 1, "{claims:?}");
    assert_eq!(lab.restarted().ips("shop_q@net1")[0], "10.9.0.5/24");
    let wiped = |lab: &Lab| lab.restarted_with(Vec::new());
    assert_eq!(wiped(&lab).ips("shop_q@net1")[0], "10.9.0.4/24", "nothing remembers it");
    lab.apply(pod("q").having("net1", ["10.9.0.5", "fd00:9::5"]));
    assert_eq!(wiped(&lab).ips("shop_q@net1"), ["10.9.0.5/24", "fd00:9::5/64"]);
    lab.apply(pod("q").having("net1", ["10.9.7.5", "fd00:9::5"]));
    assert_eq!(lab.ips("shop_q@net1")[0], "10.9.0.5/24", "the row knows better");
    assert_eq!(
        wiped(&lab).ips("shop_q@net1")[0],
        "10.9.7.5/24",
        "and so the slice, too"
    );
    let another = lab.restarted_with(vec![Claim::Pod {
        port: PortKey::further(PodKey::new("shop", "q"), "net1".into()),
        uid: "of another pod".into(),
        vpc: "green".into(),
        ips: ["10.9.0.9".parse().unwrap()].into(),
    }]);
    assert_eq!(another.ips("shop_q@net1")[0], "10.9.7.5/24");
}

#[test]
fn a_claim_is_read_back_from_the_row_with_its_interface() {
    let lab = lab().with(pod("p"));
    let row = lab.row(LSP, "shop_p@net1").unwrap();
    let claim = Claim::from_row(LSP, |column| row.get(column).unwrap()).unwrap();
    let Claim::Pod { port, vpc, ips, .. } = &claim else {
        panic!("{claim:?}")
    };
    assert_eq!(*port, PortKey::further(PodKey::new("shop", "p"), "net1".into()));
    assert_eq!((&**vpc, ips.len()), ("green", 2));
    assert!(lab.0.claims().contains(&claim));
}

#[test]
fn an_address_that_is_asked_for_is_given_or_waited_for() {
    let asking = |name: &str, ip: &str| {
        let ip = ip.parse().unwrap();
        pod(name).asking(|request| request.ips = [ip].into())
    };
    let mut lab = lab().with(pod("older")).with(asking("p", "10.9.0.4"));
    only_wrong(&lab, "10.9.0.4 is that of pod shop/older (net1)");
    lab.delete(Key::pod("shop", "older"));
    assert_eq!(lab.ips("shop_p@net1"), ["10.9.0.4/24", "fd00:9::5/64"]);
    lab.apply(asking("p", "10.9.0.77"));
    assert_eq!(lab.ips("shop_p@net1")[0], "10.9.0.77/24");
    lab.apply(asking("p", "10.77.0.5"));
    only_wrong(
        &lab,
        "10.77.0.5 is not in 10.9.0.0/24, fd00:9::/64, where the interface is: ask for another",
    );
    lab.apply(asking("p", "10.9.0.1"));
    only_wrong(&lab, "10.9.0.1 is no pod's in 10.9.0.0/24");
    // Of a node that has nothing of the VPC yet, the slice is the one that is asked for.
    lab.apply(Pod {
        node: Some("b".into()),
        ..asking("q", "10.9.44.5")
    });
    assert_eq!(lab.ips("shop_q@net1")[0], "10.9.44.5/24");
}

#[test]
fn a_mac_address_may_be_asked_for_that_follows_from_no_address() {
    let asking = |mac: &str| pod("p").asking(|request| request.mac = Some(mac.into()));
    let mut lab = lab().with(asking("02:00:00:00:00:07"));
    assert_eq!(lab.facts("shop_p@net1").unwrap().mac, "02:00:00:00:00:07");
    let addresses = lab.row(LSP, "shop_p@net1").unwrap().get("port_security").unwrap();
    assert_eq!(addresses.as_str(), Some("02:00:00:00:00:07 10.9.0.4 fd00:9::4"));
    lab.apply(asking("0a:58:0a:09:00:01"));
    only_wrong(&lab, "mac: 0a:58:0a:09:00:01 begins as those do");
}

#[test]
fn what_is_passed_over_is_told_and_the_interface_is_there() {
    let asking = |fields: &[&'static str]| pod("p").asking(|request| request.ignored = fields.into());
    let mut lab = lab().with(asking(&["default-route"]));
    only_wrong(&lab, "default-route is passed over: the pod's default route stays");
    assert!(lab.row(LSP, "shop_p@net1").is_some());
    lab.apply(NetworkAttachment::test("shop", "storage", "green").with_config(AttachmentConfig::Foreign));
    assert_eq!(wrong(&lab, "shop", "p"), [""; 0], "another plugin may know it");
}

#[test]
fn a_vpc_lets_in_its_own_namespaces_and_those_it_selects_whoever_wrote_the_definition() {
    let of = |namespace: &str| Pod::test(namespace, "p").on("a");
    let mut lab = lab()
        // In the VPC's own namespace, and all the same no way in for others.
        .with(NetworkAttachment::test("grass", "door", "green"))
        .with(of("fields").attached("grass", "door"));
    let told = wrong(&lab, "fields", "p");
    assert!(
        told[0].contains("entry 1, grass/door as net1: VPC green does not let pods of namespace fields in"),
        "{told:?}"
    );
    assert!(lab.row(LSP, "fields_p@net1").is_none() && lab.row(LSP, "fields_p").is_some());
    assert!(lab.row("Logical_Switch", "vpc-green.a").is_none());
    lab.apply(Vpc::test("green", ["10.9.0.0/16"]).open_to(["brown"]));
    assert!(lab.row(LSP, "fields_p@net1").is_some());
    lab.apply(pod("p"));
    only_wrong(&lab, "VPC green does not let pods of namespace shop in");
    lab.apply(Namespace::test("shop").in_vpc("brown"));
    assert!(lab.row(LSP, "shop_p@net1").is_some(), "what counts are the labels");
    lab.apply(Namespace::test("fields"));
    assert!(
        lab.row(LSP, "fields_p@net1").is_none(),
        "who is no longer let in is out"
    );
    lab.delete(Key::namespace("shop"));
    assert!(
        lab.row(LSP, "shop_p@net1").is_none(),
        "nothing is known of its namespace"
    );
}

#[test]
fn a_namespace_of_the_vpc_is_let_in_without_being_selected() {
    let mut lab = lab()
        .with(Vpc::test("red", ["10.10.0.0/16"]))
        .with(Namespace::test("rose").in_vpc("red"))
        .with(NetworkAttachment::test("rose", "back", "green"))
        .with(Pod::test("rose", "p").on("a").attached("rose", "back"));
    assert!(wrong(&lab, "rose", "p")[0].contains("VPC green does not let pods of namespace rose in"));
    lab.apply(NetworkAttachment::test("rose", "back", "red"));
    assert!(
        wrong(&lab, "rose", "p")[0].contains("its first interface is in 10.10.0.0/24 of VPC red already"),
        "it is let in, and there already"
    );
}

#[test]
fn networks_that_a_pod_could_not_tell_apart_are_refused() {
    let mut lab = lab()
        .with(Vpc::test("lime", ["10.9.128.0/17"]).open_to([""]))
        .with(NetworkAttachment::test("shop", "lime", "lime"))
        .with(pod("p").attached("shop", "lime"));
    only_wrong(
        &lab,
        "entry 2, shop/lime as net2: 10.9.128.0/17 of VPC lime overlaps 10.9.0.0/16 of VPC green, where net1 is",
    );
    assert!(lab.row(LSP, "shop_p@net1").is_some());
    lab.apply(Vpc::test("lime", ["10.11.0.0/16"]).open_to([""]));
    assert_eq!(lab.ips("shop_p@net2"), ["10.11.0.4/24"]);
    lab.apply(pod("p").attached_as("shop", "storage", "again"));
    only_wrong(
        &lab,
        "entry 2, shop/storage as again: net1 is in 10.9.0.0/24 of VPC green already",
    );
}

#[test]
fn bad_input_is_told_with_its_entry_and_mended_when_it_is() {
    let mut lab = lab().with(Pod::test("shop", "p").on("a").attached("shop", "late"));
    only_wrong(
        &lab,
        "entry 1, shop/late as net1: there is no NetworkAttachmentDefinition shop/late",
    );
    let late = |config| NetworkAttachment::test("shop", "late", "").with_config(config);
    let ours = |vpc: Option<&str>| AttachmentConfig::Ours {
        vpc: vpc.map(Name::from),
        subnet: None,
    };
    lab.apply(late(AttachmentConfig::Unreadable(
        "spec.config is not JSON: what".into(),
    )));
    only_wrong(
        &lab,
        "NetworkAttachmentDefinition shop/late: spec.config is not JSON: what",
    );
    lab.apply(late(ours(None)));
    only_wrong(&lab, "spec.config names neither \"vpc\" nor \"subnet\"");
    lab.apply(late(ours(Some("default"))));
    only_wrong(&lab, "there is no VPC default beside the default one");
    lab.apply(late(ours(Some("mauve"))));
    only_wrong(&lab, "there is no VPC mauve");
    lab.apply(Vpc::test("mauve", ["10.12.0.1/16"]).open_to([""]));
    only_wrong(&lab, "VPC mauve is not ready");
    lab.apply(Vpc::test("mauve", ["10.12.0.0/16"]).open_to([""]));
    assert_eq!(wrong(&lab, "shop", "p"), [""; 0]);
    assert_eq!(lab.ips("shop_p@net1"), ["10.12.0.4/24"]);
    lab.delete(Key::network_attachment("shop", "late"));
    assert!(lab.row(LSP, "shop_p@net1").is_none());
}

#[test]
fn an_entry_that_makes_no_sense_leaves_the_others() {
    let mut broken = pod("p");
    broken.networks.as_mut().unwrap().faults = [(2, "\"a/b/c\" is not written so".into())].into();
    let lab = lab().with(broken);
    only_wrong(&lab, "entry 2: \"a/b/c\" is not written so");
    assert!(lab.row(LSP, "shop_p@net1").is_some());
}

#[test]
fn what_is_in_a_vpc_that_goes_stays_and_nothing_new_comes_in() {
    let mut lab = lab().with(pod("stays"));
    let mut going = Vpc::test("green", ["10.9.0.0/16", "fd00:9::/48"]).open_to([""]);
    going.deleting = true;
    lab.apply(going);
    lab.apply(pod("p"));
    assert!(lab.row(LSP, "shop_stays@net1").is_some());
    only_wrong(&lab, "VPC green is being deleted");
    assert_eq!(lab.0.vpcs()[0].pods, 1, "which keeps the VPC");
    assert!(lab.restarted().row(LSP, "shop_stays@net1").is_some());
}

#[test]
fn a_definition_may_name_a_subnet() {
    let of = |vpc: Option<&str>| {
        NetworkAttachment::test("shop", "db", "").with_config(AttachmentConfig::Ours {
            vpc: vpc.map(Name::from),
            subnet: Some("db".into()),
        })
    };
    let mut lab = lab()
        .with(of(None))
        .with(Pod::test("shop", "p").on("a").attached("shop", "db"));
    only_wrong(&lab, "NetworkAttachmentDefinition shop/db: there is no Subnet db");
    lab.apply(Subnet::test("db", "green", ["10.30.5.0/24", "fd00:30::/64"]));
    assert_eq!(lab.ips("shop_p@net1"), ["10.30.5.2/24", "fd00:30::2/64"]);
    assert!(
        lab.row("Logical_Switch", "vpc-green.a").is_some(),
        "and the node has its part of the VPC"
    );
    let facts = lab.facts("shop_p@net1").unwrap();
    let routes: Vec<String> = facts.routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["10.9.0.0/16=10.30.5.1", "fd00:9::/48=fd00:30::1"]);
    assert!(facts.gateways.is_empty());
    lab.apply(of(Some("lime")));
    only_wrong(&lab, "Subnet db is of VPC green, not of VPC lime");
    lab.apply(of(Some("green")));
    let asking = |ip: &str| {
        let ip = ip.parse().unwrap();
        let pod = Pod::test("shop", "p").on("a").attached("shop", "db");
        pod.asking(|request| request.ips = [ip].into())
    };
    lab.apply(asking("10.30.5.77"));
    assert_eq!(lab.ips("shop_p@net1")[0], "10.30.5.77/24");
    // A pod of the VPC itself may be in another of its networks, too. What it has for the VPC is its first interface.
    lab.apply(NetworkAttachment::test("grass", "db", "").with_config(of(None).config));
    lab.apply(Pod::test("grass", "p").on("a").attached("grass", "db"));
    assert_eq!(lab.ips("grass_p@net1")[0], "10.30.5.4/24");
    assert!(lab.facts("grass_p@net1").unwrap().routes.is_empty());
    lab.delete(Key::subnet("db"));
    assert!(lab.row(LSP, "shop_p@net1").is_none());
    only_wrong(&lab, "there is no Subnet db");
}

#[test]
fn pods_without_ports_have_no_further_ones_either() {
    let mut lab = lab().with(pod("p").in_host_network());
    assert_eq!(wrong(&lab, "shop", "p"), [""; 0]);
    lab.apply(pod("q").in_phase(meridian_model::Phase::Succeeded));
    assert!(lab.0.desired().rows(LSP).all(|row| !row.key.contains('@')));
}

#[test]
fn every_interface_is_explained() {
    let lab = lab()
        .with(pod("p").attached("shop", "none"))
        .with(NetworkAttachment::test("shop", "theirs", "").with_config(AttachmentConfig::Foreign));
    let lab = lab.with(pod("q").attached("shop", "theirs"));
    let explain = |name: &str| lab.0.explain_pod(&PodKey::new("shop", name), &[]).unwrap().interfaces;
    let of_p = explain("p");
    assert_eq!((&*of_p[0].name, &*of_p[0].definition), ("net1", "shop/storage"));
    assert_eq!(of_p[0].vpc.as_deref(), Some("green"));
    assert_eq!(of_p[0].switch.as_deref(), Some("vpc-green.a"));
    assert_eq!(of_p[0].port.as_deref(), Some("shop_p@net1"));
    assert_eq!(of_p[0].addresses.len(), 2);
    assert!(
        of_p[1]
            .missing
            .as_deref()
            .unwrap()
            .contains("there is no NetworkAttachmentDefinition shop/none")
    );
    assert_eq!(explain("q")[1].missing.as_deref(), Some("another plugin makes it"));
}
