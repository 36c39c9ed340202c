//! The task: one connection after the other, and pauses in between.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tracing::{debug, warn};

use super::{
    LockState, SessionConfig, State, backoff::Backoff, connect::connect, fault::Fault, handle::Shared, link::Link,
    lock::LockSeat, request::TransactRequest, sync::Resume, wishes::Wishes,
};
use crate::Remote;

/// What outlives connections.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: Arc<SessionConfig>,
    pub(super) shared: Arc<Shared>,
    pub(super) requests: mpsc::Receiver<TransactRequest>,
    pub(super) wishes: watch::Receiver<Wishes>,
    /// The revision of the wishes whose conditions are in force.
    pub(super) applied: watch::Sender<u64>,
    pub(super) state: watch::Sender<State>,
    lock: watch::Sender<LockState>,
    pub(super) seat: LockSeat,
    /// From where the replica can be brought up to date by a delta.
    pub(super) resume: Option<Resume>,
    pub(super) epoch: u64,
    cluster: Option<String>,
}

impl Core {
    pub(super) fn new(
        config: Arc<SessionConfig>,
        shared: Arc<Shared>,
        requests: mpsc::Receiver<TransactRequest>,
        wishes: watch::Receiver<Wishes>,
        applied: watch::Sender<u64>,
        state: watch::Sender<State>,
        lock: watch::Sender<LockState>,
    ) -> Self {
        Self {
            config,
            shared,
            requests,
            wishes,
            applied,
            state,
            lock,
            seat: LockSeat::default(),
            resume: None,
            epoch: 0,
            cluster: None,
        }
    }

    /// Tells watchers about the lock, if there is news.
    pub(super) fn publish_lock(&self) {
        let news = self.seat.state();
        self.lock
            .send_if_modified(|state| std::mem::replace(state, news) != news);
    }

    /// A cluster that is not the one of before knows nothing of the transaction we would resume from.
    pub(super) fn meet_cluster(&mut self, cluster: Option<&str>, remote: &Remote) {
        let known = self.cluster.take();
        if let (Some(known), Some(cluster)) = (&known, cluster)
            && known != cluster
        {
            warn!(%remote, from = %known, to = %cluster, "server belongs to another cluster than the last one");
            self.resume = None;
        }
        self.cluster = cluster.map(str::to_owned).or(known);
    }

    /// Waits until the session is to end.
    async fn closed(wishes: &mut watch::Receiver<Wishes>) {
        // An error means that the last handle is gone.
        let _ = wishes.wait_for(|wishes| wishes.closed).await;
    }
}

/// However the task ends, nobody is left waiting for it; also if it panics, or its runtime shuts down.
impl Drop for Core {
    fn drop(&mut self) {
        self.shared.subscribers.close();
        self.lock.send_replace(LockState::NotRequested);
        self.state.send_replace(State::Closed);
    }
}

/// Runs a session until it is closed.
pub(super) async fn run(mut core: Core) {
    let core = &mut core;
    let config = Arc::clone(&core.config);
    let mut backoff = Backoff::new(config.remotes.clone(), !config.leader_only, &config.timing);
    let mut last_reasons = HashMap::new();
    loop {
        let Some(remote) = backoff.next() else {
            core.state.send_replace(State::Disconnected {
                reason: "no remotes are configured".to_owned(),
            });
            return Core::closed(&mut core.wishes).await;
        };
        core.state.send_replace(State::Connecting { remote: remote.clone() });
        let (fault, ready_for) = attempt(core, &remote).await;
        core.seat.disconnected();
        core.publish_lock();
        if matches!(fault, Fault::Closed) {
            return debug!(%remote, "session is closed");
        }
        if fault.spoils_replica() {
            core.resume = None;
        }
        let reason = fault.to_string();
        let last = last_reasons.insert(remote.clone(), reason.clone());
        // A server that stays away is worth one line, not one every few seconds.
        if ready_for.is_some() || last.as_ref() != Some(&reason) {
            warn!(database = %config.database, %remote, reason, "disconnected");
        } else {
            debug!(database = %config.database, %remote, reason, "disconnected");
        }
        let reason = format!("{remote}: {reason}");
        core.state.send_replace(State::Disconnected { reason });
        let pause = backoff.after(&fault, ready_for);
        tokio::select! {
            () = sleep(pause) => {}
            () = Core::closed(&mut core.wishes) => return,
        }
    }
}

async fn attempt(core: &mut Core, remote: &Remote) -> (Fault, Option<Duration>) {
    let config = Arc::clone(&core.config);
    let transport = tokio::select! {
        transport = connect(&config, remote) => transport,
        () = Core::closed(&mut core.wishes) => Err(Fault::Closed),
    };
    match transport {
        Ok(transport) => Link::new(core, remote.clone(), transport).run().await,
        Err(fault) => (fault, None),
    }
}
