//! One protocol's frames on one device.
//!
//! Everything of the device's own network namespace; the socket stays there.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{LinkAddr, MsgFlags, bind, recvfrom, send, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::{arp, filter, nd};

/// Room for what comes at once: a standby asks for up to a tenth of its addresses at the same moment, and a frame is charged with
/// about 800 bytes.
const RECEIVE_BUFFER: usize = 1 << 20;
/// `PACKET_MULTICAST`, the last of the kinds that are meant for this host; `PACKET_HOST` and `PACKET_BROADCAST` come before
/// it. What follows was for another host, or of a VLAN that the device is not in, or sent by this one.
const FOR_US: u8 = 2;

/// The protocols an address may be announced by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Arp,
    Nd,
}

impl Family {
    pub(super) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Arp } else { Self::Nd }
    }
}

/// A packet socket.
#[derive(Debug)]
pub(super) struct PacketSocket {
    socket: Socket,
    family: Family,
    index: usize,
    groups: Groups,
}

impl PacketSocket {
    /// Opens it on a device; `device` is its link-layer address as `getifaddrs` has it.
    pub(super) fn open(family: Family, device: &LinkAddr) -> io::Result<Self> {
        let protocol = match family {
            Family::Arp => arp::PROTOCOL,
            Family::Nd => nd::PROTOCOL,
        };
        let socket = Socket::new(
            Domain::PACKET,
            Type::RAW,
            Some(Protocol::from(i32::from(protocol.to_be()))),
        )?;
        socket.set_nonblocking(true)?;
        // Beyond `net.core.rmem_max`, for which one has to be root, as for the socket itself.
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
        // The address names no protocol, so it stays the socket's. What came between is told by its device.
        bind(socket.as_raw_fd(), device)?;
        Ok(Self {
            socket,
            family,
            index: device.ifindex(),
            groups: Groups::default(),
        })
    }

    /// Hears of these addresses from now on.
    pub(super) fn listen(&mut self, addresses: &[IpAddr]) -> io::Result<()> {
        let program = match self.family {
            Family::Arp => filter::arp(addresses),
            Family::Nd => filter::nd(addresses),
        };
        self.socket.attach_filter(&program)?;
        let index = u32::try_from(self.index).map_err(io::Error::other)?;
        self.groups.set(index, addresses)
    }

    /// The next frame; none if there is none yet.
    pub(super) fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buffer) {
                Ok((length, from)) => {
                    let wanted = |from: LinkAddr| from.ifindex() == self.index && from.pkttype() <= FOR_US;
                    if from.is_some_and(wanted) {
                        return Ok(buffer.get(..length));
                    }
                }
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Sends a frame. What a full queue drops is as good as lost on the wire.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        match send(self.socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT) {
            Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The groups that solicitations are sent to. Joined as any program joins them, so that switches that look at MLD
/// (RFC 4541) hear of it, and the card lets them through.
#[derive(Debug, Default)]
struct Groups {
    /// By group, which socket is in it.
    joined: BTreeMap<Ipv6Addr, usize>,
    sockets: Vec<Socket>,
}

impl Groups {
    fn set(&mut self, index: u32, addresses: &[IpAddr]) -> io::Result<()> {
        let group = |address: &IpAddr| match address {
            IpAddr::V6(address) => Some(nd::solicited_node(*address)),
            IpAddr::V4(_) => None,
        };
        let wanted: std::collections::BTreeSet<_> = addresses.iter().filter_map(group).collect();
        self.joined.retain(|group, socket| {
            let keep = wanted.contains(group);
            if !keep {
                // One fails to leave if the device is gone, and the group with it.
                let _ = self.sockets[*socket].leave_multicast_v6(group, index);
            }
            keep
        });
        for group in wanted {
            if !self.joined.contains_key(&group) {
                let socket = self.join(group, index)?;
                self.joined.insert(group, socket);
            }
        }
        Ok(())
    }

    /// A socket can be in about 400 groups, then another is opened.
    fn join(&mut self, group: Ipv6Addr, index: u32) -> io::Result<usize> {
        for (number, socket) in self.sockets.iter().enumerate() {
            match socket.join_multicast_v6(&group, index) {
                Ok(()) => return Ok(number),
                Err(error)
                    if matches!(
                        Errno::from_raw(error.raw_os_error().unwrap_or(0)),
                        Errno::ENOMEM | Errno::ENOBUFS
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
        socket.join_multicast_v6(&group, index)?;
        self.sockets.push(socket);
        Ok(self.sockets.len() - 1)
    }
}
