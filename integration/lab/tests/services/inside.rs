//! ClusterIPs.

use std::net::IpAddr;

use meridian_lab::netns;
use meridian_lab::probe::http;
use meridian_lab::serve::PADDING;

use crate::cluster::{INSIDE, NODES, shared};
use crate::service::{Endpoint, Frontend, Service};

#[test]
fn pods_and_hosts_reach_every_pod_of_a_service() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("web", 10).answered_by(&[cluster.endpoint("web-1"), cluster.endpoint("web-2")]);
    cluster.put(&service);
    let both = ["web-1", "web-2"];
    cluster.from(&INSIDE, service.cluster()).answered_by(&both);
    // Packets of full size, there and back again.
    for who in INSIDE {
        for at in service.cluster() {
            let answer = netns::within(&cluster.place(who), || http::get((at.ip, at.tcp).into(), "/probe"));
            let answer = answer.unwrap_or_else(|e| panic!("{who}: {e}"));
            assert!(answer.body.len() > PADDING, "{who}: {}", answer.body);
        }
    }
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("itself", 11)
        .balanced()
        .answered_by(&[cluster.endpoint("web-1")]);
    cluster.put(&service);
    let nodes = NODES.iter().flat_map(|node| cluster.host_ips(node));
    let nodes = service.at_nodes(nodes);
    let all = service.cluster().into_iter().chain(service.balancer()).chain(nodes);
    cluster.from(&["web-1"], all).answered_by(&["web-1"]);
}

#[test]
fn pods_and_hosts_see_the_client_by_a_cluster_ip() {
    let Some(cluster) = shared() else { return };
    for (name, number, endpoint) in [("seen-by-pod", 12, "web-2"), ("seen-by-host", 13, "host-3")] {
        let service = Service::new(name, number).answered_by(&[cluster.endpoint(endpoint)]);
        cluster.put(&service);
        let from = cluster.endpoint("client").ips;
        let [four, six] = from[..] else { panic!("{from:?}") };
        let probe = cluster.from(&["client"], service.cluster());
        match endpoint {
            // What leaves the VPC leaves under its node's address.
            "host-3" => {
                let host = cluster.host_ips("node-1");
                probe.seen_as([host[0], host[1]]).answered_by(&[endpoint]);
            }
            _ => probe.seen_as([four, six]).answered_by(&[endpoint]),
        }
    }
}

#[test]
fn pods_and_hosts_reach_services_whose_endpoint_is_a_host() {
    let Some(cluster) = shared() else { return };
    // The client's own host, another, and one that is no node.
    for (number, pod) in [(14, "host-1"), (15, "host-3")] {
        let service = Service::new(pod, number).answered_by(&[cluster.endpoint(pod)]);
        cluster.put(&service);
        let probe = cluster.from(&INSIDE, service.cluster());
        probe.over_tcp().answered_by(&[pod]);
        // Not of a pod on the same node: a socket on all addresses answers it from the one that leads there.
        let others = cluster.from(&["web-2", "node-1", "node-3"], service.cluster());
        others.answered_by(&[pod]);
    }
    cluster.serve_on("central", ("::", 6443));
    let central = Endpoint::new(cluster.host_ips("central"), None);
    let service = Service::new("central", 16).answered_also_by(&[central], 6443);
    cluster.put(&service);
    let probe = cluster.from(&INSIDE, service.cluster());
    probe.over_tcp().answered_by(&["central"]);
}

#[test]
fn what_has_no_endpoint_or_no_service_is_refused_at_once() {
    let Some(cluster) = shared() else { return };
    let idle = Service::new("idle", 17).balanced().with_external_ips().answered_by(&[]);
    cluster.put(&idle);
    let nodes = NODES.iter().flat_map(|node| cluster.host_ips(node));
    let nodes = idle.at_nodes(nodes);
    let addresses = idle.cluster().into_iter().chain(idle.balancer()).chain(idle.external());
    cluster.from(&INSIDE, addresses.chain(nodes.clone())).refused();
    cluster.route(idle.balancer().map(|at| at.ip), "node-3");
    cluster.route(idle.external().map(|at| at.ip), "node-1");
    let beyond = idle.balancer().into_iter().chain(idle.external()).chain(nodes);
    cluster.from(&["fabric"], beyond).refused();
    let unknown = ["10.96.0.255", "fd00:10:96::ffff"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
    let unknown = unknown.map(|ip| Frontend { ip, tcp: 80, udp: 53 });
    cluster.from(&["client", "node-1"], unknown).refused();
}
