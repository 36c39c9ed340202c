//! What nodes and others say to each other about an address, in either protocol.

use std::net::IpAddr;
use std::time::Duration;

use super::frame::Mac;

/// Time since some moment of the node's.
pub(super) type Time = Duration;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) mac: Mac,
    /// None if it only wants to know whether the address is taken.
    pub(super) ip: Option<IpAddr>,
}

/// What was heard of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Somebody asks for it.
    Asked {
        by: Asker,
        /// Everybody was asked.
        all: bool,
    },
    /// Somebody says to hold it.
    Claimed { mac: Mac },
}

/// What is to be said of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Say {
    /// To everybody: it is here.
    Announce,
    /// To one or everybody: has anybody got it?
    Probe(Option<Mac>),
    /// To the one who asked, or everybody: it is here.
    Answer { to: Asker, all: bool },
}
