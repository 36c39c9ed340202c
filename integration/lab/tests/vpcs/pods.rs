//! Pods by their addresses.

use crate::cluster::{NETWORKS, OUTSIDE, shared};
use crate::service::Frontend;

#[test]
fn pods_of_a_vpc_reach_each_other_on_one_node_and_across_nodes() {
    let Some(cluster) = shared() else { return };
    for (who, pod) in [
        ("sky/client-1", "sky/web-1"),
        ("sky/client-2", "sky/web-1"),
        ("sky/web-1", "sky/web-2"),
        ("sky/client-1", "sky/web-2"),
        // Of its peer.
        ("sea/client-1", "sky/web-1"),
        ("sea/client-1", "sky/web-2"),
        ("sky/client-2", "sea/client-1"),
        ("grass/client-3", "grass/web-3"),
        ("grass/client-3", "grass/web-1"),
        ("grass/web-1", "grass/web-3"),
    ] {
        let seen = cluster.pod_ips(who);
        cluster.from(&[who], cluster.at(pod)).seen_as(seen).answered_by(&[pod]);
    }
}

#[test]
fn pods_with_one_address_in_two_vpcs_are_each_reached_by_their_own() {
    let Some(cluster) = shared() else { return };
    for twins in [["sky/web-1", "grass/web-3"], ["sky/web-2", "grass/web-1"]] {
        assert_eq!(cluster.pod_ips(twins[0]), cluster.pod_ips(twins[1]), "{twins:?}");
        let at = cluster.at(twins[0]);
        cluster
            .from(&["sky/client-1", "sky/client-2"], at)
            .answered_by(&twins[..1]);
        cluster
            .from(&["grass/client-1", "grass/client-3"], at)
            .answered_by(&twins[1..]);
    }
}

#[test]
fn nobody_else_reaches_a_pod_by_its_address() {
    let Some(cluster) = shared() else { return };
    cluster.route(&NETWORKS.map(str::to_owned), "node-1");
    let asking = [
        "plain-1",
        "plain-2",
        "node-1",
        "node-3",
        OUTSIDE,
        "grass/client-1",
        "grass/client-3",
        "earth/web-1",
    ];
    cluster.from(&asking, cluster.at("sky/last")).unanswered();
    let plain: Vec<Frontend> = ["plain-1", "plain-3"].iter().flat_map(|pod| cluster.at(pod)).collect();
    let vpcs = ["sky/client-1", "sky/client-2", "grass/client-3", "earth/web-1"];
    cluster.from(&vpcs, plain).unanswered();
}
