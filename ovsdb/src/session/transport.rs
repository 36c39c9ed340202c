//! One connected stream: bytes in, frames out, and bytes to send in between.
//!
//! Reading and writing make progress side by side in a single poll, so a peer that does not read cannot keep us from
//! reading, and every wait can be abandoned without losing a byte. It knows frames, not messages.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    time::{Duration, Instant},
};

use super::fault::Fault;
use crate::wire::Framer;

/// Any connected stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Reads per poll before the task lets others run; with the framer's buffer this is about a megabyte.
const READS_PER_POLL: usize = 16;

pub(super) struct Transport {
    stream: Box<dyn Stream>,
    framer: Framer,
    outgoing: VecDeque<Bytes>,
    outgoing_bytes: usize,
    /// TLS may hold ciphertext back after a write; a flush is owed.
    unflushed: bool,
    /// When the peer last took a byte while there were bytes to take, or when the first of them was queued.
    waiting_since: Option<Instant>,
    write_timeout: Duration,
    last_received: Instant,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("outgoing_bytes", &self.outgoing_bytes)
            .finish_non_exhaustive()
    }
}

impl Transport {
    pub(super) fn new(stream: Box<dyn Stream>, max_message: usize, write_timeout: Duration) -> Self {
        Self {
            stream,
            framer: Framer::new(max_message),
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            unflushed: false,
            waiting_since: None,
            write_timeout,
            last_received: Instant::now(),
        }
    }

    /// Queues a message. It leaves while [`receive`](Self::receive) is awaited.
    pub(super) fn send(&mut self, message: Vec<u8>) {
        self.outgoing_bytes += message.len();
        self.outgoing.push_back(message.into());
        self.waiting_since.get_or_insert_with(Instant::now);
    }

    /// Bytes queued and not yet taken by the peer.
    pub(super) fn backlog(&self) -> usize {
        self.outgoing_bytes
    }

    /// When the last byte arrived.
    pub(super) fn last_received(&self) -> Instant {
        self.last_received
    }

    /// When a peer that takes no byte from now on counts as stalled.
    pub(super) fn write_deadline(&self) -> Option<Instant> {
        self.waiting_since.map(|since| since + self.write_timeout)
    }

    /// A frame that has arrived already.
    pub(super) fn next_frame(&mut self) -> Result<Option<Bytes>, Fault> {
        Ok(self.framer.next()?)
    }

    /// Moves bytes in both directions until some have arrived. Cancelling loses nothing.
    pub(super) async fn receive(&mut self) -> Result<(), Fault> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let sent = self.poll_send(cx);
        let received = self.poll_read(cx);
        match (sent, received) {
            (_, Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
            // Only once the peer's last words are read: they may explain why it does not listen any more.
            (Poll::Ready(Err(error)), _) => Poll::Ready(Err(Fault::Write(error))),
            (_, received) => received,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut any = false;
        for _ in 0..READS_PER_POLL {
            let fault = match pin!(self.stream.read_buf(self.framer.buffer())).poll(cx) {
                Poll::Ready(Ok(1..)) => {
                    any = true;
                    continue;
                }
                // What has arrived is looked at first; the fault is still there at the next read.
                _ if any => break,
                Poll::Ready(Ok(0)) => Fault::Eof,
                Poll::Ready(Err(error)) => Fault::Read(error),
                Poll::Pending => return Poll::Pending,
            };
            return Poll::Ready(Err(fault));
        }
        self.last_received = Instant::now();
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(front) = self.outgoing.front_mut() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, front))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            front.advance(written);
            if front.is_empty() {
                self.outgoing.pop_front();
            }
            self.outgoing_bytes -= written;
            self.unflushed = true;
            self.waiting_since = Some(Instant::now());
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        self.waiting_since = None;
        Poll::Ready(Ok(()))
    }
}
