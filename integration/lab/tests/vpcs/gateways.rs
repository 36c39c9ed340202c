//! VPCs that leave by gateways: who is seen outside, what is refused, and what goes on when a gateway dies.
//!
//! Each test has a lab of its own: it kills hosts.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use meridian_lab::component::Component;
use meridian_lab::error::Error;
use meridian_lab::{netns, wait};

use crate::client::{self, Outcome, PATIENT};
use crate::cluster::{Cluster, OUTSIDE, WORLD, listening, pod, vpc};
use crate::common::possible;
use crate::service::{Frontend, Service};

const GATEWAYS: [&str; 2] = ["node-2", "node-3"];
/// That one of two gateways is never met in so many connections has a chance of 2^-47.
const OFTEN: usize = 48;

/// On which port the outside keeps connections.
const CALLED: u16 = 9100;

/// The spec of a VPC with these gateways.
fn by(gateways: &[&str]) -> String {
    let nodes: Vec<String> = gateways.iter().map(|node| format!("{node:?}")).collect();
    format!(
        r#"{{"egress": {{"mode": "Gateway", "gatewayNodeSelector": {{"matchExpressions": [
            {{"key": "kubernetes.io/hostname", "operator": "In", "values": [{}]}}]}}}}}}"#,
        nodes.join(", ")
    )
}

/// Two VPCs of one network, with the same gateways. One's pods are also on a gateway.
fn cluster() -> Cluster {
    let cluster = Cluster::empty();
    let vpcs = vpc("blue", "sky", &by(&GATEWAYS)).into_iter();
    cluster.apply(vpcs.chain(vpc("green", "grass", &by(&GATEWAYS))).collect());
    for (name, node) in [
        ("sky/client-1", "node-1"),
        ("sky/client-2", "node-2"),
        ("grass/client-1", "node-1"),
        ("plain-1", "node-1"),
    ] {
        cluster.apply(vec![pod(name, node)]);
    }
    cluster
}

fn world() -> Vec<Frontend> {
    listening(WORLD)
}

/// One connection of its own.
fn ask(cluster: &Cluster, from: &str, to: SocketAddr) -> Outcome {
    netns::within(&cluster.place(from), || Ok(client::over_tcp(to, PATIENT))).unwrap_or_else(|e| panic!("{from}: {e}"))
}

/// Under which addresses many connections of a pod's are seen outside, if all are answered.
fn seen(cluster: &Cluster, from: &str, to: SocketAddr) -> Result<BTreeSet<IpAddr>, Outcome> {
    let seen = |_| match ask(cluster, from, to) {
        Outcome::Answer { seen, .. } => Ok(seen),
        other => Err(other),
    };
    (0..OFTEN).map(seen).collect()
}

/// A connection that stays.
struct Call {
    stream: BufReader<TcpStream>,
    /// As whom the other end sees it.
    seen: IpAddr,
}

impl Call {
    fn say(&mut self) -> std::io::Result<IpAddr> {
        self.stream.get_mut().write_all(b"who am I\n")?;
        let mut answer = String::new();
        self.stream.read_line(&mut answer)?;
        answer.trim().parse().map_err(std::io::Error::other)
    }
}

/// Connections of a pod's to the world that stay, to a server that ends with the test's process.
fn calls(cluster: &Cluster, from: &str) -> Vec<Call> {
    let listener = netns::within(&cluster.place(OUTSIDE), || {
        TcpListener::bind((WORLD[0], CALLED)).map_err(Error::net("listen outside"))
    });
    let listener = listener.unwrap_or_else(|e| panic!("{e}"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (Ok(peer), Ok(lines)) = (stream.peer_addr(), stream.try_clone()) else {
                continue;
            };
            std::thread::spawn(move || {
                for _ in BufReader::new(lines).lines().map_while(Result::ok) {
                    writeln!(stream, "{}", peer.ip()).ok();
                }
            });
        }
    });
    let call = |_| {
        let stream = netns::within(&cluster.place(from), || {
            let stream = TcpStream::connect_timeout(&(WORLD[0], CALLED).into(), PATIENT);
            let stream = stream.map_err(Error::net("connect"))?;
            stream.set_read_timeout(Some(PATIENT)).map_err(Error::net("connect"))?;
            Ok(BufReader::new(stream))
        });
        let mut call = Call {
            stream: stream.unwrap_or_else(|e| panic!("{from}: {e}")),
            seen: WORLD[0],
        };
        call.seen = call.say().unwrap_or_else(|e| panic!("{from}: {e}"));
        call
    };
    (0..OFTEN).map(call).collect()
}

fn sockets() -> Vec<SocketAddr> {
    world().iter().map(|at| SocketAddr::new(at.ip, at.tcp)).collect()
}

fn addresses(cluster: &Cluster, nodes: &[&str], of: SocketAddr) -> BTreeSet<IpAddr> {
    let family = usize::from(of.is_ipv6());
    nodes.iter().map(|node| cluster.host_ips(node)[family]).collect()
}

/// Sooner or later everything that a pod sends leaves under the addresses of these nodes, all of them.
pub(crate) fn leaves_by(cluster: &Cluster, from: &str, nodes: &[&str]) {
    for to in sockets() {
        let mut last = None;
        let wanted = addresses(cluster, nodes, to);
        let so = wait::until(wait::PATIENCE, || {
            last = Some(seen(cluster, from, to));
            (last == Some(Ok(wanted.clone()))).then_some(())
        });
        assert!(so.is_some(), "{from} to {to}: seen as {last:?}, wanted {wanted:?}");
    }
}

#[test]
fn connections_leave_by_all_gateways_and_reach_nothing_else() {
    if !possible() {
        return;
    }
    let cluster = cluster();
    for from in ["sky/client-1", "sky/client-2", "grass/client-1"] {
        leaves_by(&cluster, from, &GATEWAYS);
    }
    // No port of any host, whether it is a gateway or not, but those of services.
    let clients = ["sky/client-1", "sky/client-2", "grass/client-1"];
    cluster.from(&clients, listening(cluster.nodes())).refused();
    // What the hosts of the gateways have there is no way in.
    let host = ["100.66.0.1", "fd6d:6572:6964:6567::1"].map(|ip| ip.parse().expect("an address"));
    cluster.from(&clients, listening(host)).refused();
    // Pods of the default VPC, or addresses that nobody has.
    cluster.from(&clients, cluster.at("plain-1")).refused();
    let nobody = ["10.10.99.9", "fd00:10:10:99::9"].map(|ip| ip.parse().expect("an address"));
    cluster.from(&clients, listening(nobody)).refused();
    // Each within its own VPC, and the hosts that pods are on.
    cluster
        .from(&["sky/client-1"], cluster.at("sky/client-2"))
        .answered_by(&["sky/client-2"]);
    cluster
        .from(&["node-1"], cluster.at("sky/client-1"))
        .answered_by(&["sky/client-1"]);
    // Services: of others if they are shared, by their own host; the own ones; and ports of nodes, as from beyond.
    let shared = Service::new("shared", 40)
        .shared()
        .on_nodes()
        .answered_by(&[cluster.endpoint("plain-1")]);
    cluster.put(&shared);
    cluster.from(&clients, shared.cluster()).answered_by(&["plain-1"]);
    let ports = ["node-1", "node-2"].map(|node| shared.at_nodes(cluster.host_ips(node)));
    cluster.from(&clients, ports.concat()).answered_by(&["plain-1"]);
    let private = Service::new("private", 41).answered_by(&[cluster.endpoint("plain-1")]);
    cluster.put(&private);
    cluster.from(&clients, private.cluster()).refused();
}

#[test]
fn a_gateway_that_dies_is_replaced_without_translator_northbound_database_and_northd() {
    if !possible() {
        return;
    }
    let cluster = cluster();
    for from in ["sky/client-1", "sky/client-2"] {
        leaves_by(&cluster, from, &GATEWAYS);
    }
    let lab = &cluster.lab.lab;
    let crash = |text: &str| {
        for component in Component::select(lab.plan(), text).unwrap() {
            lab.processes().crash(&component.pid_name()).unwrap();
        }
    };
    for component in ["translator", "central/nb", "central/northd"] {
        crash(component);
    }
    let mut open = calls(&cluster, "sky/client-1");
    let by = |node: &str| cluster.host_ips(node)[0];
    let through = |node: &&str| open.iter().any(|call| call.seen == by(node));
    assert!(GATEWAYS.iter().all(through), "not all gateways are used");

    crash("node-3");
    for from in ["sky/client-1", "sky/client-2", "grass/client-1"] {
        leaves_by(&cluster, from, &["node-2"]);
    }
    // What went by the other goes on. What went by the one that is dead would come from another address now.
    for call in open.iter_mut().filter(|call| call.seen == by("node-2")) {
        assert_eq!(call.say().ok(), Some(by("node-2")));
    }

    lab.repair().expect("everything starts again");
    for from in ["sky/client-1", "sky/client-2", "grass/client-1"] {
        leaves_by(&cluster, from, &GATEWAYS);
    }
}

#[test]
fn ways_out_change_as_long_as_a_vpc_lives() {
    if !possible() {
        return;
    }
    let cluster = cluster();
    let clients = ["sky/client-1", "sky/client-2"];
    let gateway_device = |node: &str| !cluster.device_ips(node, "mrm-egress").is_empty();
    leaves_by(&cluster, "sky/client-1", &GATEWAYS);
    cluster.apply(vpc("blue", "sky", &by(&["node-3"])));
    leaves_by(&cluster, "sky/client-1", &["node-3"]);
    // Nobody is left: refused at once, and no other way is taken.
    cluster.apply(vpc("blue", "sky", &by(&["nobody"])));
    cluster.from(&clients, world()).refused();
    cluster.apply(vpc("blue", "sky", "{}"));
    leaves_by(&cluster, "sky/client-1", &["node-1"]);
    cluster.apply(vpc("blue", "sky", r#"{"egress": {"mode": "None"}}"#));
    cluster.from(&clients, world()).refused();
    cluster.apply(vpc("blue", "sky", &by(&GATEWAYS)));
    leaves_by(&cluster, "sky/client-2", &GATEWAYS);
    // The other VPC never noticed, and once no VPC has gateways no host has anything of it.
    leaves_by(&cluster, "grass/client-1", &GATEWAYS);
    assert!(gateway_device("node-3") && !gateway_device("node-1") && !gateway_device(OUTSIDE));
    cluster.apply(
        vpc("blue", "sky", "{}")
            .into_iter()
            .chain(vpc("green", "grass", "{}"))
            .collect(),
    );
    leaves_by(&cluster, "sky/client-1", &["node-1"]);
    let gone = wait::until(wait::PATIENCE, || {
        GATEWAYS.iter().all(|node| !gateway_device(node)).then_some(())
    });
    assert!(gone.is_some(), "a device is left");
}
