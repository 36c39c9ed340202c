//! Services with real packets: pods and hosts as clients, pods and hosts as endpoints, both families.

mod common;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use common::{TestLab, possible};
use meridian_lab::cluster::sandbox::Sandbox;
use meridian_lab::cluster::{self, object};
use meridian_lab::error::{Error, Result};
use meridian_lab::plan::Families;
use meridian_lab::probe::http;
use meridian_lab::{netns, wait};

/// What refuses does so at once; what is lost takes longer than this to be given up.
const AT_ONCE: Duration = Duration::from_secs(2);

/// `web-1` on node-1, `web-2` on node-2, `client` on node-1.
const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web-1}
spec: {nodeName: node-1, containers: [{name: c, ports: [{containerPort: 8080}, {containerPort: 5353, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2}
spec: {nodeName: node-2, containers: [{name: c, ports: [{containerPort: 8080}, {containerPort: 5353, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {nodeName: node-1, containers: [{name: c}]}
";

/// A service with ports TCP 80 and UDP 53, and a slice per family of its endpoints.
#[derive(Clone, Debug)]
struct Service {
    name: &'static str,
    /// Last part of its addresses.
    number: u8,
    tcp: u16,
    endpoints: Vec<IpAddr>,
    affinity: bool,
}

impl Service {
    /// Of pods.
    fn new(name: &'static str, number: u8, endpoints: Vec<IpAddr>) -> Self {
        Self {
            name,
            number,
            tcp: 8080,
            endpoints,
            affinity: false,
        }
    }

    fn ips(&self) -> [IpAddr; 2] {
        cluster_ips(self.number)
    }

    fn manifests(&self) -> String {
        let Self { name, number, tcp, .. } = self;
        let affinity = if self.affinity { "ClientIP" } else { "None" };
        let [four, six] = cluster_ips(*number);
        let service = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
             spec:\n  clusterIPs: [\"{four}\", \"{six}\"]\n  sessionAffinity: {affinity}\n\
             \x20 ports: [{{name: http, port: 80}}, {{name: dns, port: 53, protocol: UDP}}]\n"
        );
        let slices = [true, false].map(|v4| {
            let endpoints = self.endpoints.iter().filter(|ip| ip.is_ipv4() == v4);
            let endpoints: Vec<String> = endpoints.map(|ip| format!("{{addresses: [\"{ip}\"]}}")).collect();
            let family = if v4 { "IPv4" } else { "IPv6" };
            format!(
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                 metadata: {{name: {name}-{}, labels: {{kubernetes.io/service-name: {name}}}}}\n\
                 addressType: {family}\n\
                 ports: [{{name: http, port: {tcp}}}, {{name: dns, port: 5353, protocol: UDP}}]\nendpoints: [{}]\n",
                family.to_lowercase(),
                endpoints.join(", ")
            )
        });
        format!("{service}{}", slices.concat())
    }
}

fn cluster_ips(number: u8) -> [IpAddr; 2] {
    [
        [10, 96, 0, number].into(),
        Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, number.into()).into(),
    ]
}

/// A lab with the pods, and who sends from where.
struct Cluster {
    lab: TestLab,
}

impl Cluster {
    fn start() -> Self {
        let cluster = Self {
            lab: TestLab::up(Families::Dual),
        };
        cluster.apply(PODS);
        cluster
    }

    fn apply(&self, text: &str) {
        let objects = object::parse(text).expect("the manifests are well-formed");
        cluster::apply(&self.lab.lab, objects).unwrap_or_else(|e| panic!("apply: {e}"));
    }

    /// Puts a service and waits until both ends of its row are there, so that a refusal means something.
    fn put(&self, service: &Service) {
        self.apply(&service.manifests());
        let expected: BTreeSet<String> = service
            .endpoints
            .iter()
            .map(|ip| SocketAddr::new(*ip, service.tcp).to_string())
            .collect();
        let name = format!("default_{}_tcp", service.name);
        wait::for_some("the service's row", wait::PATIENCE, || {
            let found = self.nb(&[
                "--bare",
                "--columns=vips",
                "find",
                "Load_Balancer",
                &format!("name={name}"),
            ]);
            let found: BTreeSet<String> = found
                .split_whitespace()
                .filter_map(|pair| pair.split_once('='))
                .flat_map(|(_, backends)| backends.split(',').map(str::to_owned))
                .filter(|backend| !backend.is_empty())
                .collect();
            (found == expected).then_some(())
        })
        .expect("the translator writes it");
        // Until every chassis has the flows.
        self.nb(&["--wait=hv", "--timeout=60", "sync"]);
    }

    fn nb(&self, args: &[&str]) -> String {
        self.lab.lab.ovn("ovn-nbctl", args).expect("Northbound answers")
    }

    fn pod_ips(&self, name: &str) -> Vec<IpAddr> {
        let pod = self.lab.pod(name).expect("the pod is there");
        let ips = pod.0["status"]["podIPs"].as_array().expect("it has addresses");
        ips.iter()
            .map(|ip| ip["ip"].as_str().and_then(|ip| ip.parse().ok()).expect("an address"))
            .collect()
    }

    fn host_ips(&self, host: &str) -> Vec<IpAddr> {
        let plan = self.lab.lab.plan();
        let ips = match plan.host(host) {
            Some(host) => plan.node_ips(&host),
            None => plan.central_ips(),
        };
        ips.iter().map(ipnetwork::IpNetwork::ip).collect()
    }

    /// The network namespace of a pod or a host.
    fn place(&self, who: &str) -> String {
        let sandboxes = Sandbox::all(&self.lab.lab).expect("sandboxes are readable");
        match sandboxes.into_iter().find(|sandbox| sandbox.name == who) {
            Some(sandbox) => sandbox.netns,
            None => self.lab.lab.plan().netns(who),
        }
    }

    /// Who answers over TCP, and with enough that it takes several full-size packets.
    fn ask(&self, from: &str, to: IpAddr) -> Result<String> {
        let answer = netns::within(&self.place(from), || http::get((to, 80).into(), "/probe"))?;
        Ok(answer.body.lines().next().unwrap_or_default().to_owned())
    }

    /// Who answers, asked several times.
    fn ask_often(&self, from: &str, to: IpAddr) -> BTreeSet<String> {
        let ask = |_| self.ask(from, to).unwrap_or_else(|e| panic!("{from} to {to}: {e}"));
        (0..24).map(ask).collect()
    }

    /// Sends one datagram that is answered with the same, without a second try.
    fn echo(&self, from: &str, to: IpAddr) -> std::io::Result<()> {
        let mut result = Ok(());
        netns::within(&self.place(from), || {
            result = echo(to);
            Ok(())
        })
        .expect("the namespace is there");
        result
    }

    /// A server on a host that answers any request with its name.
    fn serve_on(&self, host: &'static str) {
        let listener = netns::within(&self.place(host), || {
            TcpListener::bind("[::]:6443").map_err(Error::net("listen on a host"))
        });
        let listener = listener.unwrap_or_else(|e| panic!("{host}: {e}"));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, host).ok();
            }
        });
    }
}

fn echo(to: IpAddr) -> std::io::Result<()> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(AT_ONCE))?;
    socket.connect((to, 53))?;
    socket.send(b"who is there")?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    assert_eq!(&buffer[..length], b"who is there");
    Ok(())
}

fn answer(mut stream: TcpStream, host: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(AT_ONCE))?;
    let mut request = Vec::new();
    let mut buffer = [0; 512];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&buffer[..length]),
        }
    }
    let body = format!("{host}\n{}\n", "-".repeat(8192));
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn names(expected: &[&str]) -> BTreeSet<String> {
    expected.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn pods_and_hosts_reach_every_pod_of_a_service_over_tcp_and_udp() {
    if !possible() {
        return;
    }
    let cluster = Cluster::start();
    let service = Service::new("web", 7, [cluster.pod_ips("web-1"), cluster.pod_ips("web-2")].concat());
    cluster.put(&service);
    for from in ["client", "node-1", "node-2", "node-3"] {
        for ip in service.ips() {
            let both = names(&["default/web-1", "default/web-2"]);
            assert_eq!(cluster.ask_often(from, ip), both, "{from} to {ip}");
            for _ in 0..8 {
                cluster
                    .echo(from, ip)
                    .unwrap_or_else(|e| panic!("{from} to {ip} over UDP: {e}"));
            }
        }
    }
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    if !possible() {
        return;
    }
    let cluster = Cluster::start();
    let service = Service::new("web", 7, cluster.pod_ips("web-1"));
    cluster.put(&service);
    for ip in service.ips() {
        assert_eq!(cluster.ask_often("web-1", ip), names(&["default/web-1"]), "{ip}");
        cluster
            .echo("web-1", ip)
            .unwrap_or_else(|e| panic!("{ip} over UDP: {e}"));
    }
}

#[test]
fn pods_and_hosts_reach_services_whose_endpoint_is_a_host() {
    if !possible() {
        return;
    }
    let cluster = Cluster::start();
    // The client's own host, another, and one that is no node.
    for (number, host) in [(1, "node-1"), (2, "node-2"), (3, "central")] {
        cluster.serve_on(host);
        let endpoints = cluster.host_ips(host);
        let service = Service {
            tcp: 6443,
            ..Service::new(host, number, endpoints)
        };
        cluster.put(&service);
        for from in ["client", "web-2", "node-1", "node-2", "node-3"] {
            for ip in service.ips() {
                let answer = cluster.ask(from, ip);
                let answer = answer.unwrap_or_else(|e| panic!("{from} to {host} at {ip}: {e}"));
                assert_eq!(answer, host, "{from} to {ip}");
            }
        }
    }
}

#[test]
fn what_has_no_endpoint_or_no_service_is_refused_at_once() {
    if !possible() {
        return;
    }
    let cluster = Cluster::start();
    cluster.put(&Service::new("idle", 8, Vec::new()));
    let [unknown_v4, unknown_v6] = cluster_ips(99);
    for from in ["client", "node-1"] {
        for to in cluster_ips(8).into_iter().chain([unknown_v4, unknown_v6]) {
            let began = Instant::now();
            let mut refusal = None;
            netns::within(&cluster.place(from), || {
                refusal = TcpStream::connect_timeout(&(to, 80).into(), AT_ONCE).err();
                Ok(())
            })
            .unwrap();
            let refusal = refusal.expect("nobody answers").kind();
            assert_eq!(refusal, ErrorKind::ConnectionRefused, "{from} to {to}, TCP");
            let refusal = cluster.echo(from, to).unwrap_err().kind();
            assert_eq!(refusal, ErrorKind::ConnectionRefused, "{from} to {to}, UDP");
            assert!(began.elapsed() < AT_ONCE);
        }
    }
}

#[test]
fn a_client_stays_with_one_endpoint_while_affinity_lasts() {
    if !possible() {
        return;
    }
    let cluster = Cluster::start();
    let service = Service {
        affinity: true,
        ..Service::new("web", 7, [cluster.pod_ips("web-1"), cluster.pod_ips("web-2")].concat())
    };
    cluster.put(&service);
    for from in ["client", "node-1", "node-2"] {
        for ip in service.ips() {
            // The packets that make an association, one for each port, are lost: OVN learns from them and does nothing
            // else with them. TCP sends its own again, after longer than a probe waits.
            let associated = wait::until(wait::PATIENCE, || {
                cluster.echo(from, ip).ok()?;
                cluster.ask(from, ip).ok()
            });
            assert!(associated.is_some(), "{from} to {ip}");
            assert_eq!(cluster.ask_often(from, ip).len(), 1, "{from} to {ip}");
        }
    }
}

#[test]
fn connections_go_where_the_endpoints_are_now() {
    if !possible() {
        return;
    }
    let cluster = Cluster::start();
    for pod in ["web-1", "web-2"] {
        let service = Service::new("web", 7, cluster.pod_ips(pod));
        cluster.put(&service);
        for from in ["client", "node-1"] {
            for ip in service.ips() {
                assert_eq!(cluster.ask_often(from, ip), names(&[&format!("default/{pod}")]));
            }
        }
    }
}
