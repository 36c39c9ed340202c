//! Pods in Subnets, whose addresses are in no slice: how their host reaches them, and they what is beyond their VPC.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};

use meridian_api::service::{Local, Protocol, ServiceFacts};
use meridian_node_cni::netlink::{Route, Rtnetlink};
use meridian_node_cni::netns::Netns;
use ovsdb::testing::eventually;

use crate::support::service::{NODE_PORT, Rig, SERVER, VIP_V4, VIP_V6, ask, ask_briefly, ask_by, at, datagrams, web};
use crate::support::vpc::Slice;
use crate::support::{Agent, NODE, Pod, World, netns, run};

const CLUSTER_V4: &str = "10.96.0.8";
const CLUSTER_V6: &str = "fd00:10:96::8";

fn inside(pod: &Pod) -> Netns {
    netns(&pod.netns)
}

fn server(pod: &Pod, v4: bool) -> SocketAddr {
    SocketAddr::new(pod.ip(v4), SERVER)
}

fn assert_refused(who: &str, from: &Netns, to: SocketAddr) {
    let error = ask(from, to).expect_err(&format!("{who} at {to}"));
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{who} at {to}: {error}");
}

/// Something in the world that says who it sees.
fn listen_in_the_world(rig: &Rig, v4: bool) -> SocketAddr {
    let to = at(if v4 { World::V4 } else { World::V6 }, 9000);
    let listener = rig.world.netns().run(|| TcpListener::bind(to).unwrap()).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, from)) = listener.accept() {
            let _ = write!(stream, "{}", from.ip());
        }
    });
    to
}

impl Rig {
    /// Routes of the host to a single address.
    fn routes_to(&self, address: IpAddr) -> Vec<Route> {
        let routes = self.host.netns().run(|| Rtnetlink::open().unwrap().routes().unwrap());
        let mut routes = routes.unwrap();
        routes.retain(|route| route.destination == address.into());
        routes
    }

    /// Waits until the host's routes to an address are by this router, or there are none.
    fn await_route(&self, address: IpAddr, router: Option<&str>) {
        eventually(&format!("route to {address} by {router:?}"), || {
            let gateways: Vec<_> = self
                .routes_to(address)
                .iter()
                .map(|route| route.gateway.map(|gateway| gateway.to_string()))
                .collect();
            let wanted: Vec<_> = router.iter().map(|router| Some((*router).to_owned())).collect();
            (gateways == wanted).then_some(())
        });
    }

    fn ip_route(&self, arguments: &[&str]) {
        run("ip", &[&["-n", self.host.name(), "route"], arguments].concat());
    }
}

#[test]
fn a_pod_in_a_subnet_is_reached_by_its_host_and_reaches_what_its_vpc_may() {
    let rig = Rig::start();
    rig.create_vpc(Slice::BLUE, "services outside");
    rig.create_vpc(Slice::GREEN, "services outside");
    rig.host.create_slice(Slice::DB);
    let pod = rig.serving(Pod::of_slice(&rig.host, Slice::DB));
    let in_slice = rig.serving(Pod::of_slice(&rig.host, Slice::BLUE));
    let (green, default) = (rig.serving(Pod::of_slice(&rig.host, Slice::GREEN)), rig.server());
    let (_, addresses, routes) = pod.eth0().unwrap();
    for v4 in [true, false] {
        let (interface, gateway) = (Slice::DB.interface(v4, 10), Slice::DB.gateway(v4).parse().unwrap());
        assert_eq!(pod.ip(v4), pod.facts().ips[usize::from(!v4)].ip());
        let length = interface.prefix();
        assert!(
            addresses
                .iter()
                .any(|on| on.network.ip() == pod.ip(v4) && on.network.prefix() == length),
            "{addresses:?}"
        );
        assert!(routes.iter().any(|route| route.gateway == Some(gateway)), "{routes:?}");
    }
    let shared = ["10.96.0.10", "fd00:10:96::10"];
    let vips = shared.map(|ip| at(ip, 53).to_string());
    let backends: &[&Pod] = &[&default];
    rig.host.balance("tcp", &[(&vips[0], backends), (&vips[1], backends)]);
    let mut dns = web(Protocol::Tcp);
    dns.addresses.clear();
    dns.shared = true;
    dns.cluster_ips = shared.map(|ip| ip.parse().unwrap()).into();
    dns.ports[0].port = 53;
    rig.publish(&dns);
    for (v4, shared) in [true, false].into_iter().zip(shared) {
        let own = server(&pod, v4);
        // So do the kubelet's probes.
        let seen = format!("{} {}", pod.name, Slice::BLUE.management(v4));
        assert_eq!(ask(&rig.host.netns(), own).unwrap(), seen);
        assert_eq!(
            ask(&inside(&in_slice), own).unwrap(),
            format!("{} {}", pod.name, in_slice.ip(v4))
        );
        let from = inside(&pod);
        assert_eq!(
            ask(&from, server(&in_slice, v4)).unwrap(),
            format!("{} {}", in_slice.name, pod.ip(v4))
        );
        let node = if v4 { World::NODE_V4 } else { World::NODE_V6 };
        let world = listen_in_the_world(&rig, v4);
        let answer = eventually("an answer of the world", || ask_briefly(&from, world));
        assert_eq!(answer, node, "under the host's address");
        let source = if v4 { "10.244.1.3" } else { "fd00:10:244:1::3" };
        let answer = eventually("an answer of the shared service", || ask_briefly(&from, at(shared, 53)));
        assert_eq!(answer, format!("{} {source}", default.name));
        assert_refused("a pod in a Subnet", &from, server(&default, v4));
        assert_refused("a pod in a Subnet", &from, server(&green, v4));
        let listener = rig.host.netns().run(|| TcpListener::bind(at(node, 9001)).unwrap());
        assert_refused("a pod in a Subnet", &from, listener.unwrap().local_addr().unwrap());
        assert_refused("a pod of the default VPC", &inside(&default), own);
        assert_refused("a pod of another VPC", &inside(&green), own);
        run(
            "ip",
            &[
                "-n",
                rig.world.name(),
                "route",
                "add",
                &pod.ip(v4).to_string(),
                "via",
                node,
            ],
        );
        assert_refused("the world", &rig.world.netns(), own);
    }
}

#[test]
fn a_subnet_of_the_default_vpc_is_no_different() {
    let rig = Rig::start();
    rig.host.create_slice(Slice::DEFAULT_DB);
    let table = "options:route_table=vpc-default-n1";
    rig.host
        .nbctl(&["set", "Logical_Router_Port", Slice::DEFAULT_DB.switch, table]);
    let pod = rig.serving(Pod::of_slice(&rig.host, Slice::DEFAULT_DB));
    for v4 in [true, false] {
        let seen = format!("{} {}", pod.name, Slice::DEFAULT.management(v4));
        assert_eq!(ask(&rig.host.netns(), server(&pod, v4)).unwrap(), seen);
        let world = listen_in_the_world(&rig, v4);
        let answer = eventually("an answer of the world", || ask_briefly(&inside(&pod), world));
        assert_eq!(answer, if v4 { World::NODE_V4 } else { World::NODE_V6 });
    }
}

#[test]
fn routes_to_pods_in_subnets_are_kept_and_go_with_the_pod() {
    let mut rig = Rig::start();
    rig.create_vpc(Slice::BLUE, "");
    rig.host.create_slice(Slice::DB);
    let (pod, in_slice) = (
        Pod::of_slice(&rig.host, Slice::DB),
        Pod::of_slice(&rig.host, Slice::BLUE),
    );
    let [v4, v6] = [true, false].map(|v4| pod.ip(v4));
    let both = || {
        rig.await_route(v4, Some("10.8.1.1"));
        rig.await_route(v6, Some("fd00:8:1::1"));
    };
    both();
    assert_eq!(rig.routes_to(in_slice.ip(true)), []);
    let single = v4.to_string();
    rig.ip_route(&["del", &single]);
    both();
    rig.ip_route(&["replace", &single, "via", World::V4, "proto", "77"]);
    both();
    let other = format!("{single}/32");
    let listed = run("ip", &["-n", rig.host.name(), "route", "show", &other]);
    assert!(
        listed.contains("via 10.8.1.1 dev mrmblue proto 77 src 10.8.1.2"),
        "{listed}"
    );
    rig.agent.daemon.kill();
    rig.host.delete_port(&in_slice.port());
    rig.agent = Agent::start(&rig.host);
    rig.await_route(v4, Some("10.8.1.1"));
    rig.host.delete_port(&pod.port());
    rig.await_route(v4, None);
    rig.await_route(v6, None);
}

#[test]
fn of_two_pods_of_a_node_with_one_address_the_first_keeps_it() {
    let mut rig = Rig::start();
    rig.create_vpc(Slice::BLUE, "");
    rig.create_vpc(Slice::GREEN, "");
    for subnet in [Slice::DB, Slice::GREEN_DB] {
        rig.host.create_slice(subnet);
    }
    let first = rig.serving(Pod::numbered(&rig.host, Slice::GREEN_DB, 77));
    rig.await_route(first.ip(true), Some("10.9.1.1"));
    let other = Pod::numbered(&rig.host, Slice::DB, 77);
    let complained = |rig: &Rig| {
        eventually("the agent complains", || {
            let status = rig.agent.status()?;
            let expected = format!(
                "port {}: port {} has its address 10.20.0.77",
                other.port(),
                first.port()
            );
            let mut problems = status.pod_problems.iter();
            problems.find(|problem| problem.starts_with(&expected))?;
            assert_eq!(status.unavailable, None, "that is no fault of the node's");
            Some(())
        });
    };
    complained(&rig);
    // The other is the first by name of its port, but not in time, whichever agent it is.
    rig.agent.daemon.kill();
    rig.agent = Agent::start(&rig.host);
    complained(&rig);
    for v4 in [true, false] {
        let seen = format!("{} {}", first.name, Slice::GREEN.management(v4));
        assert_eq!(ask(&rig.host.netns(), server(&first, v4)).unwrap(), seen);
    }
    rig.host.delete_port(&first.port());
    rig.await_route(first.ip(true), Some("10.8.1.1"));
    eventually("nothing is wrong any more", || {
        rig.agent.status()?.pod_problems.is_empty().then_some(())
    });
}

/// A service of `blue` with this endpoint here.
fn blue(protocol: Protocol, pod: &Pod) -> ServiceFacts {
    let mut service = web(protocol);
    service.vpc = Some("blue".into());
    service.cluster_ips = [CLUSTER_V4, CLUSTER_V6].map(|ip| ip.parse().unwrap()).into();
    let port = &mut service.ports[0];
    port.targets = [CLUSTER_V4, CLUSTER_V6].map(|ip| at(ip, 80)).into();
    port.node_port = Some(NODE_PORT);
    port.endpoints = [(NODE.to_owned(), [true, false].map(|v4| server(pod, v4)).into())].into();
    service
}

#[test]
fn a_pod_in_a_subnet_answers_for_services() {
    let rig = Rig::start();
    rig.create_vpc(Slice::BLUE, "outside");
    rig.host.create_slice(Slice::DB);
    let pod = rig.serving(Pod::of_slice(&rig.host, Slice::DB));
    let client = rig.serving(Pod::of_slice(&rig.host, Slice::DB));
    rig.create_vpc(Slice::GREEN, "outside");
    rig.host.create_slice(Slice::GREEN_DB);
    let stranger = rig.serving(Pod::of_slice(&rig.host, Slice::GREEN_DB));
    let (host, world) = (rig.host.netns(), rig.world.netns());
    let mut service = blue(Protocol::Tcp, &pod);
    rig.publish(&service);
    let told = rig.explain("shop/web");
    assert!(
        told.contains(&format!("10.96.0.8:80/tcp: to {}", server(&pod, true))),
        "{told}"
    );
    for (v4, cluster_ip, vip, node, beyond) in [
        (true, CLUSTER_V4, VIP_V4, World::NODE_V4, World::V4),
        (false, CLUSTER_V6, VIP_V6, World::NODE_V6, World::V6),
    ] {
        let seen = format!("{} {}", pod.name, Slice::BLUE.management(v4));
        let answer = eventually("the host is answered", || ask_briefly(&host, at(cluster_ip, 80)));
        assert_eq!(answer, seen);
        // What the switch of the Subnet has no load balancer for.
        assert_eq!(ask(&inside(&client), at(cluster_ip, 80)).unwrap(), seen);
        assert_refused("a pod of another VPC", &inside(&stranger), at(cluster_ip, 80));
        for to in [at(vip, 80), at(node, NODE_PORT)] {
            assert_eq!(ask(&host, to).unwrap(), seen, "the host at {to}");
            assert_eq!(ask(&world, to).unwrap(), seen, "the world at {to}");
            // Like anybody of the world, which its VPC may reach.
            assert_eq!(ask(&inside(&client), to).unwrap(), seen, "a pod at {to}");
        }
        // With such a policy it sees who it is.
        service.local = Some(Local::default());
        rig.publish(&service);
        for to in [at(vip, 80), at(node, NODE_PORT)] {
            eventually("it sees the client", || {
                (ask(&world, to).unwrap() == format!("{} {beyond}", pod.name)).then_some(())
            });
        }
        service.local = None;
        rig.publish(&service);
        eventually("the policy is another", || {
            let kept = rig.nft(&["list", "set", "inet", "meridian", "kept4"]);
            (!kept.contains(VIP_V4)).then_some(())
        });
    }
    rig.publish(&blue(Protocol::Udp, &pod));
    for (v4, cluster_ip, node) in [(true, CLUSTER_V4, World::NODE_V4), (false, CLUSTER_V6, World::NODE_V6)] {
        for (from, to) in [
            (&host, at(cluster_ip, 80)),
            (&world, at(node, NODE_PORT)),
            (&inside(&client), at(node, NODE_PORT)),
            (&inside(&client), at(cluster_ip, 80)),
        ] {
            let socket = datagrams(from, v4);
            eventually(&format!("datagrams at {to} are answered"), || ask_by(&socket, to));
        }
    }
}
