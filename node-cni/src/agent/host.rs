//! The host's network stack: uplink, management devices, routes, forwarding.
//!
//! Everything here compares before it sets, and blocks for some milliseconds. What it sets comes back as notifications;
//! a second look that finds nothing to do ends that.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_api::port::PortFacts;

use crate::netlink::{self, NetlinkError, Route, RouteOwner, Rtnetlink};
use crate::sysctl::{self, SysctlError};

/// A management port's device on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) facts: PortFacts,
    pub(super) userspace: bool,
    /// The host reaches pods' hostPort under 127.0.0.1 through it.
    pub(super) local_host_ports: bool,
    /// Pods of this node that are on none of its networks, see [`super::off_link`].
    pub(super) pods: Vec<IpAddr>,
}

impl Device {
    /// Whether it leads into the VPC that every cluster starts with.
    pub(super) fn is_default(&self) -> bool {
        self.facts.is_of_default_vpc()
    }

    /// What does not change when a pod comes or goes.
    pub(super) fn without_pods(&self) -> Self {
        Self {
            pods: Vec::new(),
            ..self.clone()
        }
    }
}

/// Why the host is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum HostError {
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
}

/// MTU of the device that has the tunnel address, if one has.
pub(super) fn uplink_mtu(encap_ip: IpAddr) -> Result<Option<u32>, NetlinkError> {
    let mut rtnetlink = Rtnetlink::open()?;
    let addresses = rtnetlink.addresses()?;
    let Some(address) = addresses.iter().find(|address| address.network.ip() == encap_ip) else {
        return Ok(None);
    };
    let links = rtnetlink.links()?;
    Ok(links
        .iter()
        .find(|link| link.index == address.index)
        .map(|link| link.mtu))
}

/// Lets the host route between its pods and the rest of the world.
pub(super) fn enable_forwarding() -> Result<(), SysctlError> {
    sysctl::set("ipv4/ip_forward", "1")?;
    if sysctl::get("ipv6/conf/all/forwarding").as_deref() == Some("0") {
        // A host that forwards ignores router advertisements, from which it may have its default route; 2 is
        // "even if forwarding".
        for device in sysctl::entries("ipv6/conf") {
            let key = format!("ipv6/conf/{device}/accept_ra");
            if sysctl::get(&key).as_deref() == Some("1") {
                sysctl::set(&key, "2")?;
            }
        }
    }
    sysctl::set("ipv6/conf/all/forwarding", "1")
}

/// Configures the devices; yields the names of those that are wholly in place. One that Open vSwitch has not made yet
/// is not an error: its appearance is notified.
pub(super) fn configure(devices: &[Device]) -> (Vec<String>, Vec<String>) {
    let mut configured = Vec::new();
    let mut problems = Vec::new();
    let result = Rtnetlink::open().and_then(|mut rtnetlink| {
        let mut wanted_routes = Vec::new();
        for device in devices {
            match configure_device(&mut rtnetlink, device, &mut wanted_routes) {
                Ok(true) => configured.push(device.name.clone()),
                Ok(false) => {}
                Err(error) => problems.push(format!("device {}: {error}", device.name)),
            }
        }
        remove_stale_routes(&mut rtnetlink, &wanted_routes)
    });
    if let Err(error) = result {
        problems.push(error.to_string());
    }
    (configured, problems)
}

fn configure_device(
    rtnetlink: &mut Rtnetlink,
    device: &Device,
    wanted_routes: &mut Vec<Route>,
) -> Result<bool, HostError> {
    let Some(link) = rtnetlink.link(&device.name)? else {
        return Ok(false);
    };
    let facts = &device.facts;
    if facts.ips.iter().any(IpNetwork::is_ipv6) || facts.routes.iter().any(|route| route.via.is_ipv6()) {
        sysctl::set(&format!("ipv6/conf/{}/disable_ipv6", device.name), "0")?;
        // Until its link-local address has been looked for elsewhere, a host asks for no neighbour of a packet that it forwards;
        // a VPC's first pod on a node would wait for that. Nobody else has the address: it follows from the MAC.
        sysctl::set(&format!("ipv6/conf/{}/accept_dad", device.name), "0")?;
    }
    sysctl::set(&format!("ipv6/conf/{}/accept_ra", device.name), "0")?;
    if device.local_host_ports {
        // `portmap` sets it, too, but a device that Open vSwitch makes anew has lost it. That nothing comes in with such an
        // address is for the nftables rules to see to.
        sysctl::set(&format!("ipv4/conf/{}/route_localnet", device.name), "1")?;
    }
    if !facts.sources.is_empty() {
        // What the host sends to a service that nobody has it refuses itself, when it comes back by the other port; the
        // refusal has an address of the host's own.
        sysctl::set(&format!("ipv4/conf/{}/accept_local", device.name), "1")?;
    }
    if device.userspace {
        netlink::disable_tx_checksum(&device.name)?;
    }
    if !link.up {
        rtnetlink.set_up(link.index, None)?;
    }
    let current: Vec<_> = rtnetlink.addresses()?;
    let on_device = || current.iter().filter(|address| address.index == link.index);
    for stale in on_device().filter(|address| address.permanent && !address.link_local) {
        if !facts.ips.contains(&stale.network) {
            rtnetlink.delete_address(link.index, stale.network)?;
        }
    }
    for ip in &facts.ips {
        if !on_device().any(|address| address.network == *ip) {
            rtnetlink.add_address(link.index, *ip)?;
        }
    }
    let current = rtnetlink.routes()?;
    for route in &facts.routes {
        let source = own_address(facts, route.via.is_ipv4());
        let wanted = Route {
            index: link.index,
            destination: route.destination,
            gateway: Some(route.via),
            source,
            owner: RouteOwner::Meridian,
        };
        if !current.contains(&wanted) {
            let onlink = !facts.ips.iter().any(|ip| ip.contains(route.via));
            rtnetlink.set_route(&wanted, onlink)?;
        }
        wanted_routes.push(wanted);
    }
    for &pod in &device.pods {
        let Some(gateway) = router(facts, pod.is_ipv4()) else {
            continue;
        };
        let wanted = Route {
            index: link.index,
            destination: pod.into(),
            gateway: Some(gateway),
            source: own_address(facts, pod.is_ipv4()),
            owner: RouteOwner::Meridian,
        };
        if !current.contains(&wanted) {
            rtnetlink.set_route(&wanted, false)?;
        }
        wanted_routes.push(wanted);
    }
    // In userspace the device outlives the ovs-vswitchd that made it, without carrier. That it gets one is notified.
    Ok(link.up && link.carrier)
}

/// The router of the slice that a management port is in, for one family: the first address of its network, unless the facts say
/// another. None of a port without a network.
pub(super) fn router(facts: &PortFacts, v4: bool) -> Option<IpAddr> {
    let told = facts.gateways.iter().find(|gateway| gateway.is_ipv4() == v4);
    let first = || match facts.ips.iter().find(|ip| ip.is_ipv4() == v4)? {
        IpNetwork::V4(network) if network.prefix() < 31 => network.nth(1).map(IpAddr::from),
        IpNetwork::V6(network) if network.prefix() < 127 => network.nth(1).map(IpAddr::from),
        IpNetwork::V4(_) | IpNetwork::V6(_) => None,
    };
    told.copied().or_else(first)
}

fn own_address(facts: &PortFacts, v4: bool) -> Option<IpAddr> {
    let mut own = facts.ips.iter().map(IpNetwork::ip);
    own.find(|ip| ip.is_ipv4() == v4)
}

/// The single addresses that the agent has set routes to, with the device of each.
pub(super) fn routed_addresses() -> Result<Vec<(IpAddr, String)>, NetlinkError> {
    let mut rtnetlink = Rtnetlink::open()?;
    let links = rtnetlink.links()?;
    let routed = rtnetlink.routes()?.into_iter().filter_map(|route| {
        let single = IpNetwork::from(route.destination.ip()) == route.destination;
        let link = links.iter().find(|link| link.index == route.index)?;
        (single && route.owner == RouteOwner::Meridian).then(|| (route.destination.ip(), link.name.clone()))
    });
    Ok(routed.collect())
}

/// Routes that we set once and nobody wants any more; those of others are never touched.
fn remove_stale_routes(rtnetlink: &mut Rtnetlink, wanted: &[Route]) -> Result<(), NetlinkError> {
    for route in rtnetlink.routes()? {
        if route.owner == RouteOwner::Meridian && !wanted.contains(&route) {
            rtnetlink.delete_route(&route)?;
        }
    }
    Ok(())
}
