//! Hosts and a client on a bridge.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use meridian_node_cni::agent::announce::{AnnouncementStatus, Announcer, Role, Wanted};
use meridian_node_cni::netlink::Rtnetlink;
use ovsdb::testing::eventually;
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{NetnsGuard, netns, run};

pub(super) const V4: &str = "192.0.2.200";
pub(super) const V6: &str = "2001:db8::200";
pub(super) const BOTH: [&str; 2] = [V4, V6];

/// A network with hosts that may announce, and a client.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) hosts: Vec<Option<Announcer>>,
    prefix: String,
    guards: Vec<NetnsGuard>,
}

impl Network {
    /// Hosts that hand what comes for the addresses to themselves, as the agent's nftables rules do.
    pub(super) fn of(hosts: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test needs root: it makes network namespaces"
        );
        let prefix = format!("ann{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut network = Self {
            hosts: Vec::new(),
            prefix,
            guards: Vec::new(),
        };
        network.namespace("switch");
        network.ip("switch", &["link", "add", "br0", "type", "bridge"]);
        network.ip("switch", &["link", "set", "br0", "up"]);
        network.plug("client", "eth0", 2);
        for host in 0..hosts {
            let name = format!("h{host}");
            let own = 10 + host;
            network.plug(&name, "eth0", own);
            for (family, address, own) in [
                ("ip", V4, format!("192.0.2.{own}")),
                ("ip6", V6, format!("2001:db8::{own}")),
            ] {
                let rules = format!(
                    "add table {family} t; add chain {family} t c {{ type nat hook prerouting priority -100; }}; \
                     add rule {family} t c {family} daddr {address} dnat to {own}"
                );
                run("ip", &["netns", "exec", &network.name(&name), "nft", &rules]);
            }
            let announcer = netns(&network.name(&name)).run(|| Announcer::spawn().unwrap()).unwrap();
            network.hosts.push(Some(announcer));
        }
        network
    }

    pub(super) fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn namespace(&mut self, host: &str) {
        let name = self.name(host);
        run("ip", &["netns", "add", &name]);
        self.guards.push(NetnsGuard(name.clone()));
        run("ip", &["-n", &name, "link", "set", "lo", "up"]);
    }

    pub(super) fn ip(&self, host: &str, arguments: &[&str]) -> String {
        run("ip", &[&["-n", &self.name(host)], arguments].concat())
    }

    /// A host with a device in the network.
    pub(super) fn plug(&mut self, host: &str, device: &str, own: usize) {
        if !self.guards.iter().any(|guard| guard.0 == self.name(host)) {
            self.namespace(host);
        }
        let switch = self.name("switch");
        let port = format!("{host}-{device}");
        let pair = [
            "link", "add", device, "type", "veth", "peer", "name", &port, "netns", &switch,
        ];
        self.ip(host, &pair);
        self.ip("switch", &["link", "set", &port, "master", "br0", "up"]);
        self.ip(host, &["addr", "add", &format!("192.0.2.{own}/24"), "dev", device]);
        self.ip(
            host,
            &["addr", "add", &format!("2001:db8::{own}/64"), "dev", device, "nodad"],
        );
        self.ip(host, &["link", "set", device, "up"]);
    }

    /// Tells hosts the list of both addresses.
    pub(super) fn list(&self, list: &[usize]) {
        for (host, announcer) in self.hosts.iter().enumerate() {
            let rank = list.iter().position(|other| *other == host);
            let wanted = rank.map(|rank| BOTH.map(|address| wanted(address, rank, &[])).to_vec());
            if let Some(announcer) = announcer {
                announcer.set(wanted.unwrap_or_default());
            }
        }
    }

    pub(super) fn status(&self, host: usize, address: &str) -> Option<AnnouncementStatus> {
        let all = self.hosts[host].as_ref()?.status();
        all.into_iter().find(|status| status.address.to_string() == address)
    }

    pub(super) fn announcing(&self, address: &str) -> Vec<usize> {
        let announces =
            |host: &usize| self.status(*host, address).and_then(|status| status.role) == Some(Role::Announcing);
        (0..self.hosts.len()).filter(announces).collect()
    }

    /// Waits until one host announces both addresses, and the client is answered by it.
    pub(super) fn await_only(&self, host: usize) {
        for address in BOTH {
            eventually(&format!("host {host} announces {address}, and no other"), || {
                (self.announcing(address) == [host]).then_some(())
            });
            eventually(&format!("the client finds {address} at host {host}"), || {
                (self.neighbour(address) == Some(self.mac(host))).then_some(())
            });
        }
    }

    pub(super) fn mac(&self, host: usize) -> String {
        let link = netns(&self.name(&format!("h{host}")))
            .run(|| Rtnetlink::open().unwrap().link("eth0").unwrap())
            .unwrap();
        link.unwrap().mac.unwrap().to_string()
    }

    /// Where the client has found an address, now.
    fn neighbour(&self, address: &str) -> Option<String> {
        let client = self.name("client");
        let ping = Command::new("ip")
            .args(["netns", "exec", &client, "ping", "-c1", "-W1", address])
            .output()
            .unwrap();
        let entry = self.ip("client", &["neigh", "show", address, "dev", "eth0"]);
        let mut words = entry.split_whitespace().skip_while(|word| *word != "lladdr");
        words.nth(1).filter(|_| ping.status.success()).map(str::to_owned)
    }

    /// Who answers a question for an address, within a third of a second.
    pub(super) fn answers(&self, address: Ipv4Addr) -> BTreeMap<String, u32> {
        netns(&self.name("client")).run(|| ask(address)).unwrap()
    }

    /// Pings an address ten times a second.
    pub(super) fn ping(&self, address: &str, seconds: u32) -> Ping {
        let child = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.name("client"),
                "ping",
                "-q",
                "-i",
                "0.1",
                "-W",
                "1",
            ])
            .args(["-w", &seconds.to_string(), address])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Ping(child)
    }
}

pub(super) fn wanted(address: &str, rank: usize, interfaces: &[&str]) -> Wanted {
    Wanted {
        address: address.parse().unwrap(),
        rank: rank.try_into().unwrap(),
        interfaces: interfaces.iter().map(ToString::to_string).collect(),
    }
}

/// A ping that runs, and ends with this value.
#[derive(Debug)]
pub(super) struct Ping(Child);

impl Ping {
    /// How many were not answered.
    pub(super) fn lost(mut self) -> u32 {
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        self.0.wait().unwrap();
        let count = |word: &str| -> u32 {
            let before = text.split(word).next().unwrap();
            before.split_whitespace().next_back().unwrap().parse().unwrap()
        };
        count(" packets transmitted") - count(" received")
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks for an address by a frame made by hand; how often each Ethernet address answered.
fn ask(address: Ipv4Addr) -> BTreeMap<String, u32> {
    const ARP: u16 = 0x0806;
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(ARP.to_be())))).unwrap();
    let device = nix::ifaddrs::getifaddrs().unwrap().find_map(|interface| {
        let link = interface.address?.as_link_addr().copied()?;
        (interface.interface_name == "eth0").then_some(link)
    });
    let device = device.unwrap();
    nix::sys::socket::bind(socket.as_raw_fd(), &device).unwrap();
    let own = device.addr().unwrap();
    let mut frame = [
        &[0xff; 6][..],
        &own,
        &ARP.to_be_bytes(),
        &[0, 1, 8, 0, 6, 4, 0, 1],
        &own,
    ]
    .concat();
    frame.extend([192, 0, 2, 2]);
    frame.extend([0; 6]);
    frame.extend(address.octets());
    nix::sys::socket::send(socket.as_raw_fd(), &frame, nix::sys::socket::MsgFlags::empty()).unwrap();
    let mut answers = BTreeMap::new();
    let end = Instant::now() + Duration::from_millis(300);
    while let Some(left) = end
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        socket.set_read_timeout(Some(left)).unwrap();
        let mut answer = [0; 64];
        let Ok(length) = (&socket).read(&mut answer) else { break };
        // A reply to us, from the address.
        if length >= 42 && answer[..6] == own && answer[20..22] == [0, 2] && answer[28..32] == address.octets() {
            let octets: Vec<_> = answer[22..28].iter().map(|octet| format!("{octet:02x}")).collect();
            *answers.entry(octets.join(":")).or_insert(0) += 1;
        }
    }
    answers
}
