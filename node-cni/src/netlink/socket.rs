//! A blocking netlink socket: one request, its answers, its acknowledgement.
//!
//! A socket belongs to the network namespace it was opened in, whichever thread uses it later.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

use super::wire::{self, Message};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_DUMP_INTR`: the tables changed while they were dumped.
const DUMP_INTERRUPTED: u16 = 0x10;
/// The kernel never sends a datagram above 32 KiB unless asked to.
const DATAGRAM: usize = 64 * 1024;
/// The kernel answers from the same system call; only a bug in the exchange would ever wait.
const ANSWER_SECONDS: i64 = 10;
/// Each try is consistent with a later moment; a table that changes through all of them is in an uproar.
const DUMP_TRIES: usize = 20;

/// Why netlink failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel refused a request.
    #[error("{operation}: {}", errno.desc())]
    Refused {
        /// What was asked.
        operation: String,
        /// Its answer.
        errno: Errno,
    },
    /// The socket itself failed.
    #[error("netlink socket: {call}: {}", errno.desc())]
    Socket {
        /// The system call.
        call: &'static str,
        /// Its error.
        errno: Errno,
    },
    /// The tables kept changing under a dump.
    #[error("{operation}: interrupted by changes {DUMP_TRIES} times")]
    Interrupted {
        /// What was asked.
        operation: String,
    },
    /// The kernel lacks a generic netlink family.
    #[error("this kernel has no netlink family {0:?}")]
    NoFamily(&'static str),
}

impl NetlinkError {
    /// The kernel's error, if it was one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } | Self::Socket { errno, .. } => Some(*errno),
            Self::Interrupted { .. } | Self::NoFamily(_) => None,
        }
    }
}

/// An answer: message type and payload.
pub(super) type Answer = (u16, Vec<u8>);

/// A netlink socket.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub(super) fn open(protocol: SockProtocol) -> Result<Self, NetlinkError> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)
            .map_err(|errno| NetlinkError::Socket { call: "socket", errno })?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(ANSWER_SECONDS, 0)).map_err(|errno| {
            NetlinkError::Socket {
                call: "setsockopt",
                errno,
            }
        })?;
        Ok(Self {
            fd,
            sequence: 0,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// Opens a socket that hears the notifications of multicast groups (a bit mask), without a time limit.
    pub(super) fn listen(protocol: SockProtocol, groups: u32) -> Result<Self, NetlinkError> {
        let listening = Self::open(protocol)?;
        bind(listening.fd.as_raw_fd(), &NetlinkAddr::new(0, groups))
            .map_err(|errno| NetlinkError::Socket { call: "bind", errno })?;
        setsockopt(&listening.fd, sockopt::ReceiveTimeout, &TimeVal::new(0, 0)).map_err(|errno| {
            NetlinkError::Socket {
                call: "setsockopt",
                errno,
            }
        })?;
        Ok(listening)
    }

    /// The next datagram. `ENOBUFS` (notifications were lost) is for the caller to see.
    pub(super) fn receive(&mut self) -> Result<&[u8], NetlinkError> {
        loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => return Ok(&self.buffer[..length]),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    return Err(NetlinkError::Socket { call: "recv", errno });
                }
            }
        }
    }

    /// Sends a request and waits for the acknowledgement; yields the answers before it.
    pub(super) fn request(
        &mut self,
        operation: &dyn Fn() -> String,
        mut message: Message,
    ) -> Result<Vec<Answer>, NetlinkError> {
        message.add_flags(wire::ACK);
        let sequence = self.next_sequence();
        self.send(&message.finish(sequence))?;
        self.collect(operation, sequence).map(|(answers, _)| answers)
    }

    /// Sends a request for a whole table; repeats it when the table changed meanwhile.
    pub(super) fn dump(
        &mut self,
        operation: &dyn Fn() -> String,
        mut message: Message,
    ) -> Result<Vec<Answer>, NetlinkError> {
        message.add_flags(wire::DUMP);
        for _ in 0..DUMP_TRIES {
            let sequence = self.next_sequence();
            self.send(&message.clone().finish(sequence))?;
            let (answers, interrupted) = self.collect(operation, sequence)?;
            if !interrupted {
                return Ok(answers);
            }
        }
        Err(NetlinkError::Interrupted { operation: operation() })
    }

    /// Sends a batch as one datagram; the last message of `batch` before its end asks for the acknowledgement.
    pub(super) fn batch(
        &mut self,
        operation: &dyn Fn() -> String,
        begin: Message,
        batch: Vec<Message>,
        end: Message,
    ) -> Result<(), NetlinkError> {
        let mut bytes = begin.finish(self.next_sequence());
        let first = self.sequence + 1;
        let mut last = first;
        let count = batch.len();
        for (position, mut message) in batch.into_iter().enumerate() {
            if position + 1 == count {
                message.add_flags(wire::ACK);
            }
            last = self.next_sequence();
            bytes.extend(message.finish(last));
        }
        bytes.extend(end.finish(self.next_sequence()));
        self.send(&bytes)?;
        // An error of any message of the batch comes under that message's number.
        self.collect_range(operation, first, last).map(drop)
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        match send(self.fd.as_raw_fd(), bytes, MsgFlags::empty()) {
            Ok(_) => Ok(()),
            Err(errno) => Err(NetlinkError::Socket { call: "send", errno }),
        }
    }

    fn collect(&mut self, operation: &dyn Fn() -> String, sequence: u32) -> Result<(Vec<Answer>, bool), NetlinkError> {
        self.collect_range(operation, sequence, sequence)
    }

    fn collect_range(
        &mut self,
        operation: &dyn Fn() -> String,
        first: u32,
        last: u32,
    ) -> Result<(Vec<Answer>, bool), NetlinkError> {
        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            let datagram = self.receive()?;
            for received in wire::messages(datagram) {
                // Left over from an exchange that failed half way.
                if !(first..=last).contains(&received.sequence) {
                    continue;
                }
                interrupted |= received.flags & DUMP_INTERRUPTED != 0;
                match received.kind {
                    NLMSG_DONE => return Ok((answers, interrupted)),
                    NLMSG_ERROR => {
                        // A negative errno, or nought for an acknowledgement.
                        let code = wire::u32_at(received.payload, 0).unwrap_or_default();
                        if code != 0 {
                            return Err(NetlinkError::Refused {
                                operation: operation(),
                                errno: Errno::from_raw(code.cast_signed().wrapping_neg()),
                            });
                        }
                        if received.sequence == last {
                            return Ok((answers, interrupted));
                        }
                    }
                    kind => answers.push((kind, received.payload.to_vec())),
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
