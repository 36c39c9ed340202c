//! Under which addresses hosts connect to services, as far as one host can tell. Must not do I/O.
//!
//! A host's source is an address of its slice that no pod has, and the same one of every slice. Which slices others have is not told
//! here: each is taken to be as long as this node's. With slices of several lengths, a host is taken for a pod where its slice is
//! shorter or longer, or a pod for a host where its slice holds several of this node's length.

use std::net::IpAddr;

use super::host::Device;

/// The part of an address by which a host's is told from its pods'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HostSource {
    pub(super) mask: IpAddr,
    pub(super) part: IpAddr,
}

impl HostSource {
    /// Of the default VPC's services, by family.
    pub(super) fn of(devices: &[Device]) -> Vec<Self> {
        let default = || devices.iter().filter(|device| device.is_default());
        let sources = default().flat_map(|device| &device.facts.sources);
        let mut addresses: Vec<IpAddr> = sources.map(|source| source.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let found = addresses.into_iter().filter_map(|address| {
            let mut slices = default().flat_map(|device| &device.facts.ips);
            let slice = slices.find(|slice| slice.contains(address))?;
            Self::new(address, slice.mask())
        });
        found.collect()
    }

    fn new(address: IpAddr, network: IpAddr) -> Option<Self> {
        let (mask, part) = match (address, network) {
            (IpAddr::V4(address), IpAddr::V4(network)) => ((!network).into(), (address & !network).into()),
            (IpAddr::V6(address), IpAddr::V6(network)) => ((!network).into(), (address & !network).into()),
            _ => return None,
        };
        Some(Self { mask, part })
    }

    pub(super) fn is_ipv4(&self) -> bool {
        self.mask.is_ipv4()
    }

    pub(super) fn is_of(&self, address: IpAddr) -> bool {
        match (address, self.mask, self.part) {
            (IpAddr::V4(address), IpAddr::V4(mask), IpAddr::V4(part)) => address & mask == part,
            (IpAddr::V6(address), IpAddr::V6(mask), IpAddr::V6(part)) => address & mask == part,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_pods_in_slices_of_this_nodes_length() {
        let of = |address: &str, mask: &str| HostSource::new(address.parse().unwrap(), mask.parse().unwrap()).unwrap();
        for (source, host, pod) in [
            (of("10.244.1.3", "255.255.255.0"), "10.244.7.3", "10.244.7.4"),
            (of("fd00:1::3", "ffff:ffff:ffff:ffff::"), "fd00:7::3", "fd00:7::1:3"),
        ] {
            assert!(source.is_of(host.parse().unwrap()), "{host}");
            assert!(!source.is_of(pod.parse().unwrap()), "{pod}");
        }
        assert!(!of("10.244.1.3", "255.255.255.0").is_of("::3".parse().unwrap()));
    }
}
