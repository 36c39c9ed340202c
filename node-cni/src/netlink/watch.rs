//! Notifications that the kernel's network configuration changed.

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::SockProtocol;

use super::NetlinkError;
use super::socket::Socket;
use super::wire::{self, Received};

/// What to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Links, addresses and routes.
    Routes,
    /// nftables' ruleset, apart from chains that filter single devices (`netdev`).
    Nftables,
}

/// `NFNLGRP_NFTABLES` is group 7; `bind` takes a mask.
const NFTABLES_GROUP: u32 = 1 << (7 - 1);
/// `NFT_MSG_DELTABLE`.
const DELTABLE: u16 = 2;
/// `NFT_MSG_NEWGEN`: the end of a transaction, whatever it was about.
const NEWGEN: u16 = 15;
const NFPROTO_NETDEV: u8 = 5;

/// Calls `changed` for each batch of notifications, for ever; returns only on an error.
///
/// Blocks: give it a thread of its own. That notifications were lost counts as a change.
pub fn wait(what: Watch, mut changed: impl FnMut() -> bool) -> Result<(), NetlinkError> {
    let (protocol, groups) = match what {
        Watch::Routes => (
            SockProtocol::NetlinkRoute,
            (libc::RTMGRP_LINK
                | libc::RTMGRP_IPV4_IFADDR
                | libc::RTMGRP_IPV6_IFADDR
                | libc::RTMGRP_IPV4_ROUTE
                | libc::RTMGRP_IPV6_ROUTE)
                .cast_unsigned(),
        ),
        Watch::Nftables => (SockProtocol::NetlinkNetFilter, NFTABLES_GROUP),
    };
    let mut socket = Socket::listen(protocol, groups)?;
    loop {
        let relevant = match socket.receive() {
            Ok(datagram) => what == Watch::Routes || wire::messages(datagram).any(|message| is_rule(&message)),
            Err(error) if error.errno() == Some(Errno::ENOBUFS) => true,
            Err(error) => return Err(error),
        };
        if relevant && !changed() {
            return Ok(());
        }
    }
}

/// Whether a notification is about something other than shields, which come and go with every pod. Their table does not.
fn is_rule(message: &Received<'_>) -> bool {
    let kind = message.kind & 0xff;
    kind != NEWGEN && (kind == DELTABLE || message.payload.first() != Some(&NFPROTO_NETDEV))
}
