//! What the node's condition `NetworkUnavailable` ought to say, judged from the node's status over time.
//!
//! Must not know Kubernetes: `kubernetes` writes the verdict.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::protocol::NodeStatus;

/// A pod's ADD waits this long for the node by itself. What is over sooner (an upgrade of the agent, a restart of
/// ovs-vswitchd, a new leader of the Southbound database) is nothing the scheduler should keep pods away for.
pub(super) const GRACE: Duration = Duration::from_mins(1);

/// Can the node serve pods?
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Available,
    /// Not for a while, and what was missing when that while was over.
    Unavailable(String),
}

/// Follows the status for ever and gives a verdict at each transition, the first as soon as there is one.
pub(super) async fn judge(
    mut status: watch::Receiver<NodeStatus>,
    grace: Duration,
    verdict: watch::Sender<Option<Verdict>>,
) {
    let mut unavailable_since = None;
    loop {
        let reason = status.borrow_and_update().unavailable.clone();
        let mut due = None;
        match reason {
            None => {
                unavailable_since = None;
                give(&verdict, Verdict::Available);
            }
            Some(reason) => {
                let end = *unavailable_since.get_or_insert_with(Instant::now) + grace;
                if Instant::now() < end {
                    due = Some(end);
                } else {
                    give(&verdict, Verdict::Unavailable(reason));
                }
            }
        }
        let over = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = over => {}
        }
    }
}

/// A reason that changes is no transition.
fn give(verdict: &watch::Sender<Option<Verdict>>, new: Verdict) {
    verdict.send_if_modified(|current| {
        let same = matches!(
            (&*current, &new),
            (Some(Verdict::Available), Verdict::Available) | (Some(Verdict::Unavailable(_)), Verdict::Unavailable(_))
        );
        if !same {
            *current = Some(new);
        }
        !same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Judged {
        status: watch::Sender<NodeStatus>,
        verdict: watch::Receiver<Option<Verdict>>,
    }

    impl Judged {
        fn start(unavailable: Option<&str>) -> Self {
            let (status, seen) = watch::channel(with(unavailable));
            let (given, verdict) = watch::channel(None);
            tokio::spawn(judge(seen, GRACE, given));
            Self { status, verdict }
        }

        fn report(&self, unavailable: Option<&str>) {
            self.status.send_replace(with(unavailable));
        }

        /// The next verdict, and how long it took.
        async fn next(&mut self) -> (Verdict, Duration) {
            let start = Instant::now();
            self.verdict.changed().await.unwrap();
            let verdict = self.verdict.borrow_and_update().clone().unwrap();
            (verdict, start.elapsed())
        }

        async fn nothing_for(&mut self, time: Duration) {
            let next = tokio::time::timeout(time, self.verdict.changed()).await;
            assert!(next.is_err(), "{:?}", self.verdict.borrow());
        }
    }

    fn with(unavailable: Option<&str>) -> NodeStatus {
        NodeStatus {
            unavailable: unavailable.map(str::to_owned),
            ..NodeStatus::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_available_at_once_and_unavailable_after_a_while() {
        let mut judged = Judged::start(None);
        assert_eq!(judged.next().await, (Verdict::Available, Duration::ZERO));
        judged.report(Some("no chassis"));
        let (verdict, took) = judged.next().await;
        assert_eq!(verdict, Verdict::Unavailable("no chassis".into()));
        assert!(took >= GRACE, "{took:?}");
        judged.report(None);
        assert_eq!(judged.next().await, (Verdict::Available, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_soon_is_no_transition() {
        let mut judged = Judged::start(None);
        judged.next().await;
        for _ in 0..3 {
            judged.report(Some("ovs-vswitchd restarts"));
            judged.nothing_for(GRACE / 2).await;
            judged.report(None);
            judged.nothing_for(GRACE / 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reasons_that_follow_one_another_are_one_outage() {
        let mut judged = Judged::start(Some("starting"));
        judged.nothing_for(GRACE / 2).await;
        judged.report(Some("connecting"));
        let (verdict, took) = judged.next().await;
        assert_eq!(verdict, Verdict::Unavailable("connecting".into()));
        assert!(took <= GRACE / 2 + Duration::from_secs(1), "{took:?}");
        judged.report(Some("refused"));
        judged.nothing_for(2 * GRACE).await;
    }
}
