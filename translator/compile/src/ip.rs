//! Arithmetic on addresses and networks of either family, and the MAC that goes with an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// Gateway, management port and the source of the host's connections to services come first in a slice.
const RESERVED: u128 = 3;

/// The network without host bits.
pub(crate) fn canonical(network: IpNetwork) -> IpNetwork {
    IpNetwork::new(network.network(), network.prefix()).expect("the prefix length was valid before")
}

/// Whether two networks share an address. Networks are nested or disjoint.
pub(crate) fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    contains(a, b) || contains(b, a)
}

/// Whether all of `inner` is in `outer`.
pub(crate) fn contains(outer: IpNetwork, inner: IpNetwork) -> bool {
    outer.is_ipv4() == inner.is_ipv4() && outer.prefix() <= inner.prefix() && outer.contains(inner.ip())
}

/// All addresses of a family.
pub(crate) fn everything(v4: bool) -> IpNetwork {
    let first = if v4 {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    IpNetwork::new(first, 0).expect("0 is a prefix length of either family")
}

/// An address with the prefix length of its network.
pub(crate) fn interface(network: IpNetwork, address: IpAddr) -> IpNetwork {
    IpNetwork::new(address, network.prefix()).expect("the network's own prefix length is valid")
}

/// Bits in an address of the network's family.
pub(crate) fn width(network: IpNetwork) -> u8 {
    if network.is_ipv4() { 32 } else { 128 }
}

/// The longest prefix whose networks have room for what is reserved. IPv4 loses the first and the last address, IPv6 the
/// first (the subnet-router anycast address).
pub(crate) fn longest_slice(network: IpNetwork) -> u8 {
    width(network) - if network.is_ipv4() { 3 } else { 2 }
}

/// The `n`th address of a network, counted from its first; the caller keeps `n` inside.
pub(crate) fn nth(network: IpNetwork, n: u128) -> IpAddr {
    match network.network() {
        IpAddr::V4(first) => {
            let n = u32::try_from(n).expect("an offset in an IPv4 network fits 32 bits");
            Ipv4Addr::from_bits(first.to_bits() + n).into()
        }
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() + n).into(),
    }
}

/// How far an address is into a network, if it is in it.
pub(crate) fn offset(network: IpNetwork, ip: IpAddr) -> Option<u128> {
    network.contains(ip).then(|| match (network.network(), ip) {
        (IpAddr::V4(first), IpAddr::V4(ip)) => u128::from(ip.to_bits() - first.to_bits()),
        (IpAddr::V6(first), IpAddr::V6(ip)) => ip.to_bits() - first.to_bits(),
        _ => unreachable!("a network contains only addresses of its family"),
    })
}

/// The `n`th network of `prefix` length in `outer`, if there are that many.
pub(crate) fn nth_subnet(outer: IpNetwork, prefix: u8, n: u128) -> Option<IpNetwork> {
    let bits = prefix.checked_sub(outer.prefix())?;
    let host_bits = width(outer).checked_sub(prefix)?;
    if bits < 128 && n >> bits != 0 {
        return None;
    }
    // Only 0 can be shifted by a full 128 bits: it is the sole subnet of ::/0 of length 0.
    let address = nth(outer, n.checked_shl(host_bits.into()).unwrap_or(0));
    Some(IpNetwork::new(address, prefix).expect("the prefix length was checked"))
}

/// The network of that prefix length that an address is in, if there are such networks.
pub(crate) fn network_around(address: IpAddr, prefix: u8) -> Option<IpNetwork> {
    IpNetwork::new(address, prefix).ok().map(canonical)
}

/// The router's address in a slice.
pub(crate) fn gateway(slice: IpNetwork) -> IpAddr {
    nth(slice, 1)
}

/// The host's own address in a slice.
pub(crate) fn management(slice: IpNetwork) -> IpAddr {
    nth(slice, 2)
}

/// The source of the host's connections to services, which come back to the host where their endpoint is one.
pub(crate) fn service_source(slice: IpNetwork) -> IpAddr {
    nth(slice, 3)
}

/// Offsets in a slice that pods may have, first and last; empty (first > last) in the smallest slice.
pub(crate) fn pod_offsets(slice: IpNetwork) -> (u128, u128) {
    let host_bits = width(slice) - slice.prefix();
    let last = 1u128.checked_shl(host_bits.into()).map_or(u128::MAX, |size| size - 1);
    // The last address of an IPv6 network is an address like any other.
    (RESERVED + 1, if slice.is_ipv4() { last - 1 } else { last })
}

/// The longest prefix of a Subnet that has room for the router and a pod.
pub(crate) fn longest_subnet(network: IpNetwork) -> u8 {
    width(network) - 2
}

/// Offsets in a Subnet that pods may have, the router's among them, first and last.
pub(crate) fn subnet_offsets(subnet: IpNetwork) -> (u128, u128) {
    (1, pod_offsets(subnet).1)
}

/// The MAC address that goes with an interface's addresses: from the IPv4 address where there is one, so that anyone
/// can recompute it; otherwise from a hash of the IPv6 address.
pub(crate) fn mac(ips: impl IntoIterator<Item = IpAddr>) -> String {
    let [a, b, c, d] = identifier(ips);
    format!("0a:58:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// Whether an address is of its link alone.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The link-local address that OVN gives a router port with the MAC address of these: RFC 4291, appendix A.
pub(crate) fn link_local(ips: impl IntoIterator<Item = IpAddr>) -> Ipv6Addr {
    let [a, b, c, d] = identifier(ips).map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0x0858, a << 8 | 0xff, 0xfe00 | b, c << 8 | d)
}

/// The last four octets of a MAC address.
fn identifier(ips: impl IntoIterator<Item = IpAddr>) -> [u8; 4] {
    let mut six = None;
    let mut four = None;
    for ip in ips {
        match ip {
            IpAddr::V4(ip) => four = four.or(Some(ip.octets())),
            IpAddr::V6(ip) => six = six.or(Some(fold(ip))),
        }
    }
    four.or(six).unwrap_or_default()
}

/// FNV-1a: stable across releases and machines, unlike the standard library's hashes.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The hash folded to 32 bits.
fn fold(ip: Ipv6Addr) -> [u8; 4] {
    let hash = hash(&ip.octets());
    let folded = (hash >> 32) ^ (hash & u64::from(u32::MAX));
    u32::try_from(folded).expect("both halves have 32 bits").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_router_port_has_the_link_local_address_of_its_mac() {
        assert_eq!(mac([ip("10.244.0.1")]), "0a:58:0a:f4:00:01");
        assert_eq!(link_local([ip("10.244.0.1")]), ip("fe80::858:aff:fef4:1"));
    }

    #[test]
    fn gateway_management_and_service_source_are_the_first_three_addresses() {
        assert_eq!(service_source(net("10.244.1.0/24")), ip("10.244.1.3"));
        assert_eq!(service_source(net("fd00::/64")), ip("fd00::3"));
        assert_eq!(
            (gateway(net("10.244.1.0/24")), management(net("10.244.1.0/24"))),
            (ip("10.244.1.1"), ip("10.244.1.2"))
        );
        assert_eq!(
            (gateway(net("fd00::/64")), management(net("fd00::/64"))),
            (ip("fd00::1"), ip("fd00::2"))
        );
    }

    #[test]
    fn pods_get_neither_network_nor_broadcast_address() {
        assert_eq!(pod_offsets(net("10.244.1.0/29")), (4, 6));
        assert_eq!(pod_offsets(net("fd00::/125")), (4, 7));
        assert_eq!(pod_offsets(net("fd00::/126")), (4, 3));
        assert_eq!(pod_offsets(net("::/0")), (4, u128::MAX));
    }

    #[test]
    fn subnets_are_counted_from_the_first() {
        assert_eq!(nth_subnet(net("10.244.0.0/16"), 24, 255), Some(net("10.244.255.0/24")));
        assert_eq!(nth_subnet(net("10.244.0.0/16"), 24, 256), None);
        assert_eq!(
            nth_subnet(net("fd00:10:244::/48"), 64, 2),
            Some(net("fd00:10:244:2::/64"))
        );
        assert_eq!(nth_subnet(net("10.244.0.0/24"), 24, 1), None);
    }

    #[test]
    fn networks_of_different_families_never_overlap() {
        assert!(!overlap(net("0.0.0.0/0"), net("::/0")));
        assert!(overlap(net("10.0.0.0/8"), net("10.244.0.0/16")));
        assert!(overlap(net("10.244.0.0/16"), net("10.0.0.0/8")));
    }

    #[test]
    fn an_offset_undoes_nth() {
        for slice in [net("10.244.1.0/24"), net("fd00::/64")] {
            assert_eq!(offset(slice, nth(slice, 77)), Some(77));
        }
        assert_eq!(offset(net("10.244.1.0/24"), ip("10.244.2.0")), None);
    }

    #[test]
    fn the_mac_follows_the_ipv4_address() {
        assert_eq!(mac([ip("fd00::5"), ip("10.244.0.5")]), "0a:58:0a:f4:00:05");
    }

    #[test]
    fn the_mac_of_an_ipv6_only_interface_is_stable() {
        assert_eq!(mac([ip("fd00::5")]), mac([ip("fd00::5")]));
        assert_ne!(mac([ip("fd00::5")]), mac([ip("fd00::6")]));
    }
}
