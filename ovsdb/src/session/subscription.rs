//! Tells readers which rows changed, without queues.
//!
//! For each subscriber the session keeps the set of rows that changed since the subscriber last looked. A slow reader
//! makes the set larger, never longer than the database has rows, and never holds up the session; a row that changes a
//! thousand times between two looks is in the set once. What the row is now, the reader finds in the replica.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;
use uuid::Uuid;

/// What happened to the replica since the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rows that were inserted, modified or deleted, each once, in no particular order.
    pub rows: Vec<(Arc<str>, Uuid)>,
    /// The replica was replaced as a whole at least once. `rows` holds the difference all the same; what cannot be told
    /// from it is that intermediate states may have been missed.
    pub resynced: bool,
}

impl Changes {
    /// Nothing happened.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && !self.resynced
    }
}

#[derive(Debug, Default)]
struct Pending {
    rows: HashSet<(Arc<str>, Uuid)>,
    resynced: bool,
    closed: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && !self.resynced
    }

    fn take(&mut self) -> Changes {
        Changes {
            rows: mem::take(&mut self.rows).into_iter().collect(),
            resynced: mem::take(&mut self.resynced),
        }
    }
}

#[derive(Debug, Default)]
struct Slot {
    pending: Mutex<Pending>,
    wake: Notify,
}

impl Slot {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        // A set of row names is valid whatever a panicking thread did to it.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader's view of the changes. Every row present at the time of subscribing counts as changed at first.
#[derive(Debug)]
pub struct Subscription {
    slot: Arc<Slot>,
}

impl Subscription {
    /// Waits until something has changed, and takes it. `None` when the session is closed and everything was taken.
    ///
    /// Cancelling loses nothing.
    pub async fn changed(&mut self) -> Option<Changes> {
        loop {
            {
                let mut pending = self.slot.pending();
                if !pending.is_empty() {
                    return Some(pending.take());
                }
                if pending.closed {
                    return None;
                }
            }
            // A change between the check and this call leaves a permit behind.
            self.slot.wake.notified().await;
        }
    }

    /// Takes what has changed so far, perhaps nothing.
    pub fn try_take(&mut self) -> Changes {
        self.slot.pending().take()
    }
}

/// The session's end of all subscriptions.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    registry: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    slots: Vec<Weak<Slot>>,
    closed: bool,
}

impl Subscribers {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A subscription that begins with `present` rows. The caller holds the replica's lock, so no change falls between.
    pub(super) fn subscribe(&self, present: impl Iterator<Item = (Arc<str>, Uuid)>) -> Subscription {
        let rows = present.collect();
        let mut registry = self.registry();
        let pending = Pending {
            rows,
            resynced: false,
            closed: registry.closed,
        };
        let slot = Arc::new(Slot {
            pending: Mutex::new(pending),
            wake: Notify::new(),
        });
        registry.slots.push(Arc::downgrade(&slot));
        Subscription { slot }
    }

    /// Adds changes to every subscriber's set. The caller holds the replica's lock for writing.
    pub(super) fn publish(&self, rows: &[(Arc<str>, Uuid)], resynced: bool) {
        if rows.is_empty() && !resynced {
            return;
        }
        self.registry().each(|pending| {
            pending.rows.extend(rows.iter().cloned());
            pending.resynced |= resynced;
        });
    }

    /// Ends all subscriptions, also those still to come.
    pub(super) fn close(&self) {
        let mut registry = self.registry();
        registry.closed = true;
        registry.each(|pending| pending.closed = true);
    }
}

impl Registry {
    fn each(&mut self, mut change: impl FnMut(&mut Pending)) {
        self.slots.retain(|slot| {
            let Some(slot) = slot.upgrade() else { return false };
            change(&mut slot.pending());
            slot.wake.notify_one();
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: u128) -> (Arc<str>, Uuid) {
        (Arc::from("T"), Uuid::from_u128(n))
    }

    #[tokio::test]
    async fn a_row_that_changes_often_is_reported_once() {
        let subscribers = Subscribers::default();
        let mut subscription = subscribers.subscribe([row(1)].into_iter());
        for _ in 0..1000 {
            subscribers.publish(&[row(1)], false);
        }
        assert_eq!(subscription.changed().await.unwrap().rows, [row(1)]);
        assert!(subscription.try_take().is_empty());
    }

    #[tokio::test]
    async fn closing_ends_a_subscription_after_its_last_changes() {
        let subscribers = Subscribers::default();
        let mut subscription = subscribers.subscribe([row(1)].into_iter());
        subscribers.close();
        assert!(subscription.changed().await.is_some());
        assert!(subscription.changed().await.is_none());
    }

    #[test]
    fn dropped_subscriptions_are_forgotten() {
        let subscribers = Subscribers::default();
        drop(subscribers.subscribe([].into_iter()));
        subscribers.publish(&[row(1)], false);
        assert!(subscribers.registry().slots.is_empty());
    }
}
