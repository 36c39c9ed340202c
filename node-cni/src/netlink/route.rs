//! Routes of the main table.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use nix::libc;

use super::wire::{self, Message};
use super::{NetlinkError, Rtnetlink, address_from, family_of, octets};

const RTMSG: usize = 12;
/// `RTNH_F_ONLINK`: the gateway answers on the device though no address of it covers the gateway.
const ONLINK: u32 = 4;
/// `RTM_F_CLONED`: a cached exception (path MTU, redirect), not a configured route.
const CLONED: u32 = 0x200;
/// A number of no other routing daemon in iproute2's `rt_protos`; marks the host routes that the
/// agent owns and may therefore delete.
const MERIDIAN_PROTOCOL: u8 = 0x4d;

/// Who put a route there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteOwner {
    /// Configuration inside a pod, like a person's with `ip route` (`proto static`).
    Static,
    /// The node agent.
    Meridian,
    /// Somebody else: the kernel, an administrator, a routing daemon.
    Other,
}

/// A unicast route through a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The device.
    pub index: u32,
    /// Where to; `0.0.0.0/0` or `::/0` for a default route.
    pub destination: IpNetwork,
    /// The next hop; none on the device's own network.
    pub gateway: Option<IpAddr>,
    /// The source address the host uses by default.
    pub source: Option<IpAddr>,
    /// Who put it there.
    pub owner: RouteOwner,
}

impl Rtnetlink {
    /// Sets a route, in place of one with the same destination and metric.
    ///
    /// `onlink` tells the kernel to believe that the gateway is on the device.
    pub fn set_route(&mut self, route: &Route, onlink: bool) -> Result<(), NetlinkError> {
        let mut message = Message::new(
            libc::RTM_NEWROUTE,
            wire::CREATE | wire::REPLACE,
            &rtmsg(route, if onlink { ONLINK } else { 0 }),
        );
        attributes(&mut message, route);
        if let Some(source) = route.source {
            message.bytes(libc::RTA_PREFSRC, &octets(source));
        }
        let operation = || match route.gateway {
            Some(gateway) => format!("set route {} via {gateway}", route.destination),
            None => format!("set route {}", route.destination),
        };
        self.socket.request(&operation, message).map(drop)
    }

    /// Deletes a route; an absent one is no error.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let mut message = Message::new(libc::RTM_DELROUTE, 0, &rtmsg(route, 0));
        attributes(&mut message, route);
        let operation = || format!("delete route {}", route.destination);
        match self.socket.request(&operation, message) {
            Err(error) if error.errno() == Some(Errno::ESRCH) => Ok(()),
            other => other.map(drop),
        }
    }

    /// The unicast routes of the main table.
    pub fn routes(&mut self) -> Result<Vec<Route>, NetlinkError> {
        let message = Message::new(libc::RTM_GETROUTE, 0, &[0; RTMSG]);
        let answers = self.socket.dump(&|| "list routes".to_owned(), message)?;
        Ok(answers.iter().filter_map(|(_, payload)| parse(payload)).collect())
    }
}

fn rtmsg(route: &Route, flags: u32) -> [u8; RTMSG] {
    let mut fixed = [0; RTMSG];
    fixed[0] = family_of(route.destination.ip());
    fixed[1] = route.destination.prefix();
    fixed[4] = libc::RT_TABLE_MAIN;
    fixed[5] = match route.owner {
        RouteOwner::Static | RouteOwner::Other => libc::RTPROT_STATIC,
        RouteOwner::Meridian => MERIDIAN_PROTOCOL,
    };
    fixed[6] = match route.gateway {
        Some(_) => libc::RT_SCOPE_UNIVERSE,
        None => libc::RT_SCOPE_LINK,
    };
    fixed[7] = libc::RTN_UNICAST;
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed
}

fn attributes(message: &mut Message, route: &Route) {
    if route.destination.prefix() > 0 {
        message.bytes(libc::RTA_DST, &octets(route.destination.network()));
    }
    if let Some(gateway) = route.gateway {
        message.bytes(libc::RTA_GATEWAY, &octets(gateway));
    }
    message.u32(libc::RTA_OIF, route.index);
}

fn parse(payload: &[u8]) -> Option<Route> {
    let fixed = payload.get(..RTMSG)?;
    let flags = wire::u32_at(fixed, 8)?;
    if fixed[4] != libc::RT_TABLE_MAIN || fixed[7] != libc::RTN_UNICAST || flags & CLONED != 0 {
        return None;
    }
    let any = if i32::from(fixed[0]) == libc::AF_INET {
        IpAddr::from([0; 4])
    } else {
        IpAddr::from([0; 16])
    };
    let (mut index, mut destination, mut gateway, mut source) = (None, any, None, None);
    for (kind, value) in wire::attributes(payload, RTMSG) {
        match kind {
            libc::RTA_DST => destination = address_from(value)?,
            libc::RTA_GATEWAY => gateway = address_from(value),
            libc::RTA_PREFSRC => source = address_from(value),
            libc::RTA_OIF => index = wire::u32_at(value, 0),
            _ => {}
        }
    }
    Some(Route {
        // Multipath routes have no single device and are never ours.
        index: index?,
        destination: IpNetwork::new(destination, fixed[1]).ok()?,
        gateway,
        source,
        owner: match fixed[5] {
            MERIDIAN_PROTOCOL => RouteOwner::Meridian,
            libc::RTPROT_STATIC => RouteOwner::Static,
            _ => RouteOwner::Other,
        },
    })
}
