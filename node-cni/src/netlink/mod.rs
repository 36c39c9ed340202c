//! The kernel's network configuration, by blocking netlink: links, addresses, routes, rate limits, offloads,
//! shields, tracked connections.
//!
//! Written against the wire format rather than one of the packet crates: those decode whole
//! messages strictly, so an attribute that a newer kernel enlarged fails a dump of which we need
//! four fields; and neither nftables nor ethtool messages are in them anyway.
//!
//! Must not know CNI, OVN or Open vSwitch.

mod address;
mod conntrack;
mod ethtool;
mod link;
mod qdisc;
mod route;
mod ruleset;
mod shield;
mod socket;
mod watch;
mod wire;

pub use address::Address;
pub use conntrack::{Connection, Conntrack, Tuple};
pub use ethtool::{disable_tx_checksum, family_exists};
pub use link::{Link, Mac, Veth};
pub use qdisc::TokenBucket;
pub use route::{Route, RouteOwner};
pub use ruleset::ruleset_generation;
pub use shield::{shield, shielded, unshield};
pub use socket::NetlinkError;
pub use watch::{Watch, wait};

use std::net::IpAddr;

use nix::libc;
use nix::sys::socket::SockProtocol;

/// Links, addresses and routes of the network namespace it was opened in.
#[derive(Debug)]
pub struct Rtnetlink {
    socket: socket::Socket,
}

impl Rtnetlink {
    /// Opens it in the calling thread's network namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            socket: socket::Socket::open(SockProtocol::NetlinkRoute)?,
        })
    }
}

fn family_of(address: IpAddr) -> u8 {
    let family = match address {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    u8::try_from(family).expect("address families are small numbers")
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address_from(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(octets));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
