//! Links: the veth of a pod, and what is asked of any device.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::str::FromStr;

use nix::errno::Errno;
use nix::libc;

use super::wire::{self, Message};
use super::{NetlinkError, Rtnetlink};

// From linux/if_link.h and linux/veth.h; libc has no constant for the last.
const VETH_INFO_PEER: u16 = 1;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac([u8; 6]);

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

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a MAC address");
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2);
            *octet = u8::from_str_radix(part.ok_or_else(wrong)?, 16).map_err(|_| wrong())?;
        }
        match parts.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(wrong()),
        }
    }
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address, where it has one.
    pub mac: Option<Mac>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether there is somebody at its other end (`IFF_RUNNING`).
    pub carrier: bool,
    /// The driver's kind (`veth`, `tun`), none for hardware.
    pub kind: Option<String>,
}

/// A veth pair to be made: one end here, the other in a pod.
#[derive(Debug, Clone, Copy)]
pub struct Veth<'a> {
    /// Name of the end in this namespace.
    pub host: &'a str,
    /// Name of the end in the pod.
    pub pod: &'a str,
    /// The pod's network namespace.
    pub netns: BorrowedFd<'a>,
    /// Ethernet address of the pod's end.
    pub mac: Mac,
    /// MTU of both ends.
    pub mtu: u32,
}

impl Rtnetlink {
    /// Makes a veth pair in one request; the pod's end is born in the pod under its final name, so
    /// there is no name to clash with on the host and nothing to rename or move. Both ends are down.
    pub fn create_veth(&mut self, veth: &Veth<'_>) -> Result<(), NetlinkError> {
        let mut message = Message::new(libc::RTM_NEWLINK, wire::CREATE | wire::EXCLUSIVE, &ifinfomsg(0, 0, 0));
        message
            .string(libc::IFLA_IFNAME, veth.host)
            .u32(libc::IFLA_MTU, veth.mtu)
            .nest(libc::IFLA_LINKINFO, |info| {
                info.string(libc::IFLA_INFO_KIND, "veth")
                    .nest(libc::IFLA_INFO_DATA, |data| {
                        data.nest_with(VETH_INFO_PEER, &ifinfomsg(0, 0, 0), |peer| {
                            let netns = veth.netns.as_raw_fd().cast_unsigned();
                            peer.string(libc::IFLA_IFNAME, veth.pod)
                                .bytes(libc::IFLA_ADDRESS, &veth.mac.0)
                                .u32(libc::IFLA_MTU, veth.mtu)
                                .u32(libc::IFLA_NET_NS_FD, netns);
                        });
                    });
            });
        let operation = || format!("create veth {} with {} in the pod", veth.host, veth.pod);
        self.socket.request(&operation, message).map(drop)
    }

    /// Sets a device up, with a description for whoever lists devices.
    pub fn set_up(&mut self, index: u32, alias: Option<&str>) -> Result<(), NetlinkError> {
        let up = libc::IFF_UP.cast_unsigned();
        let mut message = Message::new(libc::RTM_NEWLINK, 0, &ifinfomsg(index, up, up));
        if let Some(alias) = alias {
            message.string(libc::IFLA_IFALIAS, alias);
        }
        self.socket
            .request(&|| format!("set device {index} up"), message)
            .map(drop)
    }

    /// Deletes a device by name (of a veth, both ends go); false if there is none.
    pub fn delete_link(&mut self, name: &str) -> Result<bool, NetlinkError> {
        let mut message = Message::new(libc::RTM_DELLINK, 0, &ifinfomsg(0, 0, 0));
        message.string(libc::IFLA_IFNAME, name);
        match self.socket.request(&|| format!("delete device {name}"), message) {
            Ok(_) => Ok(true),
            Err(error) if error.errno() == Some(Errno::ENODEV) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The device of a name.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let mut message = Message::new(libc::RTM_GETLINK, 0, &ifinfomsg(0, 0, 0));
        message.string(libc::IFLA_IFNAME, name);
        match self.socket.request(&|| format!("look up device {name}"), message) {
            Ok(answers) => Ok(answers.iter().find_map(|(_, payload)| parse(payload))),
            Err(error) if error.errno() == Some(Errno::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every device of the namespace.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let message = Message::new(libc::RTM_GETLINK, 0, &ifinfomsg(0, 0, 0));
        let answers = self.socket.dump(&|| "list devices".to_owned(), message)?;
        Ok(answers.iter().filter_map(|(_, payload)| parse(payload)).collect())
    }
}

const IFINFOMSG: usize = 16;

fn ifinfomsg(index: u32, flags: u32, change: u32) -> [u8; IFINFOMSG] {
    let mut fixed = [0; IFINFOMSG];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..16].copy_from_slice(&change.to_ne_bytes());
    fixed
}

fn parse(payload: &[u8]) -> Option<Link> {
    let flags = wire::u32_at(payload, 8)?;
    let mut link = Link {
        index: wire::u32_at(payload, 4)?,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: flags & libc::IFF_UP.cast_unsigned() != 0,
        carrier: flags & libc::IFF_RUNNING.cast_unsigned() != 0,
        kind: None,
    };
    for (kind, value) in wire::attributes(payload, IFINFOMSG) {
        match kind {
            libc::IFLA_IFNAME => link.name = wire::text(value),
            libc::IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
            libc::IFLA_MTU => link.mtu = wire::u32_at(value, 0)?,
            libc::IFLA_LINKINFO => {
                link.kind = wire::attributes(value, 0)
                    .find(|(kind, _)| *kind == libc::IFLA_INFO_KIND)
                    .map(|(_, value)| wire::text(value));
            }
            _ => {}
        }
    }
    Some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_six_pairs_of_digits() {
        let mac: Mac = "0a:58:0A:f4:00:05".parse().unwrap();
        assert_eq!(mac.to_string(), "0a:58:0a:f4:00:05");
        for wrong in [
            "",
            "0a:58:0a:f4:00",
            "0a:58:0a:f4:00:5",
            "0a:58:0a:f4:00:05:06",
            "0a:58:0a:f4:00:0g",
        ] {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
    }
}
