//! VPCs beside the default one: what the host lets through, and what it does for their services, with real packets.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use meridian_api::hosts::HostFacts;
use meridian_api::service::{Local, Protocol, ServiceFacts};
use meridian_node_cni::netns::Netns;
use ovsdb::testing::eventually;

use crate::support::service::{NODE_PORT, Rig, SERVER, VIP_V4, VIP_V6, ask, ask_briefly, ask_by, at, datagrams, web};
use crate::support::vpc::Slice;
use crate::support::{NODE, Pod, World, netns, run};

/// Sooner than anything is sent again.
const AT_ONCE: Duration = Duration::from_millis(800);

const CLUSTER_V4: &str = "10.96.0.8";
const CLUSTER_V6: &str = "fd00:10:96::8";

fn inside(pod: &Pod) -> Netns {
    netns(&pod.netns)
}

/// A connection is refused, and whoever asked knows at once.
fn assert_refused(who: &str, from: &Netns, to: SocketAddr) {
    let start = Instant::now();
    let error = ask(from, to).expect_err(&format!("{who} at {to}"));
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{who} at {to}: {error}");
    assert!(start.elapsed() < AT_ONCE, "{who} at {to}: after {:?}", start.elapsed());
}

/// A service of VPC `blue` with these endpoints here.
fn blue(protocol: Protocol, pods: &[&Pod]) -> ServiceFacts {
    let mut service = web(protocol);
    service.vpc = Some("blue".into());
    service.cluster_ips = [CLUSTER_V4, CLUSTER_V6].map(|ip| ip.parse().unwrap()).into();
    let port = &mut service.ports[0];
    port.targets = [CLUSTER_V4, CLUSTER_V6].map(|ip| at(ip, 80)).into();
    port.node_port = Some(NODE_PORT);
    let endpoints: Vec<_> = pods
        .iter()
        .flat_map(|pod| [true, false].map(|v4| SocketAddr::new(pod.ip(v4), SERVER)))
        .collect();
    if !endpoints.is_empty() {
        port.endpoints = [(NODE.to_owned(), endpoints)].into();
    }
    service
}

/// Waits until what is asked is answered at all.
fn await_answer(from: &Netns, to: SocketAddr) -> String {
    eventually(&format!("an answer of {to}"), || ask_briefly(from, to))
}

#[test]
fn pods_of_another_vpc_reach_no_port_of_the_host_and_the_host_reaches_them() {
    let rig = Rig::start();
    rig.create_vpc(Slice::BLUE, "services outside");
    let pod = rig.serving(Pod::of_slice(&rig.host, Slice::BLUE));
    let from = inside(&pod);
    for v4 in [true, false] {
        let node = if v4 { World::NODE_V4 } else { World::NODE_V6 };
        for address in [node, &Slice::DEFAULT.management(v4), &Slice::BLUE.management(v4)] {
            let to = at(address, 9000);
            let _listener = rig.host.netns().run(|| TcpListener::bind(to).unwrap()).unwrap();
            assert_refused("a pod", &from, to);
            let socket = datagrams(&from, v4);
            let _silent = rig.host.netns().run(|| UdpSocket::bind(to).unwrap()).unwrap();
            socket.connect(to).unwrap();
            socket.send(b"who?").unwrap();
            let error = socket.recv(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{to}: {error}");
        }
        // So do the kubelet's probes.
        let answer = ask(&rig.host.netns(), SocketAddr::new(pod.ip(v4), SERVER)).unwrap();
        assert_eq!(answer, format!("{} {}", pod.name, Slice::BLUE.management(v4)));
        run("ip", &["netns", "exec", &pod.netns, "ping", "-c", "1", "-W", "5", node]);
    }
}

#[test]
fn pods_of_another_vpc_reach_shared_services_and_no_others() {
    let rig = Rig::start();
    rig.create_vpc(Slice::BLUE, "services");
    let (server, pod) = (rig.server(), rig.serving(Pod::of_slice(&rig.host, Slice::BLUE)));
    let (shared, private) = (["10.96.0.10", "fd00:10:96::10"], ["10.96.0.11", "fd00:10:96::11"]);
    for protocol in ["tcp", "udp"] {
        let vips: Vec<_> = shared.iter().chain(&private).map(|ip| at(ip, 53).to_string()).collect();
        let backends: &[&Pod] = &[&server];
        let vips: Vec<_> = vips.iter().map(|vip| (vip.as_str(), backends)).collect();
        rig.host.balance(protocol, &vips);
    }
    let mut dns = web(Protocol::Tcp);
    dns.addresses.clear();
    dns.shared = true;
    dns.cluster_ips = shared.map(|ip| ip.parse().unwrap()).into();
    dns.ports[0].port = 53;
    dns.ports.push(meridian_api::service::Port {
        protocol: Protocol::Udp,
        ..dns.ports[0].clone()
    });
    rig.publish(&dns);
    let from = inside(&pod);
    for (v4, (shared, private)) in [true, false].into_iter().zip(shared.into_iter().zip(private)) {
        let answer = await_answer(&from, at(shared, 53));
        let source = if v4 { "10.244.1.3" } else { "fd00:10:244:1::3" };
        assert_eq!(
            answer,
            format!("{} {source}", server.name),
            "under the source of the host"
        );
        let socket = datagrams(&from, v4);
        eventually("a datagram is answered", || ask_by(&socket, at(shared, 53)));
        assert_refused("a pod", &from, at(shared, 80));
        assert_refused("a pod", &from, at(private, 53));
        assert_refused("a pod", &from, SocketAddr::new(server.ip(v4), SERVER));
        assert!(ask(&rig.host.netns(), at(private, 53)).is_ok(), "the host may");
    }
    rig.let_reach(Slice::BLUE, "outside");
    for shared in shared {
        assert_refused("a pod", &from, at(shared, 53));
    }
}

#[test]
fn the_world_is_reached_if_the_vpc_may_and_reaches_no_pod() {
    let rig = Rig::start();
    rig.create_vpc(Slice::BLUE, "outside");
    rig.create_vpc(Slice::GREEN, "outside");
    let pod = rig.serving(Pod::of_slice(&rig.host, Slice::BLUE));
    let (other, green) = (rig.server(), rig.serving(Pod::of_slice(&rig.host, Slice::GREEN)));
    let from = inside(&pod);
    for v4 in [true, false] {
        let (node, world) = if v4 {
            (World::NODE_V4, World::V4)
        } else {
            (World::NODE_V6, World::V6)
        };
        let to = at(world, 9000);
        let listener = rig.world.netns().run(|| TcpListener::bind(to).unwrap()).unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, from)) = listener.accept() {
                let _ = write!(stream, "{}", from.ip());
            }
        });
        assert_eq!(await_answer(&from, to), node, "under the host's address");
        let network = format!("{}/{}", pod.ip(v4), if v4 { 24 } else { 64 });
        let network = network.parse::<ipnetwork::IpNetwork>().unwrap();
        let network = format!("{}/{}", network.network(), network.prefix());
        run("ip", &["-n", rig.world.name(), "route", "add", &network, "via", node]);
        let pods = SocketAddr::new(pod.ip(v4), SERVER);
        assert_refused("the world", &rig.world.netns(), pods);
        assert_refused("a pod of the default VPC", &inside(&other), pods);
        assert_refused("a pod of another VPC", &inside(&green), pods);
    }
    assert_refused("a pod", &from, at("10.8.77.4", 9000));
    rig.let_reach(Slice::BLUE, "services");
    for world in [World::V4, World::V6] {
        assert_refused("a pod", &from, at(world, 9000));
    }
}

#[test]
fn a_service_of_another_vpc_is_answered_by_endpoints_of_the_host() {
    let rig = Rig::start();
    rig.create_vpc(Slice::BLUE, "");
    let pod = rig.serving(Pod::of_slice(&rig.host, Slice::BLUE));
    let (host, world) = (rig.host.netns(), rig.world.netns());
    let mut service = blue(Protocol::Tcp, &[&pod]);
    rig.publish(&service);
    for (v4, cluster_ip, vip, node, client) in [
        (true, CLUSTER_V4, VIP_V4, World::NODE_V4, World::V4),
        (false, CLUSTER_V6, VIP_V6, World::NODE_V6, World::V6),
    ] {
        let seen = format!("{} {}", pod.name, Slice::BLUE.management(v4));
        assert_eq!(await_answer(&host, at(cluster_ip, 80)), seen);
        for to in [at(vip, 80), at(node, NODE_PORT)] {
            assert_eq!(ask(&host, to).unwrap(), seen, "the host at {to}");
            assert_eq!(ask(&world, to).unwrap(), seen, "the world at {to}");
        }
        // With such a policy it sees who it is.
        service.local = Some(Local::default());
        rig.publish(&service);
        let seen = format!("{} {client}", pod.name);
        for to in [at(vip, 80), at(node, NODE_PORT)] {
            eventually("it sees the client", || {
                (ask(&world, to).unwrap() == seen).then_some(())
            });
            let seen = format!("{} {}", pod.name, Slice::BLUE.management(v4));
            assert_eq!(ask(&host, to).unwrap(), seen, "the host at {to}");
        }
        service.local = None;
        rig.publish(&service);
        eventually("the policy is another", || {
            let kept = rig.nft(&["list", "set", "inet", "meridian", "kept4"]);
            (!kept.contains(VIP_V4)).then_some(())
        });
    }
    rig.publish(&blue(Protocol::Tcp, &[]));
    for (cluster_ip, vip, node) in [
        (CLUSTER_V4, VIP_V4, World::NODE_V4),
        (CLUSTER_V6, VIP_V6, World::NODE_V6),
    ] {
        eventually("nobody answers", || {
            ask(&host, at(cluster_ip, 80)).is_err().then_some(())
        });
        for (who, from) in [("the host", &host), ("the world", &world)] {
            for to in [at(vip, 80), at(node, NODE_PORT)] {
                assert_refused(who, from, to);
            }
        }
        assert_refused("the host", &host, at(cluster_ip, 80));
    }
}

#[test]
fn hosts_are_reached_by_the_ports_of_services_alone() {
    let rig = Rig::start();
    rig.create_vpc(Slice::BLUE, "outside");
    rig.host.publish_hosts(&HostFacts {
        addresses: [World::V4, World::V6].map(|ip| ip.parse().unwrap()).into(),
        ..HostFacts::default()
    });
    let pod = rig.serving(Pod::of_slice(&rig.host, Slice::BLUE));
    let (from, default) = (inside(&pod), rig.server());
    for world in [World::V4, World::V6] {
        for port in [9000, NODE_PORT] {
            let listener = rig
                .world
                .netns()
                .run(|| TcpListener::bind(at(world, port)).unwrap())
                .unwrap();
            std::thread::spawn(move || {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = write!(stream, "host");
                }
            });
        }
        assert_eq!(await_answer(&from, at(world, NODE_PORT)), "host");
        eventually("the host's own port is closed", || {
            ask_briefly(&from, at(world, 9000)).is_none().then_some(())
        });
        assert_refused("a pod", &from, at(world, 9000));
        assert_eq!(
            await_answer(&inside(&default), at(world, 9000)),
            "host",
            "the default VPC is open"
        );
    }
}

#[test]
fn pods_that_reach_the_world_reach_ports_of_their_node_like_the_world() {
    let rig = Rig::start();
    rig.create_vpc(Slice::BLUE, "services outside");
    rig.create_vpc(Slice::GREEN, "services");
    let server = rig.serving(Pod::of_slice(&rig.host, Slice::BLUE));
    let client = rig.serving(Pod::numbered(&rig.host, Slice::BLUE, 9));
    let green = rig.serving(Pod::of_slice(&rig.host, Slice::GREEN));
    rig.publish(&blue(Protocol::Tcp, &[&server]));
    for (v4, node, vip) in [(true, World::NODE_V4, VIP_V4), (false, World::NODE_V6, VIP_V6)] {
        let seen = format!("{} {}", server.name, Slice::BLUE.management(v4));
        for to in [at(node, NODE_PORT), at(vip, 80)] {
            assert_eq!(await_answer(&inside(&client), to), seen, "{to}");
            assert_refused("a pod that does not reach the world", &inside(&green), to);
        }
    }
}

#[test]
fn what_the_default_vpc_carries_here_is_let_in_for_hosts_and_to_shared_services() {
    let rig = Rig::start();
    rig.create_vpc(Slice::BLUE, "");
    rig.create_vpc(Slice::GREEN, "services");
    rig.host.create_slice(Slice::ELSEWHERE);
    rig.host.publish_hosts(&HostFacts {
        sources: ["10.244.2.3", "fd00:10:244:2::3"].map(|ip| ip.parse().unwrap()).into(),
        ..HostFacts::default()
    });
    for (cluster_ip, v4) in [(CLUSTER_V4, true), (CLUSTER_V6, false)] {
        let here = Slice::DEFAULT.management(v4);
        rig.host.nbctl(&["lr-route-add", "vpc-default", cluster_ip, &here]);
    }
    let server = rig.serving(Pod::of_slice(&rig.host, Slice::BLUE));
    // The address that another host's connections to services have.
    let other_host = rig.serving(Pod::numbered(&rig.host, Slice::ELSEWHERE, 3));
    let (pod, green) = (
        rig.serving(Pod::of_slice(&rig.host, Slice::ELSEWHERE)),
        rig.serving(Pod::of_slice(&rig.host, Slice::GREEN)),
    );
    let mut service = blue(Protocol::Tcp, &[&server]);
    rig.publish(&service);
    for (v4, cluster_ip) in [(true, CLUSTER_V4), (false, CLUSTER_V6)] {
        let seen = format!("{} {}", server.name, Slice::BLUE.management(v4));
        let to = at(cluster_ip, 80);
        assert_eq!(await_answer(&inside(&other_host), to), seen);
        assert_refused("a pod of the default VPC", &inside(&pod), to);
        assert_refused("a pod of another VPC", &inside(&green), to);
    }
    service.shared = true;
    rig.publish(&service);
    for (v4, cluster_ip) in [(true, CLUSTER_V4), (false, CLUSTER_V6)] {
        let seen = format!("{} {}", server.name, Slice::BLUE.management(v4));
        let to = at(cluster_ip, 80);
        for client in [&pod, &other_host, &green] {
            eventually("it is shared", || {
                (ask(&inside(client), to).ok()? == seen).then_some(())
            });
        }
        let node = if v4 { World::NODE_V4 } else { World::NODE_V6 };
        assert_refused("a pod of another VPC", &inside(&green), at(node, NODE_PORT));
    }
    rig.let_reach(Slice::GREEN, "outside");
    for cluster_ip in [CLUSTER_V4, CLUSTER_V6] {
        assert_refused("a pod of a VPC that may not", &inside(&green), at(cluster_ip, 80));
    }
}

#[test]
fn datagrams_follow_the_endpoints_of_another_vpc() {
    let rig = Rig::start();
    rig.create_vpc(Slice::BLUE, "");
    let pods = [(); 2].map(|()| rig.serving(Pod::of_slice(&rig.host, Slice::BLUE)));
    let elsewhere = || [("n2".to_owned(), vec![at("10.8.2.9", SERVER), at("fd00:8:2::9", SERVER)])].into();
    for (v4, cluster_ip, node) in [(true, CLUSTER_V4, World::NODE_V4), (false, CLUSTER_V6, World::NODE_V6)] {
        for (from, to) in [
            (rig.host.netns(), at(cluster_ip, 80)),
            (rig.world.netns(), at(node, NODE_PORT)),
        ] {
            let mut service = blue(Protocol::Udp, &[]);
            service.ports[0].endpoints = elsewhere();
            rig.publish(&service);
            let client = datagrams(&from, v4);
            eventually("another host is to answer, and there is none", || {
                ask_by(&client, to).is_none().then_some(())
            });
            for pod in &pods {
                rig.publish(&blue(Protocol::Udp, &[pod]));
                eventually(&format!("the endpoint answers at {to}"), || {
                    ask_by(&client, to).filter(|answer| answer.starts_with(&pod.name))
                });
            }
        }
    }
}
