//! IPv6 neighbour discovery (RFC 4861): solicitations and advertisements.

use std::net::{IpAddr, Ipv6Addr};

use super::frame::{Mac, ethernet};
use super::words::{Asker, Heard, Say};

/// `ETH_P_IPV6`.
pub(super) const PROTOCOL: u16 = 0x86dd;
/// `IPPROTO_ICMPV6`.
pub(super) const ICMPV6: u8 = 58;
pub(super) const SOLICITATION: u8 = 135;
pub(super) const ADVERTISEMENT: u8 = 136;
/// Length of an IPv6 header.
pub(super) const IPV6: usize = 40;
/// Where the next header's number is in it.
pub(super) const NEXT_HEADER: usize = 6;
/// Where the target is in a message, which has nothing but options after it.
pub(super) const TARGET: usize = 8;
const OPTIONS: usize = TARGET + 16;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;
/// Who has another was forwarded here from another network.
const HOP_LIMIT: u8 = 255;
/// `ff02::1`.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The group of those that may have an address.
pub(super) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

/// What a packet says.
pub(super) fn read(to: Mac, from: Mac, packet: &[u8]) -> Option<(IpAddr, Heard)> {
    let (header, rest) = packet.split_first_chunk::<IPV6>()?;
    let message = rest.get(..usize::from(u16::from_be_bytes([header[4], header[5]])))?;
    if header[0] >> 4 != 6 || header[NEXT_HEADER] != ICMPV6 || header[7] != HOP_LIMIT {
        return None;
    }
    let (source, destination) = (sixteen(header, 8)?, sixteen(header, 24)?);
    let target = sixteen(message, TARGET)?;
    if message[1] != 0 || target.is_multicast() || checksum(source, destination, message) != 0 {
        return None;
    }
    let heard = match message[0] {
        SOLICITATION if source.is_unspecified() => Heard::Asked {
            by: Asker { mac: from, ip: None },
            all: to.is_group(),
        },
        SOLICITATION => Heard::Asked {
            by: Asker {
                mac: option(message, SOURCE_ADDRESS).unwrap_or(from),
                ip: Some(source.into()),
            },
            all: to.is_group(),
        },
        ADVERTISEMENT => Heard::Claimed {
            mac: option(message, TARGET_ADDRESS).unwrap_or(from),
        },
        _ => return None,
    };
    Some((target.into(), heard))
}

/// The frame that says something.
pub(super) fn write(say: Say, address: Ipv6Addr, mac: Mac) -> Vec<u8> {
    match say {
        Say::Announce => advertise(address, mac, ALL_NODES, group(ALL_NODES), OVERRIDE),
        Say::Probe(to) => {
            // Without an address of its own a question changes nobody's tables, and may go to the group only: what one
            // is asked alone, it gets in a frame for it alone (RFC 6085).
            let destination = solicited_node(address);
            let message = message(SOLICITATION, 0, address, None);
            let receiver = to.unwrap_or_else(|| group(destination));
            packet(mac, receiver, Ipv6Addr::UNSPECIFIED, destination, message)
        }
        Say::Answer { to, all } => match to.ip {
            Some(IpAddr::V6(ip)) => advertise(address, mac, ip, to.mac, SOLICITED | OVERRIDE),
            // RFC 4861 section 7.2.4: one without an address is answered by all nodes' group.
            Some(IpAddr::V4(_)) | None => {
                let receiver = if all { group(ALL_NODES) } else { to.mac };
                advertise(address, mac, ALL_NODES, receiver, OVERRIDE)
            }
        },
    }
}

fn advertise(address: Ipv6Addr, mac: Mac, to: Ipv6Addr, receiver: Mac, flags: u8) -> Vec<u8> {
    let message = message(ADVERTISEMENT, flags, address, Some(mac));
    packet(mac, receiver, address, to, message)
}

/// The Ethernet address of a group (RFC 2464 section 7).
fn group(address: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = address.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

fn message(kind: u8, flags: u8, target: Ipv6Addr, link: Option<Mac>) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    if let Some(mac) = link {
        message.extend([TARGET_ADDRESS, 1]);
        message.extend(mac.0);
    }
    message
}

fn packet(from: Mac, to: Mac, source: Ipv6Addr, destination: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(source, destination, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let length = u16::try_from(message.len()).expect("a message has 24 or 32 bytes");
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([ICMPV6, HOP_LIMIT]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(message);
    ethernet(to, from, PROTOCOL, &packet)
}

fn sixteen(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(octets.into())
}

/// A link-layer address among the options. Units of length are 8 bytes.
fn option(message: &[u8], wanted: u8) -> Option<Mac> {
    let mut rest = message.get(OPTIONS..)?;
    while let [kind, units, ..] = *rest {
        // One of no length is malformed, and would have no end.
        let option = rest.get(..usize::from(units) * 8).filter(|option| !option.is_empty())?;
        if kind == wanted {
            return Some(Mac(option[2..8].try_into().ok()?));
        }
        rest = &rest[option.len()..];
    }
    None
}

/// The checksum to write into a message that has none, or nought for one that has the right one (RFC 4443 section 2.3).
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        bytes.chunks(2).map(word).sum()
    };
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut sum = words(&source.octets()) + words(&destination.octets()) + words(message);
    sum += length + u32::from(ICMPV6);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::frame;
    use super::*;

    const MAC: Mac = Mac([0x02, 0, 0, 0, 0, 0x0a]);
    const PEER: Mac = Mac([0x02, 0, 0, 0, 0, 0x0b]);

    /// Captured on a veth: Linux asks for 2001:db8::7 from 2001:db8::2, and its peer answers.
    const QUESTION: &str = "3333ff0000075ad1a551c83686dd6000000000203aff20010db8000000000000000000000002\
                            ff0200000000000000000001ff000007870055c30000000020010db8000000000000000000000007\
                            01015ad1a551c836";
    const ANSWER: &str = "5ad1a551c836c68924e086e586dd6000000000203aff20010db8000000000000000000000007\
                          20010db800000000000000000000000288001a196000000020010db8000000000000000000000007\
                          0201c68924e086e5";
    /// Captured as well: duplicate address detection, with a nonce (RFC 7527).
    const DETECTION: &str = "3333ffe086e5c68924e086e586dd6000000000203aff00000000000000000000000000000000\
                             ff0200000000000000000001ffe086e587002e7c00000000fe80000000000000c48924fffee086e5\
                             0e015c80a5f1461b";

    fn address() -> Ipv6Addr {
        "2001:db8::7".parse().unwrap()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    #[test]
    fn what_linux_asks_is_answered_as_linux_answers() {
        let by = Asker {
            mac: Mac([0x5a, 0xd1, 0xa5, 0x51, 0xc8, 0x36]),
            ip: Some("2001:db8::2".parse().unwrap()),
        };
        let asked = Heard::Asked { by, all: true };
        assert_eq!(frame::read(&bytes(QUESTION)), [(address().into(), asked)]);
        let mac = Mac([0xc6, 0x89, 0x24, 0xe0, 0x86, 0xe5]);
        assert_eq!(write(Say::Answer { to: by, all: false }, address(), mac), bytes(ANSWER));
        let claimed = Heard::Claimed { mac };
        assert_eq!(frame::read(&bytes(ANSWER)), [(address().into(), claimed)]);
    }

    #[test]
    fn detection_of_duplicates_asks_without_an_address() {
        let mac = Mac([0xc6, 0x89, 0x24, 0xe0, 0x86, 0xe5]);
        let target: IpAddr = "fe80::c489:24ff:fee0:86e5".parse().unwrap();
        let by = Asker { mac, ip: None };
        assert_eq!(
            frame::read(&bytes(DETECTION)),
            [(target, Heard::Asked { by, all: true })]
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let probe = Asker { mac: MAC, ip: None };
        for (say, heard) in [
            (Say::Announce, Heard::Claimed { mac: MAC }),
            (Say::Probe(None), Heard::Asked { by: probe, all: true }),
            (Say::Probe(Some(PEER)), Heard::Asked { by: probe, all: false }),
            (Say::Answer { to: probe, all: true }, Heard::Claimed { mac: MAC }),
        ] {
            let frame = write(say, address(), MAC);
            assert_eq!(frame::read(&frame), [(address().into(), heard)], "{say:?}");
        }
    }

    #[test]
    fn what_came_from_afar_or_is_damaged_says_nothing() {
        let whole = write(Say::Announce, address(), MAC);
        for at in [
            frame::HEADER + 7,
            frame::HEADER + 30,
            frame::HEADER + IPV6 + 10,
            whole.len() - 1,
        ] {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert!(frame::read(&changed).is_empty(), "byte {at}");
        }
        assert!(frame::read(&whole[..whole.len() - 1]).is_empty());
    }

    #[test]
    fn an_option_without_length_ends_the_walk() {
        let mut message = message(SOLICITATION, 0, address(), None);
        message.extend([14, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(option(&message, SOURCE_ADDRESS), None);
    }

    #[test]
    fn groups_are_of_the_last_24_bits() {
        let address: Ipv6Addr = "2001:db8::12:3456".parse().unwrap();
        let wanted: Ipv6Addr = "ff02::1:ff12:3456".parse().unwrap();
        assert_eq!(solicited_node(address), wanted);
        assert_eq!(group(wanted), Mac([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]));
    }
}
