//! Which devices an address is announced on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::LinkAddr;

use super::frame::Mac;
use crate::name::is_of_other_vpc;
use crate::netlink::{NetlinkError, Rtnetlink};

/// A device with an Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) link: LinkAddr,
    pub(super) mac: Mac,
    /// Up, and somebody at its other end.
    pub(super) usable: bool,
}

/// What the host is made of.
#[derive(Debug, Default)]
pub(super) struct Devices {
    by_name: BTreeMap<String, Device>,
    /// Networks of devices, by the device's name.
    networks: Vec<(IpNetwork, String)>,
    /// The devices of default routes, of IPv4 and IPv6.
    defaults: [Option<String>; 2],
}

/// Why the host cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum DevicesError {
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error("list devices: {}", .0.desc())]
    List(#[from] nix::errno::Errno),
}

impl Devices {
    /// Looks at the calling thread's network namespace.
    pub(super) fn look() -> Result<Self, DevicesError> {
        let mut rtnetlink = Rtnetlink::open()?;
        let links = rtnetlink.links()?;
        let mut devices = Self::default();
        // They have link-layer addresses in the form that a packet socket is bound to.
        for interface in getifaddrs()? {
            let Some(link) = interface
                .address
                .as_ref()
                .and_then(|address| address.as_link_addr().copied())
            else {
                continue;
            };
            let found = links.iter().find(|other| other.name == interface.interface_name);
            let octets = link
                .addr()
                .filter(|octets| link.halen() == octets.len() && *octets != [0; 6]);
            if let (Some(found), Some(octets)) = (found, octets) {
                let device = Device {
                    link,
                    mac: Mac(octets),
                    usable: found.up && found.carrier,
                };
                devices.by_name.insert(interface.interface_name, device);
            }
        }
        let name = |index: u32| {
            let link = links.iter().find(|link| link.index == index)?;
            devices.by_name.contains_key(&link.name).then(|| link.name.clone())
        };
        // A VPC has what addresses it likes: one of a service that is also in its network is the world's.
        let networks: Vec<_> = rtnetlink
            .addresses()?
            .into_iter()
            .filter(|address| !address.link_local)
            .filter_map(|address| Some((address.network, name(address.index)?)))
            .filter(|(_, name)| !is_of_other_vpc(name))
            .collect();
        let mut defaults = [None, None];
        // The kernel lists those of a smaller metric first.
        for route in rtnetlink
            .routes()?
            .into_iter()
            .filter(|route| route.destination.prefix() == 0)
        {
            let slot = &mut defaults[usize::from(route.destination.is_ipv6())];
            *slot = slot.take().or_else(|| name(route.index));
        }
        devices.networks = networks;
        devices.defaults = defaults;
        Ok(devices)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Device> {
        self.by_name.get(name)
    }

    /// The names of devices to announce an address on. Those that somebody named are not all there, perhaps.
    pub(super) fn of(&self, address: IpAddr, chosen: &[String]) -> Vec<String> {
        if !chosen.is_empty() {
            return chosen.to_vec();
        }
        let inside = self.networks.iter().filter(|(network, _)| network.contains(address));
        let mut names: Vec<_> = inside.map(|(_, name)| name.clone()).collect();
        if names.is_empty() {
            names.extend(self.defaults[usize::from(address.is_ipv6())].clone());
        }
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_announced_where_its_network_is_or_else_where_the_default_route_goes() {
        let devices = Devices {
            by_name: BTreeMap::new(),
            networks: vec![
                ("192.0.2.1/24".parse().unwrap(), "eth1".to_owned()),
                ("192.0.2.3/24".parse().unwrap(), "eth1".to_owned()),
                ("192.0.2.2/25".parse().unwrap(), "eth0".to_owned()),
            ],
            defaults: [Some("eth0".to_owned()), None],
        };
        let of = |address: &str, named: &[String]| devices.of(address.parse().unwrap(), named);
        assert_eq!(of("192.0.2.7", &[]), ["eth0", "eth1"]);
        assert_eq!(of("192.0.2.200", &[]), ["eth1"]);
        assert_eq!(of("198.51.100.7", &[]), ["eth0"]);
        assert_eq!(of("2001:db8::7", &[]), [""; 0]);
        assert_eq!(of("192.0.2.7", &["eth5".to_owned()]), ["eth5"]);
    }
}
