//! Keeps the host's network stack from hearing what a pod sends, by nftables.
//!
//! With the kernel datapath Open vSwitch takes packets off a device before the host's stack sees
//! them. The userspace datapath only reads along on a packet socket: the same packets also enter the
//! host, which would answer ARP on the device, accept broadcasts, and route what a pod addresses to
//! the device itself, past every policy. A base chain at the device's ingress with policy `drop` and
//! no rule stops that; packet sockets sit before the ingress hook and still see everything.
//!
//! Not a `tc` filter: Open vSwitch deletes a port's ingress qdisc when it configures the port.
//! One chain a device, because only kernels from 6.4 on add devices to an existing chain. Chains are
//! deleted by name: from 6.16 on they outlive their device.

use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::NetlinkError;
use super::socket::Socket;
use super::wire::{self, Message};

/// The table `netdev meridian`: shields and nothing else.
const TABLE: &str = "meridian";

// linux/netfilter/nfnetlink.h and nf_tables.h
const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = SUBSYSTEM;
const NEWCHAIN: u16 = SUBSYSTEM | 3;
const GETCHAIN: u16 = SUBSYSTEM | 4;
const DELCHAIN: u16 = SUBSYSTEM | 5;
const NFPROTO_NETDEV: u8 = 5;
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_HOOK_DEV: u16 = 3;
const INGRESS: u32 = 0;
const DROP: u32 = 0;
const NFGENMSG: usize = 4;

/// Drops at ingress whatever a device of this namespace hands to the host's stack.
pub fn shield(device: &str) -> Result<(), NetlinkError> {
    let mut table = Message::new(NEWTABLE, wire::CREATE, &nfgenmsg());
    table.string(NFTA_TABLE_NAME, TABLE);
    let mut chain = Message::new(NEWCHAIN, wire::CREATE, &nfgenmsg());
    chain
        .string(NFTA_CHAIN_TABLE, TABLE)
        .string(NFTA_CHAIN_NAME, device)
        .string(NFTA_CHAIN_TYPE, "filter")
        .bytes(NFTA_CHAIN_POLICY, &DROP.to_be_bytes())
        .nest(NFTA_CHAIN_HOOK, |hook| {
            hook.bytes(NFTA_HOOK_HOOKNUM, &INGRESS.to_be_bytes())
                .bytes(NFTA_HOOK_PRIORITY, &0_u32.to_be_bytes())
                .string(NFTA_HOOK_DEV, device);
        });
    transact(&|| format!("shield {device}"), vec![table, chain])
}

/// Removes the shield of a device; an absent one is no error.
pub fn unshield(device: &str) -> Result<(), NetlinkError> {
    let name = |message: &mut Message| {
        message.string(NFTA_CHAIN_TABLE, TABLE).string(NFTA_CHAIN_NAME, device);
    };
    // Look first: the kernel waits for all processors before it gives a failed transaction up, some 15 ms.
    let mut look = Message::new(GETCHAIN, 0, &nfgenmsg());
    name(&mut look);
    let found = Socket::open(SockProtocol::NetlinkNetFilter)
        .and_then(|mut socket| socket.request(&|| format!("look up the shield of {device}"), look));
    match found {
        Err(error) if absent(&error) => return Ok(()),
        other => other?,
    };
    let mut chain = Message::new(DELCHAIN, 0, &nfgenmsg());
    name(&mut chain);
    match transact(&|| format!("remove the shield of {device}"), vec![chain]) {
        Err(error) if absent(&error) => Ok(()),
        other => other,
    }
}

/// The devices that have a shield, whether they exist or not.
pub fn shielded() -> Result<Vec<String>, NetlinkError> {
    let mut socket = match Socket::open(SockProtocol::NetlinkNetFilter) {
        Err(error) if absent(&error) => return Ok(Vec::new()),
        other => other?,
    };
    let message = Message::new(GETCHAIN, 0, &nfgenmsg());
    let answers = match socket.dump(&|| "list shields".to_owned(), message) {
        Err(error) if absent(&error) => return Ok(Vec::new()),
        other => other?,
    };
    Ok(answers
        .iter()
        .filter_map(|(_, payload)| {
            let (mut table, mut name) = (None, None);
            for (kind, value) in wire::attributes(payload, NFGENMSG) {
                match kind {
                    NFTA_CHAIN_TABLE => table = Some(wire::text(value)),
                    NFTA_CHAIN_NAME => name = Some(wire::text(value)),
                    _ => {}
                }
            }
            name.filter(|_| table.as_deref() == Some(TABLE))
        })
        .collect())
}

/// Nothing there to remove, or a kernel that never had any.
fn absent(error: &NetlinkError) -> bool {
    matches!(
        error.errno(),
        Some(Errno::ENOENT | Errno::EPROTONOSUPPORT | Errno::EOPNOTSUPP | Errno::EINVAL)
    )
}

fn transact(operation: &dyn Fn() -> String, batch: Vec<Message>) -> Result<(), NetlinkError> {
    let mut socket = Socket::open(SockProtocol::NetlinkNetFilter)?;
    // The batch's subsystem is in the field that is otherwise a resource id, in network order.
    let subsystem = [0, 0, 0, 10];
    socket.batch(
        operation,
        Message::new(BATCH_BEGIN, 0, &subsystem),
        batch,
        Message::new(BATCH_END, 0, &subsystem),
    )
}

fn nfgenmsg() -> [u8; NFGENMSG] {
    [NFPROTO_NETDEV, 0, 0, 0]
}
