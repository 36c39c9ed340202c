//! Connections that the kernel tracks for the host itself, apart from those of Open vSwitch's zones.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::SockProtocol;

use super::socket::Socket;
use super::wire::{self, Message};
use super::{NetlinkError, address_from, octets};

// linux/netfilter/nfnetlink_conntrack.h
const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
/// `CTA_FILTER_F_CTA_PROTO_NUM`: of the tuple that comes with the filter, the protocol counts.
const BY_PROTOCOL: u32 = 1 << 3;
const UDP: u8 = 17;
const NFGENMSG: usize = 4;

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// From.
    pub source: SocketAddr,
    /// To.
    pub destination: SocketAddr,
}

/// A UDP connection. Where nothing is translated, `reply` is `original` turned round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// As its first packet came.
    pub original: Tuple,
    /// As answers come.
    pub reply: Tuple,
    /// What tells it from a later one between the same ends.
    id: Vec<u8>,
}

impl Connection {
    #[cfg(all(test, feature = "agent"))]
    pub(crate) fn new(original: Tuple, reply: Tuple) -> Self {
        let id = Vec::new();
        Self { original, reply, id }
    }
}

/// The kernel's table of connections.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
}

impl Conntrack {
    /// Opens it in the calling thread's network namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            socket: Socket::open(SockProtocol::NetlinkNetFilter)?,
        })
    }

    /// The UDP connections of a family. Kernels before 5.8 send those of all protocols, which are then left out here.
    pub fn udp(&mut self, v4: bool) -> Result<Vec<Connection>, NetlinkError> {
        let mut message = Message::new(GET, 0, &nfgenmsg(v4));
        message
            .nest(CTA_TUPLE_ORIG, |tuple| {
                tuple.nest(CTA_TUPLE_PROTO, |protocol| {
                    protocol.bytes(CTA_PROTO_NUM, &[UDP]);
                });
            })
            .nest(CTA_FILTER, |filter| {
                filter
                    .u32(CTA_FILTER_ORIG_FLAGS, BY_PROTOCOL)
                    .u32(CTA_FILTER_REPLY_FLAGS, 0);
            });
        let answers = match self.socket.dump(&|| "list UDP connections".to_owned(), message) {
            // A kernel without connection tracking has none.
            Err(error) if absent(&error) => return Ok(Vec::new()),
            other => other?,
        };
        Ok(answers.iter().filter_map(|(_, payload)| connection(payload)).collect())
    }

    /// Forgets a connection, so that its next packet is judged anew; false if it was gone.
    pub fn delete(&mut self, connection: &Connection) -> Result<bool, NetlinkError> {
        let Connection { original, id, .. } = connection;
        let mut message = Message::new(DELETE, 0, &nfgenmsg(original.source.is_ipv4()));
        message
            .nest(CTA_TUPLE_ORIG, |tuple| write(tuple, original))
            .bytes(CTA_ID, id);
        let operation = || {
            format!(
                "forget the UDP connection from {} to {}",
                original.source, original.destination
            )
        };
        match self.socket.request(&operation, message) {
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(false),
            other => other.map(|_| true),
        }
    }
}

fn write(message: &mut Message, tuple: &Tuple) {
    let Tuple { source, destination } = tuple;
    let (from, to) = if source.is_ipv4() {
        (CTA_IP_V4_SRC, CTA_IP_V4_DST)
    } else {
        (CTA_IP_V6_SRC, CTA_IP_V6_DST)
    };
    message
        .nest(CTA_TUPLE_IP, |ip| {
            ip.bytes(from, &octets(source.ip()))
                .bytes(to, &octets(destination.ip()));
        })
        .nest(CTA_TUPLE_PROTO, |protocol| {
            protocol
                .bytes(CTA_PROTO_NUM, &[UDP])
                .bytes(CTA_PROTO_SRC_PORT, &source.port().to_be_bytes())
                .bytes(CTA_PROTO_DST_PORT, &destination.port().to_be_bytes());
        });
}

fn connection(payload: &[u8]) -> Option<Connection> {
    let (mut original, mut reply, mut id) = (None, None, Vec::new());
    for (kind, value) in wire::attributes(payload, NFGENMSG) {
        match kind {
            CTA_TUPLE_ORIG => original = tuple(value),
            CTA_TUPLE_REPLY => reply = tuple(value),
            CTA_ID => id = value.to_vec(),
            // Zone nought, the host's own, is not mentioned.
            CTA_ZONE if value.iter().any(|byte| *byte != 0) => return None,
            _ => {}
        }
    }
    Some(Connection {
        original: original?,
        reply: reply?,
        id,
    })
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (mut ips, mut ports, mut protocol) = ([None::<IpAddr>; 2], [None; 2], None);
    for (kind, value) in wire::attributes(bytes, 0) {
        match kind {
            CTA_TUPLE_IP => {
                for (kind, value) in wire::attributes(value, 0) {
                    match kind {
                        CTA_IP_V4_SRC | CTA_IP_V6_SRC => ips[0] = address_from(value),
                        CTA_IP_V4_DST | CTA_IP_V6_DST => ips[1] = address_from(value),
                        _ => {}
                    }
                }
            }
            CTA_TUPLE_PROTO => {
                for (kind, value) in wire::attributes(value, 0) {
                    match kind {
                        CTA_PROTO_NUM => protocol = value.first().copied(),
                        CTA_PROTO_SRC_PORT => ports[0] = port(value),
                        CTA_PROTO_DST_PORT => ports[1] = port(value),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    (protocol == Some(UDP)).then_some(())?;
    Some(Tuple {
        source: SocketAddr::new(ips[0]?, ports[0]?),
        destination: SocketAddr::new(ips[1]?, ports[1]?),
    })
}

fn port(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn absent(error: &NetlinkError) -> bool {
    matches!(
        error.errno(),
        Some(Errno::ENOENT | Errno::EPROTONOSUPPORT | Errno::EOPNOTSUPP | Errno::EINVAL)
    )
}

fn nfgenmsg(v4: bool) -> [u8; NFGENMSG] {
    let family = if v4 { libc::AF_INET } else { libc::AF_INET6 };
    [
        u8::try_from(family).expect("address families are small numbers"),
        0,
        0,
        0,
    ]
}
