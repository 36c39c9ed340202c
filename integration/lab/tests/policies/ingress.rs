//! Who may connect to pods.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use meridian_lab::wait;
use serde_json::json;

use crate::cluster::shared;
use crate::probe::Protocol;
use crate::service::{PORTS, Service};

const PODS: [(&str, &str); 4] = [
    ("server", "node-1"),
    ("friend", "node-2"),
    ("beside", "node-1"),
    ("stranger", "node-3"),
];

#[test]
fn those_whom_a_policy_names_and_the_pods_own_host() {
    let Some(cluster) = shared() else { return };
    let _busy = cluster.busy();
    let ns = "in-names";
    cluster.put_pods(ns, &PODS);
    let server = format!("{ns}/server");
    let [friend, beside, stranger] = ["friend", "beside", "stranger"].map(|name| format!("{ns}/{name}"));
    let all = [&*friend, &*beside, &*stranger, "node-1", "node-2"];
    cluster.from(&all, cluster.at(&server)).answered_by(&[&server]);

    let spec = json!({
        "podSelector": {"matchLabels": {"name": "server"}},
        "ingress": [{
            "from": [{"podSelector": {"matchLabels": {"name": "friend"}}}],
            "ports": [{"port": "http"}, {"port": PORTS[1], "protocol": "UDP"}],
        }],
    });
    cluster.put(ns, "friends", &spec);
    cluster
        .from(&[&beside, &stranger, "node-2"], cluster.at(&server))
        .lost();
    cluster
        .from(&[&friend, "node-1"], cluster.at(&server))
        .answered_by(&[&server]);
    // Who is isolated from others may connect to whom it likes.
    cluster
        .from(&[&server], cluster.at(&stranger))
        .answered_by(&[&stranger]);

    let service = cluster.serve(Service::new("in-names", 90).of("in-names"), &server, "node-1");
    let clients: [&str; 2] = [&friend, &server];
    cluster.from(&clients, service.cluster()).answered_by(&[&server]);
    cluster.from(&[&beside, &stranger], service.cluster()).lost();

    cluster.delete("NetworkPolicy", ns, "friends");
    cluster.from(&all, cluster.at(&server)).answered_by(&[&server]);
}

#[test]
fn a_named_port_opens_no_other() {
    let Some(cluster) = shared() else { return };
    let _busy = cluster.busy();
    let ns = "in-ports";
    cluster.put_pods(ns, &PODS);
    let (server, friend) = (format!("{ns}/server"), format!("{ns}/friend"));
    let named = |name: &str| {
        json!({
            "podSelector": {"matchLabels": {"name": "server"}},
            "ingress": [{"ports": [{"port": name}]}],
        })
    };
    cluster.put(ns, "named", &named("http"));
    let udp = cluster.at(&server);
    let lost = || {
        cluster.within(&friend, || {
            let ask = |at| Protocol::Udp.ask(at, crate::client::AT_ONCE);
            udp.iter().all(|at| ask(*at).name() == "lost")
        })
    };
    let in_force = wait::until(wait::PATIENCE, || lost().then_some(()));
    assert!(
        in_force.is_some(),
        "the protocol that the port is not of is let through"
    );
    cluster
        .from(&[&friend], cluster.at(&server))
        .over_tcp()
        .answered_by(&[&server]);
    assert!(lost(), "the protocol that the port is not of is let through, too");
    cluster.put(ns, "named", &named("no-such-port"));
    cluster.from(&[&friend], cluster.at(&server)).lost();
}

#[test]
fn who_stays_allowed_notices_nothing_of_a_change() {
    let Some(cluster) = shared() else { return };
    let _quiet = cluster.quiet();
    let ns = "in-change";
    cluster.put_pods(ns, &PODS);
    let (server, friend, stranger) = (format!("{ns}/server"), format!("{ns}/friend"), format!("{ns}/stranger"));
    let spec = |others: &[&str]| {
        let peers = others.iter().chain(&["friend"]);
        let peers: Vec<_> = peers
            .map(|name| json!({"podSelector": {"matchLabels": {"name": name}}}))
            .collect();
        json!({"podSelector": {"matchLabels": {"name": "server"}}, "ingress": [{"from": peers}]})
    };
    cluster.put(ns, "changing", &spec(&[]));
    cluster.from(&[&stranger], cluster.at(&server)).lost();
    cluster.from(&[&friend], cluster.at(&server)).answered_by(&[&server]);
    cluster.undisturbed(&[&friend], &cluster.at(&server), || {
        for _ in 0..5 {
            cluster.put(ns, "changing", &spec(&["beside", "stranger"]));
            cluster.from(&[&stranger], cluster.at(&server)).answered_by(&[&server]);
            cluster.put(ns, "changing", &spec(&["beside"]));
            cluster.from(&[&stranger], cluster.at(&server)).lost();
        }
    });
}

#[test]
fn a_connection_ends_with_what_allowed_it_and_goes_on_once_it_is_allowed_again() {
    let Some(cluster) = shared() else { return };
    let _busy = cluster.busy();
    let ns = "in-there";
    cluster.put_pods(ns, &PODS);
    let (server, friend, stranger) = (format!("{ns}/server"), format!("{ns}/friend"), format!("{ns}/stranger"));
    let spec = |name: &str| {
        json!({
            "podSelector": {"matchLabels": {"name": "server"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"name": name}}}]}],
        })
    };
    cluster.put(ns, "changing", &spec("friend"));
    // Connections are tracked once a policy is in force.
    cluster.from(&[&stranger], cluster.at(&server)).lost();
    for to in cluster.at(&server) {
        cluster.within(&friend, || {
            // One socket for all of it: the addresses and ports of one connection.
            let any: IpAddr = if to.ip.is_ipv4() {
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            let socket = UdpSocket::bind((any, 0)).expect("a port is free");
            socket.connect((to.ip, to.udp)).expect("an address");
            let patience = Some(Duration::from_millis(200));
            socket.set_read_timeout(patience).expect("not zero");
            let is_answered = || {
                let mut buffer = [0; 512];
                socket.send(b"/name").is_ok() && socket.recv(&mut buffer).is_ok()
            };
            let becomes = |answered: bool| {
                let became = wait::until(wait::PATIENCE, || (is_answered() == answered).then_some(()));
                assert!(became.is_some(), "answered by {}: never {answered}", to.ip);
            };
            becomes(true);
            cluster.put(ns, "changing", &spec("beside"));
            becomes(false);
            assert!((0..5).all(|_| !is_answered()), "{} answers again", to.ip);
            cluster.put(ns, "changing", &spec("friend"));
            becomes(true);
        });
    }
}
