//! Kubernetes events on pods, services, VPCs, peerings and Subnets that something is wrong with, for those who look at one and not at this process.
//!
//! ```text
//!   Board ── complaints ──▶ Ledger (what is due) ──▶ Recorder ──▶ events.k8s.io
//! ```
//!
//! What happens once, and is no problem that lasts, a [`Herald`] says instead.
//!
//! Only the leader writes, one event after the other, and nothing waits for it. What is healthy costs nothing. Must not:
//! be needed for anything; what it says is on the board and in the log as well.

mod complaint;
mod herald;
mod ledger;
mod recorder;

use std::time::Duration;

use kube::Client;
use meridian_northbound::writer::{LockStatus, Status};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::problems::Board;
use crate::source::kubernetes::Cluster;
use complaint::complaints;
pub(crate) use complaint::{Complaint, Subject};
pub(crate) use herald::Herald;
use ledger::{Ledger, Told};
use recorder::{Recorder, Refusal};

/// Between two writes: a slice that is full has as many complaints as there are pods waiting, and the API server has
/// other things to do.
const PACE: Duration = Duration::from_millis(50);

/// How long a write may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pauses after failures, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Whoever may not write events is not told so much oftener than somebody could grant it.
const FORBIDDEN: Duration = Duration::from_mins(5);

/// Writes events until the writer stops.
pub async fn tell(cluster: Cluster, board: Board, mut status: watch::Receiver<Status>) {
    let leads = |status: &Status| status.lock == LockStatus::Held;
    while status.wait_for(leads).await.is_ok() {
        tokio::select! {
            () = Teller::new(&cluster).run(&board) => return,
            follows = status.wait_for(|status| !leads(status)) => {
                if follows.is_err() {
                    return;
                }
            }
        }
    }
}

/// Tells as long as this process leads.
struct Teller<'a> {
    cluster: &'a Cluster,
    ledger: Ledger,
    recorder: Recorder,
    /// No write before.
    open: Instant,
    pause: Duration,
    /// Whether the log knows that writing fails.
    failing: bool,
}

impl<'a> Teller<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        Self {
            cluster,
            ledger: Ledger::default(),
            recorder: Recorder::new(),
            open: Instant::now(),
            pause: PAUSES.0,
            failing: false,
        }
    }

    /// Until the board is gone.
    async fn run(mut self, board: &Board) {
        let mut found = board.subscribe();
        found.mark_changed();
        loop {
            let next = self
                .ledger
                .next()
                .map(|(due, complaint)| (due.max(self.open), complaint));
            let due = next.as_ref().map_or_else(Instant::now, |(due, _)| *due);
            tokio::select! {
                changed = found.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let complaints = complaints(&found.borrow_and_update());
                    self.ledger.replace(complaints, Instant::now());
                }
                () = sleep_until(due), if next.is_some() => {
                    if let Some((_, complaint)) = next {
                        self.write(&complaint).await;
                    }
                }
            }
        }
    }

    async fn write(&mut self, complaint: &Complaint) {
        let client = self.cluster.client();
        let result = self.attempt(&client, complaint).await;
        let now = Instant::now();
        self.open = now + PACE;
        match result {
            Ok(told) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("events are written again");
                }
                self.pause = PAUSES.0;
                self.ledger.told(complaint, told, now);
            }
            Err(Refusal::Moot) => self.ledger.moot(complaint, now),
            Err(refusal @ Refusal::Rejected(_)) => {
                tracing::warn!(%refusal, about = complaint.about(), "event not written");
                self.ledger.moot(complaint, now);
            }
            Err(refusal) => {
                let pause = if matches!(refusal, Refusal::Forbidden(_)) {
                    FORBIDDEN
                } else {
                    self.pause
                };
                self.pause = (self.pause * 2).min(PAUSES.1);
                self.open = now + pause;
                if std::mem::replace(&mut self.failing, true) {
                    tracing::debug!(%refusal, ?pause, "event not written");
                } else {
                    tracing::warn!(%refusal, ?pause, "events cannot be written; everything else goes on");
                }
            }
        }
    }

    async fn attempt(&self, client: &Client, complaint: &Complaint) -> Result<Told, Refusal> {
        let before = self.ledger.last(complaint);
        match timeout(PATIENCE, self.recorder.tell(client, complaint, before)).await {
            Ok(result) => result,
            Err(_) => Err(Refusal::Silence(PATIENCE)),
        }
    }
}
