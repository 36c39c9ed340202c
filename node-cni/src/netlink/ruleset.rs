//! The generation of nftables' ruleset, by which one sees whether anybody changed it.

use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::NetlinkError;
use super::socket::Socket;
use super::wire::{self, Message};

// linux/netfilter/nf_tables.h
const GETGEN: u16 = (10 << 8) | 16;
const NFTA_GEN_ID: u16 = 1;
const NFGENMSG: usize = 4;

/// A number that every transaction of anybody raises by one.
pub fn ruleset_generation() -> Result<u32, NetlinkError> {
    let operation = || "ask for the generation of nftables' ruleset".to_owned();
    let mut socket = Socket::open(SockProtocol::NetlinkNetFilter)?;
    let answers = socket.request(&operation, Message::new(GETGEN, 0, &[0; NFGENMSG]))?;
    let generation = answers.iter().find_map(|(_, payload)| {
        let (_, value) = wire::attributes(payload, NFGENMSG).find(|(kind, _)| *kind == NFTA_GEN_ID)?;
        Some(u32::from_be_bytes(value.try_into().ok()?))
    });
    generation.ok_or_else(|| NetlinkError::Refused {
        operation: operation(),
        errno: Errno::ENOMSG,
    })
}
