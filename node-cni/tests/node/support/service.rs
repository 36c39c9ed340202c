//! Services as the translator would write them, servers in pods, and clients.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use meridian_api::hosts::{HOSTS, HostFacts};
use meridian_api::port::{self, PortFacts, PortKind};
use meridian_api::service::{self, Address, Local, Port, Protocol, ServiceFacts};
use meridian_node_cni::netns::Netns;
use ovsdb::testing::eventually;

use super::{Agent, Host, NODE, Pod, World, add, run};

/// Where servers in pods listen.
pub(crate) const SERVER: u16 = 8080;
/// For what is answered.
const PATIENCE: Duration = Duration::from_secs(20);
/// For what must not be answered: what is, is within milliseconds.
const IMPATIENCE: Duration = Duration::from_millis(700);

/// A host with its agent, its two ports in the VPC, and the world around it.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) agent: Agent,
    pub(crate) world: World,
    pub(crate) host: Host,
}

impl Rig {
    pub(crate) fn start() -> Self {
        let host = Host::start();
        host.create_network();
        host.create_egress();
        host.create_services_port();
        // The world first: the host needs its addresses for anything to come to.
        let world = World::beyond(&host);
        for (vip, gateway, back) in [
            ("198.51.100.0/24", World::NODE_V4, World::V4),
            ("2001:db8:1::/64", World::NODE_V6, World::V6),
        ] {
            run("ip", &["-n", world.name(), "route", "add", vip, "via", gateway]);
            run("ip", &["-n", host.name(), "route", "add", "default", "via", back]);
        }
        let agent = Agent::start(&host);
        eventually("both ports of the host are in place", || {
            let management = agent.status()?.management;
            (management.len() == 2 && management.iter().all(|port| port.installed)).then_some(())
        });
        host.await_forwarding();
        Self { agent, world, host }
    }

    /// A pod that says who it is and whom it sees.
    pub(crate) fn server(&self) -> Pod {
        self.serving(Pod::with_port(&self.host))
    }

    /// Adds a pod to the network and has it say so.
    pub(crate) fn serving(&self, pod: Pod) -> Pod {
        add(&self.host, &pod);
        for v4 in [true, false] {
            let address = SocketAddr::new(pod.ip(v4), SERVER);
            let (listener, socket) =
                pod.inside(|| (TcpListener::bind(address).unwrap(), UdpSocket::bind(address).unwrap()));
            let name = pod.name.clone();
            std::thread::spawn(move || {
                while let Ok((mut stream, from)) = listener.accept() {
                    let _ = write!(stream, "{name} {}", from.ip());
                }
            });
            let name = pod.name.clone();
            std::thread::spawn(move || {
                while let Ok((_, from)) = socket.recv_from(&mut [0; 64]) {
                    let _ = socket.send_to(format!("{name} {}", from.ip()).as_bytes(), from);
                }
            });
        }
        pod
    }

    /// Tells nodes of a service, and waits until this one has heard.
    pub(crate) fn publish(&self, service: &ServiceFacts) {
        self.host.publish(service, &[]);
        let text = service.to_json();
        eventually("the service is in the Southbound database", || {
            let json = self
                .host
                .sbctl(&["--bare", "--columns=external_ids", "find", "Port_Binding"]);
            // As printed, without the quotes of the text itself.
            json.contains(&text).then_some(())
        });
    }

    pub(crate) fn explain(&self, service: &str) -> String {
        let program = env!("CARGO_BIN_EXE_meridian-node");
        run(
            program,
            &["explain", "service", service, "--socket", &self.host.path("node.sock")],
        )
    }

    /// Rules of the host.
    pub(crate) fn nft(&self, arguments: &[&str]) -> String {
        run("ip", &[&["netns", "exec", self.host.name(), "nft"], arguments].concat())
    }
}

impl Host {
    /// The host's port towards services, as the translator writes it.
    pub(crate) fn create_services_port(&self) {
        let gateway = "fe80::858:aff:fef4:101";
        let routes = [
            "10.96.0.0/16=10.244.1.1".to_owned(),
            "169.254.77.1/32=10.244.1.1".to_owned(),
            format!("fd00:10:96::/112={gateway}"),
            format!("fd6d:6572:6964:6961::1/128={gateway}"),
        ];
        let sources = [
            "10.96.0.0/16=10.244.1.3",
            "169.254.77.1/32=10.244.1.3",
            "fd00:10:96::/112=fd00:10:244:1::3",
            "fd6d:6572:6964:6961::1/128=fd00:10:244:1::3",
        ];
        let node_ports = ["30000-32767=169.254.77.1", "30000-32767=fd6d:6572:6964:6961::1"];
        let facts = PortFacts {
            ips: vec!["169.254.77.2/32".parse().unwrap()],
            routes: routes.map(|route| route.parse().unwrap()).into(),
            sources: sources.map(|source| source.parse().unwrap()).into(),
            node_ports: node_ports.map(|ports| ports.parse().unwrap()).into(),
            ..PortFacts::new(PortKind::Management, "0a:58:0a:f4:01:03")
        };
        let name = meridian_api::name::service_port("", meridian_api::name::DEFAULT_VPC, NODE);
        self.create_port(&name, &facts, NODE);
        let addresses = format!("{} 10.244.1.3 fd00:10:244:1::3", facts.mac);
        self.nbctl(&["lsp-set-addresses", &name, &addresses]);
    }

    /// A logical port that stands for a service, on a switch that no host has a port of; with further `external_ids`.
    pub(crate) fn publish(&self, service: &ServiceFacts, more: &[(&str, &str)]) {
        let (name, json) = (
            format!("service-{}-{}", service.namespace, service.name),
            service.to_json(),
        );
        self.publish_text(&name, &json, more);
    }

    pub(crate) fn publish_text(&self, name: &str, json: &str, more: &[(&str, &str)]) {
        self.tell(name, &[&[(service::SERVICE, json)], more].concat());
    }

    /// What hosts are told of each other.
    pub(crate) fn publish_hosts(&self, hosts: &HostFacts) {
        self.tell("hosts-default", &[(HOSTS, &hosts.to_json())]);
    }

    /// A logical port on a switch that no host has a port of.
    fn tell(&self, name: &str, ids: &[(&str, &str)]) {
        let mut arguments = [
            "--may-exist",
            "ls-add",
            "services",
            "--",
            "--may-exist",
            "lsp-add",
            "services",
            name,
        ]
        .map(String::from)
        .to_vec();
        arguments.extend(["--", "set", "Logical_Switch_Port", name].map(String::from));
        let ids = [(port::KIND, service::KIND)].iter().chain(ids);
        arguments.extend(ids.map(|(key, value)| format!("external_ids:{key:?}={value:?}")));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        self.nbctl(&arguments);
    }

    /// A load balancer of the node's switch.
    pub(crate) fn balance(&self, protocol: &str, vips: &[(&str, &[&Pod])]) {
        let mut arguments = ["--id=@lb", "create", "Load_Balancer"].map(String::from).to_vec();
        arguments.push(format!("protocol={protocol}"));
        for (vip, pods) in vips {
            let vip: SocketAddr = vip.parse().unwrap();
            let backends = pods
                .iter()
                .map(|pod| SocketAddr::new(pod.ip(vip.is_ipv4()), SERVER).to_string());
            let backends = backends.collect::<Vec<_>>().join(",");
            arguments.push(format!("vips:{:?}={backends:?}", vip.to_string()));
        }
        let attach = ["--", "add", "Logical_Switch", "vpc-default-n1", "load_balancer", "@lb"];
        arguments.extend(attach.map(String::from));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        self.nbctl(&arguments);
        self.await_forwarding();
    }

    pub(crate) fn sbctl(&self, arguments: &[&str]) -> String {
        let database = format!("--db=unix:{}", self.path("ovn.sock"));
        run("ovn-sbctl", &[&[database.as_str()], arguments].concat())
    }
}

pub(crate) const VIP_V4: &str = "198.51.100.7";
pub(crate) const VIP_V6: &str = "2001:db8:1::7";
pub(crate) const NODE_PORT: u16 = 30080;

/// A service `shop/web` with an address of each family and port 80 of a protocol.
pub(crate) fn web(protocol: Protocol) -> ServiceFacts {
    let address = |address: &str| Address {
        address: address.parse().unwrap(),
        restricted: false,
        announcers: vec![],
        interfaces: vec![],
    };
    ServiceFacts {
        namespace: "shop".into(),
        name: "web".into(),
        ports: vec![Port {
            protocol,
            port: 80,
            node_port: None,
            targets: ["10.96.0.7:80", "[fd00:10:96::7]:80"]
                .map(|at| at.parse().unwrap())
                .into(),
            endpoints: [].into(),
        }],
        addresses: [VIP_V4, VIP_V6].map(address).into(),
        ..ServiceFacts::default()
    }
}

/// The same with externalTrafficPolicy Local and these pods as the node's endpoints.
pub(crate) fn local_web(protocol: Protocol, pods: &[&Pod]) -> ServiceFacts {
    let mut service = web(protocol);
    let endpoints = pods
        .iter()
        .flat_map(|pod| [true, false].map(|v4| SocketAddr::new(pod.ip(v4), SERVER)));
    service.ports[0].endpoints = [(NODE.to_owned(), endpoints.collect())].into();
    service.ports[0].node_port = Some(NODE_PORT);
    service.local = Some(Local {
        health_check_port: Some(31_000),
        ready: [(NODE.to_owned(), pods.len())].into(),
    });
    service
}

pub(crate) fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// Who answers by TCP, and whom they see.
pub(crate) fn ask(from: &Netns, to: SocketAddr) -> io::Result<String> {
    connect(from, to, PATIENCE)
}

/// The same where an answer is yet to come: a connection that began before the host had its rules never gets one.
pub(crate) fn ask_briefly(from: &Netns, to: SocketAddr) -> Option<String> {
    connect(from, to, IMPATIENCE).ok().filter(|answer| !answer.is_empty())
}

/// Whether packets to an address go nowhere.
pub(crate) fn is_dropped(from: &Netns, to: SocketAddr) -> bool {
    connect(from, to, IMPATIENCE).is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

fn connect(from: &Netns, to: SocketAddr, patience: Duration) -> io::Result<String> {
    from.run(|| {
        let mut stream = TcpStream::connect_timeout(&to, patience)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })
    .unwrap()
}

/// A socket that stays, so that all its datagrams belong to one connection in the host's eyes.
pub(crate) fn datagrams(from: &Netns, v4: bool) -> UdpSocket {
    let any: IpAddr = if v4 { [0; 4].into() } else { [0; 16].into() };
    let socket = from.run(|| UdpSocket::bind((any, 0)).unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket
}

/// Who answers a datagram, and whom they see; none if nobody does.
pub(crate) fn ask_by(socket: &UdpSocket, to: SocketAddr) -> Option<String> {
    socket.send_to(b"who?", to).unwrap();
    let mut answer = [0; 128];
    let (length, from) = socket.recv_from(&mut answer).ok()?;
    // One that was under way when the host forgot its connection comes from elsewhere, and is no answer to the client.
    (from == to).then(|| String::from_utf8_lossy(&answer[..length]).into_owned())
}
