//! Ports of nodes and addresses from beyond the cluster.

use crate::cluster::{INSIDE, NODES, OUTSIDE, WORLD, shared};
use crate::service::Service;

#[test]
fn every_address_of_a_service_leads_to_every_endpoint_whoever_asks() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("open", 20)
        .balanced()
        .with_external_ips()
        .answered_by(&[cluster.endpoint("web-1"), cluster.endpoint("host-3")]);
    cluster.put(&service);
    cluster.route(service.balancer().map(|at| at.ip), "node-2");
    cluster.route(service.external().map(|at| at.ip), "node-3");
    let nodes = NODES.iter().flat_map(|node| cluster.host_ips(node));
    let nodes = service.at_nodes(nodes);
    let all = service.balancer().into_iter().chain(service.external()).chain(nodes);
    let from: Vec<&str> = INSIDE.into_iter().chain([OUTSIDE]).collect();
    cluster.from(&from, all).answered_by(&["web-1", "host-3"]);
}

#[test]
fn only_source_ranges_reach_a_load_balancers_address() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("ranges", 21)
        .balanced_only()
        .answered_by(&[cluster.endpoint("web-1"), cluster.endpoint("web-2")]);
    let of = |ranges: &[&str]| service.clone().with("loadBalancerSourceRanges", ranges.to_vec());
    cluster.route(service.balancer().map(|at| at.ip), "node-3");
    let to = service.balancer();
    let both = ["web-1", "web-2"];

    cluster.put(&of(&["203.0.113.0/24", "2001:db8::/64"]));
    cluster.from(&[OUTSIDE], to).answered_by(&both);
    cluster.from(&["client", "web-2"], to).lost();
    // A host may ask for what it hands on, and what is not the address's is nobody's to restrict.
    cluster.from(&["node-1", "node-3"], to).answered_by(&both);
    cluster.from(&INSIDE, service.cluster()).answered_by(&both);

    // Pods of node-1.
    cluster.put(&of(&["10.244.1.0/24", "fd00:10:244:1::/64"]));
    cluster.from(&["client", "web-1"], to).answered_by(&both);
    cluster.from(&[OUTSIDE, "web-2"], to).lost();

    // The policy narrows down who answers and nothing else.
    cluster.put(&of(&["203.0.113.0/24", "2001:db8::/64"]).local());
    cluster.route(to.map(|at| at.ip), "node-2");
    let outside = cluster.from(&[OUTSIDE], to);
    outside.seen_as(WORLD).answered_by(&["web-2"]);
    cluster.from(&["client"], to).lost();

    cluster.put(&service);
    cluster.from(&["client", OUTSIDE], to).answered_by(&both);
}

#[test]
fn a_load_balancer_needs_no_ports_of_nodes() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("portless", 22)
        .balanced_only()
        .answered_by(&[cluster.endpoint("web-1")]);
    cluster.put(&service);
    cluster.route(service.balancer().map(|at| at.ip), "node-1");
    let everybody = ["client", "node-1", OUTSIDE];
    cluster.from(&everybody, service.balancer()).answered_by(&["web-1"]);
    let nodes = service.at_nodes(cluster.host_ips("node-1"));
    cluster.from(&everybody, nodes).refused();
}

#[test]
fn what_a_load_balancer_is_to_see_first_goes_to_it() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("proxied", 23)
        .balanced_by("VIP")
        .answered_by(&[cluster.endpoint("web-1")]);
    cluster.put(&service);
    let to = service.balancer();
    for at in to {
        cluster.ip(OUTSIDE, &format!("addr replace {} dev lo", at.ip));
        cluster.serve_on(OUTSIDE, (&at.ip.to_string(), at.tcp));
    }
    let inside = ["client", "web-1", "node-2"];
    cluster.from(&inside, to).answered_by(&["web-1"]);
    cluster.put(&service.clone().balanced_by("Proxy"));
    cluster.from(&inside, to).over_tcp().answered_by(&[OUTSIDE]);
    let nodes = service.at_nodes(cluster.host_ips("node-2"));
    cluster.from(&[OUTSIDE], nodes).answered_by(&["web-1"]);
}
