//! Netlink messages as bytes: a builder and an attribute reader.
//!
//! Meridian speaks three netlink dialects (routes and links, ethtool, nftables) and of each a few
//! messages only, so the format itself is all that is needed: a header, a fixed part, attributes.
//! Reading is tolerant on purpose: an attribute a newer kernel changed or added is passed over,
//! never a reason to fail the message it is in.
//!
//! Must not do I/O.

const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// `NLA_F_NESTED`: the attribute holds attributes.
const NESTED: u16 = 0x8000;
/// Masks `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER` off an attribute's type.
const TYPE_MASK: u16 = 0x3fff;

/// `NLM_F_REQUEST`.
pub(super) const REQUEST: u16 = 0x01;
/// `NLM_F_ACK`.
pub(super) const ACK: u16 = 0x04;
/// `NLM_F_EXCL`.
pub(super) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`.
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_REPLACE`.
pub(super) const REPLACE: u16 = 0x100;
/// `NLM_F_DUMP`.
pub(super) const DUMP: u16 = 0x300;

/// A message under construction.
#[derive(Debug, Clone)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A request of a type, with its fixed part.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | REQUEST).to_ne_bytes());
        bytes.extend_from_slice(fixed);
        let mut message = Self { bytes };
        message.pad();
        message
    }

    /// Sets flags beside those it was made with.
    pub(super) fn add_flags(&mut self, flags: u16) {
        let flags = flags | u16_at(&self.bytes, 6).expect("every message has its header");
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    }

    /// Adds an attribute.
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let start = self.begin(kind);
        self.bytes.extend_from_slice(value);
        self.end(start);
        self
    }

    /// Adds a string with its terminating NUL.
    pub(super) fn string(&mut self, kind: u16, value: &str) -> &mut Self {
        let start = self.begin(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.end(start);
        self
    }

    /// Adds a number in the machine's byte order.
    pub(super) fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Adds an attribute that holds attributes.
    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.begin(kind | NESTED);
        fill(self);
        self.end(start);
        self
    }

    /// Adds an attribute that holds a fixed part and then attributes, as `VETH_INFO_PEER` does.
    pub(super) fn nest_with(&mut self, kind: u16, fixed: &[u8], fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.begin(kind);
        self.bytes.extend_from_slice(fixed);
        self.pad();
        fill(self);
        self.end(start);
        self
    }

    /// The finished message.
    pub(super) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).expect("a request is a few hundred bytes");
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }

    fn begin(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn end(&mut self, start: usize) {
        let length = u16::try_from(self.bytes.len() - start).expect("an attribute is small");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A message received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) payload: &'a [u8],
}

/// Splits a datagram into messages; stops at the first that does not fit.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(datagram, 0)? as usize;
        if length < HEADER || length > datagram.len() {
            return None;
        }
        let received = Received {
            kind: u16_at(datagram, 4)?,
            flags: u16_at(datagram, 6)?,
            sequence: u32_at(datagram, 8)?,
            payload: &datagram[HEADER..length],
        };
        datagram = &datagram[length.next_multiple_of(4).min(datagram.len())..];
        Some(received)
    })
}

/// Walks the attributes after a fixed part of `fixed` bytes.
pub(super) fn attributes(payload: &[u8], fixed: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = payload.get(fixed..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        if length < ATTRIBUTE_HEADER || length > rest.len() {
            return None;
        }
        let attribute = (u16_at(rest, 2)? & TYPE_MASK, &rest[ATTRIBUTE_HEADER..length]);
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        Some(attribute)
    })
}

/// A number at an offset.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..offset + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

/// A number at an offset.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// A NUL-terminated string.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested_lengths_include_their_content() {
        let mut message = Message::new(16, ACK, &[7; 4]);
        message
            .string(3, "eth0")
            .nest(18, |info| {
                info.string(1, "veth");
            })
            .u32(4, 1400);
        let bytes = message.finish(9);
        let received: Vec<_> = messages(&bytes).collect();
        assert_eq!(received.len(), 1);
        assert_eq!((received[0].kind, received[0].sequence), (16, 9));
        let found: Vec<_> = attributes(received[0].payload, 4).collect();
        assert_eq!(found[0], (3, b"eth0\0".as_slice()));
        assert_eq!(found[1].0, 18);
        assert_eq!(attributes(found[1].1, 0).next(), Some((1, b"veth\0".as_slice())));
        assert_eq!(u32_at(found[2].1, 0), Some(1400));
    }

    #[test]
    fn a_truncated_datagram_ends_the_walk() {
        let mut message = Message::new(16, 0, &[0; 16]);
        message.string(3, "eth0");
        let bytes = message.finish(1);
        assert_eq!(messages(&bytes[..bytes.len() - 1]).count(), 0);
        assert_eq!(attributes(&[200, 0, 1, 0], 0).count(), 0);
    }
}
