//! What a lab consists of: names, addresses and paths, computed from a few options.
//! It touches nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use serde::{Deserialize, Serialize};

use crate::kubernetes::Distribution;

/// The address families of pods, nodes and underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only, the tunnels included.
    V6,
    /// Both; tunnels run over IPv4.
    Dual,
}

impl Families {
    /// Whether there is IPv4.
    pub fn v4(self) -> bool {
        self != Self::V6
    }

    /// Whether there is IPv6.
    pub fn v6(self) -> bool {
        self != Self::V4
    }

    fn pick<T>(self, v4: T, v6: T) -> Vec<T> {
        match self {
            Self::V4 => vec![v4],
            Self::V6 => vec![v6],
            Self::Dual => vec![v4, v6],
        }
    }
}

/// What `up` was asked for; kept in the lab's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The lab's name; several may run side by side.
    pub name: String,
    /// How many hosts.
    pub hosts: u8,
    /// Address families.
    pub families: Families,
    /// Hosts, OVS and OVN only: no translator and no agents.
    pub bare: bool,
    /// A real Kubernetes on the hosts, of these parts; without, the lab's own small stand-in.
    pub kubernetes: Option<Distribution>,
}

/// One of the hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The Kubernetes node's name.
    pub name: String,
    /// From 1.
    pub index: u8,
}

/// The plan of one lab.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was asked for.
    pub options: Options,
    /// Where everything of the lab lives.
    pub dir: PathBuf,
    /// Which hosts there are now, by index: as many as asked for, until some come and go.
    hosts: BTreeSet<u8>,
}

/// The address outside the cluster that the fabric answers on: what pods reach through their host.
pub const WORLD_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// Its IPv6 counterpart.
pub const WORLD_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// The disks of hosts that run Kubernetes lie here, a folder per lab. The lab's own folder is no
/// place for images and writable layers of containers: /run is memory on most machines.
const DISKS: &str = "/var/lib/meridian-lab";

/// Last part of the central host's address.
const CENTRAL: u8 = 10;
/// Last part of the fabric's own address, everybody's default gateway.
const GATEWAY: u8 = 254;
/// Room between the central host and [`POOL`].
pub const MAX_HOSTS: u8 = 200;
/// Last parts of the node network's addresses that are nobody's: for services of type LoadBalancer.
const POOL: [u8; 2] = [220, 249];
/// Upstream's tests of traffic within zones want three, and two hosts in each.
const ZONES: u8 = 3;

impl Host {
    /// The host of this index, from 1.
    pub fn of(index: u8) -> Self {
        Self {
            name: format!("node-{index}"),
            index,
        }
    }

    /// The zone it stands in; hosts are dealt out to the zones in turn.
    pub fn zone(&self) -> String {
        format!("zone-{}", (self.index - 1) % ZONES + 1)
    }
}

impl Plan {
    /// The plan of a lab with these hosts.
    pub fn new(options: Options, dir: &Path, hosts: BTreeSet<u8>) -> Self {
        Self {
            options,
            dir: dir.to_owned(),
            hosts,
        }
    }

    /// The hosts in order.
    pub fn hosts(&self) -> Vec<Host> {
        self.hosts.iter().map(|index| Host::of(*index)).collect()
    }

    /// Adds a host, or removes it.
    pub(crate) fn set_host(&mut self, host: &Host, present: bool) {
        if present {
            self.hosts.insert(host.index);
        } else {
            self.hosts.remove(&host.index);
        }
    }

    /// A host by its node name.
    pub fn host(&self, name: &str) -> Option<Host> {
        self.hosts().into_iter().find(|h| h.name == name)
    }

    /// The name of a network namespace of this lab.
    pub fn netns(&self, what: &str) -> String {
        match self.options.name.as_str() {
            "default" => format!("mlab-{what}"),
            name => format!("mlab-{name}-{what}"),
        }
    }

    /// The namespace of the underlay's switch.
    pub fn fabric(&self) -> String {
        self.netns("fabric")
    }

    /// The namespace of OVN central and the translator.
    pub fn central(&self) -> String {
        self.netns("central")
    }

    /// Addresses on the node network, where nodes and OVN central talk.
    pub fn node_ips(&self, host: &Host) -> Vec<IpNetwork> {
        self.node_network(CENTRAL + host.index)
    }

    /// Addresses of OVN central on the node network.
    pub fn central_ips(&self) -> Vec<IpNetwork> {
        self.node_network(CENTRAL)
    }

    /// Addresses of the fabric on the node network: the default gateway.
    pub fn gateway_ips(&self) -> Vec<IpNetwork> {
        self.node_network(GATEWAY)
    }

    /// Ranges of the node network for services of type LoadBalancer.
    pub fn pool(&self) -> Vec<String> {
        let [first, last] = POOL.map(|last| self.node_network(last));
        let ranges = first.iter().zip(&last);
        ranges
            .map(|(first, last)| format!("{}-{}", first.ip(), last.ip()))
            .collect()
    }

    /// Tunnel addresses: a network of their own, because with the userspace datapath they sit on
    /// an OVS bridge and vanish with ovs-vswitchd, which must not cut the node off.
    pub fn tunnel_ips(&self, host: &Host) -> Vec<IpNetwork> {
        self.options
            .families
            .pick(v4(172, 31, CENTRAL + host.index), v6(31, CENTRAL + host.index))
    }

    /// The address tunnels end at.
    pub fn encap_ip(&self, host: &Host) -> IpAddr {
        self.tunnel_ips(host)[0].ip()
    }

    fn node_network(&self, last: u8) -> Vec<IpNetwork> {
        self.options.families.pick(v4(172, 30, last), v6(30, last))
    }

    /// The pods' network.
    pub fn cluster_cidrs(&self) -> Vec<IpNetwork> {
        self.options
            .families
            .pick(net4([10, 244, 0, 0], 16), net6([0xfd00, 0x10, 0x244, 0], 48))
    }

    /// The services' network.
    pub fn service_cidrs(&self) -> Vec<IpNetwork> {
        self.options
            .families
            .pick(net4([10, 96, 0, 0], 16), net6([0xfd00, 0x10, 0x96, 0], 112))
    }

    /// A host's slice of the pods' network.
    pub fn pod_cidrs(&self, host: &Host) -> Vec<IpNetwork> {
        self.options.families.pick(
            net4([10, 244, host.index, 0], 24),
            net6([0xfd00, 0x10, 0x244, u16::from(host.index)], 64),
        )
    }

    /// A host's management addresses: the second of each slice.
    pub fn management_ips(&self, host: &Host) -> Vec<IpAddr> {
        self.pod_cidrs(host)
            .iter()
            .filter_map(|slice| slice.iter().nth(2))
            .collect()
    }

    /// The OVSDB remote of a central database as hosts see it.
    pub fn central_remote(&self, port: u16) -> String {
        match self.central_ips()[0].ip() {
            IpAddr::V4(ip) => format!("tcp:{ip}:{port}"),
            IpAddr::V6(ip) => format!("tcp:[{ip}]:{port}"),
        }
    }

    /// Manifests that make up the cluster: the translator watches this folder.
    pub fn cluster_dir(&self) -> PathBuf {
        self.dir.join("cluster")
    }

    /// A host's own files.
    pub fn host_dir(&self, host: &Host) -> PathBuf {
        self.dir.join(&host.name)
    }

    /// What a host keeps when it is rebooted: containers, images, settings. Only where Kubernetes
    /// runs.
    pub fn disk(&self, host: &Host) -> PathBuf {
        self.disks().join(&host.name)
    }

    /// The disks of all hosts.
    pub fn disks(&self) -> PathBuf {
        Path::new(DISKS).join(&self.options.name)
    }

    /// Keys, certificates and kubeconfigs of the lab's Kubernetes.
    pub fn kubernetes_dir(&self) -> PathBuf {
        self.dir.join("kubernetes")
    }

    /// OVN central's run directory, with `ovnnb_db.sock` and `ovnsb_db.sock`.
    pub fn central_run(&self) -> PathBuf {
        self.dir.join("central")
    }

    /// A log by component.
    pub fn log(&self, component: &str) -> PathBuf {
        log_in(&self.dir, component)
    }
}

/// The log of a component (`central/northd`, `node-1/agent`).
pub fn log_in(dir: &Path, component: &str) -> PathBuf {
    dir.join("log").join(format!("{component}.log"))
}

fn v4(a: u8, b: u8, last: u8) -> IpNetwork {
    net4([a, b, 0, last], 24)
}

fn v6(network: u16, last: u8) -> IpNetwork {
    // 0x30 and 0x31, to read like their IPv4 counterparts 172.30 and 172.31.
    let network = if network == 30 { 0x30 } else { 0x31 };
    let ip = Ipv6Addr::new(0xfd00, 0x172, network, 0, 0, 0, 0, u16::from(last));
    IpNetwork::V6(Ipv6Network::new(ip, 64).expect("64 is a prefix length"))
}

fn net4(ip: [u8; 4], prefix: u8) -> IpNetwork {
    IpNetwork::V4(Ipv4Network::new(ip.into(), prefix).expect("a prefix length of at most 32"))
}

fn net6(ip: [u16; 4], prefix: u8) -> IpNetwork {
    let ip = Ipv6Addr::new(ip[0], ip[1], ip[2], ip[3], 0, 0, 0, 0);
    IpNetwork::V6(Ipv6Network::new(ip, prefix).expect("a prefix length of at most 128"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(families: Families) -> Plan {
        let options = Options {
            name: "default".into(),
            hosts: 3,
            families,
            bare: false,
            kubernetes: None,
        };
        Plan::new(options, Path::new("/run/meridian-lab/default"), (1..=3).collect())
    }

    #[test]
    fn a_dual_stack_host_has_both_families_everywhere_and_tunnels_over_ipv4() {
        let plan = plan(Families::Dual);
        let host = plan.host("node-2").unwrap();
        let text = |v: Vec<IpNetwork>| v.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text(plan.node_ips(&host)), ["172.30.0.12/24", "fd00:172:30::c/64"]);
        assert_eq!(text(plan.pod_cidrs(&host)), ["10.244.2.0/24", "fd00:10:244:2::/64"]);
        assert_eq!(plan.encap_ip(&host).to_string(), "172.31.0.12");
    }

    #[test]
    fn the_management_address_is_the_second_of_the_slice() {
        let plan = plan(Families::Dual);
        let host = plan.host("node-1").unwrap();
        let ips: Vec<_> = plan.management_ips(&host).iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["10.244.1.2", "fd00:10:244:1::2"]);
    }

    #[test]
    fn addresses_of_load_balancers_are_no_hosts_and_not_the_gateways() {
        let plan = plan(Families::Dual);
        assert_eq!(
            plan.pool(),
            ["172.30.0.220-172.30.0.249", "fd00:172:30::dc-fd00:172:30::f9"]
        );
        assert!(CENTRAL + MAX_HOSTS < POOL[0] && POOL[1] < GATEWAY);
    }

    #[test]
    fn six_hosts_are_two_in_each_of_three_zones() {
        let zones: Vec<_> = (1..=6).map(|index| Host::of(index).zone()).collect();
        assert_eq!(zones, ["zone-1", "zone-2", "zone-3", "zone-1", "zone-2", "zone-3"]);
    }

    #[test]
    fn only_the_default_lab_goes_without_its_name() {
        let mut plan = plan(Families::V4);
        assert_eq!(plan.netns("node-1"), "mlab-node-1");
        plan.options.name = "t1".into();
        assert_eq!(plan.netns("node-1"), "mlab-t1-node-1");
    }

    #[test]
    fn an_ipv6_remote_is_bracketed() {
        assert_eq!(plan(Families::V6).central_remote(6642), "tcp:[fd00:172:30::a]:6642");
    }
}
