//! What the kernel keeps from us: a packet filter (classic BPF) for each socket.
//!
//! On a network of thousands of hosts there are hundreds of questions a second for others' addresses. The agent sleeps
//! through them.

use std::net::IpAddr;

use nix::libc;
use socket2::SockFilter;

use super::frame::HEADER;
use super::{arp, nd};

/// More addresses than these are told apart by the agent itself: a filter is charged to `net.core.optmem_max`, 20 KiB, twice
/// while it replaces another, and an address is about 80 bytes of it.
const ADDRESSES: usize = 100;
/// Whole frames.
const PASS: u32 = u32::MAX;

/// Lets through what says something of addresses of IPv4.
pub(super) fn arp(addresses: &[IpAddr]) -> Vec<SockFilter> {
    let Some(wanted) = last_words(addresses) else {
        return vec![give(PASS)];
    };
    let mut program = Vec::new();
    for at in [arp::SENDER, arp::TARGET] {
        program.push(load(libc::BPF_W, HEADER + at));
        program.extend(wanted.iter().flat_map(|word| pass_if(*word)));
    }
    program.push(give(0));
    program
}

/// Lets through neighbour discovery of addresses of IPv6, whose last four bytes tell them apart well enough here.
pub(super) fn nd(addresses: &[IpAddr]) -> Vec<SockFilter> {
    let message = HEADER + nd::IPV6;
    let mut program = vec![
        load(libc::BPF_B, HEADER + nd::NEXT_HEADER),
        jump_if(nd::ICMPV6.into(), 1, 0),
        give(0),
        load(libc::BPF_B, message),
        jump_if(nd::SOLICITATION.into(), 2, 0),
        jump_if(nd::ADVERTISEMENT.into(), 1, 0),
        give(0),
    ];
    let Some(wanted) = last_words(addresses) else {
        program.push(give(PASS));
        return program;
    };
    program.push(load(libc::BPF_W, message + nd::TARGET + 12));
    program.extend(wanted.iter().flat_map(|word| pass_if(*word)));
    program.push(give(0));
    program
}

fn last_words(addresses: &[IpAddr]) -> Option<Vec<u32>> {
    let word = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            u32::from_be_bytes([a, b, c, d])
        }
    };
    (addresses.len() <= ADDRESSES).then(|| addresses.iter().map(word).collect())
}

fn pass_if(word: u32) -> [SockFilter; 2] {
    [jump_if(word, 0, 1), give(PASS)]
}

fn code(parts: [u32; 3]) -> u16 {
    u16::try_from(parts[0] | parts[1] | parts[2]).expect("codes of instructions have 16 bits")
}

/// Loads a part of the frame into the accumulator.
fn load(size: u32, at: usize) -> SockFilter {
    let at = u32::try_from(at).expect("headers are short");
    SockFilter::new(code([libc::BPF_LD, size, libc::BPF_ABS]), 0, 0, at)
}

/// Passes over as many instructions, if the accumulator is that or else.
fn jump_if(value: u32, equal: u8, other: u8) -> SockFilter {
    SockFilter::new(code([libc::BPF_JMP, libc::BPF_JEQ, libc::BPF_K]), equal, other, value)
}

fn give(bytes: u32) -> SockFilter {
    SockFilter::new(code([libc::BPF_RET, libc::BPF_K, 0]), 0, 0, bytes)
}
