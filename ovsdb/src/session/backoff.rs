//! Which remote to try next, and when.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use super::{Timing, fault::Fault};
use crate::Remote;

/// While a cluster elects a leader every member refuses. An election takes a second or two, and longer pauses would only
/// add to it.
const ELECTION_MAX: Duration = Duration::from_secs(1);

/// Pauses are never shorter, whatever is configured: a remote that refuses at once must not keep a processor busy.
const FLOOR: Duration = Duration::from_millis(1);

/// A connection that was ready for this long has proved the remote good: what happens next is a new incident.
const PROOF: Duration = Duration::from_secs(10);

/// Goes round the remotes, and pauses only after each full round.
#[derive(Debug)]
pub(super) struct Backoff {
    remotes: Vec<Remote>,
    next: usize,
    /// Attempts since the last pause or success.
    attempts: usize,
    pause: Duration,
    min: Duration,
    max: Duration,
}

impl Backoff {
    /// Clients of any member begin with a random one, to spread the load; clients of the leader have no use for that.
    pub(super) fn new(remotes: Vec<Remote>, spread: bool, timing: &Timing) -> Self {
        let next = if spread && !remotes.is_empty() {
            pick(remotes.len())
        } else {
            0
        };
        let min = timing.backoff_min.max(FLOOR);
        Self {
            remotes,
            next,
            attempts: 0,
            pause: min,
            min,
            max: timing.backoff_max.max(min),
        }
    }

    /// The remote to try now, or `None` when there are none at all.
    pub(super) fn next(&mut self) -> Option<Remote> {
        let remote = self.remotes.get(self.next)?.clone();
        self.next = (self.next + 1) % self.remotes.len();
        Some(remote)
    }

    /// How long to wait after a connection ended, having been ready for so long, if at all.
    pub(super) fn after(&mut self, fault: &Fault, ready_for: Option<Duration>) -> Duration {
        if ready_for.is_some_and(|time| time >= PROOF) || (ready_for.is_some() && fault.is_cluster_change()) {
            self.pause = self.min;
            self.attempts = 0;
        }
        self.attempts += 1;
        if self.attempts < self.remotes.len() {
            return Duration::ZERO;
        }
        self.attempts = 0;
        let max = if fault.is_cluster_change() {
            self.max.min(ELECTION_MAX)
        } else {
            self.max
        };
        let pause = self.pause.min(max);
        self.pause = (pause * 2).min(max);
        jitter(pause)
    }
}

/// Between half and all of the pause, so that clients that lost the same server do not return in step.
fn jitter(pause: Duration) -> Duration {
    pause / 2 + pause.mul_f64(f64::from(pick_u32()) / f64::from(u32::MAX) / 2.0)
}

fn pick(count: usize) -> usize {
    pick_u32() as usize % count
}

/// Randomness good enough to spread clients, from the keys the standard library draws for its hash maps.
fn pick_u32() -> u32 {
    (RandomState::new().hash_one(0) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(count: u16) -> Backoff {
        let remotes = (1..=count).map(|port| Remote::Tcp("host".into(), port)).collect();
        Backoff::new(remotes, false, &Timing::default())
    }

    #[test]
    fn remotes_take_turns_and_only_a_full_round_costs_a_pause() {
        let mut backoff = backoff(3);
        let mut pauses = Vec::new();
        for turn in 0..6u16 {
            assert_eq!(backoff.next(), Some(Remote::Tcp("host".into(), turn % 3 + 1)));
            pauses.push(backoff.after(&Fault::Eof, None));
        }
        let zero: Vec<_> = pauses.iter().map(Duration::is_zero).collect();
        assert_eq!(zero, [true, true, false, true, true, false]);
        let min = Timing::default().backoff_min;
        assert!(pauses[2] >= min / 2 && pauses[2] <= min, "{pauses:?}");
        assert!(pauses[5] >= min && pauses[5] <= min * 2, "{pauses:?}");
    }

    #[test]
    fn pauses_stop_growing_at_the_maximum() {
        let mut backoff = backoff(1);
        let pauses: Vec<_> = (0..40).map(|_| backoff.after(&Fault::Eof, None)).collect();
        assert!(pauses.iter().all(|pause| *pause <= Timing::default().backoff_max));
        assert!(pauses[39] >= Timing::default().backoff_max / 2);
    }

    #[test]
    fn an_election_does_not_make_pauses_grow_long() {
        let mut backoff = backoff(2);
        for _ in 0..40 {
            assert!(backoff.after(&Fault::NotLeader, None) <= ELECTION_MAX);
        }
        assert!(
            backoff
                .after(&Fault::LeadershipLost, Some(Duration::from_secs(1)))
                .is_zero()
        );
    }

    #[test]
    fn a_connection_that_lasted_starts_from_the_smallest_pause() {
        let mut backoff = backoff(1);
        for _ in 0..40 {
            backoff.after(&Fault::Eof, None);
        }
        assert!(backoff.after(&Fault::Eof, Some(Duration::from_millis(1))) > Timing::default().backoff_min);
        assert!(backoff.after(&Fault::Eof, Some(PROOF)) <= Timing::default().backoff_min);
    }
}
