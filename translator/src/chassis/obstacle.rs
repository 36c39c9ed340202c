//! What keeps the janitor from looking: a database that is away, a lock that another holds.

use std::time::Duration;

use ovsdb::{LockState, Session, State};
use tokio::sync::watch;
use tokio::time::Instant;

/// It is told after this: connections come and go, and locks are passed on.
const PATIENCE: Duration = Duration::from_secs(10);

/// Follows a session.
#[derive(Debug)]
pub(super) struct Obstacles {
    state: watch::Receiver<State>,
    lock: watch::Receiver<LockState>,
    /// Why the last connection ended.
    reason: String,
    since: Option<Instant>,
    told: Option<String>,
}

/// What keeps the janitor from looking.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Obstacle {
    #[error("the Southbound database is away: {0}")]
    Away(String),
    #[error("another process holds our lock of the Southbound database")]
    Locked,
}

/// Something is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// Not for long yet; ask again then.
    Until(Instant),
    /// For so long that it is to be told, in the same words until it is over: one line in the log, not one for each
    /// attempt.
    Told(String),
}

impl Obstacles {
    pub(super) fn new(session: &Session) -> Self {
        Self {
            state: session.state(),
            lock: session.lock_state(),
            reason: String::new(),
            since: None,
            told: None,
        }
    }

    /// Waits until anything changes; false if nothing will any more.
    pub(super) async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.state.changed() => changed.is_ok(),
            changed = self.lock.changed() => changed.is_ok(),
        }
    }

    /// Whether something is in the way now.
    pub(super) fn look(&mut self, now: Instant) -> Result<(), Blocked> {
        let Err(obstacle) = self.find() else {
            (self.since, self.told) = (None, None);
            return Ok(());
        };
        let due = *self.since.get_or_insert(now) + PATIENCE;
        if now < due {
            return Err(Blocked::Until(due));
        }
        let text = || format!("{obstacle}; chassis of nodes that are no more stay, everything else goes on");
        Err(Blocked::Told(self.told.get_or_insert_with(text).clone()))
    }

    fn find(&mut self) -> Result<(), Obstacle> {
        let state = self.state.borrow_and_update();
        if let State::Disconnected { reason } = &*state {
            self.reason.clone_from(reason);
        }
        if !state.is_ready() {
            return Err(Obstacle::Away(self.reason.clone()));
        }
        match *self.lock.borrow_and_update() {
            LockState::Held => Ok(()),
            _ => Err(Obstacle::Locked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(reason: &str) -> State {
        State::Disconnected { reason: reason.into() }
    }

    #[test]
    fn a_database_that_is_away_is_told_once_it_lasts_and_in_the_same_words() {
        let (state, state_seen) = watch::channel(away("connection refused"));
        let (lock, lock_seen) = watch::channel(LockState::NotRequested);
        let mut obstacles = Obstacles {
            state: state_seen,
            lock: lock_seen,
            reason: String::new(),
            since: None,
            told: None,
        };
        let now = Instant::now();
        assert_eq!(obstacles.look(now), Err(Blocked::Until(now + PATIENCE)));
        let told = obstacles.look(now + PATIENCE).unwrap_err();
        assert!(
            matches!(&told, Blocked::Told(text) if text.contains("connection refused")),
            "{told:?}"
        );
        state.send_replace(away("no route to host"));
        assert_eq!(obstacles.look(now + PATIENCE * 2), Err(told));
        state.send_replace(State::Ready {
            remote: "tcp:127.0.0.1:6642".parse().unwrap(),
            txn_id: None,
            epoch: 1,
        });
        lock.send_replace(LockState::Held);
        assert_eq!(obstacles.look(now), Ok(()));
        lock.send_replace(LockState::Waiting);
        assert_eq!(
            obstacles.look(now),
            Err(Blocked::Until(now + PATIENCE)),
            "it begins anew"
        );
        let told = obstacles.look(now + PATIENCE).unwrap_err();
        assert!(
            matches!(&told, Blocked::Told(text) if text.starts_with("another process")),
            "{told:?}"
        );
    }
}
