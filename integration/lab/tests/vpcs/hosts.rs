//! Hosts and the world as pods reach them, and pods as their hosts do.

use crate::cluster::{NODES, OUTSIDE, WORLD, listening, shared};

#[test]
fn a_host_reaches_its_own_pods_as_the_kubelet_does() {
    let Some(cluster) = shared() else { return };
    for (node, pod) in [
        ("node-1", "sky/web-1"),
        ("node-1", "grass/web-1"),
        ("node-1", "earth/web-1"),
        // The addresses of the first two, on other nodes.
        ("node-2", "sky/web-2"),
        ("node-3", "grass/web-3"),
    ] {
        cluster.from(&[node], cluster.at(pod)).answered_by(&[pod]);
    }
}

#[test]
fn pods_of_a_vpc_reach_no_port_of_any_host() {
    let Some(cluster) = shared() else { return };
    let own = cluster.device_ips("node-1", "mrmblue");
    let others = ["meridian0", "br-phys"].map(|device| cluster.device_ips("node-1", device));
    assert!(
        !own.is_empty() && others.iter().all(|ips| !ips.is_empty()),
        "{own:?}, {others:?}"
    );
    let node = cluster.host_ips("node-1");
    let all = own.into_iter().chain(others.into_iter().flatten()).chain(node);
    let all = listening(all);
    let control = listening(node);
    cluster
        .from(&["node-2", "plain-1"], control)
        .over_tcp()
        .answered_by(&["node-1"]);
    cluster.from(&["sky/client-1"], all).over_tcp().always_refused();
    // Other hosts are no part of the world.
    let hosts = NODES.iter().flat_map(|node| cluster.host_ips(node));
    let hosts = listening(hosts);
    cluster
        .from(
            &["sky/client-1", "sky/client-2", "grass/client-3", "earth/web-1"],
            hosts,
        )
        .over_tcp()
        .always_refused();
    // Nor by its addresses in other VPCs, which blue does not know or which are somebody else's there.
    let unknown = ["mrmgreen", "mrmred"].map(|device| cluster.device_ips("node-1", device));
    let other = cluster.device_ips("node-2", "mrmblue");
    let all = unknown.into_iter().flatten().chain(other);
    cluster.from(&["sky/client-1"], listening(all)).over_tcp().unanswered();
}

#[test]
fn egress_by_the_node_leaves_under_its_address_and_none_is_refused_at_once() {
    let Some(cluster) = shared() else { return };
    let world = listening(WORLD);
    for (who, node) in [
        ("sky/client-1", "node-1"),
        ("sky/client-2", "node-2"),
        ("grass/client-3", "node-3"),
    ] {
        let probe = cluster.from(std::slice::from_ref(&who), world.clone()).over_tcp();
        probe.seen_as(cluster.host_ips(node)).answered_by(&[OUTSIDE]);
    }
    cluster.from(&["earth/web-1"], world).over_tcp().always_refused();
}
