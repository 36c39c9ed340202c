//! The agent: management port, host routes, masquerade, chassis settings, installation.

use std::net::{SocketAddr, TcpListener};

use ovsdb::testing::eventually;

use crate::fake_api::FakeApi;
use crate::support::{Agent, Host, Pod, World, add, exchange, ready_host, run};

/// All of them: asking for those of the management port fails until there is one.
fn host_routes(host: &Host) -> String {
    run("ip", &["-n", host.name(), "route", "show"])
}

#[test]
fn host_and_pod_talk_through_the_management_port() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    add(&host, &pod);
    for v4 in [true, false] {
        let listener = pod.listen(v4);
        let address = SocketAddr::new(pod.ip(v4), listener.local_addr().unwrap().port());
        host.await_forwarding();
        exchange(&host.netns(), listener, address);
    }
}

#[test]
fn pods_reach_the_world_under_the_nodes_address() {
    let (host, _agent) = ready_host();
    host.create_egress();
    let world = World::beyond(&host);
    let pod = Pod::with_port(&host);
    add(&host, &pod);
    host.await_forwarding();
    // The world has no route to the pod: that anything comes back shows the masquerade.
    let listener = world
        .netns()
        .run(|| TcpListener::bind((World::V4, 0)).unwrap())
        .unwrap();
    let address = listener.local_addr().unwrap();
    exchange(&crate::support::netns(&pod.netns), listener, address);
}

#[test]
fn a_packet_to_an_address_of_no_slice_does_not_go_round_between_router_and_host() {
    let (host, _agent) = ready_host();
    host.create_egress();
    let pod = Pod::with_port(&host);
    add(&host, &pod);
    host.await_forwarding();
    eventually("the route of the cluster", || {
        host_routes(&host).contains("10.244.0.0/16").then_some(())
    });
    let received = || -> u64 {
        let file = "/sys/class/net/meridian0/statistics/rx_packets";
        let text = run("ip", &["netns", "exec", host.name(), "cat", file]);
        text.trim().parse().unwrap()
    };
    let before = received();
    let socket = pod.inside(|| std::net::UdpSocket::bind((pod.ip(true), 0)).unwrap());
    for _ in 0..5 {
        socket.send_to(b"lost", "10.244.200.5:9").unwrap();
    }
    eventually("they reach the host", || (received() >= before + 5).then_some(()));
    // Whatever goes round has gone round several times when this is through.
    let listener = pod.listen(true);
    let address = SocketAddr::new(pod.ip(true), listener.local_addr().unwrap().port());
    exchange(&host.netns(), listener, address);
    // Each comes by once at most; whether the counter counts what is dropped then, kernels differ.
    assert!(forwarded(&host) <= 5, "{} forwarded", forwarded(&host));
}

/// How many IPv4 packets the host has forwarded.
fn forwarded(host: &Host) -> u64 {
    let text = run("ip", &["netns", "exec", host.name(), "cat", "/proc/net/snmp"]);
    let mut lines = text.lines().filter(|line| line.starts_with("Ip:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let (_, value) = pairs.find(|(name, _)| *name == "ForwDatagrams").unwrap();
    value.parse().unwrap()
}

#[test]
fn settings_that_somebody_changes_are_put_back_and_those_of_others_stay() {
    let (host, _agent) = ready_host();
    host.vsctl(&[
        "set",
        "Open_vSwitch",
        ".",
        "external_ids:system-id=other",
        "external_ids:mine=kept",
    ]);
    eventually("the chassis' name is back", || {
        let id = host.vsctl(&["get", "Open_vSwitch", ".", "external_ids:system-id"]);
        (id.trim() == "n1").then_some(())
    });
    assert_eq!(
        host.vsctl(&["get", "Open_vSwitch", ".", "external_ids:mine"]).trim(),
        "kept"
    );
}

#[test]
fn a_restart_of_ovs_vswitchd_brings_the_management_port_back() {
    let (mut host, agent) = ready_host();
    let pod = Pod::with_port(&host);
    add(&host, &pod);
    host.vswitchd.take();
    eventually("the agent notices", || agent.status().filter(|status| !status.ready));
    host.start_vswitchd();
    eventually("the node is ready again", || {
        agent.status().filter(|status| status.ready)
    });
    host.await_forwarding();
    let listener = pod.listen(true);
    let address = SocketAddr::new(pod.ip(true), listener.local_addr().unwrap().port());
    exchange(&host.netns(), listener, address);
}

#[test]
fn a_restarted_agent_changes_nothing() {
    let (host, mut agent) = ready_host();
    let state = |host: &Host| {
        let interfaces = host.vsctl(&["--columns=_uuid,name,external_ids,mac,mtu_request", "list", "Interface"]);
        (interfaces, host_routes(host), crate::support::ruleset(host))
    };
    let before = eventually("flows", || {
        agent.status()?.management.first()?.installed.then(|| state(&host))
    });
    agent.daemon.terminate();
    let agent = Agent::start(&host);
    assert_eq!(state(&host), before);
    assert!(
        !agent.daemon.log().contains("somebody changed"),
        "{}",
        agent.daemon.log()
    );
}

#[test]
fn a_management_port_that_is_no_more_is_unplugged_with_its_routes() {
    let (host, agent) = ready_host();
    host.delete_port("mgmt-default-n1");
    eventually("it is gone", || {
        agent.status().filter(|status| status.management.is_empty())
    });
    eventually("its device is gone", || {
        let links = run("ip", &["-n", host.name(), "link", "show"]);
        (!links.contains("meridian0")).then_some(())
    });
    assert!(!crate::support::ruleset(&host).contains("masquerade"));
}

#[test]
fn the_configuration_is_written_once_the_node_is_ready_and_stays() {
    let mut host = Host::start();
    host.create_network();
    host.controller.take();
    let (bin, conf) = (host.path("bin"), host.path("net.d"));
    let folders = ["--cni-bin-dir", bin.as_str(), "--cni-conf-dir", conf.as_str()];
    let mut agent = Agent::spawn(&host, &folders);
    eventually("the agent waits for ovn-controller", || {
        agent
            .status()?
            .problems
            .iter()
            .any(|problem| problem.contains("has not registered"))
            .then_some(())
    });
    let conflist = format!("{conf}/10-meridian.conflist");
    assert!(std::path::Path::new(&format!("{bin}/meridian-cni")).exists());
    assert!(
        !std::path::Path::new(&conflist).exists(),
        "the node is not ready for pods"
    );
    host.start_controller();
    eventually("the configuration is there", || std::fs::read(&conflist).ok());
    assert!(agent.daemon.terminate().success());
    assert!(!std::path::Path::new(&host.path("node.sock")).exists());
    let text = std::fs::read_to_string(&conflist).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["plugins"][0]["type"], "meridian-cni");
    let program = env!("CARGO_BIN_EXE_meridian-node");
    run(program, &["uninstall", "--cni-bin-dir", &bin, "--cni-conf-dir", &conf]);
    assert!(!std::path::Path::new(&conflist).exists());
}

#[test]
fn explain_tells_why_a_pod_does_not_start() {
    let (host, _agent) = ready_host();
    let program = env!("CARGO_BIN_EXE_meridian-node");
    let socket = host.path("node.sock");
    let explain = |pod: &str| run(program, &["explain", pod, "--socket", &socket]);
    assert!(explain("default/nobody").contains("no logical port default_nobody"));
    let pod = Pod::with_port(&host);
    host.nbctl(&["--wait=sb", "sync"]);
    let name = format!("default/{}", pod.name);
    eventually("unclaimed", || explain(&name).contains("has not claimed").then_some(()));
    add(&host, &pod);
    eventually("up", || explain(&name).contains("as up").then_some(()));
}

#[test]
fn a_cluster_id_is_part_of_every_port_name_the_node_uses() {
    let host = Host::start();
    host.create_network_of(Some("east"));
    let (bin, conf) = (host.path("bin"), host.path("net.d"));
    let folders = ["--cni-bin-dir", bin.as_str(), "--cni-conf-dir", conf.as_str()];
    let agent = Agent::spawn(&host, &[&["--cluster-id", "east"], &folders[..]].concat());
    let status = eventually("the node is ready", || agent.status().filter(|status| status.ready));
    let management = &status.management[0];
    assert_eq!(
        (management.port.as_str(), management.device.as_str()),
        ("east_mgmt-default-n1", "meridian0")
    );
    let conflist = eventually("the configuration is there", || {
        std::fs::read(format!("{conf}/10-meridian.conflist")).ok()
    });
    let conflist: serde_json::Value = serde_json::from_slice(&conflist).unwrap();
    assert_eq!(conflist["plugins"][0]["portPrefix"], "east_");

    let program = env!("CARGO_BIN_EXE_meridian-node");
    let explain = |pod: &str| run(program, &["explain", pod, "--socket", &host.path("node.sock")]);
    assert!(explain("default/nobody").contains("no logical port east_default_nobody"));
    let pod = Pod::new(&host);
    host.create_port(&format!("east_{}", pod.port()), &pod.facts(), "n1");
    let name = format!("default/{}", pod.name);
    eventually("unclaimed", || explain(&name).contains("has not claimed").then_some(()));
}

#[test]
fn the_socket_is_for_root_only() {
    use std::os::unix::fs::PermissionsExt;
    let (host, _agent) = ready_host();
    let mode = std::fs::metadata(host.path("node.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn routes_follow_the_facts() {
    let (host, _agent) = ready_host();
    eventually("the route of the cluster", || {
        host_routes(&host).contains("10.244.0.0/16").then_some(())
    });
    let routes = "external_ids:\"meridian/routes\"=\"10.96.0.0/16=10.244.1.1 fd00:10:96::/112=fd00:10:244:1::1\"";
    host.nbctl(&["set", "Logical_Switch_Port", "mgmt-default-n1", routes]);
    eventually("the route of the services, and only that", || {
        let found = host_routes(&host);
        (found.contains("10.96.0.0/16 via 10.244.1.1") && !found.contains("10.244.0.0/16")).then_some(())
    });
}

#[test]
fn garbage_on_the_socket_is_answered_and_hurts_nobody() {
    use std::io::{Read, Write};
    let (host, agent) = ready_host();
    for garbage in ["garbage\n", "{\"port\":7}\n", "\n"] {
        let mut stream = std::os::unix::net::UnixStream::connect(host.path("node.sock")).unwrap();
        stream.write_all(garbage.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("not a request"), "{answer}");
    }
    // More than any request has, and never a newline.
    let mut stream = std::os::unix::net::UnixStream::connect(host.path("node.sock")).unwrap();
    let _ = stream.write_all(&vec![b'x'; 1 << 20]);
    assert!(agent.status().unwrap().ready);
}

#[test]
fn the_nodes_condition_follows_and_is_written_once() {
    let mut host = Host::start();
    host.create_network();
    host.controller.take();
    let api = FakeApi::serve(host.listen("127.0.0.1:0"));
    let kubeconfig = host.path("kubeconfig");
    std::fs::write(&kubeconfig, api.kubeconfig()).unwrap();
    let arguments = ["--no-install", "--kubeconfig", &kubeconfig];
    let mut agent = Agent::spawn(&host, &arguments);
    eventually("the agent tells what is missing", || {
        agent
            .status()?
            .unavailable?
            .contains("has not registered")
            .then_some(())
    });
    assert_eq!(api.condition("NetworkUnavailable"), None);
    host.start_controller();
    let condition = eventually("the condition", || api.condition("NetworkUnavailable"));
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&"False".into(), &"MeridianReady".into())
    );
    let status = agent.status().unwrap();
    assert!(
        status.management[0].installed && status.unavailable.is_none(),
        "{status:?}"
    );

    agent.daemon.kill();
    let before = api.requests().len();
    let _agent = Agent::spawn(&host, &arguments);
    eventually("the next agent has looked", || {
        (api.requests().len() > before).then_some(())
    });
    let patches = api
        .requests()
        .iter()
        .filter(|request| request.method == "PATCH")
        .count();
    assert_eq!(patches, 1);
}
