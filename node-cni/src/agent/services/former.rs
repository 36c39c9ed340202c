//! Datagrams that go where they went before a service changed.
//!
//! OVN forgets connections to an endpoint that goes (`ct_flush`), right after it has changed the flows of the switch. Until
//! Open vSwitch has gone through what it has cached of these, a datagram begins the same connection anew, and a client that
//! goes on sending keeps it: a busy one does more often than not. So the switch is asked to forget again, until that is over.
//!
//! What was sent to a service while nobody answered it here is a connection that nothing has translated, and nothing will, while it
//! lasts. OVN does not forget these.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::agent::openflow::{self, Connections};
use crate::agent::southbound::Southbound;

/// After the database told of it: until ovn-controller has changed the flows and Open vSwitch its cache, which takes them
/// milliseconds, or seconds where they have a lot to do.
const AFTER: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
];

/// Connections that do not belong any more, and when they are to be forgotten.
#[derive(Debug, Default)]
struct Former {
    /// None before the database has told everything.
    known: Option<BTreeSet<Connections>>,
    due: BTreeMap<Instant, BTreeSet<Connections>>,
}

impl Former {
    fn see(&mut self, all: BTreeSet<Connections>, now: Instant) {
        if let Some(before) = &self.known {
            let mut gone: BTreeSet<_> = before.difference(&all).copied().collect();
            // Whoever else answered: with an internalTrafficPolicy of Local that says nothing of this node.
            let new = all.difference(before);
            gone.extend(new.map(|&Connections { to, .. }| Connections { to, by: to }));
            if !gone.is_empty() {
                for after in AFTER {
                    self.due.entry(now + after).or_default().extend(&gone);
                }
            }
        }
        self.known = Some(all);
    }

    fn next(&self) -> Option<Instant> {
        self.due.keys().next().copied()
    }

    /// What is due and has not come back.
    fn take(&mut self, now: Instant) -> Vec<Connections> {
        let mut taken = BTreeSet::new();
        while let Some(entry) = self.due.first_entry().filter(|entry| *entry.key() <= now) {
            taken.extend(entry.remove());
        }
        let back = |connections: &Connections| self.known.as_ref().is_some_and(|known| known.contains(connections));
        taken.into_iter().filter(|connections| !back(connections)).collect()
    }
}

/// Watches for ever; `switch` is the management socket of the integration bridge.
pub(in crate::agent) async fn forget(southbound: Arc<Southbound>, switch: PathBuf) {
    let mut former = Former::default();
    let mut rows = southbound.subscribe();
    loop {
        if southbound.is_ready() {
            former.see(southbound.datagrams(), Instant::now());
        }
        let due = async {
            match former.next() {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changes = rows.changed() => if changes.is_none() { return },
            () = due => {
                let gone = former.take(Instant::now());
                if let Err(error) = openflow::forget(&switch, &gone).await {
                    tracing::warn!(%error, connections = gone.len(), "datagrams may still go to endpoints that are no more");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(all: &[(&str, &str)]) -> BTreeSet<Connections> {
        let parse = |(to, by): &(&str, &str)| Connections {
            to: to.parse().unwrap(),
            by: by.parse().unwrap(),
        };
        all.iter().map(parse).collect()
    }

    const ONE: (&str, &str) = ("10.96.0.7:53", "10.244.1.4:53");
    const TWO: (&str, &str) = ("10.96.0.7:53", "10.244.2.4:53");
    const THREE: (&str, &str) = ("10.96.0.7:53", "10.244.3.4:53");

    #[test]
    fn what_goes_is_forgotten_several_times() {
        let start = Instant::now();
        let mut former = Former::default();
        former.see(set(&[ONE, TWO]), start);
        assert_eq!(former.next(), None, "what is there at first has not gone");
        former.see(set(&[TWO]), start);
        for after in AFTER {
            assert_eq!(former.next(), Some(start + after));
            assert_eq!(former.take(start + after), Vec::from_iter(set(&[ONE])));
        }
        assert_eq!(former.next(), None);
    }

    #[test]
    fn what_was_sent_before_there_was_anybody_to_answer_is_forgotten() {
        let start = Instant::now();
        let mut former = Former::default();
        former.see(set(&[]), start);
        former.see(set(&[ONE]), start);
        assert_eq!(former.take(start + AFTER[3]), Vec::from_iter(set(&[(ONE.0, ONE.0)])));
        former.see(set(&[ONE, TWO]), start);
        let again = former.take(start + AFTER[3]);
        assert_eq!(
            again,
            Vec::from_iter(set(&[(ONE.0, ONE.0)])),
            "the other may answer elsewhere only"
        );
    }

    #[test]
    fn what_comes_back_is_left_alone() {
        let start = Instant::now();
        let mut former = Former::default();
        former.see(set(&[ONE, TWO, THREE]), start);
        former.see(set(&[THREE]), start);
        former.see(set(&[TWO, THREE]), start);
        let gone = former.take(start + AFTER[3]);
        assert_eq!(gone, Vec::from_iter(set(&[ONE, (ONE.0, ONE.0)])));
    }
}
