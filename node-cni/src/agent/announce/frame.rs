//! Ethernet frames about an address, whichever of the two protocols they are of.

use std::fmt;
use std::net::IpAddr;

use super::words::{Heard, Say};
use super::{arp, nd};

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Mac(pub(super) [u8; 6]);

impl Mac {
    pub(super) const BROADCAST: Self = Self([0xff; 6]);

    /// Whether frames to it are for many.
    pub(super) fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, octet) in self.0.iter().enumerate() {
            let colon = if position == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Length of an Ethernet header.
pub(super) const HEADER: usize = 14;

/// A frame with its header, for a payload of a protocol.
pub(super) fn ethernet(to: Mac, from: Mac, protocol: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER + payload.len());
    frame.extend(to.0);
    frame.extend(from.0);
    frame.extend(protocol.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Destination, source, protocol and payload of a frame.
pub(super) fn split(frame: &[u8]) -> Option<(Mac, Mac, u16, &[u8])> {
    let (header, payload) = frame.split_first_chunk::<HEADER>()?;
    let mac = |at: usize| Some(Mac(header[at..at + 6].try_into().ok()?));
    Some((mac(0)?, mac(6)?, u16::from_be_bytes([header[12], header[13]]), payload))
}

/// What a frame says, of which addresses. Nothing is said by one that is malformed or about something else.
pub(super) fn read(frame: &[u8]) -> Vec<(IpAddr, Heard)> {
    match split(frame) {
        Some((to, from, arp::PROTOCOL, payload)) => arp::read(to, from, payload),
        Some((to, from, nd::PROTOCOL, payload)) => nd::read(to, from, payload).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The frames that say something of an address, from the node whose Ethernet address is `mac`.
pub(super) fn write(say: Say, address: IpAddr, mac: Mac) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => arp::write(say, address, mac),
        IpAddr::V6(address) => vec![nd::write(say, address, mac)],
    }
}
