//! [`Health`]: how the watches fare, for `/readyz`, `/status` and metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::failure::{Cause, Failure};

/// How one watch fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchHealth {
    /// Whether everything else goes on without it.
    pub optional: bool,
    /// Whether it has told everything there is once.
    pub synced: bool,
    /// Objects it knows, and those among them that cannot be read.
    pub objects: usize,
    /// See [`Self::objects`].
    pub invalid: usize,
    /// Full lists read.
    pub lists: u64,
    /// Times it went on where it had stopped.
    pub resumes: u64,
    /// Failures by cause, the ordinary ones too.
    pub errors: BTreeMap<Cause, u64>,
    /// When the server last said anything, be it that nothing has changed.
    pub last_heard: Option<SystemTime>,
    /// Why it does not work at present.
    pub failure: Option<Failing>,
    /// Failures of ordinary life in a row.
    excused: u32,
}

/// Something that belongs to ordinary life, and happens this often in a row, does not.
const EXCUSED: u32 = 3;

/// A watch that does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Since when.
    pub since: SystemTime,
    /// How many attempts have failed.
    pub attempts: u64,
    /// Why the last one did.
    pub last: Failure,
}

/// How all watches fare; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<watch::Sender<BTreeMap<&'static str, WatchHealth>>>);

impl Health {
    /// The watches by name.
    pub fn all(&self) -> BTreeMap<&'static str, WatchHealth> {
        self.0.borrow().clone()
    }

    /// The watches that do not work: name and why.
    pub fn failing(&self) -> Vec<(&'static str, Failing)> {
        let all = self.0.borrow();
        all.iter()
            .filter_map(|(name, watch)| Some((*name, watch.failure.clone()?)))
            .collect()
    }

    /// Why a watch does not work, if it does not.
    pub(super) fn failure(&self, name: &str) -> Option<Failing> {
        self.0.borrow().get(name)?.failure.clone()
    }

    /// Waits until a watch that is needed fails for a reason that waiting does not cure.
    pub async fn lasting_failure(&self) -> Failure {
        let mut changes = self.0.subscribe();
        let lasting = |all: &BTreeMap<&'static str, WatchHealth>| {
            let needed = all.values().filter(|watch| !watch.optional);
            let mut failing = needed.filter_map(|watch| watch.failure.as_ref());
            failing
                .find(|failing| failing.last.cause.is_lasting())
                .map(|failing| failing.last.clone())
        };
        loop {
            if let Some(failure) = lasting(&changes.borrow_and_update()) {
                return failure;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Notes something about a watch.
    pub(super) fn note(&self, name: &'static str, change: impl FnOnce(&mut WatchHealth)) {
        self.0.send_modify(|all| change(all.entry(name).or_default()));
    }
}

impl WatchHealth {
    pub(super) fn heard(&mut self) {
        self.last_heard = Some(SystemTime::now());
        self.failure = None;
        self.excused = 0;
    }

    pub(super) fn failed(&mut self, failure: &Failure) {
        *self.errors.entry(failure.cause).or_default() += 1;
        if failure.cause.is_ordinary() && self.excused < EXCUSED {
            self.excused += 1;
            return;
        }
        let (since, attempts) = match &self.failure {
            Some(failing) => (failing.since, failing.attempts),
            None => (SystemTime::now(), 0),
        };
        self.failure = Some(Failing {
            since,
            attempts: attempts + 1,
            last: failure.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(cause: Cause) -> Failure {
        Failure {
            cause,
            message: "no".into(),
        }
    }

    #[test]
    fn a_watch_fails_from_its_first_failure_until_it_is_heard_of_again() {
        let mut watch = WatchHealth::default();
        watch.failed(&failure(Cause::Unreachable));
        let since = watch.failure.as_ref().unwrap().since;
        watch.failed(&failure(Cause::Unauthorized));
        let failing = watch.failure.clone().unwrap();
        assert_eq!((failing.since, failing.attempts), (since, 2));
        assert_eq!(failing.last.cause, Cause::Unauthorized);
        watch.heard();
        assert_eq!(watch.failure, None);
        assert_eq!(watch.errors.values().sum::<u64>(), 2);
    }

    #[test]
    fn what_belongs_to_ordinary_life_is_counted_and_no_failure_unless_it_goes_on() {
        let mut watch = WatchHealth::default();
        watch.failed(&failure(Cause::Expired));
        assert_eq!((&watch.failure, watch.errors[&Cause::Expired]), (&None, 1));
        for _ in 0..EXCUSED {
            watch.failed(&failure(Cause::Expired));
        }
        assert!(watch.failure.is_some());
    }
}
