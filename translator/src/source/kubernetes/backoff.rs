//! [`Backoff`]: pauses between attempts at a server that does not answer as it should.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use super::failure::Cause;

/// A server that restarts is found again quickly.
const FIRST: Duration = Duration::from_millis(100);

/// One that is away for long is not asked much more often than it would be noticed.
const LONGEST: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It works again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after a failure: longer each time, and differently long for everybody, so that those who lost
    /// one server do not all come back to the next at once.
    pub(crate) fn pause(&mut self, cause: Cause) -> Duration {
        let failures = self.failures;
        self.failures = failures.saturating_add(1);
        if failures == 0 && cause.is_ordinary() {
            return Duration::ZERO;
        }
        let longest = FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST);
        longest.mul_f64(0.5 + 0.5 * random())
    }
}

/// From 0 to 1.
fn random() -> f64 {
    // Every `RandomState` has keys of its own.
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..20).map(|_| backoff.pause(Cause::Unreachable)).collect();
        assert!(pauses[0] <= FIRST && pauses[0] >= FIRST / 2);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses[19] >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.pause(Cause::Server) <= FIRST);
    }

    #[test]
    fn what_belongs_to_ordinary_life_is_tried_again_at_once_but_not_for_ever() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pause(Cause::Expired), Duration::ZERO);
        assert!(backoff.pause(Cause::Expired) > Duration::ZERO);
    }
}
