//! Services of a VPC from beyond the cluster.

use std::net::IpAddr;

use crate::cluster::{Cluster, NODES, OUTSIDE, WORLD, shared};
use crate::service::{Frontend, Service};

fn blue(cluster: &Cluster, name: &'static str, number: u8, pods: &[&str]) -> Service {
    let endpoints: Vec<_> = pods.iter().map(|pod| cluster.endpoint(pod)).collect();
    Service::new(name, number).of("sky").balanced().answered_by(&endpoints)
}

fn addresses(frontends: &[Frontend]) -> Vec<String> {
    frontends.iter().map(|at| at.ip.to_string()).collect()
}

#[test]
fn every_node_leads_to_the_endpoints() {
    let Some(cluster) = shared() else { return };
    // None of them on node-3, and one of two elsewhere.
    for (name, number, pods) in [
        ("open", 30, &["sky/web-1", "sky/web-2"][..]),
        ("open-one", 31, &["sky/web-1"]),
    ] {
        let service = blue(&cluster, name, number, pods);
        cluster.put(&service);
        for node in NODES {
            cluster.route(&addresses(&service.balancer()), node);
            let ports = service.at_nodes(cluster.host_ips(node));
            let all = service.balancer().into_iter().chain(ports);
            cluster.from(&[OUTSIDE], all).answered_by_any(pods);
        }
    }
}

#[test]
fn local_endpoints_see_who_asks() {
    let Some(cluster) = shared() else { return };
    let pods = ["sky/web-1", "sky/web-2"];
    let service = blue(&cluster, "local", 32, &pods).local();
    cluster.put(&service);
    for (node, pod) in NODES.into_iter().zip([Some(pods[0]), Some(pods[1]), None]) {
        cluster.route(&addresses(&service.balancer()), node);
        let at = cluster.from(&[OUTSIDE], service.balancer());
        let ports = cluster.from(&[OUTSIDE], service.at_nodes(cluster.host_ips(node)));
        if let Some(pod) = pod {
            let neighbour: [IpAddr; 2] = cluster.host_ips(OUTSIDE);
            at.seen_as(WORLD).answered_by(&[pod]);
            ports.seen_as(neighbour).answered_by(&[pod]);
        } else {
            at.lost();
            ports.lost();
        }
    }
}

#[test]
fn without_endpoints_every_node_refuses() {
    let Some(cluster) = shared() else { return };
    let service = blue(&cluster, "idle", 33, &[]);
    cluster.put(&service);
    for node in NODES {
        cluster.route(&addresses(&service.balancer()), node);
        let ports = service.at_nodes(cluster.host_ips(node));
        cluster
            .from(&[OUTSIDE], service.balancer().into_iter().chain(ports))
            .refused();
    }
    cluster
        .from(&["sky/client-1", "node-1", "node-3"], service.cluster())
        .refused();
}

#[test]
fn pods_of_the_vpc_use_ports_of_their_own_node_and_addresses_from_beyond() {
    let Some(cluster) = shared() else { return };
    let pods = ["sky/web-1", "sky/web-2"];
    let service = blue(&cluster, "within", 34, &pods);
    cluster.put(&service);
    cluster
        .from(&["sky/client-1"], service.balancer())
        .answered_by_any(&pods);
    let own = service.at_nodes(cluster.host_ips("node-1"));
    cluster.from(&["sky/client-1"], own.clone()).answered_by_any(&pods);
    // Also where others have the endpoints.
    let elsewhere = blue(&cluster, "elsewhere", 35, &pods[1..]);
    cluster.put(&elsewhere);
    cluster
        .from(&["sky/client-1"], elsewhere.cluster())
        .answered_by(&pods[1..]);
    let own = elsewhere.at_nodes(cluster.host_ips("node-1"));
    cluster.from(&["sky/client-1"], own).answered_by(&pods[1..]);
}
