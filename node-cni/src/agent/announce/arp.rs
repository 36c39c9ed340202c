//! The address resolution protocol (RFC 826), with probes and announcements (RFC 5227).

use std::net::{IpAddr, Ipv4Addr};

use super::frame::{Mac, ethernet};
use super::words::{Asker, Heard, Say};

/// `ETH_P_ARP`.
pub(super) const PROTOCOL: u16 = 0x0806;
/// Ethernet with addresses of 6 bytes, IPv4 with addresses of 4.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
const LENGTH: usize = 28;
/// Where the addresses are in a packet.
pub(super) const SENDER: usize = 14;
pub(super) const TARGET: usize = 24;

/// What a packet says. A sender speaks of its own address, and in a request also of the one that it asks for.
pub(super) fn read(to: Mac, _from: Mac, packet: &[u8]) -> Vec<(IpAddr, Heard)> {
    let Some((packet, _padding)) = packet.split_first_chunk::<LENGTH>() else {
        return Vec::new();
    };
    let operation = u16::from_be_bytes([packet[6], packet[7]]);
    if packet[..6] != KIND || !(REQUEST..=REPLY).contains(&operation) {
        return Vec::new();
    }
    let four = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let (sender, target) = (four(SENDER), four(TARGET));
    let mac = Mac([packet[8], packet[9], packet[10], packet[11], packet[12], packet[13]]);
    let mut said = Vec::new();
    if !sender.is_unspecified() {
        said.push((sender.into(), Heard::Claimed { mac }));
    }
    if operation == REQUEST && sender != target {
        let by = Asker {
            mac,
            ip: (!sender.is_unspecified()).then_some(sender.into()),
        };
        said.push((target.into(), Heard::Asked { by, all: to.is_group() }));
    }
    said
}

/// The frames that say something. An announcement is made as request and as reply, because there are hosts that learn from
/// one of them only.
pub(super) fn write(say: Say, address: Ipv4Addr, mac: Mac) -> Vec<Vec<u8>> {
    let none = (Mac([0; 6]), Ipv4Addr::UNSPECIFIED);
    let own = (mac, address);
    match say {
        Say::Announce => vec![
            frame(Mac::BROADCAST, REQUEST, own, (none.0, address)),
            frame(Mac::BROADCAST, REPLY, own, own),
        ],
        // Without an address of its own a question changes nobody's tables.
        Say::Probe(to) => vec![frame(
            to.unwrap_or(Mac::BROADCAST),
            REQUEST,
            (mac, none.1),
            (none.0, address),
        )],
        Say::Answer { to, all } => {
            let ip = match to.ip {
                Some(IpAddr::V4(ip)) => ip,
                Some(IpAddr::V6(_)) | None => none.1,
            };
            let receiver = if all { Mac::BROADCAST } else { to.mac };
            vec![frame(receiver, REPLY, own, (to.mac, ip))]
        }
    }
}

fn frame(to: Mac, operation: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut packet = Vec::with_capacity(LENGTH);
    packet.extend(KIND);
    packet.extend(operation.to_be_bytes());
    for (mac, ip) in [sender, target] {
        packet.extend(mac.0);
        packet.extend(ip.octets());
    }
    ethernet(to, sender.0, PROTOCOL, &packet)
}

#[cfg(test)]
mod tests {
    use super::super::frame;
    use super::*;

    const MAC: Mac = Mac([0x02, 0, 0, 0, 0, 0x0a]);
    const PEER: Mac = Mac([0x5a, 0xd1, 0xa5, 0x51, 0xc8, 0x36]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

    /// Linux asks for 192.0.2.7 from 192.0.2.2: made by the kernel, padded to Ethernet's minimum by a card.
    const CAPTURED: &str = "ffffffffffff5ad1a551c83608060001080006040001\
                            5ad1a551c836c0000202000000000000c0000207\
                            000000000000000000000000000000000000";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.chars().filter(char::is_ascii_hexdigit).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn a_captured_request_is_a_question_and_says_where_the_asker_is() {
        let asker: IpAddr = "192.0.2.2".parse().unwrap();
        let by = Asker {
            mac: PEER,
            ip: Some(asker),
        };
        assert_eq!(
            frame::read(&bytes(CAPTURED)),
            [
                (asker, Heard::Claimed { mac: PEER }),
                (ADDRESS.into(), Heard::Asked { by, all: true })
            ]
        );
    }

    #[test]
    fn an_answer_to_it_is_as_linux_writes_one() {
        let to = Asker {
            mac: PEER,
            ip: Some("192.0.2.2".parse().unwrap()),
        };
        let answer = write(Say::Answer { to, all: false }, ADDRESS, MAC);
        let expected = "5ad1a551c83602000000000a08060001080006040002\
                        02000000000ac00002075ad1a551c836c0000202";
        assert_eq!(answer, [bytes(expected)]);
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
            for frame in write(say, ADDRESS, MAC) {
                assert_eq!(frame::read(&frame), [(ADDRESS.into(), heard)], "{say:?}");
            }
        }
    }

    #[test]
    fn what_is_no_arp_of_ipv4_over_ethernet_says_nothing() {
        let whole = bytes(CAPTURED);
        assert!(frame::read(&whole[..41]).is_empty());
        for (at, value) in [(14, 9), (16, 0x86), (18, 8), (19, 16), (21, 3)] {
            let mut changed = whole.clone();
            changed[at] = value;
            assert!(frame::read(&changed).is_empty(), "byte {at}");
        }
    }
}
