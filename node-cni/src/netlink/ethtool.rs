//! Offloads of a device, by ethtool's generic netlink family (Linux 5.6 and later).

use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::NetlinkError;
use super::socket::Socket;
use super::wire::{self, Message};

// linux/genetlink.h
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const GENLMSGHDR: usize = 4;
// linux/ethtool_netlink.h
const ETHTOOL_MSG_FEATURES_SET: u8 = 12;
const ETHTOOL_A_FEATURES_HEADER: u16 = 1;
const ETHTOOL_A_FEATURES_WANTED: u16 = 3;
const ETHTOOL_A_HEADER_DEV_NAME: u16 = 2;
const ETHTOOL_A_HEADER_FLAGS: u16 = 3;
const ETHTOOL_FLAG_OMIT_REPLY: u32 = 2;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BITS_BIT: u16 = 1;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;

/// What `ethtool -K DEV tx off` turns off.
const TX_CHECKSUM: [&str; 5] = [
    "tx-checksum-ipv4",
    "tx-checksum-ip-generic",
    "tx-checksum-ipv6",
    "tx-checksum-fcoe-crc",
    "tx-checksum-sctp",
];

/// Makes the kernel complete checksums before it hands packets to a device of this namespace.
///
/// Packets cross a veth with their checksum left to be completed by hardware. Open vSwitch's
/// userspace datapath reads them from there as they are, and delivers TCP with wrong checksums.
pub fn disable_tx_checksum(device: &str) -> Result<(), NetlinkError> {
    let mut socket = Socket::open(SockProtocol::NetlinkGeneric)?;
    let family = family(&mut socket, "ethtool")?.ok_or(NetlinkError::NoFamily("ethtool"))?;
    let mut message = Message::new(family, 0, &[ETHTOOL_MSG_FEATURES_SET, 1, 0, 0]);
    message
        .nest(ETHTOOL_A_FEATURES_HEADER, |header| {
            header
                .string(ETHTOOL_A_HEADER_DEV_NAME, device)
                .u32(ETHTOOL_A_HEADER_FLAGS, ETHTOOL_FLAG_OMIT_REPLY);
        })
        .nest(ETHTOOL_A_FEATURES_WANTED, |wanted| {
            wanted.nest(ETHTOOL_A_BITSET_BITS, |bits| {
                for name in TX_CHECKSUM {
                    // A bit that is named without a value is to be off.
                    bits.nest(ETHTOOL_A_BITSET_BITS_BIT, |bit| {
                        bit.string(ETHTOOL_A_BITSET_BIT_NAME, name);
                    });
                }
            });
        });
    let operation = || format!("turn transmit checksum offload of {device} off");
    socket.request(&operation, message).map(drop)
}

/// Whether the kernel has a generic netlink family; asking loads the module that has it.
pub fn family_exists(name: &str) -> Result<bool, NetlinkError> {
    let mut socket = Socket::open(SockProtocol::NetlinkGeneric)?;
    family(&mut socket, name).map(|family| family.is_some())
}

fn family(socket: &mut Socket, name: &str) -> Result<Option<u16>, NetlinkError> {
    let mut message = Message::new(GENL_ID_CTRL, 0, &[CTRL_CMD_GETFAMILY, 1, 0, 0]);
    message.string(CTRL_ATTR_FAMILY_NAME, name);
    match socket.request(&|| format!("look up netlink family {name}"), message) {
        Ok(answers) => Ok(answers.iter().find_map(|(_, payload)| {
            wire::attributes(payload, GENLMSGHDR)
                .find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID)
                .and_then(|(_, value)| wire::u16_at(value, 0))
        })),
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
