//! How long the state machine waits for what.

use std::time::Duration;

/// Questions that nobody answers before an address is nobody's.
pub(super) const PROBES: u32 = 3;
/// Between questions to a holder that answers. A holder that dies is asked for the first time half of it later on average.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// How many addresses are asked for at that interval. More are asked for less often, so that a node's questions and announcements
/// do not exceed 100 a second.
pub(super) const CROWD: u32 = 100;
/// Questions of a standby fall on multiples of this, so that hundreds of addresses wake the node ten times a second at most.
pub(super) const GRID: Duration = Duration::from_millis(100);
/// Standbys from this rank on ask more seldom: a holder is asked by many nodes, and it is enough that some notice its end,
/// because what they ask then is heard by all.
pub(super) const SELDOM: u32 = 3;
/// In how many intervals the last of a long list asks once.
pub(super) const SELDOMEST: u32 = 10;
/// When announcements go out after the first, which switches and hosts may miss.
pub(super) const ANNOUNCEMENTS: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(900),
    Duration::from_secs(1),
];
/// Announcements for ever, by which two holders find each other: one in so many intervals.
pub(super) const HEARTBEAT: u32 = 10;
/// What one that claims waits longer, at most, so that two of the same rank, by lists that differ, do not claim for ever together.
pub(super) const TIE: Duration = Duration::from_millis(50);
/// Between answers to a foreign announcement. RFC 5227 section 2.4 (c) has 10 s against storms; the one we answer is a node that
/// has not heard of the new list yet, which takes far less.
pub(super) const DEFENCE: Duration = Duration::from_secs(1);
/// How long one that is no longer in the list goes on, at most: until the next but one of the list has taken over.
pub(super) const LINGER: Duration = Duration::from_millis(2500);
/// How long one that is no longer the first of the list offers what it holds. The first may not know yet that it is.
pub(super) const OFFERED: Duration = Duration::from_secs(30);
/// Between the first offers of that time, and between the rest.
pub(super) const OFFERS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// How many are the first.
pub(super) const HASTY: u32 = 10;
/// A claim this long after a question to everybody may be an answer to it.
pub(super) const ANSWER: Duration = Duration::from_millis(50);

/// How fast silence decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// The address may be nobody's because it never was, or was let go: three questions in 300 ms.
    Quick,
    /// A holder does not answer, or one that lets go still serves: three questions in 1.2 s.
    Slow,
}

impl Pace {
    /// How long an answer may take.
    pub(super) const fn patience(self) -> Duration {
        match self {
            Self::Quick => Duration::from_millis(100),
            Self::Slow => Duration::from_millis(400),
        }
    }

    /// How much longer each rank waits than the one before: two that hear each other's questions are at most one question
    /// apart, and an announcement takes its time.
    pub(super) const fn stagger(self) -> Duration {
        match self {
            Self::Quick => Duration::from_millis(150),
            Self::Slow => Duration::from_millis(500),
        }
    }
}

/// Some time up to the most, by SplitMix64.
pub(super) fn jitter(seed: &mut u64, most: Duration) -> Duration {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(mixed % most.max(1))
}
