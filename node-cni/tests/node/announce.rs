//! Announcers of several hosts and a client on one network: a bridge, veths, and real frames.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use meridian_node_cni::agent::announce::{AnnouncementStatus, Announcer, Role, Wanted};
use meridian_node_cni::netlink::Rtnetlink;
use ovsdb::testing::eventually;
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{NetnsGuard, netns, run};

const V4: &str = "192.0.2.200";
const V6: &str = "2001:db8::200";
const BOTH: [&str; 2] = [V4, V6];

/// A network with hosts that may announce, and a client.
#[derive(Debug)]
struct Network {
    hosts: Vec<Option<Announcer>>,
    prefix: String,
    _guards: Vec<NetnsGuard>,
}

impl Network {
    /// Hosts that hand what comes for the addresses to themselves, as the agent's nftables rules do.
    fn of(hosts: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test needs root: it makes network namespaces"
        );
        let prefix = format!("ann{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut network = Self {
            hosts: Vec::new(),
            prefix,
            _guards: Vec::new(),
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

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn namespace(&mut self, host: &str) {
        let name = self.name(host);
        run("ip", &["netns", "add", &name]);
        self._guards.push(NetnsGuard(name.clone()));
        run("ip", &["-n", &name, "link", "set", "lo", "up"]);
    }

    fn ip(&self, host: &str, arguments: &[&str]) -> String {
        run("ip", &[&["-n", &self.name(host)], arguments].concat())
    }

    /// A host with a device in the network.
    fn plug(&mut self, host: &str, device: &str, own: usize) {
        if !self._guards.iter().any(|guard| guard.0 == self.name(host)) {
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
    fn list(&self, list: &[usize]) {
        for (host, announcer) in self.hosts.iter().enumerate() {
            let rank = list.iter().position(|other| *other == host);
            let wanted = rank.map(|rank| BOTH.map(|address| wanted(address, rank, &[])).to_vec());
            if let Some(announcer) = announcer {
                announcer.set(wanted.unwrap_or_default());
            }
        }
    }

    fn status(&self, host: usize, address: &str) -> Option<AnnouncementStatus> {
        let all = self.hosts[host].as_ref()?.status();
        all.into_iter().find(|status| status.address.to_string() == address)
    }

    fn announcing(&self, address: &str) -> Vec<usize> {
        let announces =
            |host: &usize| self.status(*host, address).and_then(|status| status.role) == Some(Role::Announcing);
        (0..self.hosts.len()).filter(announces).collect()
    }

    /// Waits until one host announces both addresses, and the client is answered by it.
    fn await_only(&self, host: usize) {
        for address in BOTH {
            eventually(&format!("host {host} announces {address}, and no other"), || {
                (self.announcing(address) == [host]).then_some(())
            });
            eventually(&format!("the client finds {address} at host {host}"), || {
                (self.neighbour(address) == Some(self.mac(host))).then_some(())
            });
        }
    }

    fn mac(&self, host: usize) -> String {
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
    fn answers(&self, address: Ipv4Addr) -> BTreeMap<String, u32> {
        netns(&self.name("client")).run(|| ask(address)).unwrap()
    }

    /// Pings an address ten times a second.
    fn ping(&self, address: &str, seconds: u32) -> Ping {
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

fn wanted(address: &str, rank: usize, interfaces: &[&str]) -> Wanted {
    Wanted {
        address: address.parse().unwrap(),
        rank: rank.try_into().unwrap(),
        interfaces: interfaces.iter().map(ToString::to_string).collect(),
    }
}

/// A ping that runs, and ends with this value.
#[derive(Debug)]
struct Ping(Child);

impl Ping {
    /// How many were not answered.
    fn lost(mut self) -> u32 {
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

#[test]
fn the_first_of_the_list_answers_for_the_address_and_no_other_does() {
    let network = Network::of(3);
    network.list(&[1, 0, 2]);
    network.await_only(1);
    for host in [0, 2] {
        eventually("the others know who announces", || {
            let status = network.status(host, V4)?;
            (status.role == Some(Role::Standby) && status.other == Some(network.mac(1))).then_some(())
        });
    }
    assert_eq!(network.answers(V4.parse().unwrap()), [(network.mac(1), 1)].into());
    assert_eq!(network.answers("192.0.2.201".parse().unwrap()), BTreeMap::new());
}

#[test]
fn a_standby_takes_over_from_a_host_that_is_cut_off() {
    for address in BOTH {
        let network = Network::of(3);
        network.list(&[0, 1, 2]);
        network.await_only(0);
        let ping = network.ping(address, 6);
        let start = Instant::now();
        network.ip("h0", &["link", "set", "eth0", "down"]);
        eventually("the standby announces", || {
            (network.announcing(address) == [1]).then_some(())
        });
        report(
            &format!("{address}: takeover after the link went down"),
            start.elapsed(),
            ping.lost(),
            32,
        );
    }
}

#[test]
fn a_standby_takes_over_from_an_agent_that_ends_and_keeps_the_address() {
    for address in BOTH {
        let mut network = Network::of(3);
        network.list(&[0, 1, 2]);
        network.await_only(0);
        let ping = network.ping(address, 6);
        let start = Instant::now();
        // What it announced stays in the client's table, and the kernel goes on to translate it.
        network.hosts[0] = None;
        eventually("the standby announces", || {
            (network.announcing(address) == [1]).then_some(())
        });
        report(
            &format!("{address}: takeover after the agent ended"),
            start.elapsed(),
            ping.lost(),
            0,
        );
        let back = netns(&network.name("h0")).run(|| Announcer::spawn().unwrap()).unwrap();
        network.hosts[0] = Some(back);
        network.list(&[0, 1, 2]);
        eventually("the first stands by", || {
            (network.status(0, address)?.role == Some(Role::Standby)).then_some(())
        });
        network.await_only(1);
    }
}

#[test]
fn the_third_takes_over_from_two_that_are_cut_off() {
    let network = Network::of(3);
    network.list(&[0, 1, 2]);
    network.await_only(0);
    let ping = network.ping(V4, 7);
    let start = Instant::now();
    for host in ["h0", "h1"] {
        network.ip(host, &["link", "set", "eth0", "down"]);
    }
    eventually("the third announces", || (network.announcing(V4) == [2]).then_some(()));
    report("takeover by the third", start.elapsed(), ping.lost(), 37);
}

#[test]
fn a_new_order_moves_the_address_and_loses_next_to_nothing() {
    for address in BOTH {
        let network = Network::of(3);
        network.list(&[0, 1]);
        network.await_only(0);
        let ping = network.ping(address, 5);
        let start = Instant::now();
        network.list(&[1, 0]);
        eventually("the new first announces", || {
            (network.announcing(address) == [1]).then_some(())
        });
        report(&format!("{address}: move to a standby"), start.elapsed(), 0, 0);
        let start = Instant::now();
        network.list(&[2, 1]);
        eventually("the new first announces", || {
            (network.announcing(address) == [2]).then_some(())
        });
        report(
            &format!("{address}: move to a node that was in no list, both moves"),
            start.elapsed(),
            ping.lost(),
            2,
        );
    }
}

#[test]
fn hosts_that_did_not_hear_each_other_agree_when_they_do() {
    let network = Network::of(2);
    let isolate = |how: &str| {
        for port in ["h0-eth0", "h1-eth0"] {
            network.ip(
                "switch",
                &["link", "set", port, "type", "bridge_slave", "isolated", how],
            );
        }
    };
    isolate("on");
    network.list(&[0, 1]);
    for address in BOTH {
        eventually("both announce", || {
            (network.announcing(address) == [0, 1]).then_some(())
        });
    }
    assert_eq!(network.answers(V4.parse().unwrap()).len(), 2);
    isolate("off");
    network.await_only(0);
}

#[test]
fn an_address_that_is_no_longer_wanted_is_no_longer_answered() {
    let network = Network::of(1);
    network.list(&[0]);
    network.await_only(0);
    network.list(&[]);
    eventually("nothing is announced", || {
        network.hosts[0].as_ref()?.status().is_empty().then_some(())
    });
    assert_eq!(network.answers(V4.parse().unwrap()), BTreeMap::new());
}

#[test]
fn a_device_that_comes_later_and_changes_its_address_is_followed() {
    let mut network = Network::of(1);
    let announcer = network.hosts[0].take().unwrap();
    announcer.set(vec![wanted("198.51.100.1", 0, &[]), wanted(V4, 0, &["eth7"])]);
    let problems = eventually("problems are told", || {
        let problems: BTreeSet<_> = announcer
            .status()
            .into_iter()
            .filter_map(|status| status.problem)
            .collect();
        (problems.len() == 2).then_some(problems)
    });
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("no such Ethernet device")),
        "{problems:?}"
    );
    assert!(
        problems.iter().any(|problem| problem.contains("no default route")),
        "{problems:?}"
    );

    network.plug("h0", "eth7", 77);
    network.ip("h0", &["route", "add", "default", "via", "192.0.2.1", "dev", "eth0"]);
    announcer.links_changed();
    let announced_on = |address: &str| -> Option<String> {
        let address: IpAddr = address.parse().unwrap();
        let announcing =
            |status: &AnnouncementStatus| status.address == address && status.role == Some(Role::Announcing);
        announcer.status().into_iter().find(announcing)?.interface
    };
    eventually("it is announced on the new device", || {
        (announced_on(V4)? == "eth7" && announced_on("198.51.100.1")? == "eth0").then_some(())
    });

    network.ip("h0", &["link", "set", "eth7", "address", "02:00:00:00:00:77"]);
    announcer.links_changed();
    eventually("the new Ethernet address is answered", || {
        let answers = network.answers(V4.parse().unwrap());
        (answers == [("02:00:00:00:00:77".to_owned(), 1)].into()).then_some(())
    });
}

#[allow(clippy::print_stderr, reason = "figures for who asks for them with --nocapture")]
fn report(what: &str, took: Duration, lost: u32, bound: u32) {
    eprintln!("{what}: {} ms, {lost} pings of ten a second lost", took.as_millis());
    assert!(lost <= bound, "{what}: lost {lost} pings, {bound} are allowed");
}
