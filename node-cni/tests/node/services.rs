//! Services without kube-proxy: what the host does with what comes for addresses and ports of theirs, with real packets.

use std::net::{SocketAddr, TcpStream};

use meridian_api::service::{Local, Protocol};
use ovsdb::testing::eventually;

use crate::support::service::{
    NODE_PORT, Rig, SERVER, VIP_V4, VIP_V6, ask, ask_briefly, ask_by, at, datagrams, is_dropped, local_web, web,
};
use crate::support::{Agent, Host, NODE, Pod, World, netns, ruleset, run};

/// The other protocol's frontends of `shop/web`, all with the same endpoints.
fn balance(rig: &Rig, protocol: &str, pods: &[&Pod]) {
    let node_port = |address: &str| at(address, NODE_PORT).to_string();
    let (v4, v6) = (node_port("169.254.77.1"), node_port("fd6d:6572:6964:6961::1"));
    let vips = ["10.96.0.7:80", "[fd00:10:96::7]:80", &v4, &v6].map(|vip| (vip, pods));
    rig.host.balance(protocol, &vips);
}

/// Waits until what is asked is answered at all.
fn await_answer(rig: &Rig, from: &meridian_node_cni::netns::Netns, to: SocketAddr) -> String {
    let what = format!("an answer of {to}\n{}", rig.explain("shop/web"));
    eventually(&what, || ask_briefly(from, to))
}

#[test]
fn an_address_from_beyond_the_cluster_is_reached_from_everywhere() {
    let rig = Rig::start();
    let (server, client) = (rig.server(), rig.server());
    balance(&rig, "tcp", &[&server]);
    rig.publish(&web(Protocol::Tcp));
    for vip in [VIP_V4, VIP_V6] {
        for (who, from) in [
            ("another host", rig.world.netns()),
            ("the host", rig.host.netns()),
            ("a pod", netns(&client.netns)),
            ("the pod that answers", netns(&server.netns)),
        ] {
            let answer = await_answer(&rig, &from, at(vip, 80));
            assert!(answer.starts_with(&server.name), "{who} at {vip}: {answer}");
        }
    }
    // Other ports of the address are nobody's.
    assert!(ask(&rig.world.netns(), at(VIP_V4, 81)).is_err() || is_dropped(&rig.world.netns(), at(VIP_V4, 81)));
}

#[test]
fn an_external_address_may_be_one_of_the_nodes_own() {
    let rig = Rig::start();
    let server = rig.server();
    balance(&rig, "tcp", &[&server]);
    let mut service = web(Protocol::Tcp);
    service.addresses[0].address = World::NODE_V4.parse().unwrap();
    let _ours = rig.host.listen(&format!("{}:80", World::NODE_V4));
    rig.publish(&service);
    for from in [rig.world.netns(), rig.host.netns()] {
        eventually("the service answers, not the host", || {
            let answer = from
                .run(|| TcpStream::connect(at(World::NODE_V4, 80)))
                .unwrap()
                .ok()
                .and_then(|stream| {
                    use std::io::Read;
                    stream
                        .set_read_timeout(Some(std::time::Duration::from_millis(500)))
                        .unwrap();
                    let mut answer = String::new();
                    (&stream).read_to_string(&mut answer).ok().map(|_| answer)
                })?;
            answer.starts_with(&server.name).then_some(())
        });
    }
}

#[test]
fn a_local_service_is_answered_here_and_sees_the_client() {
    let rig = Rig::start();
    let (here, elsewhere) = (rig.server(), rig.server());
    // The load balancers know another endpoint only, which here stands for one on another node.
    balance(&rig, "tcp", &[&elsewhere]);
    rig.publish(&local_web(Protocol::Tcp, &[&here]));
    let (world, pod) = (rig.world.netns(), netns(&here.netns));
    for (vip, node, client) in [(VIP_V4, World::NODE_V4, World::V4), (VIP_V6, World::NODE_V6, World::V6)] {
        await_answer(&rig, &world, at(vip, 80));
        for to in [at(vip, 80), at(node, NODE_PORT)] {
            assert_eq!(ask(&world, to).unwrap(), format!("{} {client}", here.name), "at {to}");
            for (who, from) in [("the host", &rig.host.netns()), ("a pod", &pod)] {
                let answer = ask(from, to).unwrap_or_else(|error| panic!("{who} at {to}: {error}"));
                assert!(answer.starts_with(&elsewhere.name), "{who} at {to}: {answer}");
            }
        }
    }
    // Without an endpoint here, what comes from beyond is not answered by others.
    let mut service = local_web(Protocol::Tcp, &[]);
    let others = [true, false].map(|v4| std::net::SocketAddr::new(elsewhere.ip(v4), SERVER));
    service.ports[0]
        .endpoints
        .insert("another-node".to_owned(), others.into());
    rig.publish(&service);
    for to in [
        at(VIP_V4, 80),
        at(VIP_V6, 80),
        at(World::NODE_V4, NODE_PORT),
        at(World::NODE_V6, NODE_PORT),
    ] {
        eventually("dropped", || is_dropped(&world, to).then_some(()));
        assert!(ask(&pod, to).unwrap().starts_with(&elsewhere.name), "a pod at {to}");
    }
}

#[test]
fn endpoints_of_a_node_share_the_clients() {
    let rig = Rig::start();
    let pods = [rig.server(), rig.server()];
    rig.publish(&local_web(Protocol::Tcp, &[&pods[0], &pods[1]]));
    let mut missing: Vec<_> = pods.iter().map(|pod| pod.name.clone()).collect();
    await_answer(&rig, &rig.world.netns(), at(VIP_V4, 80));
    eventually("both have answered", || {
        let answer = ask(&rig.world.netns(), at(VIP_V4, 80)).unwrap();
        missing.retain(|name| !answer.starts_with(name));
        missing.is_empty().then_some(())
    });
}

#[test]
fn only_source_ranges_reach_a_restricted_address() {
    let rig = Rig::start();
    let (server, client) = (rig.server(), rig.server());
    balance(&rig, "tcp", &[&server]);
    let mut service = web(Protocol::Tcp);
    for address in &mut service.addresses {
        address.restricted = true;
    }
    let ranges = |ranges: &[&str]| ranges.iter().map(|range| range.parse().unwrap()).collect();
    service.source_ranges = ranges(&["203.0.113.0/24", "2001:db8:9::/64"]);
    rig.publish(&service);
    let (world, pod) = (rig.world.netns(), netns(&client.netns));
    for vip in [VIP_V4, VIP_V6] {
        let to = at(vip, 80);
        await_answer(&rig, &rig.host.netns(), to);
        assert!(is_dropped(&world, to), "{vip}");
        assert!(is_dropped(&pod, to), "{vip} from a pod");
    }
    service.source_ranges = ranges(&["192.0.2.0/24", "2001:db8::/64"]);
    rig.publish(&service);
    for vip in [VIP_V4, VIP_V6] {
        let to = at(vip, 80);
        eventually("the world may connect", || (!is_dropped(&world, to)).then_some(()));
        assert!(ask(&world, to).unwrap().starts_with(&server.name));
        assert!(is_dropped(&pod, to), "{vip} from a pod");
    }
}

#[test]
fn udp_goes_where_it_would_go_if_it_began_now() {
    let rig = Rig::start();
    let pods = [rig.server(), rig.server()];
    balance(&rig, "udp", &[&pods[1]]);
    let world = rig.world.netns();
    for v4 in [true, false] {
        let (vip, node) = if v4 {
            (VIP_V4, World::NODE_V4)
        } else {
            (VIP_V6, World::NODE_V6)
        };
        for to in [at(vip, 80), at(node, NODE_PORT)] {
            rig.host.nbctl(&["--if-exists", "lsp-del", "service-shop-web"]);
            let client = datagrams(&world, v4);
            let answered_by = |pod: &Pod, what: &str| {
                eventually(&format!("{what} at {to}"), || {
                    ask_by(&client, to).filter(|answer| answer.starts_with(&pod.name))
                })
            };
            // Before there is a service it is nobody's, and the connection is tracked as that.
            if to.port() == NODE_PORT {
                answered_by(&pods[1], "any endpoint");
            } else {
                ask_by(&client, to);
            }
            rig.publish(&local_web(Protocol::Udp, &[&pods[0]]));
            answered_by(&pods[0], "the endpoint of the node");
            rig.publish(&local_web(Protocol::Udp, &[&pods[1]]));
            answered_by(&pods[1], "the endpoint that is left");
        }
    }
    let client = datagrams(&world, true);
    let to = at(VIP_V4, 80);
    eventually("an answer", || ask_by(&client, to));
    rig.host.nbctl(&["lsp-del", "service-shop-web"]);
    eventually("nobody answers", || ask_by(&client, to).is_none().then_some(()));
}

#[test]
fn tcp_connections_outlive_the_endpoint_set_they_began_in() {
    use std::io::{Read, Write};
    let rig = Rig::start();
    let pods = [rig.server(), rig.server()];
    let address = SocketAddr::new(pods[0].ip(true), 9000);
    let listener = pods[0].inside(|| std::net::TcpListener::bind(address).unwrap());
    let mut service = local_web(Protocol::Tcp, &[]);
    service.ports[0].endpoints = [(NODE.to_owned(), vec![address])].into();
    rig.publish(&service);
    let to = at(VIP_V4, 80);
    let mut stream = eventually("a connection", || {
        let soon = std::time::Duration::from_secs(1);
        let connected = rig.world.netns().run(|| TcpStream::connect_timeout(&to, soon)).unwrap();
        connected.ok()
    });
    let (mut accepted, _) = listener.accept().unwrap();
    rig.publish(&local_web(Protocol::Tcp, &[&pods[1]]));
    eventually("new connections go elsewhere", || {
        ask_briefly(&rig.world.netns(), to)?
            .starts_with(&pods[1].name)
            .then_some(())
    });
    stream.write_all(b"still").unwrap();
    let mut received = [0; 5];
    accepted.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"still");
}

#[test]
fn a_client_stays_at_its_endpoint_until_it_has_been_away() {
    let mut rig = Rig::start();
    let pods = [rig.server(), rig.server()];
    let mut service = local_web(Protocol::Tcp, &[&pods[0], &pods[1]]);
    service.affinity_seconds = Some(3);
    rig.publish(&service);
    let world = rig.world.netns();
    let who = |to: SocketAddr| ask(&world, to).unwrap().split(' ').next().unwrap().to_owned();
    let to = at(VIP_V4, 80);
    await_answer(&rig, &world, to);
    let chosen = who(to);
    // Whatever else changes, and whoever writes the rules.
    for _ in 0..4 {
        assert_eq!(who(to), chosen);
        assert_eq!(
            who(at(World::NODE_V4, NODE_PORT)),
            chosen,
            "another frontend of the same port"
        );
    }
    let mut other = web(Protocol::Tcp);
    other.name = "other".into();
    other.addresses.truncate(1);
    other.addresses[0].address = "198.51.100.8".parse().unwrap();
    rig.publish(&other);
    eventually("the rules know it", || {
        rig.nft(&["list", "table", "inet", "meridian"])
            .contains("198.51.100.8")
            .then_some(())
    });
    assert_eq!(who(to), chosen);
    rig.agent.daemon.terminate();
    assert_eq!(who(to), chosen);
    rig.agent = Agent::start(&rig.host);
    assert_eq!(who(to), chosen);
    assert!(
        !rig.agent.daemon.log().contains("somebody changed"),
        "{}",
        rig.agent.daemon.log()
    );
    // Away for longer than the service remembers; after that, chance decides.
    eventually("the other endpoint", || {
        eventually("the client is forgotten", || {
            let rules = rig.nft(&["list", "table", "inet", "meridian"]);
            (!rules.contains("expires")).then_some(())
        });
        (who(to) != chosen).then_some(())
    });
}

#[test]
fn services_are_told_and_explained() {
    let rig = Rig::start();
    let pod = rig.server();
    assert!(rig.explain("shop/web").starts_with("nothing: "));
    rig.publish(&local_web(Protocol::Tcp, &[&pod]));
    rig.host.publish_text("service-bad", "{", &[]);
    // That of another cluster, which is none of ours.
    let mut other = web(Protocol::Tcp);
    other.name = "other".into();
    rig.host.publish(&other, &[("meridian/cluster", "east")]);
    let status = eventually("the service is known", || {
        let status = rig.agent.status()?;
        (status.services.known == 1 && !status.services.problems.is_empty()).then_some(status)
    });
    assert!(
        status.services.problems[0].starts_with("service of port service-bad: "),
        "{status:?}"
    );
    assert!(status.ready && status.unavailable.is_none(), "{status:?}");
    assert_eq!(status.ports, 3, "services are no ports of the node: {status:?}");
    let explained = rig.explain("shop/web");
    let expected = format!("from beyond to {}:8080; from here to 10.96.0.7:80", pod.ip(true));
    assert!(explained.contains(&expected), "{explained}");
    assert!(rig.explain("shop/other").starts_with("nothing: "));
    run("ip", &["netns", "exec", rig.host.name(), "nft", "flush", "ruleset"]);
    await_answer(&rig, &rig.world.netns(), at(VIP_V4, 80));
}

#[test]
fn with_a_cluster_id_only_services_of_that_cluster_count() {
    let host = Host::start();
    host.create_network_of(Some("east"));
    let agent = Agent::spawn(&host, &["--no-install", "--cluster-id", "east"]);
    let [mut ours, mut others] = [web(Protocol::Tcp), web(Protocol::Tcp)];
    // As long as names may be, which become names in nftables.
    ours.namespace = "n".repeat(63);
    ours.name = "s".repeat(63);
    ours.affinity_seconds = Some(86_400);
    ours.local = Some(Local::default());
    let endpoint = "[fd00:1111:2222:3333:4444:5555:6666:7777]:65535".parse().unwrap();
    ours.ports[0].endpoints = [(NODE.to_owned(), vec![endpoint])].into();
    others.name = "other".into();
    host.publish(&others, &[]);
    host.publish(&ours, &[("meridian/cluster", "east")]);
    eventually("the service is known, and only that", || {
        let status = agent.status()?;
        (status.ready && status.services.known == 1).then_some(())
    });
    eventually("it has its rules", || {
        let rules = ruleset(&host);
        (rules.contains(&ours.name) && !rules.contains("other")).then_some(())
    });
}
