//! Which endpoints answer.

use std::slice::from_ref;

use crate::cluster::{INSIDE, NODES, OUTSIDE, WORLD, shared};
use crate::service::Service;

#[test]
fn the_endpoints_of_all_slices_answer_each_once() {
    let Some(cluster) = shared() else { return };
    let [one, two, host] = ["web-1", "web-2", "host-3"].map(|pod| cluster.endpoint(pod));
    let service = Service::new("sliced", 40)
        .answered_by(from_ref(&one))
        // While an endpoint moves it may be in two, and who says that it is ready is right.
        .answered_also_by(&[one.terminating(true), two], 8080)
        .answered_also_by(&[host], 8080);
    cluster.put(&service);
    let all = ["web-1", "web-2", "host-3"];
    cluster.from(&INSIDE, service.cluster()).answered_by(&all);
}

#[test]
fn who_is_on_the_way_out_answers_as_long_as_nobody_else_does() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("leaving", 41).balanced().local();
    cluster.route(service.balancer().map(|at| at.ip), "node-1");
    let [one, two] = ["web-1", "web-2"].map(|pod| cluster.endpoint(pod));
    let put = |one, two| cluster.put(&service.clone().answered_by(&[one, two]));
    let inside = || cluster.from(&["client", "node-3"], service.cluster());
    let outside = || cluster.from(&[OUTSIDE], service.balancer());

    put(one.clone().terminating(true), two.clone());
    inside().answered_by(&["web-2"]);
    // On node-1 nobody else does.
    outside().seen_as(WORLD).answered_by(&["web-1"]);
    put(one.clone().terminating(true), two.clone().terminating(true));
    inside().answered_by(&["web-1", "web-2"]);
    put(one.clone().terminating(true), two.clone().terminating(false));
    inside().answered_by(&["web-1"]);
    put(one.terminating(false), two.terminating(false));
    inside().refused();
    outside().refused();
}

#[test]
fn endpoints_answer_in_the_zone_they_are_meant_for() {
    let Some(cluster) = shared() else { return };
    let [one, two] = ["web-1", "web-2"].map(|pod| cluster.endpoint(pod));
    let one = one.hinted("forZones", &["east"]);
    let service = Service::new("zoned", 42).on_nodes();
    cluster.put(
        &service
            .clone()
            .answered_by(&[one.clone(), two.clone().hinted("forZones", &["west"])]),
    );
    cluster
        .from(&["client", "node-1"], service.cluster())
        .answered_by(&["web-1"]);
    cluster
        .from(&["web-2", "node-2"], service.cluster())
        .answered_by(&["web-2"]);
    // It is in no zone.
    let both = ["web-1", "web-2"];
    cluster.from(&["node-3"], service.cluster()).answered_by(&both);
    // The node that was asked answers, not the client.
    let ports = |node| service.at_nodes(cluster.host_ips(node));
    cluster
        .from(&[OUTSIDE, "web-2"], ports("node-1"))
        .answered_by(&["web-1"]);
    cluster.from(&[OUTSIDE], ports("node-2")).answered_by(&["web-2"]);
    // Hints that not all have are none.
    cluster.put(&service.clone().answered_by(&[one, two]));
    cluster
        .from(&["client", "node-2"], service.cluster())
        .answered_by(&both);
}

#[test]
fn endpoints_answer_on_the_nodes_they_are_meant_for() {
    let Some(cluster) = shared() else { return };
    let [one, two] = ["web-1", "web-2"].map(|pod| cluster.endpoint(pod));
    let service = Service::new("noded", 43);
    let meant = [
        one.hinted("forNodes", &["node-1"]),
        two.hinted("forNodes", &["node-2", "node-3"]),
    ];
    cluster.put(&service.clone().answered_by(&meant));
    cluster
        .from(&["client", "node-1"], service.cluster())
        .answered_by(&["web-1"]);
    cluster
        .from(&["web-2", "node-2", "node-3"], service.cluster())
        .answered_by(&["web-2"]);
    // Where none is meant for, all are.
    let [_, two] = meant;
    let one = cluster.endpoint("web-1").hinted("forNodes", &["node-2"]);
    cluster.put(&service.clone().answered_by(&[one, two]));
    cluster
        .from(&["client", "node-1", "web-2"], service.cluster())
        .answered_by(&["web-1", "web-2"]);
    cluster.from(&[NODES[2]], service.cluster()).answered_by(&["web-2"]);
}
