//! Services that change while they are used.

use std::net::{IpAddr, SocketAddr};
use std::slice::from_ref;
use std::time::Duration;

use meridian_lab::cluster::object::{Key, Object};
use meridian_lab::wait;
use serde_json::json;

use crate::client::{Conversation, PATIENT, Talker};
use crate::cluster::{Cluster, NODES, OUTSIDE, shared};
use crate::service::{Frontend, Service};

/// A client that goes on sending does not wait for long.
const TALK: Duration = Duration::from_millis(200);

/// One client of a service, from one port.
struct Talk {
    what: String,
    talker: Talker,
}

fn talks(cluster: &Cluster, all: &[(&str, Vec<Frontend>)]) -> Vec<Talk> {
    let mut talks = Vec::new();
    for (who, at) in all.iter().flat_map(|(who, to)| to.iter().map(move |at| (*who, at))) {
        let to = SocketAddr::new(at.ip, at.udp);
        let talker = cluster.within(who, || Talker::new(to, TALK));
        talks.push(Talk {
            what: format!("{who} to {to}"),
            talker: talker.expect("a socket"),
        });
    }
    talks
}

/// Sooner or later each is told this, though none ever pauses.
fn all_hear(talks: &[Talk], expected: &str) {
    std::thread::scope(|scope| {
        for Talk { what, talker } in talks {
            scope.spawn(move || {
                let mut last = None;
                let heard = wait::until(wait::PATIENCE, || {
                    let outcome = talker.say();
                    let so = outcome.name() == expected;
                    last = Some(outcome);
                    so.then_some(())
                });
                assert!(heard.is_some(), "{what}: {last:?}, not {expected}");
            });
        }
    });
}

#[test]
fn who_goes_on_sending_datagrams_is_answered_by_who_is_there_now() {
    let Some(cluster) = shared() else { return };
    let [one, two] = ["web-1", "web-2"].map(|pod| cluster.endpoint(pod));
    let service = Service::new("talk", 60).balanced().answered_by(from_ref(&one));
    cluster.put(&service);
    cluster.route(service.balancer().map(|at| at.ip), "node-1");
    cluster.from(&["client"], service.cluster()).answered_by(&["web-1"]);
    let inside: Vec<Frontend> = service.cluster().into_iter().chain(service.balancer()).collect();
    let nodes = service.at_nodes(NODES.iter().flat_map(|node| cluster.host_ips(node)));
    let outside = service.balancer().into_iter().chain(nodes.clone()).collect();
    let talks = talks(
        &cluster,
        &[
            ("client", inside.clone()),
            ("web-2", inside.clone()),
            ("node-1", inside.clone()),
            ("node-3", inside),
            ("client", nodes),
            (OUTSIDE, outside),
        ],
    );
    all_hear(&talks, "web-1");
    cluster.put(&service.clone().answered_by(from_ref(&two)));
    all_hear(&talks, "web-2");
    cluster.put(&service.clone().answered_by(&[]));
    all_hear(&talks, "refused");
    cluster.put(&service.answered_by(&[one]));
    all_hear(&talks, "web-1");
}

#[test]
fn who_sends_datagrams_before_there_is_a_service_is_answered_when_there_is() {
    let Some(cluster) = shared() else { return };
    let other = Service::new("present", 70).answered_by(&[cluster.endpoint("web-2")]);
    cluster.put(&other);
    cluster
        .from(&["client", "node-3"], other.cluster())
        .answered_by(&["web-2"]);
    let service = Service::new("late", 71)
        .on_nodes()
        .answered_by(&[cluster.endpoint("web-1")]);
    let nodes = service.at_nodes(cluster.host_ips("node-3"));
    let inside = service.cluster().to_vec();
    let talks = talks(
        &cluster,
        &[
            ("client", inside.clone()),
            ("node-3", inside),
            ("client", nodes.clone()),
            (OUTSIDE, nodes),
        ],
    );
    all_hear(&talks, "refused");
    cluster.put(&service);
    all_hear(&talks, "web-1");
}

#[test]
fn who_goes_on_sending_datagrams_follows_the_policy() {
    let Some(cluster) = shared() else { return };
    let endpoints = [cluster.endpoint("web-2"), cluster.endpoint("host-3")];
    let service = Service::new("talk-policy", 61).balanced();
    cluster.route(service.balancer().map(|at| at.ip), "node-3");
    cluster.put(&service.clone().answered_by(&endpoints[..1]));
    let nodes = service.at_nodes(cluster.host_ips("node-3"));
    let outside = service.balancer().into_iter().chain(nodes).collect();
    let talks = talks(&cluster, &[(OUTSIDE, outside)]);
    all_hear(&talks, "web-2");
    cluster.put(&service.clone().local().answered_by(&endpoints[..1]));
    all_hear(&talks, "lost");
    cluster.put(&service.clone().local().answered_by(&endpoints));
    all_hear(&talks, "host-3");
    cluster.put(&service.clone().answered_by(&endpoints[..1]));
    all_hear(&talks, "web-2");
}

#[test]
fn a_connection_outlives_its_endpoint() {
    let Some(cluster) = shared() else { return };
    let [one, two] = ["web-1", "web-2"].map(|pod| cluster.endpoint(pod));
    for (service, node) in [
        (Service::new("lasting", 62).balanced(), "node-3"),
        (Service::new("lasting-local", 63).balanced().local(), "node-1"),
    ] {
        cluster.put(&service.clone().answered_by(from_ref(&one)));
        cluster.route(service.balancer().map(|at| at.ip), node);
        let nodes = service.at_nodes(cluster.host_ips(node));
        let mut all: Vec<(&str, Frontend)> = Vec::new();
        all.extend(
            service
                .cluster()
                .into_iter()
                .flat_map(|at| ["client", "node-1"].map(|who| (who, at))),
        );
        all.extend(service.balancer().into_iter().chain(nodes).map(|at| (OUTSIDE, at)));
        for (who, at) in &all {
            cluster.from(&[who], [*at]).answered_by(&["web-1"]);
        }
        let mut begun: Vec<(&str, IpAddr, Conversation)> = Vec::new();
        for (who, at) in &all {
            let conversation = cluster.within(who, || Conversation::begin((at.ip, at.tcp).into(), PATIENT));
            let conversation = conversation.unwrap_or_else(|e| panic!("{who} to {}: {e}", at.ip));
            begun.push((who, at.ip, conversation));
        }
        cluster.put(&service.clone().answered_by(from_ref(&two)));
        cluster
            .from(&["client"], service.cluster())
            .over_tcp()
            .answered_by(&["web-2"]);
        for (who, ip, conversation) in begun {
            assert_eq!(conversation.finish().name(), "web-1", "{who} to {ip}");
        }
    }
}

#[test]
fn a_service_changes_its_type_while_it_is_used() {
    let Some(cluster) = shared() else { return };
    let endpoints = [cluster.endpoint("web-1"), cluster.endpoint("web-2")];
    let of = |service: Service| service.answered_by(&endpoints);
    let plain = of(Service::new("typed", 64));
    cluster.put(&plain);
    let both = ["web-1", "web-2"];
    cluster.from(&["client", "node-3"], plain.cluster()).answered_by(&both);
    let ports = plain.at_nodes(cluster.host_ips("node-2"));
    let from = ["client", OUTSIDE];
    cluster.route(plain.balancer().map(|at| at.ip), "node-2");
    cluster.route(plain.external().map(|at| at.ip), "node-2");
    cluster.undisturbed(&["client", "node-3"], &plain.cluster(), || {
        cluster.put(&of(Service::new("typed", 64).on_nodes()));
        cluster.from(&from, ports.clone()).answered_by(&both);
        cluster.put(&of(Service::new("typed", 64).balanced()));
        let all = plain.balancer().into_iter().chain(ports.clone());
        cluster.from(&from, all).answered_by(&both);
        cluster.put(&of(Service::new("typed", 64).with_external_ips()));
        cluster.from(&from, plain.external()).answered_by(&both);
        cluster.from(&from, ports.clone()).refused();
        cluster.put(&plain);
    });
    cluster.delete(&[plain.key()]);
    cluster.from(&["client", "node-3"], plain.cluster()).refused();
}

#[test]
fn a_service_changes_its_ports_and_addresses_while_it_is_used() {
    let Some(cluster) = shared() else { return };
    let endpoints = [cluster.endpoint("web-1"), cluster.endpoint("host-3")];
    let both = ["web-1", "host-3"];
    let other = Service::new("neighbour", 65).on_nodes().answered_by(&endpoints);
    cluster.put(&other);
    cluster.from(&["client"], other.cluster()).answered_by(&both);
    let before = Service::new("moving", 66).balanced().answered_by(&endpoints);
    let ports = before.clone().with_ports(8000, 5300);
    let addresses = ports.clone().with_number(67);
    let from = ["client", "node-1"];
    let everywhere = |service: &Service| {
        let nodes = service.at_nodes(cluster.host_ips("node-3"));
        let all = service.cluster().into_iter().chain(service.balancer()).chain(nodes);
        all.collect::<Vec<_>>()
    };
    cluster.undisturbed(&["client", "node-3"], &other.cluster(), || {
        cluster.put(&before);
        cluster.from(&from, everywhere(&before)).answered_by(&both);
        cluster.put(&ports);
        cluster.from(&from, everywhere(&ports)).answered_by(&both);
        cluster.from(&from, before.cluster()).refused();
        cluster.put(&addresses);
        cluster.from(&from, everywhere(&addresses)).answered_by(&both);
        cluster.from(&from, ports.cluster()).refused();
        let gone = ports.at_nodes(cluster.host_ips("node-3"));
        cluster.from(&["client", "node-1", OUTSIDE], gone).refused();
    });
}

#[test]
fn services_get_addresses_of_a_network_that_is_added() {
    let Some(cluster) = shared() else { return };
    let old = Service::new("old", 68).answered_by(&[cluster.endpoint("web-2")]);
    cluster.put(&old);
    let inside = ["client", "node-1", "node-3"];
    cluster.from(&inside, old.cluster()).answered_by(&["web-2"]);
    let new = Service::new("new", 69)
        .with("clusterIPs", json!(["10.97.0.7", "fd00:10:97::7"]))
        .answered_by(&[cluster.endpoint("web-1"), cluster.endpoint("host-3")]);
    let networks = Object::from_value(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "more"},
        "spec": {"cidrs": ["10.97.0.0/24", "fd00:10:97::/112"]},
    }));
    cluster.undisturbed(&inside, &old.cluster(), || {
        cluster.put(&new);
        cluster.apply(vec![networks.expect("an object")]);
        cluster.from(&inside, new.cluster()).answered_by(&["web-1", "host-3"]);
        cluster.delete(&[new.key()]);
        cluster.from(&inside, new.cluster()).refused();
        cluster.delete(&[Key::new("ServiceCIDR", "", "more")]);
    });
}
