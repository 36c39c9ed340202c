//! Cuts a byte stream into JSON objects without ever looking at a byte twice.
//!
//! OVSDB puts no delimiter between messages: a message ends where its outermost object closes. The scanner remembers
//! where it stopped, so a reply that arrives in ten thousand reads costs the same as one that arrives in one. It does
//! not check that the JSON is well formed beyond what is needed to find its end; the parser does.

use bytes::{Bytes, BytesMut};

/// The largest message a [`Framer`] accepts unless told otherwise.
///
/// A Northbound database with 20,000 logical ports arrives in one message of about 8 MB, so this has room for a million,
/// and still stops a peer that opens an object and never closes it from taking all memory.
pub const DEFAULT_MAX_MESSAGE: usize = 512 << 20;

/// A buffer that held a message larger than this is given back to the allocator with that message: the first reply is
/// often a thousand times larger than all that follow.
const KEEP_CAPACITY: usize = 256 << 10;

/// Room made for each read. Larger reads measurably help a large first reply, and cost nothing afterwards.
const READ_SIZE: usize = 64 << 10;

/// Why a byte stream is not a sequence of JSON objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A message does not begin with `{`.
    #[error("expected a JSON object, found byte 0x{0:02x}")]
    NotAnObject(u8),
    /// A message is longer than the limit.
    #[error("message is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

/// Collects bytes and yields complete messages.
///
/// ```
/// let mut framer = ovsdb::wire::Framer::default();
/// framer.extend(b"{\"id\":1}{\"id\"");
/// assert_eq!(framer.next().unwrap().unwrap(), "{\"id\":1}");
/// assert_eq!(framer.next().unwrap(), None);
/// framer.extend(b":2}");
/// assert_eq!(framer.next().unwrap().unwrap(), "{\"id\":2}");
/// ```
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    /// Everything before this offset has been scanned; `depth` and `in_string` describe the state at it.
    position: usize,
    depth: usize,
    in_string: bool,
    limit: usize,
    scanned: u64,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_MESSAGE)
    }
}

impl Framer {
    /// A framer that refuses messages longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            position: 0,
            depth: 0,
            in_string: false,
            limit,
            scanned: 0,
        }
    }

    /// The buffer to read into, with room for a sizeable read. Append only.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.buffer.reserve(READ_SIZE);
        &mut self.buffer
    }

    /// Appends bytes that were read elsewhere.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes the scanner has looked at since it was created. Equals the number of bytes received when all of
    /// them have been offered to [`next`](Self::next), however they were cut.
    pub fn scanned(&self) -> u64 {
        self.scanned
    }

    /// The next complete message, or `None` until more bytes arrive. An error is final: the stream has lost its place.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: `None` means not yet")]
    pub fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        if self.depth == 0 {
            self.skip_whitespace()?;
        }
        let complete = self.scan();
        if self.position > self.limit {
            return Err(FrameError::TooLong { limit: self.limit });
        }
        if !complete {
            return Ok(None);
        }
        let frame = self.buffer.split_to(self.position).freeze();
        self.position = 0;
        if frame.len() > KEEP_CAPACITY {
            // What follows a large message is at most the tail of one read.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        Ok(Some(frame))
    }

    fn skip_whitespace(&mut self) -> Result<(), FrameError> {
        let blank = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.scanned += blank as u64;
        let _ = self.buffer.split_to(blank);
        match self.buffer.first() {
            None | Some(b'{') => Ok(()),
            Some(&byte) => Err(FrameError::NotAnObject(byte)),
        }
    }

    /// Scans what has not been scanned yet; true when `position` is just behind a complete object.
    fn scan(&mut self) -> bool {
        let start = self.position;
        let complete = loop {
            let rest = &self.buffer[self.position..];
            let found = if self.in_string {
                memchr::memchr2(b'"', b'\\', rest)
            } else {
                memchr::memchr3(b'"', b'{', b'}', rest)
            };
            let Some(offset) = found else {
                self.position = self.buffer.len();
                break false;
            };
            match rest[offset] {
                // The escaped byte belongs to the escape. If it has not arrived, stop in front of the backslash: the
                // only byte that is ever looked at again.
                b'\\' if offset + 1 == rest.len() => {
                    self.position += offset;
                    break false;
                }
                b'\\' => self.position += offset + 2,
                b'"' => {
                    self.in_string = !self.in_string;
                    self.position += offset + 1;
                }
                b'{' => {
                    self.depth += 1;
                    self.position += offset + 1;
                }
                _ => {
                    self.depth -= 1;
                    self.position += offset + 1;
                    if self.depth == 0 {
                        break true;
                    }
                }
            }
        };
        self.scanned += (self.position - start) as u64;
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(chunks: impl IntoIterator<Item = Vec<u8>>) -> (Vec<Vec<u8>>, u64) {
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for chunk in chunks {
            framer.extend(&chunk);
            while let Some(frame) = framer.next().unwrap() {
                found.push(frame.to_vec());
            }
        }
        (found, framer.scanned())
    }

    #[test]
    fn messages_are_found_wherever_the_stream_is_cut() {
        let messages = [r#"{"a":"}\"{\\"}"#, r#"{"b":{"c":[{}]},"d":"\\\\"}"#, "{}"];
        let stream = messages.join(" \n").into_bytes();
        for size in 1..=stream.len() {
            let (found, scanned) = frames(stream.chunks(size).map(<[u8]>::to_vec));
            assert_eq!(
                found,
                messages.map(|message| message.as_bytes().to_vec()),
                "cut every {size} bytes"
            );
            assert_eq!(scanned, stream.len() as u64, "cut every {size} bytes");
        }
    }

    #[test]
    fn a_hundred_megabyte_reply_is_scanned_once() {
        let mut framer = Framer::default();
        let row = br#"{"initial":{"name":"a \"quoted\" name","ports":["set",[]]}},"#;
        let mut sent = 1u64;
        framer.extend(b"{");
        while sent < 100 << 20 {
            framer.extend(row);
            sent += row.len() as u64;
            assert_eq!(framer.next().unwrap(), None);
        }
        framer.extend(b"}");
        let frame = framer.next().unwrap().expect("complete");
        assert_eq!(frame.len() as u64, sent + 1);
        assert_eq!(framer.scanned(), sent + 1);
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let mut framer = Framer::default();
        framer.extend(format!(r#"{{"x":"{}"}}"#, "y".repeat(1 << 20)).as_bytes());
        drop(framer.next().unwrap().unwrap());
        assert_eq!(framer.buffer.capacity(), 0);
    }

    #[test]
    fn anything_but_an_object_is_refused() {
        let mut framer = Framer::default();
        framer.extend(b"  [1]");
        assert_eq!(framer.next(), Err(FrameError::NotAnObject(b'[')));
        let mut framer = Framer::default();
        framer.extend(b"{}}");
        assert_eq!(framer.next().unwrap().unwrap(), "{}");
        assert_eq!(framer.next(), Err(FrameError::NotAnObject(b'}')));
    }

    #[test]
    fn an_object_that_never_ends_is_refused() {
        let mut framer = Framer::new(8);
        framer.extend(b"{\"123456");
        assert_eq!(framer.next(), Ok(None));
        framer.extend(b"7");
        assert_eq!(framer.next(), Err(FrameError::TooLong { limit: 8 }));
    }
}
