//! Echo requests from the namespace the calling thread is in.

use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{Error, Result};

/// How long each request waits for its reply. The first between two hosts is often lost while the
/// userspace datapath learns the tunnel's neighbour, hence the impatient start.
const WAITS: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_secs(2),
];

const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

/// A reply.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// From the request that was answered to its answer.
    pub time: Duration,
    /// Requests that were not answered before it.
    pub lost: u16,
}

/// Sends echo requests until one is answered.
pub fn ping(target: IpAddr) -> Result<Reply> {
    let io = |e| Error::net(format!("ping {target}"))(e);
    let socket = open(target).map_err(io)?;
    let id = next_id();
    let mut unreachable = None;
    for (sequence, wait) in (0..).zip(WAITS) {
        let start = Instant::now();
        match socket.send(&request(target, id, sequence)) {
            // The answer to an earlier request arrives as an error of the socket.
            Err(e) if refusal(&e) => unreachable = Some(e),
            other => {
                other.map_err(io)?;
            }
        }
        match await_reply(&socket, target, id, sequence, start + wait) {
            Ok(true) => {
                return Ok(Reply {
                    time: start.elapsed(),
                    lost: sequence,
                });
            }
            Ok(false) => {}
            Err(e) if refusal(&e) => unreachable = Some(e),
            Err(e) => return Err(io(e)),
        }
    }
    Err(io(unreachable.unwrap_or_else(|| {
        std::io::Error::new(ErrorKind::TimedOut, format!("no reply to {} requests", WAITS.len()))
    })))
}

fn refusal(e: &std::io::Error) -> bool {
    matches!(
        e.kind(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::ConnectionRefused
    )
}

fn open(target: IpAddr) -> std::io::Result<Socket> {
    let socket = match target {
        IpAddr::V4(_) => Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)),
        IpAddr::V6(_) => Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)),
    }?;
    socket.connect(&SocketAddr::new(target, 0).into())?;
    Ok(socket)
}

fn next_id() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another ping of the same namespace may run in another process.
    let process = std::process::id() & 0xff;
    let process = u16::try_from(process).expect("eight bits") << 8;
    process.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))
}

fn request(target: IpAddr, id: u16, sequence: u16) -> Vec<u8> {
    let kind = match target {
        IpAddr::V4(_) => ECHO_REQUEST_V4,
        IpAddr::V6(_) => ECHO_REQUEST_V6,
    };
    let mut packet = vec![kind, 0, 0, 0];
    packet.extend(id.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(b"meridian-lab");
    if target.is_ipv4() {
        // For IPv6 the kernel fills it in, because it covers the addresses.
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// The ones' complement sum of RFC 1071.
fn checksum(packet: &[u8]) -> u16 {
    let mut sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to sixteen bits")
}

/// Whether the reply comes before the deadline.
fn await_reply(socket: &Socket, target: IpAddr, id: u16, sequence: u16, deadline: Instant) -> std::io::Result<bool> {
    let mut buffer = [0; 2048];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        socket.set_read_timeout(Some(left))?;
        match (&mut &*socket).read(&mut buffer) {
            Ok(length) if is_reply(&buffer[..length], target, id, sequence) => return Ok(true),
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(e) => return Err(e),
        }
    }
}

fn is_reply(packet: &[u8], target: IpAddr, id: u16, sequence: u16) -> bool {
    let (kind, message) = match target {
        // A raw IPv4 socket gives the IP header too; its low nibble counts words of four bytes.
        IpAddr::V4(_) => {
            let header = packet.first().map_or(0, |b| usize::from(b & 0xf) * 4);
            (ECHO_REPLY_V4, packet.get(header..).unwrap_or_default())
        }
        IpAddr::V6(_) => (ECHO_REPLY_V6, packet),
    };
    message.len() >= 8
        && message[0] == kind
        && message[4..6] == id.to_be_bytes()
        && message[6..8] == sequence.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_its_checksum_sums_to_zero() {
        let packet = request("10.0.0.1".parse().unwrap(), 7, 1);
        assert_eq!(checksum(&packet), 0);
    }

    #[test]
    fn only_the_reply_to_this_very_request_counts() {
        let target = "10.0.0.1".parse().unwrap();
        let mut packet = vec![0x45; 20];
        packet.extend([ECHO_REPLY_V4, 0, 0, 0, 0, 7, 0, 1]);
        assert!(is_reply(&packet, target, 7, 1));
        assert!(!is_reply(&packet, target, 7, 2));
        assert!(!is_reply(&packet[..24], target, 7, 1));
    }

    #[test]
    fn the_loopback_answers() {
        if nix::unistd::geteuid().is_root() {
            assert_eq!(ping("127.0.0.1".parse().unwrap()).unwrap().lost, 0);
        }
    }
}
