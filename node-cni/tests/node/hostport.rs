//! hostPort: the reference plugin `portmap`, chained after ours as the agent has it, with real packets.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use meridian_node_cni::netns::Netns;
use ovsdb::testing::eventually;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::vpc::Slice;
use crate::support::{Agent, Call, Host, Pod, World, exchange, netns};

/// Where Debian's containernetworking-plugins has it.
const PORTMAP: &str = "/usr/lib/cni/portmap";
const PATIENCE: Duration = Duration::from_secs(20);
const PORT: u16 = 8080;

/// A host with `portmap` and what the agent says of it to the runtime.
struct Prepared {
    host: Host,
    agent: Agent,
    world: World,
    /// `portmap`'s part of the configuration.
    chained: Value,
}

impl Prepared {
    fn start() -> Self {
        assert!(
            Path::new(PORTMAP).exists(),
            "this test needs {PORTMAP}, of Debian's package containernetworking-plugins"
        );
        let host = Host::start();
        host.create_network();
        host.create_egress();
        let (bin, conf) = (host.path("bin"), host.path("net.d"));
        fs::create_dir(&bin).unwrap();
        fs::copy(PORTMAP, format!("{bin}/portmap")).unwrap();
        let agent = Agent::spawn(&host, &["--cni-bin-dir", &bin, "--cni-conf-dir", &conf]);
        let conflist = eventually("the configuration", || {
            fs::read(format!("{conf}/10-meridian.conflist")).ok()
        });
        let conflist: Value = serde_json::from_slice(&conflist).unwrap();
        assert_eq!(conflist["cniVersion"], "1.0.0");
        let status = agent.status().unwrap();
        let host_ports = status.host_ports.unwrap();
        assert!(host_ports.contains("chained plugin portmap"), "{host_ports}");
        let world = World::beyond(&host);
        host.await_forwarding();
        Self {
            chained: conflist["plugins"][1].clone(),
            host,
            agent,
            world,
        }
    }

    /// A pod that is in the network, with its listener or socket and its hostPort, as a runtime starts it.
    fn serving(&self, mapping: &Value) -> Pod {
        self.serving_by(Pod::with_port(&self.host), mapping)
    }

    fn serving_by(&self, pod: Pod, mapping: &Value) -> Pod {
        let result = Call::on(&self.host, "ADD", &pod)
            .set("cniVersion", json!("1.0.0"))
            .succeed();
        self.portmap("ADD", &pod, &result, mapping);
        pod
    }

    fn portmap(&self, command: &str, pod: &Pod, result: &Value, mapping: &Value) {
        let mut config = self.chained.clone();
        config["cniVersion"] = json!("1.0.0");
        config["name"] = json!("meridian");
        config["runtimeConfig"] = json!({"portMappings": [mapping]});
        config["prevResult"] = result.clone();
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", self.host.name()))
            .arg(self.host.path("bin/portmap"))
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", &pod.container_id)
            .env("CNI_NETNS", pod.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", self.host.path("bin"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(config.to_string().as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "portmap {command}: {said}");
    }
}

fn tcp(host_ip: &str) -> Value {
    json!({"hostPort": PORT, "containerPort": 80, "protocol": "tcp", "hostIP": host_ip})
}

fn udp(host_ip: &str) -> Value {
    json!({"hostPort": PORT, "containerPort": 80, "protocol": "udp", "hostIP": host_ip})
}

/// Says the pod's name to whoever connects, until the test ends.
fn name_by_tcp(pod: &Pod) {
    let name = pod.name.clone();
    for v4 in [true, false] {
        let (name, address) = (name.clone(), SocketAddr::new(pod.ip(v4), 80));
        let listener = pod.inside(|| TcpListener::bind(address).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.unwrap().write_all(name.as_bytes());
            }
        });
    }
}

/// The same for whoever sends a datagram.
fn name_by_udp(pod: &Pod) {
    let (name, address) = (pod.name.clone(), SocketAddr::new(pod.ip(true), 80));
    let socket = pod.inside(|| UdpSocket::bind(address).unwrap());
    std::thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 64]) {
            let _ = socket.send_to(name.as_bytes(), from);
        }
    });
}

/// Connects, from an address if it is given, and yields what the other side says of itself.
fn tcp_answer(from: &Netns, source: Option<&str>, to: SocketAddr) -> std::io::Result<String> {
    from.run(|| {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source.parse().unwrap(), 0).into())?;
        }
        socket.connect_timeout(&to.into(), PATIENCE)?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })
    .unwrap()
}

/// Sends datagrams until one is answered.
fn udp_answer(from: &Netns, to: SocketAddr) -> String {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = from.run(|| UdpSocket::bind((any, 0)).unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    eventually("a datagram is answered", || {
        socket.send_to(b"who?", to).unwrap();
        let mut answer = [0; 64];
        let (length, sender) = socket.recv_from(&mut answer).ok()?;
        assert_eq!(sender, to, "the answer comes from whom was asked");
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    })
}

fn at(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), PORT)
}

#[test]
fn a_host_port_is_reached_from_everywhere() {
    let rig = Prepared::start();
    let (server, client) = (
        rig.serving(&tcp("")),
        rig.serving(&json!({"hostPort": 9, "containerPort": 9, "protocol": "tcp"})),
    );
    name_by_tcp(&server);
    let inside = |pod: &Pod| netns(&pod.netns);
    for (who, from, source, to) in [
        ("another host", rig.world.netns(), None, World::NODE_V4),
        ("another host by IPv6", rig.world.netns(), None, World::NODE_V6),
        ("the node", rig.host.netns(), None, World::NODE_V4),
        ("the node by IPv6", rig.host.netns(), None, World::NODE_V6),
        ("the node by its loopback", rig.host.netns(), None, "127.0.0.1"),
        // So does the conformance test of hostIP.
        (
            "the node by its loopback from its address",
            rig.host.netns(),
            Some(World::NODE_V4),
            "127.0.0.1",
        ),
        ("another pod", inside(&client), None, World::NODE_V4),
        ("the pod itself", inside(&server), None, World::NODE_V4),
    ] {
        let answer = tcp_answer(&from, source, at(to)).unwrap_or_else(|error| panic!("{who}: {error}"));
        assert_eq!(answer, server.name, "{who}");
    }
    // Segments and checksums, too.
    let pod = rig.serving(&json!({"hostPort": 8081, "containerPort": 81, "protocol": "tcp"}));
    for from in [rig.world.netns(), rig.host.netns(), inside(&client)] {
        let listener = pod.inside(|| TcpListener::bind((pod.ip(true), 81)).unwrap());
        exchange(&from, listener, SocketAddr::new(World::NODE_V4.parse().unwrap(), 8081));
    }
}

#[test]
fn a_host_port_of_a_pod_in_a_subnet_is_reached_from_everywhere() {
    let rig = Prepared::start();
    rig.host.create_vpc(&rig.agent, Slice::BLUE, "outside");
    rig.host.create_slice(Slice::DB);
    let server = rig.serving_by(Pod::of_slice(&rig.host, Slice::DB), &tcp(""));
    let other = json!({"hostPort": 9, "containerPort": 9, "protocol": "tcp"});
    let clients = [Slice::DB, Slice::BLUE].map(|slice| rig.serving_by(Pod::of_slice(&rig.host, slice), &other));
    name_by_tcp(&server);
    for (who, from, to) in [
        ("another host", rig.world.netns(), World::NODE_V4),
        ("another host by IPv6", rig.world.netns(), World::NODE_V6),
        ("the node", rig.host.netns(), World::NODE_V4),
        ("the node by IPv6", rig.host.netns(), World::NODE_V6),
        ("the node by its loopback", rig.host.netns(), "127.0.0.1"),
        ("another pod of the Subnet", netns(&clients[0].netns), World::NODE_V4),
        ("another pod of the VPC", netns(&clients[1].netns), World::NODE_V4),
        ("the pod itself", netns(&server.netns), World::NODE_V4),
    ] {
        let answer = tcp_answer(&from, None, at(to)).unwrap_or_else(|error| panic!("{who}: {error}"));
        assert_eq!(answer, server.name, "{who}");
    }
}

#[test]
fn a_host_port_of_udp_is_reached_from_everywhere() {
    let rig = Prepared::start();
    let (server, client) = (
        rig.serving(&udp("")),
        rig.serving(&json!({"hostPort": 9, "containerPort": 9, "protocol": "udp"})),
    );
    name_by_udp(&server);
    for (from, to) in [
        (rig.world.netns(), World::NODE_V4),
        (rig.host.netns(), World::NODE_V4),
        (rig.host.netns(), "127.0.0.1"),
        (netns(&client.netns), World::NODE_V4),
    ] {
        assert_eq!(udp_answer(&from, at(to)), server.name);
    }
}

#[test]
fn one_port_serves_several_pods_by_address_and_protocol_and_ends_with_its_pod() {
    let rig = Prepared::start();
    let loopback = rig.serving(&tcp("127.0.0.1"));
    let node = rig.serving(&tcp(World::NODE_V4));
    let datagrams = rig.serving(&udp(World::NODE_V4));
    for pod in [&loopback, &node] {
        name_by_tcp(pod);
    }
    name_by_udp(&datagrams);
    let host = rig.host.netns();
    let source = Some(World::NODE_V4);
    assert_eq!(tcp_answer(&host, source, at("127.0.0.1")).unwrap(), loopback.name);
    assert_eq!(tcp_answer(&host, None, at(World::NODE_V4)).unwrap(), node.name);
    assert_eq!(
        tcp_answer(&rig.world.netns(), None, at(World::NODE_V4)).unwrap(),
        node.name
    );
    assert_eq!(udp_answer(&host, at(World::NODE_V4)), datagrams.name);

    rig.portmap("DEL", &node, &Value::Null, &tcp(World::NODE_V4));
    let refused = tcp_answer(&host, None, at(World::NODE_V4)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn the_loopback_serves_host_ports_again_when_open_vswitch_made_the_device_anew() {
    let mut rig = Prepared::start();
    let server = rig.serving(&tcp(""));
    name_by_tcp(&server);
    let localnet = "/proc/sys/net/ipv4/conf/meridian0/route_localnet";
    let setting = |host: &Host| {
        host.netns()
            .run(|| fs::read_to_string(PathBuf::from(localnet)).ok())
            .unwrap()
    };
    rig.host.vsctl(&["del-port", "br-int", "meridian0"]);
    eventually("the device is new and as it was", || {
        (setting(&rig.host)?.trim() == "1").then_some(())
    });
    rig.host.vswitchd.take();
    rig.host.start_vswitchd();
    rig.host.await_forwarding();
    eventually("an answer", || {
        let answer = tcp_answer(&rig.host.netns(), None, at("127.0.0.1")).ok()?;
        (answer == server.name).then_some(())
    });
}
