//! What load balancers are told that ask about services and nodes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use meridian_api::service::Protocol;
use meridian_node_cni::netns::Netns;
use ovsdb::testing::eventually;

use crate::support::service::{Rig, VIP_V4, ask_briefly, at, local_web};
use crate::support::{Agent, Host, World, netns};

const CHECK: u16 = 31_000;
const PROXY: u16 = 10_256;

/// The answer to a GET, head and body; none if nobody listens.
fn get(from: &Netns, to: SocketAddr, path: &str) -> Option<(String, String)> {
    let answer = from
        .run(|| {
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        })
        .unwrap()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.to_lowercase(), body.to_owned()))
}

#[test]
fn a_node_tells_whether_it_has_endpoints_of_a_service() {
    let rig = Rig::start();
    let server = rig.server();
    rig.publish(&local_web(Protocol::Tcp, &[&server]));
    let (world, pod) = (rig.world.netns(), netns(&server.netns));
    // The port is in the range of services' ports, and yet the host's.
    for node in [World::NODE_V4, World::NODE_V6] {
        for from in [&world, &pod, &rig.host.netns()] {
            let (head, body) = eventually("an answer", || get(from, at(node, CHECK), "/"));
            assert!(head.starts_with("http/1.1 200 "), "{head}");
            assert!(head.contains("x-load-balancing-endpoint-weight: 1"), "{head}");
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(
                (&body["service"]["name"], &body["localEndpoints"]),
                (&"web".into(), &1.into())
            );
        }
    }
    let answers = |code: &str| {
        let answered = get(&world, at(World::NODE_V4, CHECK), "/healthz")?;
        answered.0.starts_with(&format!("http/1.1 {code} ")).then_some(())
    };
    rig.publish(&local_web(Protocol::Tcp, &[]));
    eventually("no endpoint is left", || answers("503"));
    rig.publish(&local_web(Protocol::Tcp, &[&server]));
    eventually("there is one again", || answers("200"));
    rig.host.nbctl(&["lsp-del", "service-shop-web"]);
    eventually("nobody answers", || {
        get(&world, at(World::NODE_V4, CHECK), "/").is_none().then_some(())
    });
}

#[test]
fn a_node_serves_services_and_says_so_while_the_southbound_database_is_away() {
    let mut rig = Rig::start();
    let server = rig.server();
    rig.publish(&local_web(Protocol::Tcp, &[&server]));
    let (world, vip) = (rig.world.netns(), at(VIP_V4, 80));
    let answered = || eventually("an answer", || ask_briefly(&world, vip)).starts_with(&server.name);
    let healthy = |port| {
        let (head, _) = get(&world, at(World::NODE_V4, port), "/healthz")?;
        head.starts_with("http/1.1 200 ").then_some(())
    };
    assert!(answered());
    for port in [CHECK, PROXY] {
        eventually("healthy", || healthy(port));
    }
    rig.host.ovn_server.take();
    eventually("the agent notices", || {
        rig.agent.status().filter(|status| !status.southbound.connected)
    });
    assert!(answered() && healthy(CHECK).is_some() && healthy(PROXY).is_some());
    // One that begins now knows nothing, and leaves what is there.
    rig.agent.daemon.terminate();
    rig.agent = Agent::spawn(&rig.host, &["--no-install"]);
    eventually("the agent is there", || {
        rig.agent.status().filter(|status| status.ovs.connected)
    });
    assert!(answered());
    rig.host.start_ovn_server();
    eventually("healthy again", || healthy(CHECK).and(healthy(PROXY)));
    assert!(answered());
}

#[test]
fn a_health_check_port_that_is_taken_is_told_and_tried_again() {
    let rig = Rig::start();
    let other = rig.host.listen(&format!("[::]:{CHECK}"));
    rig.publish(&local_web(Protocol::Tcp, &[]));
    let status = eventually("a problem", || {
        rig.agent.status().filter(|status| !status.services.problems.is_empty())
    });
    let problem = &status.services.problems[0];
    assert!(
        problem.starts_with("service shop/web: cannot answer health checks on port 31000"),
        "{problem}"
    );
    assert!(status.ready && status.unavailable.is_none(), "{status:?}");
    drop(other);
    eventually("an answer", || get(&rig.host.netns(), at("127.0.0.1", CHECK), "/"));
    eventually("no problem", || {
        rig.agent.status().filter(|status| status.services.problems.is_empty())
    });
}

#[test]
fn a_node_tells_whether_it_serves_services_where_kube_proxy_does() {
    let mut host = Host::start();
    host.create_network();
    let agent = Agent::start(&host);
    for (address, path) in [("127.0.0.1", "/healthz"), ("::1", "/livez")] {
        let (head, body) = eventually("an answer", || get(&host.netns(), at(address, PROXY), path));
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["nodeEligible"], true);
        assert!(
            body["lastUpdated"].is_string() && body["currentTime"].is_string(),
            "{body}"
        );
    }
    host.vswitchd.take();
    eventually("the node is not ready", || {
        let (head, _) = get(&host.netns(), at("127.0.0.1", PROXY), "/healthz")?;
        head.starts_with("http/1.1 503 ").then_some(())
    });
    drop(agent);
    let _kube_proxy = host.listen(&format!("[::]:{PROXY}"));
    host.start_vswitchd();
    let agent = Agent::start(&host);
    assert!(
        agent.daemon.log().contains("does kube-proxy run?"),
        "{}",
        agent.daemon.log()
    );
}
