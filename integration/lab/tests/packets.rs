//! Pods of the examples on three hosts, with the real translator, agents and plugin: every packet
//! arrives, after every change as well.

mod common;

use common::{TestLab, possible};
use meridian_lab::cluster::object::Key;
use meridian_lab::cluster::{self, object};
use meridian_lab::plan::Families;
use meridian_lab::probe::matrix::Kind;
use meridian_lab::{netns, wait};

fn key(kind: &str, name: &str) -> Key {
    Key::new(kind, "shop", name)
}

#[test]
fn every_pod_reaches_every_pod_and_its_host_in_both_families() {
    if !possible() {
        return;
    }
    let lab = TestLab::with_examples(Families::Dual);
    let matrix = lab.assert_all_reach_all();
    let pods = matrix.endpoints.iter().filter(|e| e.kind == Kind::Pod).count();
    assert_eq!(pods, 9, "three web, two db, three edge, one client");
    // Each ordered pair of pods by two families and two methods, and the hosts' own.
    assert!(matrix.probes.len() >= 9 * 8 * 4);
}

#[test]
fn every_pod_reaches_every_pod_in_an_ipv4_cluster() {
    if !possible() {
        return;
    }
    TestLab::with_examples(Families::V4).assert_all_reach_all();
}

#[test]
fn every_pod_reaches_every_pod_in_an_ipv6_cluster_with_ipv6_tunnels() {
    if !possible() {
        return;
    }
    TestLab::with_examples(Families::V6).assert_all_reach_all();
}

#[test]
fn a_deleted_pod_leaves_no_port_and_its_successor_is_reached() {
    if !possible() {
        return;
    }
    let lab = TestLab::with_examples(Families::Dual);
    let old = lab.pod("db-0").unwrap();
    cluster::delete(&lab.lab, &[key("Pod", "db-0")]).unwrap();
    let new = lab.pod("db-0").expect("the stateful set made another");
    assert_ne!(new.uid(), old.uid());
    lab.assert_all_reach_all();

    cluster::delete(&lab.lab, &[key("StatefulSet", "db")]).unwrap();
    wait::for_some("the port's end", wait::PATIENCE, || {
        (!lab.logical_ports().iter().any(|p| p.starts_with("shop_db-"))).then_some(())
    })
    .unwrap();
    for host in lab.lab.plan().hosts() {
        let args = ["--bare", "--columns=external_ids", "list", "Interface"];
        let interfaces = lab.lab.vsctl(&host, &args).unwrap();
        assert!(!interfaces.contains("shop_db-"), "{}: {interfaces}", host.name);
    }
    lab.assert_all_reach_all();
}

#[test]
fn scaling_up_and_down_keeps_everybody_reachable() {
    if !possible() {
        return;
    }
    let lab = TestLab::with_examples(Families::V4);
    let kept: Vec<_> = lab.pods().iter().map(|p| p.uid().to_owned()).collect();
    cluster::scale(&lab.lab, &key("Deployment", "web"), 6).unwrap();
    let pods = lab.pods();
    assert_eq!(pods.len(), 12);
    assert!(kept.iter().all(|uid| pods.iter().any(|p| p.uid() == uid)));
    lab.assert_all_reach_all();
    cluster::scale(&lab.lab, &key("Deployment", "web"), 1).unwrap();
    assert_eq!(lab.pods().len(), 7);
    lab.assert_all_reach_all();
}

#[test]
fn a_deleted_namespace_takes_its_pods_and_their_namespaces_along() {
    if !possible() {
        return;
    }
    let lab = TestLab::with_examples(Families::V4);
    let sandboxes = meridian_lab::cluster::sandbox::Sandbox::all(&lab.lab).unwrap();
    cluster::delete(&lab.lab, &[Key::new("Namespace", "", "shop")]).unwrap();
    let names: Vec<_> = lab.pods().iter().map(|p| p.name().to_owned()).collect();
    assert_eq!(names, ["client"]);
    let gone = sandboxes.iter().filter(|s| s.namespace == "shop");
    assert_eq!(gone.filter(|s| netns::exists(&s.netns)).count(), 0);
}

#[test]
fn a_pod_stays_where_its_node_selector_wants_it() {
    if !possible() {
        return;
    }
    let lab = TestLab::up(Families::V4);
    let objects = object::parse(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: pinned}\n\
         spec:\n  nodeSelector: {kubernetes.io/hostname: node-2}\n  containers: [{name: c}]\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata: {name: nowhere}\n\
         spec:\n  nodeSelector: {kubernetes.io/hostname: node-9}\n  containers: [{name: c}]\n",
    )
    .unwrap();
    cluster::apply(&lab.lab, objects).unwrap();
    let pinned = lab.pod("pinned").unwrap();
    assert_eq!(pinned.0["spec"]["nodeName"], "node-2");
    assert_eq!(pinned.0["status"]["phase"], "Running");
    let nowhere = lab.pod("nowhere").unwrap();
    assert_eq!(nowhere.0["status"]["phase"], "Pending");
    assert_eq!(nowhere.0["status"]["conditions"][0]["reason"], "Unschedulable");
}

#[test]
fn down_leaves_nothing_of_a_lab_with_pods() {
    if !possible() {
        return;
    }
    let TestLab { lab, place } = TestLab::with_examples(Families::Dual);
    lab.down().unwrap();
    assert_eq!(place.remains(), Vec::<String>::new());
}
