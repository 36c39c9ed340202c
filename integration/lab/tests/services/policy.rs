//! Traffic policies: which endpoints answer, and what they see.

use std::net::IpAddr;

use meridian_lab::probe::http;
use meridian_lab::wait;
use serde_json::Value;

use crate::cluster::{Cluster, INSIDE, NODES, OUTSIDE, WORLD, shared};
use crate::service::{Frontend, Service};

/// As whom the world asks for addresses of nodes.
fn neighbour(cluster: &Cluster) -> [IpAddr; 2] {
    let ips = cluster.lab.lab.plan().gateway_ips();
    [ips[0].ip(), ips[1].ip()]
}

#[test]
fn local_endpoints_see_who_asks_from_beyond() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("local", 30)
        .balanced()
        .with_external_ips()
        .local()
        .answered_by(&[cluster.endpoint("web-1"), cluster.endpoint("host-3")]);
    cluster.put(&service);
    let beyond: Vec<Frontend> = service.balancer().into_iter().chain(service.external()).collect();
    for (node, own) in [("node-1", Some("web-1")), ("node-2", None), ("node-3", Some("host-3"))] {
        cluster.route(service.balancer().map(|at| at.ip), node);
        cluster.route(service.external().map(|at| at.ip), node);
        let addresses = cluster.from(&[OUTSIDE], beyond.clone());
        let ports = cluster.from(&[OUTSIDE], service.at_nodes(cluster.host_ips(node)));
        if let Some(pod) = own {
            addresses.seen_as(WORLD).answered_by(&[pod]);
            ports.seen_as(neighbour(&cluster)).answered_by(&[pod]);
        } else {
            addresses.lost();
            ports.lost();
        }
    }
    // What comes from pods or from hosts comes from within, wherever they are.
    let both = ["web-1", "host-3"];
    cluster.from(&INSIDE, beyond).answered_by(&both);
    for (who, node) in [("client", "node-1"), ("node-3", "node-3"), ("web-2", "node-2")] {
        let own = service.at_nodes(cluster.host_ips(node));
        cluster.from(&[who], own).answered_by(&both);
    }
}

#[test]
fn a_pod_sees_a_pod_that_asks_for_a_load_balancers_address() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("seen", 31)
        .balanced()
        .local()
        .answered_by(&[cluster.endpoint("web-2")]);
    cluster.put(&service);
    let from = cluster.endpoint("client").ips;
    let probe = cluster.from(&["client"], service.balancer());
    probe.seen_as([from[0], from[1]]).answered_by(&["web-2"]);
}

#[test]
fn without_any_endpoint_a_local_service_refuses() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("nobody", 32).balanced().local();
    cluster.put(&service.clone().answered_by(&[cluster.endpoint("web-1")]));
    cluster.route(service.balancer().map(|at| at.ip), "node-2");
    let ports = service.at_nodes(cluster.host_ips("node-2"));
    let all = || service.balancer().into_iter().chain(ports.clone());
    cluster.from(&[OUTSIDE], all()).lost();
    cluster.put(&service.clone().answered_by(&[]));
    cluster.from(&[OUTSIDE], all()).refused();
    cluster.from(&["client", "node-2"], service.balancer()).refused();
    // Of whom it is not known where it is.
    let anywhere = crate::service::Endpoint::new(cluster.endpoint("web-1").ips, None);
    cluster.put(&service.clone().answered_by(&[anywhere]));
    cluster.from(&[OUTSIDE], all()).lost();
}

#[test]
fn load_balancers_are_told_which_nodes_have_endpoints() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("checked", 33).balanced().local();
    let pods = [cluster.endpoint("web-1"), cluster.endpoint("client")];
    let port = service.health_check_port();
    let expect = |node: &str, status: u16, count: u64| {
        for ip in cluster.host_ips(node) {
            let mut last = None;
            let so = wait::until(wait::PATIENCE, || {
                let answer = cluster.within(OUTSIDE, || http::get((ip, port).into(), "/"));
                last = Some(answer.map(|answer| (answer.status, answer.body)));
                let Some(Ok((code, body))) = &last else { return None };
                let body: Value = serde_json::from_str(body).ok()?;
                let service = &body["service"];
                assert_eq!(
                    (service["namespace"].as_str(), service["name"].as_str()),
                    (Some("default"), Some("checked"))
                );
                (*code == status && body["localEndpoints"] == count).then_some(())
            });
            assert!(so.is_some(), "{node} at {ip}: {last:?}, not {status} and {count}");
        }
    };
    cluster.put(&service.clone().answered_by(&pods));
    expect("node-1", 200, 2);
    expect("node-2", 503, 0);
    let [web, client] = pods;
    cluster.put(&service.clone().answered_by(&[web.clone(), client.terminating(true)]));
    expect("node-1", 200, 1);
    // It still answers, but nobody new shall be sent to it.
    cluster.put(
        &service
            .clone()
            .answered_by(&[web.terminating(true), cluster.endpoint("web-2")]),
    );
    expect("node-1", 503, 0);
    expect("node-2", 200, 1);
    cluster.put(&Service::new("checked", 33).balanced());
    let closed = wait::until(wait::PATIENCE, || {
        let to = std::net::SocketAddr::new(cluster.host_ips("node-1")[0], port);
        cluster.within(OUTSIDE, || std::net::TcpStream::connect(to)).err()
    });
    assert!(closed.is_some(), "nobody asks any more");
}

#[test]
fn a_cluster_ip_can_be_answered_on_each_node_by_itself() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("internal", 34)
        .balanced()
        .with("internalTrafficPolicy", "Local")
        .answered_by(&[cluster.endpoint("web-1"), cluster.endpoint("web-2")]);
    cluster.put(&service);
    cluster
        .from(&["client", "node-1", "web-1"], service.cluster())
        .answered_by(&["web-1"]);
    cluster
        .from(&["web-2", "node-2"], service.cluster())
        .answered_by(&["web-2"]);
    // kube-proxy drops this; to say so is no worse.
    cluster.from(&["node-3"], service.cluster()).refused();
    // The policy is not that of other addresses.
    cluster.route(service.balancer().map(|at| at.ip), "node-3");
    let ports = NODES.iter().flat_map(|node| cluster.host_ips(node));
    let ports = service.at_nodes(ports);
    let others = service.balancer().into_iter().chain(ports);
    let from = ["client", "node-3", OUTSIDE];
    cluster.from(&from, others).answered_by(&["web-1", "web-2"]);
}

#[test]
fn policies_change_at_run_time() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("changing", 35)
        .balanced()
        .answered_by(&[cluster.endpoint("web-1"), cluster.endpoint("web-2")]);
    cluster.route(service.balancer().map(|at| at.ip), "node-2");
    let both = ["web-1", "web-2"];
    let ports = service.at_nodes(cluster.host_ips("node-2"));
    for _ in 0..2 {
        cluster.put(&service);
        cluster.from(&[OUTSIDE], service.balancer()).answered_by(&both);
        cluster.from(&[OUTSIDE], ports.clone()).answered_by(&both);
        cluster.from(&["client"], service.cluster()).answered_by(&both);
        cluster.put(&service.clone().local());
        let outside = cluster.from(&[OUTSIDE], service.balancer());
        outside.seen_as(WORLD).answered_by(&["web-2"]);
        let outside = cluster.from(&[OUTSIDE], ports.clone());
        outside.seen_as(neighbour(&cluster)).answered_by(&["web-2"]);
        cluster.put(&service.clone().local().with("internalTrafficPolicy", "Local"));
        cluster.from(&["client"], service.cluster()).answered_by(&["web-1"]);
    }
}
