//! When a pod has a port, and what it looks like.

use meridian_model::{Key, Node, Phase, Pod};

use crate::support::{LSP, Lab};

fn lab() -> Lab {
    Lab::of(&["10.244.0.0/16", "fd00::/48"]).with(Node::test("a"))
}

fn web() -> Pod {
    Pod::test("shop", "web").on("a")
}

#[test]
fn a_port_carries_what_the_node_needs() {
    let facts = lab().with(web()).facts("shop_web").unwrap();
    assert_eq!(facts.mac, "0a:58:0a:f4:00:04");
    assert_eq!(
        facts.gateways.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.244.0.1", "fd00::1"]
    );
    assert_eq!(facts.uid.as_deref(), Some("web-uid"));
}

#[test]
fn only_the_pods_own_node_and_sandbox_may_bind_its_port() {
    let lab = lab().with(web());
    let options = lab.row(LSP, "shop_web").unwrap().get("options").unwrap();
    assert_eq!(options.get_str("requested-chassis"), Some("a"));
    assert_eq!(options.get_str("iface-id-ver"), Some("web-uid"));
}

#[test]
fn an_ipv6_only_pod_has_a_mac_from_its_address() {
    let lab = Lab::of(&["fd00::/48"]).with(Node::test("a")).with(web());
    let facts = lab.facts("shop_web").unwrap();
    assert_eq!(lab.ips("shop_web"), ["fd00::4/64"]);
    assert!(facts.mac.starts_with("0a:58:"), "{}", facts.mac);
}

#[test]
fn the_first_pod_cidr_is_the_primary_family() {
    let lab = Lab::of(&["10.244.0.0/16", "fd00::/48"])
        .with(Node::test("a").with_cidrs(["fd00::/64", "10.244.0.0/24"]))
        .with(web().with_ips(["10.244.0.9", "fd00::9"]));
    assert_eq!(lab.ips("shop_web"), ["fd00::9/64", "10.244.0.9/24"]);
}

#[test]
fn a_host_network_pod_has_no_port() {
    let lab = lab().with(web().in_host_network().with_ips(["192.168.0.10"]));
    assert_eq!(lab.facts("shop_web"), None);
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn a_finished_pod_gives_up_port_and_address() {
    for phase in [Phase::Succeeded, Phase::Failed] {
        let lab = lab()
            .with(web().with_ips(["10.244.0.4"]))
            .with(web().with_ips(["10.244.0.4"]).in_phase(phase));
        assert_eq!(lab.facts("shop_web"), None);
        assert_eq!(
            lab.with(Pod::test("shop", "next").on("a").with_ips(["10.244.0.4"]))
                .problems(),
            [""; 0]
        );
    }
}

#[test]
fn a_pod_being_deleted_keeps_its_port_until_it_is_gone() {
    let mut lab = lab().with(web()).with(web().being_deleted());
    assert_eq!(lab.ips("shop_web").len(), 2);
    lab.delete(Key::pod("shop", "web"));
    assert_eq!(lab.facts("shop_web"), None);
}

#[test]
fn a_pod_without_a_node_has_neither_port_nor_problem() {
    let lab = lab().with(Pod::test("shop", "web"));
    assert_eq!(lab.facts("shop_web"), None);
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn a_pod_on_an_unknown_node_gets_its_port_when_the_node_appears() {
    let mut lab = lab().with(Pod::test("shop", "web").on("late"));
    assert_eq!(
        lab.problems(),
        ["pod/shop/web: spec.nodeName: node late does not exist: the pod gets its port once the node has joined"]
    );
    lab.apply(Node::test("late"));
    assert_eq!(lab.ips("shop_web"), ["10.244.1.4/24", "fd00:0:0:1::4/64"]);
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn a_pod_recreated_under_its_name_has_its_row_updated() {
    let mut lab = lab().with(web());
    let old = lab.row(LSP, "shop_web").unwrap().clone();
    let delta = lab.apply(web().with_uid("second"));
    let new = lab.row(LSP, "shop_web").unwrap();
    assert_eq!((delta.rows, delta.links), (vec![(LSP, old.uuid)], vec![]));
    assert_eq!(new.get("options").unwrap().get_str("iface-id-ver"), Some("second"));
    assert_ne!(
        new.get("addresses"),
        old.get("addresses"),
        "its predecessor's address rests"
    );
}

#[test]
fn a_pod_touches_only_its_port_and_the_ports_of_its_switch() {
    let mut lab = lab();
    let delta = lab.apply(web());
    assert_eq!(delta.rows.iter().map(|(table, _)| *table).collect::<Vec<_>>(), [LSP]);
    assert_eq!(
        delta
            .links
            .iter()
            .map(|link| (link.table, link.column))
            .collect::<Vec<_>>(),
        [("Logical_Switch", "ports")]
    );
}

#[test]
fn what_goes_comes_before_what_comes_in_a_delta() {
    let mut lab = lab().with(web());
    let gone = lab.row(LSP, "shop_web").unwrap().uuid;
    lab.0
        .apply(meridian_model::Event::apply(Pod::test("shop", "another").on("a")));
    let delta = lab.delete(Key::pod("shop", "web"));
    assert_eq!((delta.rows.len(), delta.rows[0]), (2, (LSP, gone)));
}

#[test]
fn a_status_that_changes_nothing_of_the_port_yields_an_empty_delta() {
    let mut lab = lab().with(web());
    let delta = lab.apply(web().with_ips(["10.244.0.4", "fd00::4"]).in_phase(Phase::Running));
    assert!(delta.is_empty(), "{delta:?}");
}
