//! A pod: a network namespace, a logical port, and the parameters a runtime would call with.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use meridian_api::name::DEFAULT_VPC;
use meridian_api::port::{PortFacts, PortKind, VpcFacts};
use meridian_node_cni::name;
use meridian_node_cni::netlink::{Address, Link, Route, Rtnetlink};
use meridian_node_cni::netns::Netns;

use super::vpc::Slice;
use super::{Host, NODE, NetnsGuard, run};

/// The pod's namespace in Kubernetes.
pub(crate) const NAMESPACE: &str = "default";
/// The CNI network.
pub(crate) const NETWORK: &str = "meridian";

/// Part of the address of the pod before the first.
const FIRST: u32 = 10;

/// A sandbox of a pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) container_id: String,
    pub(crate) netns: String,
    _guard: NetnsGuard,
    number: u32,
    slice: Slice,
}

impl Pod {
    /// Makes a network namespace for a new pod. There is no logical port yet.
    pub(crate) fn new(host: &Host) -> Self {
        let number = host.next_pod();
        Self::sandbox(host, number, format!("web-{number}"), format!("uid-{number}"))
    }

    /// And its logical port, with an address of a slice of its VPC.
    pub(crate) fn of_slice(host: &Host, slice: Slice) -> Self {
        let pod = Self {
            slice,
            ..Self::new(host)
        };
        pod.create_port(host);
        pod
    }

    /// The same with an address that is not the next one.
    pub(crate) fn numbered(host: &Host, slice: Slice, host_part: u32) -> Self {
        let pod = Self {
            slice,
            number: host_part.wrapping_sub(FIRST),
            ..Self::new(host)
        };
        pod.create_port(host);
        pod
    }

    /// A new sandbox of the same pod, as the kubelet makes one when the old has died.
    pub(crate) fn resandboxed(&self, host: &Host) -> Self {
        let mut pod = Self::sandbox(host, host.next_pod(), self.name.clone(), self.uid.clone());
        pod.number = self.number;
        pod
    }

    fn sandbox(host: &Host, number: u32, name: String, uid: String) -> Self {
        let netns = format!("{}-p{number}", host.name());
        run("ip", &["netns", "add", &netns]);
        let pod = Self {
            name,
            uid,
            container_id: format!("c0ffee{number:08}"),
            _guard: NetnsGuard(netns.clone()),
            netns,
            number,
            slice: Slice::DEFAULT,
        };
        run("ip", &["-n", &pod.netns, "link", "set", "lo", "up"]);
        pod
    }

    /// And its logical port.
    pub(crate) fn with_port(host: &Host) -> Self {
        let pod = Self::new(host);
        pod.create_port(host);
        pod
    }

    pub(crate) fn create_port(&self, host: &Host) {
        host.create_port_on(self.slice.switch, &self.port(), &self.facts(), NODE);
    }

    pub(crate) fn facts(&self) -> PortFacts {
        let host_part = self.number.wrapping_add(FIRST);
        let Slice { vpc, mac, .. } = self.slice;
        PortFacts {
            ips: [true, false].map(|v4| self.slice.interface(v4, host_part)).into(),
            gateways: [true, false].map(|v4| self.slice.gateway(v4).parse().unwrap()).into(),
            vpc: (vpc != DEFAULT_VPC).then(|| VpcFacts {
                name: vpc.into(),
                services: false,
                outside: false,
                networks: vec![],
            }),
            uid: Some(self.uid.clone()),
            ..PortFacts::new(PortKind::Pod, format!("{mac}:{host_part:02x}"))
        }
    }

    /// Its logical port.
    pub(crate) fn port(&self) -> String {
        name::pod_port("", NAMESPACE, &self.name)
    }

    /// The host's end of its veth.
    pub(crate) fn device(&self) -> String {
        name::host_end(NETWORK, &self.container_id, "eth0")
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/run/netns/{}", self.netns))
    }

    pub(crate) fn ip(&self, v4: bool) -> IpAddr {
        let ips = self.facts().ips;
        ips.iter()
            .map(ipnetwork::IpNetwork::ip)
            .find(|ip| ip.is_ipv4() == v4)
            .unwrap()
    }

    /// Removes its network namespace, as a runtime may do before DEL.
    pub(crate) fn remove_netns(&self) {
        run("ip", &["netns", "del", &self.netns]);
    }

    /// Its interface, addresses and routes; `None` without an interface.
    pub(crate) fn eth0(&self) -> Option<(Link, Vec<Address>, Vec<Route>)> {
        self.inside(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            let link = rtnetlink.link("eth0").unwrap()?;
            let addresses = rtnetlink.addresses().unwrap();
            let addresses = addresses.into_iter().filter(|address| address.index == link.index);
            Some((link.clone(), addresses.collect(), rtnetlink.routes().unwrap()))
        })
    }

    /// Runs something in its network namespace.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        Netns::open(&self.path()).unwrap().run(work).unwrap()
    }

    /// Sends a megabyte to another pod and back by TCP: more than one segment, so offloads matter.
    pub(crate) fn exchange(&self, other: &Pod, v4: bool) {
        let listener = other.listen(v4);
        let address = listener.local_addr().unwrap();
        exchange(
            &Netns::open(&self.path()).unwrap(),
            listener,
            SocketAddr::new(other.ip(v4), address.port()),
        );
    }

    pub(crate) fn listen(&self, v4: bool) -> TcpListener {
        let address = SocketAddr::new(self.ip(v4), 0);
        self.inside(|| TcpListener::bind(address).unwrap())
    }
}

/// Connects from a namespace to a listener of another, and echoes a megabyte.
pub(crate) fn exchange(from: &Netns, listener: TcpListener, to: SocketAddr) {
    const AMOUNT: usize = 1 << 20;
    let patience = Some(Duration::from_secs(30));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(patience).unwrap();
            let mut received = vec![0; AMOUNT];
            stream.read_exact(&mut received).unwrap();
            stream.write_all(&received).unwrap();
        });
        let sent: Vec<u8> = (0..AMOUNT).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut stream = from
            .run(|| TcpStream::connect_timeout(&to, Duration::from_secs(30)))
            .unwrap()
            .unwrap_or_else(|error| panic!("connect to {to}: {error}"));
        stream.set_read_timeout(patience).unwrap();
        stream.write_all(&sent).unwrap();
        let mut received = vec![0; AMOUNT];
        stream.read_exact(&mut received).unwrap();
        assert!(received == sent, "the megabyte came back changed");
    });
}
