//! Pods of this node that are on none of the host's networks: those in Subnets, whose switches all nodes have together.
//!
//! The host reaches each of them by a route of its own, through the router of its VPC's slice. Must not do I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use meridian_api::hosts::HostFacts;
use meridian_api::port::PortFacts;

use super::host;

/// A pod's port on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodPort {
    pub(super) name: String,
    /// The VPC, if it is not the default one.
    pub(super) vpc: Option<String>,
    pub(super) ips: Vec<IpAddr>,
}

/// Which port of the node has which address. VPCs may have the same addresses, but the host has one way to each.
#[derive(Debug, Default)]
pub(super) struct OffLink {
    holders: BTreeMap<IpAddr, Holder>,
    problems: Vec<String>,
}

/// Who has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    /// The pod's port; none of a route that was there before this agent.
    port: Option<String>,
    /// The device that leads to it.
    device: String,
}

impl OffLink {
    /// That of an agent that finds such routes: to an address, by a device.
    pub(super) fn found(routes: impl IntoIterator<Item = (IpAddr, String)>) -> Self {
        let holder = |(address, device)| (address, Holder { port: None, device });
        Self {
            holders: routes.into_iter().map(holder).collect(),
            problems: Vec::new(),
        }
    }

    /// Settles who has which address; `devices` are the host's own, by name. Whoever has one keeps it.
    pub(super) fn settle(&mut self, devices: &[(String, &PortFacts)], pods: &[PodPort], hosts: &HostFacts) {
        let mut claims: BTreeMap<IpAddr, BTreeSet<(&str, &str)>> = BTreeMap::new();
        for pod in pods {
            for &address in &pod.ips {
                // A slice comes to a node with its first pod there, and may do so after it.
                let Some((device, facts)) = way(devices, pod, address) else {
                    continue;
                };
                if !is_on_link(facts, address) {
                    claims.entry(address).or_default().insert((&pod.name, device));
                }
            }
        }
        let before = std::mem::take(&mut self.holders);
        self.problems.clear();
        for (address, claims) in claims {
            let (port, device) = choose(&claims, before.get(&address));
            let others = claims.iter().filter(|(other, _)| *other != port);
            self.problems.extend(others.map(|(other, _)| {
                format!(
                    "port {other}: port {port} has its address {address} on this node, too, and was there before: the host does \
                     not reach the pod, nor does the pod reach anything beyond its VPC; put one of the two on another node"
                )
            }));
            if let Some(what) = taken(devices, device, hosts, address) {
                self.problems.push(format!(
                    "port {port}: its address {address} is {what}: the host does not reach the pod, nor does the pod reach \
                     anything beyond its VPC; take another network for its Subnet"
                ));
                continue;
            }
            let holder = Holder {
                port: Some(port.to_owned()),
                device: device.to_owned(),
            };
            self.holders.insert(address, holder);
        }
    }

    /// The addresses that the host reaches by a device, sorted.
    pub(super) fn by_device(&self, device: &str) -> Vec<IpAddr> {
        let held = self.holders.iter().filter(|(_, holder)| holder.device == device);
        held.map(|(address, _)| *address).collect()
    }

    /// What is wrong with single pods. The node is no worse for it: who may make pods could otherwise take it from the scheduler.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// The host's device in a pod's VPC.
fn way<'a>(devices: &'a [(String, &PortFacts)], pod: &PodPort, address: IpAddr) -> Option<(&'a str, &'a PortFacts)> {
    let of_vpc = |facts: &PortFacts| facts.vpc.as_ref().map(|vpc| &vpc.name) == pod.vpc.as_ref();
    let mut devices = devices.iter();
    let found = devices.find(|(_, facts)| of_vpc(facts) && host::router(facts, address.is_ipv4()).is_some());
    found.map(|(device, facts)| (&**device, *facts))
}

fn is_on_link(facts: &PortFacts, address: IpAddr) -> bool {
    facts.ips.iter().any(|network| network.contains(address))
}

fn choose<'a>(claims: &BTreeSet<(&'a str, &'a str)>, before: Option<&Holder>) -> (&'a str, &'a str) {
    let claimed = |by: &dyn Fn(&Holder, &(&str, &str)) -> bool| {
        let before = before?;
        claims.iter().copied().find(|claim| by(before, claim))
    };
    claimed(&|before, (port, _)| before.port.as_deref() == Some(*port))
        .or_else(|| claimed(&|before, (_, device)| before.device == *device))
        .or_else(|| claims.first().copied())
        .expect("an address is there because of a claim")
}

/// What else the host knows by an address.
fn taken(devices: &[(String, &PortFacts)], own: &str, hosts: &HostFacts, address: IpAddr) -> Option<String> {
    if hosts.addresses.contains(&address) {
        return Some("that of a host of the cluster".to_owned());
    }
    let mut others = devices.iter().filter(|(device, _)| device != own);
    others.find_map(|(device, facts)| {
        let to = |network: &ipnetwork::IpNetwork| network.contains(address);
        let mut networks = facts
            .ips
            .iter()
            .chain(facts.routes.iter().map(|route| &route.destination));
        let network = networks.find(|network| to(network))?;
        Some(format!("in {network}, to which device {device} leads"))
    })
}

#[cfg(test)]
mod tests {
    use meridian_api::port::{PortKind, Route, VpcFacts};

    use super::*;

    fn facts(vpc: Option<&str>, ips: &[&str]) -> PortFacts {
        PortFacts {
            ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
            vpc: vpc.map(|name| VpcFacts {
                name: name.into(),
                services: true,
                outside: true,
                networks: vec![],
            }),
            ..PortFacts::new(PortKind::Management, "0a:58:0a:08:01:02")
        }
    }

    /// The host's ports in the default VPC, `blue` and `green`.
    fn ports() -> Vec<(String, PortFacts)> {
        let route = |destination: &str| Route {
            destination: destination.parse().unwrap(),
            via: "10.244.1.1".parse().unwrap(),
        };
        let mut management = facts(None, &["10.244.1.2/24"]);
        management.routes = vec![route("10.244.0.0/16")];
        let mut services = facts(None, &["169.254.77.2/32"]);
        services.routes = vec![route("10.96.0.0/16")];
        vec![
            ("meridian0".into(), management),
            ("meridian1".into(), services),
            (
                "mrmblue".into(),
                facts(Some("blue"), &["10.8.1.2/24", "fd00:8:1::2/64"]),
            ),
            ("mrmgreen".into(), facts(Some("green"), &["10.9.1.2/24"])),
        ]
    }

    fn pod(name: &str, vpc: Option<&str>, ips: &[&str]) -> PodPort {
        PodPort {
            name: name.into(),
            vpc: vpc.map(str::to_owned),
            ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        }
    }

    fn settle(off_link: &mut OffLink, pods: &[PodPort]) {
        let hosts = HostFacts {
            addresses: ["192.0.2.11".parse().unwrap()].into(),
            ..HostFacts::default()
        };
        let ports = ports();
        let devices: Vec<_> = ports.iter().map(|(name, facts)| (name.clone(), facts)).collect();
        off_link.settle(&devices, pods, &hosts);
    }

    fn by_device(off_link: &OffLink, device: &str) -> Vec<String> {
        off_link.by_device(device).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn a_pod_beyond_the_slice_is_reached_by_its_vpcs_device() {
        let mut off_link = OffLink::default();
        let pods = [
            pod("a_slice", Some("blue"), &["10.8.1.9", "fd00:8:1::9"]),
            pod("a_subnet", Some("blue"), &["10.20.0.5", "fd00:20::5"]),
            pod("a_default", None, &["10.20.1.5"]),
            pod("a_red", Some("red"), &["10.20.2.5"]),
            // Of a family that its VPC has nothing of here.
            pod("a_green", Some("green"), &["fd00:21::5"]),
        ];
        settle(&mut off_link, &pods);
        assert_eq!(by_device(&off_link, "mrmblue"), ["10.20.0.5", "fd00:20::5"]);
        assert_eq!(by_device(&off_link, "meridian0"), ["10.20.1.5"]);
        assert_eq!(by_device(&off_link, "meridian1"), [""; 0]);
        assert_eq!(by_device(&off_link, "mrmgreen"), [""; 0]);
        assert_eq!(off_link.problems(), [""; 0]);
        settle(&mut off_link, &pods[..1]);
        assert_eq!(by_device(&off_link, "mrmblue"), [""; 0]);
    }

    #[test]
    fn of_two_pods_with_one_address_the_first_stays() {
        let mut off_link = OffLink::default();
        let (first, other) = (
            pod("b_first", Some("green"), &["10.20.0.5"]),
            pod("a_other", Some("blue"), &["10.20.0.5"]),
        );
        settle(&mut off_link, std::slice::from_ref(&first));
        settle(&mut off_link, &[other.clone(), first]);
        assert_eq!(by_device(&off_link, "mrmgreen"), ["10.20.0.5"]);
        assert_eq!(by_device(&off_link, "mrmblue"), [""; 0]);
        let [problem] = off_link.problems() else {
            panic!("{:?}", off_link.problems())
        };
        assert!(
            problem.starts_with("port a_other: port b_first has its address 10.20.0.5"),
            "{problem}"
        );
        settle(&mut off_link, &[other]);
        assert_eq!(by_device(&off_link, "mrmblue"), ["10.20.0.5"]);
        assert_eq!(off_link.problems(), [""; 0]);
    }

    #[test]
    fn who_had_the_address_under_the_agent_before_keeps_it() {
        let mut off_link = OffLink::found([("10.20.0.5".parse().unwrap(), "mrmgreen".to_owned())]);
        let pods = [
            pod("a_other", Some("blue"), &["10.20.0.5"]),
            pod("b_first", Some("green"), &["10.20.0.5"]),
        ];
        settle(&mut off_link, &pods);
        assert_eq!(by_device(&off_link, "mrmgreen"), ["10.20.0.5"]);
    }

    #[test]
    fn what_the_host_knows_by_an_address_is_not_taken_from_it() {
        for (address, what) in [
            ("10.9.1.7", "10.9.1.2/24, to which device mrmgreen leads"),
            ("10.244.7.4", "10.244.0.0/16, to which device meridian0 leads"),
            ("10.96.0.1", "10.96.0.0/16, to which device meridian1 leads"),
            ("192.0.2.11", "a host of the cluster"),
        ] {
            let mut off_link = OffLink::default();
            settle(&mut off_link, &[pod("a_web", Some("blue"), &[address])]);
            assert_eq!(by_device(&off_link, "mrmblue"), [""; 0], "{address}");
            let [problem] = off_link.problems() else {
                panic!("{address}: {:?}", off_link.problems())
            };
            assert!(problem.contains(what), "{problem}");
        }
    }
}
