//! The seat of a session in the queue for its lock (RFC 7047, sections 4.1.8 to 4.1.10).
//!
//! Pure: says what to ask next and learns what the server answered. Only one question is open at a time, because a
//! server refuses a `lock` or `steal` from a session that already has a seat.

use super::{LockState, wishes::LockWish};

/// What to ask the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Lock,
    Steal,
    Unlock,
}

impl Ask {
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Steal => "steal",
            Self::Unlock => "unlock",
        }
    }
}

#[derive(Debug)]
pub(super) struct LockSeat {
    state: LockState,
    open: Option<Ask>,
    /// Demands to steal that were met; survives connections.
    steals: u64,
}

impl Default for LockSeat {
    fn default() -> Self {
        Self {
            state: LockState::NotRequested,
            open: None,
            steals: 0,
        }
    }
}

impl LockSeat {
    pub(super) fn state(&self) -> LockState {
        self.state
    }

    /// What to ask now to come closer to the wish.
    pub(super) fn next(&mut self, wish: LockWish) -> Option<Ask> {
        if self.open.is_some() {
            return None;
        }
        let steal = wish.steals > self.steals;
        self.open = match (wish.wanted, self.state) {
            (false, LockState::NotRequested) => None,
            (false, _) => Some(Ask::Unlock),
            (true, LockState::NotRequested) => Some(if steal { Ask::Steal } else { Ask::Lock }),
            // The seat in the queue must be given up before taking the lock by force.
            (true, LockState::Waiting | LockState::Stolen) => steal.then_some(Ask::Unlock),
            (true, LockState::Held) => {
                self.steals = wish.steals;
                None
            }
        };
        if self.open == Some(Ask::Steal) {
            self.steals = wish.steals;
        }
        self.open
    }

    /// The server answered.
    pub(super) fn answered(&mut self, ask: Ask, granted: bool) {
        self.open = None;
        self.state = match ask {
            Ask::Unlock => LockState::NotRequested,
            Ask::Lock | Ask::Steal if granted => LockState::Held,
            Ask::Lock | Ask::Steal => LockState::Waiting,
        };
    }

    /// The server notified: our turn has come.
    pub(super) fn locked(&mut self) {
        // It may cross our `unlock`, which then gives back what we were just given.
        if self.open != Some(Ask::Unlock) {
            self.state = LockState::Held;
        }
    }

    /// The server notified: somebody took it by force.
    pub(super) fn stolen(&mut self) {
        if self.open != Some(Ask::Unlock) {
            self.state = LockState::Stolen;
        }
    }

    /// Locks end with their connection.
    pub(super) fn disconnected(&mut self) {
        self.state = LockState::NotRequested;
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: LockWish = LockWish {
        wanted: true,
        steals: 0,
    };

    #[test]
    fn a_lock_is_asked_for_once_and_again_after_a_reconnect() {
        let mut seat = LockSeat::default();
        assert_eq!(seat.next(WANTED), Some(Ask::Lock));
        assert_eq!(seat.next(WANTED), None, "a question is open");
        seat.answered(Ask::Lock, false);
        assert_eq!((seat.state(), seat.next(WANTED)), (LockState::Waiting, None));
        seat.locked();
        assert_eq!(seat.state(), LockState::Held);
        seat.disconnected();
        assert_eq!(
            (seat.state(), seat.next(WANTED)),
            (LockState::NotRequested, Some(Ask::Lock))
        );
    }

    #[test]
    fn stealing_gives_up_the_seat_first_and_happens_once() {
        let mut seat = LockSeat::default();
        seat.next(WANTED);
        seat.answered(Ask::Lock, false);
        let steal = LockWish {
            wanted: true,
            steals: 1,
        };
        assert_eq!(seat.next(steal), Some(Ask::Unlock));
        seat.answered(Ask::Unlock, false);
        assert_eq!(seat.next(steal), Some(Ask::Steal));
        seat.answered(Ask::Steal, true);
        assert_eq!((seat.state(), seat.next(steal)), (LockState::Held, None));
        seat.stolen();
        assert_eq!((seat.state(), seat.next(steal)), (LockState::Stolen, None));
        seat.disconnected();
        assert_eq!(seat.next(steal), Some(Ask::Lock));
    }

    #[test]
    fn stealing_what_one_holds_is_nothing() {
        let mut seat = LockSeat::default();
        seat.next(WANTED);
        seat.answered(Ask::Lock, true);
        let steal = LockWish {
            wanted: true,
            steals: 3,
        };
        assert_eq!(seat.next(steal), None);
        seat.stolen();
        assert_eq!(seat.next(steal), None, "the demand was met when it was made");
    }

    #[test]
    fn a_grant_that_crosses_an_unlock_is_given_back() {
        let mut seat = LockSeat::default();
        seat.next(WANTED);
        seat.answered(Ask::Lock, false);
        assert_eq!(seat.next(LockWish::default()), Some(Ask::Unlock));
        seat.locked();
        assert_eq!(seat.state(), LockState::Waiting);
        seat.answered(Ask::Unlock, false);
        assert_eq!(
            (seat.state(), seat.next(LockWish::default())),
            (LockState::NotRequested, None)
        );
    }
}
