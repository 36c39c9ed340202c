//! What a cluster makes of events.

use std::sync::Arc;

use meridian_model::{Cluster, Event, Key, Kind, Namespace, Node, Pod, PodKey};

fn on(cluster: &Cluster, node: &str) -> Vec<String> {
    cluster.pods_on(node).map(ToString::to_string).collect()
}

fn web(name: &str) -> Pod {
    Pod::test("shop", name).on("a")
}

#[test]
fn an_object_applied_is_there_and_counts_as_changed() {
    let mut cluster = Cluster::default();
    assert_eq!(cluster.apply(Event::apply(web("web-0"))), [Key::pod("shop", "web-0")]);
    assert_eq!(
        cluster.pod(&PodKey::new("shop", "web-0")).map(|pod| (**pod).clone()),
        Some(web("web-0"))
    );
}

#[test]
fn an_object_applied_again_unchanged_does_not_count() {
    let mut cluster = Cluster::default();
    for event in [
        Event::apply(web("web-0")),
        Event::apply(Node::test("a")),
        Event::apply(Namespace::test("shop")),
    ] {
        assert_eq!(cluster.apply(event.clone()).len(), 1);
        assert_eq!(cluster.apply(event), []);
    }
}

#[test]
fn deleting_what_is_not_there_changes_nothing() {
    let mut cluster = Cluster::default();
    for key in [Key::node("a"), Key::namespace("shop"), Key::pod("shop", "web-0")] {
        assert_eq!(cluster.apply(Event::Delete(key)), []);
    }
}

#[test]
fn pods_are_found_by_the_node_they_name() {
    let mut cluster = Cluster::default();
    cluster.apply(Event::apply(web("web-1")));
    cluster.apply(Event::apply(web("web-0")));
    assert_eq!(
        on(&cluster, "a"),
        ["shop/web-0", "shop/web-1"],
        "whether or not the node exists"
    );
}

#[test]
fn a_pod_that_names_another_node_leaves_the_former() {
    let mut cluster = Cluster::default();
    cluster.apply(Event::apply(web("web-0")));
    cluster.apply(Event::apply(web("web-0").on("b")));
    assert_eq!((on(&cluster, "a").len(), on(&cluster, "b").len()), (0, 1));
    cluster.apply(Event::Delete(Key::pod("shop", "web-0")));
    assert_eq!(on(&cluster, "b"), [""; 0]);
}

#[test]
fn a_full_list_changes_only_what_differs() {
    let mut cluster = Cluster::default();
    for name in ["gone", "same", "changed"] {
        cluster.apply(Event::apply(web(name)));
    }
    cluster.apply(Event::apply(Node::test("a")));
    let list = vec![
        web("same").into(),
        web("changed").being_deleted().into(),
        web("new").into(),
    ];
    let mut changed = cluster.apply(Event::Replace(Kind::Pod, list));
    changed.sort();
    assert_eq!(changed, ["changed", "gone", "new"].map(|name| Key::pod("shop", name)));
    assert_eq!(cluster.nodes().len(), 1, "other kinds stay");
}

#[test]
fn pods_share_the_names_they_repeat() {
    let mut cluster = Cluster::default();
    for name in ["web-0", "web-1"] {
        let mut pod = web(name);
        pod.labels = [("app", "web")].into_iter().collect();
        cluster.apply(Event::apply(pod));
    }
    let pods: Vec<_> = cluster.pods().collect();
    assert!(Arc::ptr_eq(&pods[0].namespace, &pods[1].namespace));
    assert!(Arc::ptr_eq(
        pods[0].node.as_ref().unwrap(),
        pods[1].node.as_ref().unwrap()
    ));
    assert!(Arc::ptr_eq(
        pods[0].labels.get("app").unwrap(),
        pods[1].labels.get("app").unwrap()
    ));
}
