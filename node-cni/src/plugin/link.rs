//! The pod's veth: the host's end and what is inside the pod.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_api::port::PortFacts;
use nix::errno::Errno;

use crate::cni::{Bandwidth, CniError, Code, Limit};
use crate::netlink::{self, Link, Mac, NetlinkError, Route, RouteOwner, Rtnetlink, TokenBucket, Veth};
use crate::netns::{Netns, NetnsError};
use crate::sysctl::{self, SysctlError};

/// Datapath type of a bridge that Open vSwitch forwards for in userspace.
pub const USERSPACE: &str = "netdev";

impl From<NetlinkError> for CniError {
    fn from(error: NetlinkError) -> Self {
        Self::new(Code::Io, error.to_string())
    }
}

impl From<NetnsError> for CniError {
    fn from(error: NetnsError) -> Self {
        let code = match error {
            NetnsError::Absent(_) => Code::UnknownContainer,
            NetnsError::Host(_) => Code::InvalidEnvironment,
            NetnsError::Open { .. } | NetnsError::Enter { .. } => Code::Io,
        };
        Self::new(code, error.to_string())
    }
}

impl From<SysctlError> for CniError {
    fn from(error: SysctlError) -> Self {
        Self::new(Code::Io, error.to_string())
    }
}

/// What a pod's interface is to be like.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// The host's end.
    pub(super) host: &'a str,
    /// The pod's end.
    pub(super) ifname: &'a str,
    pub(super) mac: Mac,
    pub(super) mtu: u16,
    pub(super) ips: &'a [IpNetwork],
    /// Destination and next hop, default routes included.
    pub(super) routes: Vec<(IpNetwork, IpAddr)>,
    pub(super) bandwidth: Bandwidth,
    /// Forwarded for in userspace?
    pub(super) userspace: bool,
}

/// Every route of the facts, default routes first.
pub(super) fn routes(facts: &PortFacts) -> Vec<(IpNetwork, IpAddr)> {
    let default = |gateway: IpAddr| {
        let any: IpAddr = match gateway {
            IpAddr::V4(_) => [0; 4].into(),
            IpAddr::V6(_) => [0; 16].into(),
        };
        let network = IpNetwork::new(any, 0).expect("nought is a prefix length of either family");
        (network, gateway)
    };
    let others = facts.routes.iter().map(|route| (route.destination, route.via));
    facts.gateways.iter().copied().map(default).chain(others).collect()
}

/// Creates the pair. Whatever had the host end's name was an earlier attempt of ours and is replaced.
pub(super) fn create(rtnetlink: &mut Rtnetlink, wanted: &Wanted<'_>, netns: &Netns) -> Result<(), CniError> {
    use std::os::fd::AsFd;

    // Not its shield, which would be made again at once.
    rtnetlink.delete_link(wanted.host)?;
    let veth = Veth {
        host: wanted.host,
        pod: wanted.ifname,
        netns: netns.as_fd(),
        mac: wanted.mac,
        mtu: wanted.mtu.into(),
    };
    rtnetlink.create_veth(&veth).map_err(|error| match error.errno() {
        // The host's end was free a moment ago.
        Some(Errno::EEXIST) => CniError::new(
            Code::Io,
            format!("the pod has an interface {} already, of another plugin", wanted.ifname),
        ),
        _ => error.into(),
    })
}

/// Makes the host's end a wire into Open vSwitch and nothing else, and sets it up.
pub(super) fn prepare_host_end(rtnetlink: &mut Rtnetlink, wanted: &Wanted<'_>, alias: &str) -> Result<Link, CniError> {
    let host = wanted.host;
    // With the userspace datapath the host's stack sees the pod's packets too. It must not answer for its own
    // addresses on this device: 8 is "never", and no IPv6 is no neighbour discovery.
    sysctl::set(&format!("ipv4/conf/{host}/arp_ignore"), "8")?;
    sysctl::set(&format!("ipv6/conf/{host}/disable_ipv6"), "1")?;
    if wanted.userspace {
        netlink::shield(host)?;
    }
    let link = rtnetlink
        .link(host)?
        .ok_or_else(|| CniError::new(Code::Io, format!("{host} has gone as soon as it was made")))?;
    // What leaves through this end enters the pod.
    limit(rtnetlink, &link, wanted.bandwidth.ingress)?;
    rtnetlink.set_up(link.index, Some(alias))?;
    Ok(link)
}

/// Configures the pod's end. Call it inside the pod's network namespace.
pub(super) fn configure_pod(wanted: &Wanted<'_>) -> Result<(), CniError> {
    let ifname = wanted.ifname;
    let mut rtnetlink = Rtnetlink::open()?;
    let link = rtnetlink
        .link(ifname)?
        .ok_or_else(|| CniError::new(Code::Io, format!("{ifname} has gone from the pod")))?;
    if wanted.ips.iter().any(IpNetwork::is_ipv6) {
        // Runtimes turn IPv6 off in new namespaces.
        sysctl::set(&format!("ipv6/conf/{ifname}/disable_ipv6"), "0")?;
    }
    // Addresses and routes are OVN's to give; a neighbour must not add to them. And no second of waiting before the
    // link-local address may be used: OVN gives a MAC once.
    sysctl::set(&format!("ipv6/conf/{ifname}/accept_ra"), "0")?;
    sysctl::set(&format!("ipv6/conf/{ifname}/dad_transmits"), "0")?;
    if wanted.userspace {
        netlink::disable_tx_checksum(ifname)?;
    }
    limit(&mut rtnetlink, &link, wanted.bandwidth.egress)?;
    for ip in wanted.ips {
        rtnetlink.add_address(link.index, *ip)?;
    }
    rtnetlink.set_up(link.index, None)?;
    for (destination, gateway) in &wanted.routes {
        let route = Route {
            index: link.index,
            destination: *destination,
            gateway: Some(*gateway),
            source: None,
            owner: RouteOwner::Static,
        };
        let onlink = !wanted.ips.iter().any(|ip| ip.contains(*gateway));
        rtnetlink.set_route(&route, onlink)?;
    }
    Ok(())
}

/// Limits what leaves through a device.
fn limit(rtnetlink: &mut Rtnetlink, link: &Link, limit: Option<Limit>) -> Result<(), CniError> {
    let Some(limit) = limit else {
        return Ok(());
    };
    let bucket = bucket(limit, link.mtu);
    rtnetlink
        .set_token_bucket(link, &bucket)
        .map_err(|error| match error.errno() {
            Some(Errno::ENOENT) => CniError::from(error).details("the kernel has no module sch_tbf"),
            _ => error.into(),
        })
}

/// The bucket that keeps a limit on a device.
///
/// By buckets at both ends of the veth, not by the reference plugin `bandwidth`: that redirects what a pod sends to a device
/// of its own where it enters the host, after Open vSwitch's userspace datapath has read it. Not by Open vSwitch either: its
/// policing of what enters has the same fault, and its queues would be rows to look after for each pod.
pub(super) fn bucket(limit: Limit, mtu: u32) -> TokenBucket {
    /// Ethernet header and a VLAN tag.
    const HEADER: u32 = 18;
    /// Enough for TCP's first window. More with the rate: the kernel refills by timers that may be late.
    const LEAST_BURST: u64 = 32 * 1024;
    const BURSTS_A_SECOND: u64 = 50;
    /// How long packets may wait, as part of a second. And room for the largest packet that a pod hands over at once.
    const WAITS_A_SECOND: u64 = 20;
    const LARGEST_PACKET: u64 = 64 * 1024;
    let rate = limit.rate;
    let burst = limit.burst.unwrap_or((rate / BURSTS_A_SECOND).max(LEAST_BURST));
    // A packet that does not fit the bucket never passes.
    let burst = u32::try_from(burst).unwrap_or(u32::MAX).max(mtu + HEADER);
    let waiting = u32::try_from((rate / WAITS_A_SECOND).max(LARGEST_PACKET)).unwrap_or(u32::MAX);
    TokenBucket {
        rate,
        burst,
        limit: burst.saturating_add(waiting),
    }
}

/// Removes a host's end, its pod's end with it, and its shield. What is not there is no error.
pub(super) fn remove(rtnetlink: &mut Rtnetlink, host: &str) -> Result<bool, NetlinkError> {
    let existed = rtnetlink.delete_link(host)?;
    netlink::unshield(host)?;
    Ok(existed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_a_packet_and_its_queue_the_largest_a_pod_can_send() {
        let small = Limit {
            rate: 125,
            burst: Some(1),
        };
        let bucket = bucket(small, 1442);
        assert_eq!((bucket.rate, bucket.burst, bucket.limit), (125, 1460, 1460 + 64 * 1024));
    }

    #[test]
    fn without_a_burst_the_bucket_grows_with_the_rate() {
        let of = |rate| bucket(Limit { rate, burst: None }, 1442).burst;
        assert_eq!((of(125_000), of(125_000_000)), (32 * 1024, 2_500_000));
        // Four terabytes a second: sizes end at 32 bits, the rate does not.
        let fast = bucket(
            Limit {
                rate: 1 << 42,
                burst: None,
            },
            1442,
        );
        assert_eq!((fast.rate, fast.burst, fast.limit), (1 << 42, u32::MAX, u32::MAX));
    }
}
