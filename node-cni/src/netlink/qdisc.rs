//! How fast a device may send: the token bucket filter, `tc qdisc … tbf`.

use std::fmt;

use nix::libc;

use super::link::Link;
use super::wire::{self, Message};
use super::{NetlinkError, Rtnetlink};

// linux/pkt_sched.h
const TCMSG: usize = 20;
const ROOT: u32 = 0xffff_ffff;
const TBF: &str = "tbf";
const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_TBF_BURST: u16 = 6;
const TC_LINKLAYER_ETHERNET: u8 = 1;
/// Offsets in `struct tc_tbf_qopt`: rate and peak rate, each a `struct tc_ratespec` of 12 bytes, limit, buffer, mtu.
const QOPT: usize = 36;
const LINKLAYER_AT: usize = 1;
const RATE_AT: usize = 8;
const LIMIT_AT: usize = 24;
const BUFFER_AT: usize = 28;
/// The kernel's clock ticks in these units here.
const TICK_NANOSECONDS: u64 = 64;
/// The number of our queueing disciplines, `4d:`.
const HANDLE: u32 = 0x4d << 16;

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket {
    /// Bytes a second.
    pub rate: u64,
    /// Bytes that may pass at once; a larger packet never passes.
    pub burst: u32,
    /// Bytes that may wait, including those that may pass.
    pub limit: u32,
}

impl fmt::Display for TokenBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.rate.saturating_mul(8);
        write!(f, "{bits} bit/s with a queue of {} bytes", self.limit)
    }
}

impl Rtnetlink {
    /// Puts everything that a device sends through a bucket, in place of whatever queueing it had.
    pub fn set_token_bucket(&mut self, link: &Link, bucket: &TokenBucket) -> Result<(), NetlinkError> {
        let operation = || format!("limit {} to {bucket}", link.name);
        self.socket.request(&operation, message(link.index, bucket)).map(drop)
    }

    /// The bucket that everything a device sends goes through, if it does; its burst as the kernel keeps it, in time.
    pub fn token_bucket(&mut self, link: &Link) -> Result<Option<TokenBucket>, NetlinkError> {
        let request = Message::new(libc::RTM_GETQDISC, 0, &tcmsg(link.index, 0, 0));
        let answers = self.socket.dump(&|| "list queueing disciplines".to_owned(), request)?;
        Ok(answers.iter().find_map(|(_, payload)| parse(payload, link.index)))
    }
}

fn message(index: u32, bucket: &TokenBucket) -> Message {
    let mut options = [0; QOPT];
    // Said here, the kernel has no need to guess it from a table of sizes and times, which is what `tc` sends them for.
    options[LINKLAYER_AT] = TC_LINKLAYER_ETHERNET;
    let rate = u32::try_from(bucket.rate).unwrap_or(u32::MAX);
    options[RATE_AT..RATE_AT + 4].copy_from_slice(&rate.to_ne_bytes());
    options[LIMIT_AT..LIMIT_AT + 4].copy_from_slice(&bucket.limit.to_ne_bytes());
    let mut message = Message::new(
        libc::RTM_NEWQDISC,
        wire::CREATE | wire::REPLACE,
        &tcmsg(index, HANDLE, ROOT),
    );
    message.string(libc::TCA_KIND, TBF).nest(libc::TCA_OPTIONS, |tbf| {
        tbf.bytes(TCA_TBF_PARMS, &options).u32(TCA_TBF_BURST, bucket.burst);
        if bucket.rate > u64::from(u32::MAX) {
            tbf.bytes(TCA_TBF_RATE64, &bucket.rate.to_ne_bytes());
        }
    });
    message
}

fn tcmsg(index: u32, handle: u32, parent: u32) -> [u8; TCMSG] {
    let mut fixed = [0; TCMSG];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&handle.to_ne_bytes());
    fixed[12..16].copy_from_slice(&parent.to_ne_bytes());
    fixed
}

fn parse(payload: &[u8], index: u32) -> Option<TokenBucket> {
    if wire::u32_at(payload, 4)? != index || wire::u32_at(payload, 12)? != ROOT {
        return None;
    }
    let attribute = |wanted| wire::attributes(payload, TCMSG).find(|(kind, _)| *kind == wanted);
    if wire::text(attribute(libc::TCA_KIND)?.1) != TBF {
        return None;
    }
    let (_, options) = attribute(libc::TCA_OPTIONS)?;
    let option = |wanted| wire::attributes(options, 0).find(|(kind, _)| *kind == wanted);
    let (_, fixed) = option(TCA_TBF_PARMS)?;
    let large = option(TCA_TBF_RATE64).and_then(|(_, value)| Some(u64::from_ne_bytes(value.try_into().ok()?)));
    let rate = large.unwrap_or(wire::u32_at(fixed, RATE_AT)?.into());
    let nanoseconds = u64::from(wire::u32_at(fixed, BUFFER_AT)?) * TICK_NANOSECONDS;
    let burst = u128::from(rate) * u128::from(nanoseconds) / 1_000_000_000;
    Some(TokenBucket {
        rate,
        burst: u32::try_from(burst).unwrap_or(u32::MAX),
        limit: wire::u32_at(fixed, LIMIT_AT)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The options of a message: parameters, burst, rate of 64 bits.
    fn options(bucket: &TokenBucket) -> (Vec<u8>, Option<u32>, Option<u64>) {
        let bytes = message(7, bucket).finish(1);
        let received = wire::messages(&bytes).next().unwrap();
        assert_eq!(received.kind, libc::RTM_NEWQDISC);
        assert_eq!(wire::u32_at(received.payload, 4), Some(7));
        assert_eq!(wire::u32_at(received.payload, 12), Some(ROOT));
        let attributes: Vec<_> = wire::attributes(received.payload, TCMSG).collect();
        assert_eq!(attributes[0], (libc::TCA_KIND, b"tbf\0".as_slice()));
        let find = |wanted| wire::attributes(attributes[1].1, 0).find(|(kind, _)| *kind == wanted);
        (
            find(TCA_TBF_PARMS).unwrap().1.to_vec(),
            find(TCA_TBF_BURST).and_then(|(_, value)| wire::u32_at(value, 0)),
            find(TCA_TBF_RATE64).map(|(_, value)| u64::from_ne_bytes(value.try_into().unwrap())),
        )
    }

    #[test]
    fn parameters_are_a_rate_on_ethernet_and_a_limit() {
        let (parameters, burst, large) = options(&TokenBucket {
            rate: 1_250_000,
            burst: 40_000,
            limit: 90_000,
        });
        assert_eq!(parameters.len(), 36);
        assert_eq!(parameters[1], TC_LINKLAYER_ETHERNET);
        assert_eq!(wire::u32_at(&parameters, 8), Some(1_250_000));
        assert_eq!(wire::u32_at(&parameters, 24), Some(90_000));
        assert_eq!((burst, large), (Some(40_000), None));
    }

    #[test]
    fn a_rate_beyond_32_bits_comes_in_64() {
        let bucket = TokenBucket {
            rate: 1 << 33,
            burst: 1,
            limit: 1,
        };
        let (parameters, _, large) = options(&bucket);
        assert_eq!(wire::u32_at(&parameters, 8), Some(u32::MAX));
        assert_eq!(large, Some(1 << 33));
    }

    #[test]
    fn what_is_set_is_what_is_read() {
        let bucket = TokenBucket {
            rate: 1 << 33,
            burst: 0,
            limit: 90_000,
        };
        let bytes = message(7, &bucket).finish(1);
        let payload = wire::messages(&bytes).next().unwrap().payload;
        assert_eq!(parse(payload, 7), Some(bucket));
        assert_eq!(parse(payload, 8), None);
    }
}
