//! The socket of a blocking client: requests out, messages in, echoes answered on the way.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use socket2::{Domain, SockAddr, Socket, Type};

use super::ClientError;
use crate::wire::{Framer, Message, encode_request, encode_response, parse};

const READ_SIZE: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    framer: Framer,
    buffer: Vec<u8>,
    last_id: u64,
}

/// A message from the server, after what needs no decision has been dealt with.
#[derive(Debug)]
pub(super) enum Incoming {
    Reply(Reply),
    Notification {
        method: String,
        params: String,
    },
    /// A request of the server, answered already.
    Answered,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) id: u64,
    method: &'static str,
    outcome: Result<String, String>,
}

impl Reply {
    /// Remembers what was asked, for error messages.
    pub(super) fn to(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// The text of the result.
    pub(super) fn result(&self) -> Result<&str, ClientError> {
        match &self.outcome {
            Ok(result) => Ok(result),
            Err(error) => Err(ClientError::Refused {
                method: self.method,
                error: error.clone(),
            }),
        }
    }
}

impl Connection {
    pub(super) fn open(path: &Path, deadline: Instant) -> Result<Self, ClientError> {
        let stream = connect(path, deadline).map_err(|source| match source.kind() {
            // What the kernel says when the time limit passed.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Deadline,
            _ => ClientError::Connect {
                path: path.to_owned(),
                source,
            },
        })?;
        Ok(Self {
            stream,
            framer: Framer::default(),
            buffer: vec![0; READ_SIZE],
            last_id: 0,
        })
    }

    /// Sends a request; its answer will carry the id this returns.
    pub(super) fn request(
        &mut self,
        method: &str,
        params: &impl Serialize,
        deadline: Instant,
    ) -> Result<u64, ClientError> {
        self.last_id += 1;
        self.send(&encode_request(self.last_id, method, params), deadline)?;
        Ok(self.last_id)
    }

    fn send(&mut self, bytes: &[u8], deadline: Instant) -> Result<(), ClientError> {
        self.write_all(bytes, deadline).map_err(|error| {
            // Part of the message may be out: nothing that makes sense can follow it.
            let _ = self.stream.shutdown(Shutdown::Both);
            ClientError::Unsent(error)
        })
    }

    fn write_all(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let time_left = remaining(deadline).ok_or(io::ErrorKind::TimedOut)?;
            self.stream.set_write_timeout(Some(time_left))?;
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_retry(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next message. Messages that arrived before the deadline are returned also after it.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<Incoming, ClientError> {
        let frame = loop {
            if let Some(frame) = self.framer.next()? {
                break frame;
            }
            let time_left = remaining(deadline).ok_or(ClientError::Deadline)?;
            match self
                .stream
                .set_read_timeout(Some(time_left))
                .and_then(|()| self.stream.read(&mut self.buffer))
            {
                Ok(0) => return Err(ClientError::Closed),
                Ok(count) => self.framer.extend(&self.buffer[..count]),
                Err(error) if is_retry(&error) => {}
                Err(error) => return Err(ClientError::Receive(error)),
            }
        };
        match parse(&frame)? {
            Message::Notification { method, params } => Ok(Incoming::Notification {
                method: method.into_owned(),
                params: params.get().to_owned(),
            }),
            Message::Request { id, method, params } => {
                // Echoes must be answered or the server hangs up. Nothing else is asked of clients.
                if method == "echo" {
                    self.send(&encode_response(id, &params), deadline)?;
                }
                Ok(Incoming::Answered)
            }
            Message::Response { id, outcome } => {
                let outcome = match outcome {
                    Ok(result) => Ok(result.map_or("null", |result| result.get()).to_owned()),
                    Err(error) => Err(error.get().to_owned()),
                };
                Ok(Incoming::Reply(Reply {
                    id,
                    method: "",
                    outcome,
                }))
            }
        }
    }
}

/// A server that is stopped accepts nothing, and then connecting waits for as long as sending may take.
fn connect(path: &Path, deadline: Instant) -> io::Result<UnixStream> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    loop {
        let time_left = remaining(deadline).ok_or(io::ErrorKind::TimedOut)?;
        socket.set_write_timeout(Some(time_left))?;
        match socket.connect(&address) {
            Ok(()) => return Ok(OwnedFd::from(socket).into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// `None` once the deadline has passed: sockets take no timeout of zero.
fn remaining(deadline: Instant) -> Option<Duration> {
    Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}

/// The loop looks at the deadline again.
fn is_retry(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
