//! The pod's veth: the host's end and what is inside the pod.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_api::port::PortFacts;
use nix::errno::Errno;

use crate::cni::{CniError, Code};
use crate::netlink::{self, Link, Mac, NetlinkError, Route, RouteOwner, Rtnetlink, Veth};
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

/// Removes a host's end, its pod's end with it, and its shield. What is not there is no error.
pub(super) fn remove(rtnetlink: &mut Rtnetlink, host: &str) -> Result<bool, NetlinkError> {
    let existed = rtnetlink.delete_link(host)?;
    netlink::unshield(host)?;
    Ok(existed)
}
