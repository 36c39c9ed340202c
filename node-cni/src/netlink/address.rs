//! Addresses of a device.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use nix::libc;

use super::wire::{self, Message};
use super::{NetlinkError, Rtnetlink, address_from, family_of, octets};

/// `IFA_F_NODAD`. OVN answers for every address of the logical switch and the allocator hands each
/// out once, so duplicate address detection could only delay the pod by a second.
const NODAD: u8 = 0x02;
/// `IFA_F_PERMANENT`: not learnt from a router advertisement.
const PERMANENT: u8 = 0x80;
const IFADDRMSG: usize = 8;

/// An address of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The device.
    pub index: u32,
    /// The address, with the prefix length of its network.
    pub network: IpNetwork,
    /// Of link scope, as `fe80::` addresses are.
    pub link_local: bool,
    /// Configured, not learnt.
    pub permanent: bool,
}

impl Rtnetlink {
    /// Gives a device an address; one it has already is no error.
    pub fn add_address(&mut self, index: u32, network: IpNetwork) -> Result<(), NetlinkError> {
        let flags = if network.is_ipv6() { NODAD } else { 0 };
        let mut message = Message::new(
            libc::RTM_NEWADDR,
            wire::CREATE | wire::EXCLUSIVE,
            &ifaddrmsg(index, network, flags),
        );
        let address = octets(network.ip());
        message
            .bytes(libc::IFA_LOCAL, &address)
            .bytes(libc::IFA_ADDRESS, &address);
        if let IpNetwork::V4(network) = network
            && network.prefix() < 31
        {
            message.bytes(libc::IFA_BROADCAST, &network.broadcast().octets());
        }
        match self.socket.request(&|| format!("add address {network}"), message) {
            Err(error) if error.errno() == Some(Errno::EEXIST) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Takes an address from a device; one it has not is no error.
    pub fn delete_address(&mut self, index: u32, network: IpNetwork) -> Result<(), NetlinkError> {
        let mut message = Message::new(libc::RTM_DELADDR, 0, &ifaddrmsg(index, network, 0));
        message.bytes(libc::IFA_LOCAL, &octets(network.ip()));
        match self.socket.request(&|| format!("delete address {network}"), message) {
            Err(error) if error.errno() == Some(Errno::EADDRNOTAVAIL) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Every address of the namespace.
    pub fn addresses(&mut self) -> Result<Vec<Address>, NetlinkError> {
        let message = Message::new(libc::RTM_GETADDR, 0, &[0; IFADDRMSG]);
        let answers = self.socket.dump(&|| "list addresses".to_owned(), message)?;
        Ok(answers.iter().filter_map(|(_, payload)| parse(payload)).collect())
    }
}

fn ifaddrmsg(index: u32, network: IpNetwork, flags: u8) -> [u8; IFADDRMSG] {
    let mut fixed = [0; IFADDRMSG];
    fixed[0] = family_of(network.ip());
    fixed[1] = network.prefix();
    fixed[2] = flags;
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed
}

fn parse(payload: &[u8]) -> Option<Address> {
    let (mut local, mut peer): (Option<IpAddr>, Option<IpAddr>) = (None, None);
    for (kind, value) in wire::attributes(payload, IFADDRMSG) {
        match kind {
            libc::IFA_LOCAL => local = address_from(value),
            libc::IFA_ADDRESS => peer = address_from(value),
            _ => {}
        }
    }
    Some(Address {
        index: wire::u32_at(payload, 4)?,
        // IPv6 sends IFA_ADDRESS only; on a point-to-point device IFA_ADDRESS is the other side.
        network: IpNetwork::new(local.or(peer)?, *payload.get(1)?).ok()?,
        link_local: *payload.get(3)? == libc::RT_SCOPE_LINK,
        permanent: *payload.get(2)? & PERMANENT != 0,
    })
}
