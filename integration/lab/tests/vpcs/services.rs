//! ClusterIPs, of the own VPC and of others.

use crate::cluster::{NODES, shared};
use crate::service::Service;

/// Pods of blue, on every node where it has any.
const BLUE: [&str; 3] = ["sky/client-1", "sky/client-2", "sky/web-2"];
/// Pods of everybody else who may use shared services.
const OTHERS: [&str; 5] = ["grass/client-1", "grass/client-3", "plain-1", "plain-2", "plain-3"];

#[test]
fn pods_reach_every_pod_of_a_service_of_their_vpc() {
    let Some(cluster) = shared() else { return };
    let blue = Service::new("web", 10)
        .of("sky")
        .answered_by(&[cluster.endpoint("sky/web-1"), cluster.endpoint("sky/web-2")]);
    // Another one with the same endpoints to look at.
    let green = Service::new("web", 11)
        .of("grass")
        .answered_by(&[cluster.endpoint("grass/web-1"), cluster.endpoint("grass/web-3")]);
    cluster.put(&blue);
    cluster.put(&green);
    cluster
        .from(&BLUE, blue.cluster())
        .answered_by(&["sky/web-1", "sky/web-2"]);
    let from = ["grass/client-1", "grass/client-3"];
    cluster
        .from(&from, green.cluster())
        .answered_by(&["grass/web-1", "grass/web-3"]);
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("itself", 12)
        .of("sky")
        .answered_by(&[cluster.endpoint("sky/web-1")]);
    cluster.put(&service);
    cluster
        .from(&["sky/web-1"], service.cluster())
        .answered_by(&["sky/web-1"]);
}

#[test]
fn hosts_reach_the_services_of_every_vpc_from_every_node() {
    let Some(cluster) = shared() else { return };
    let services = [
        Service::new("hosts", 13)
            .of("sky")
            .answered_by(&[cluster.endpoint("sky/web-1")]),
        Service::new("hosts", 14)
            .of("grass")
            .answered_by(&[cluster.endpoint("grass/web-3")]),
        Service::new("hosts", 15)
            .of("earth")
            .answered_by(&[cluster.endpoint("earth/web-1")]),
    ];
    for (service, pod) in services.iter().zip(["sky/web-1", "grass/web-3", "earth/web-1"]) {
        cluster.put(service);
        cluster.from(&NODES, service.cluster()).answered_by(&[pod]);
    }
}

#[test]
fn shared_services_answer_pods_of_every_vpc() {
    let Some(cluster) = shared() else { return };
    let plain = Service::new("shared", 16)
        .shared()
        .answered_by(&[cluster.endpoint("plain-2")]);
    let green = Service::new("shared", 17).of("grass").shared();
    let green = green.answered_by(&[cluster.endpoint("grass/web-1"), cluster.endpoint("grass/web-3")]);
    cluster.put(&plain);
    cluster.put(&green);
    let all: Vec<&str> = BLUE.into_iter().chain(OTHERS).collect();
    cluster.from(&all, plain.cluster()).answered_by(&["plain-2"]);
    let green_pods = ["grass/web-1", "grass/web-3"];
    cluster
        .from(&["grass/client-1", "grass/client-3"], green.cluster())
        .answered_by(&green_pods);
    // The host answers with its own endpoints where it has any. What pods of the default VPC and others send is carried to one
    // host, which does the same.
    cluster
        .from(&["sky/client-1", "node-1"], green.cluster())
        .answered_by(&["grass/web-1"]);
    cluster.from(&["node-3"], green.cluster()).answered_by(&["grass/web-3"]);
    let carried = ["sky/client-2", "node-2", "plain-1", "plain-2", "plain-3"];
    cluster.from(&carried, green.cluster()).answered_by_any(&green_pods);
    // A VPC need not take part.
    for shared in [&plain, &green] {
        cluster.from(&["earth/web-1"], shared.cluster()).always_refused();
    }
}

#[test]
fn services_that_are_not_shared_refuse_pods_of_other_vpcs() {
    let Some(cluster) = shared() else { return };
    let blue = Service::new("private", 18)
        .of("sky")
        .answered_by(&[cluster.endpoint("sky/web-1")]);
    let plain = Service::new("private", 19).answered_by(&[cluster.endpoint("plain-2")]);
    cluster.put(&blue);
    cluster.put(&plain);
    cluster
        .from(&["sky/client-1"], blue.cluster())
        .answered_by(&["sky/web-1"]);
    cluster.from(&["plain-1"], plain.cluster()).answered_by(&["plain-2"]);
    let others: Vec<&str> = OTHERS.into_iter().chain(["earth/web-1"]).collect();
    cluster.from(&others, blue.cluster()).always_refused();
    let vpcs = [
        "sky/client-1",
        "sky/client-2",
        "grass/client-1",
        "grass/client-3",
        "earth/web-1",
    ];
    cluster.from(&vpcs, plain.cluster()).always_refused();
}
