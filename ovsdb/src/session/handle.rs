//! The handle that applications hold.

use std::{
    ops::Deref,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Closed, LockState, SessionConfig, State, Subscription,
    request::{Reply, TransactRequest},
    subscription::Subscribers,
    task::{self, Core},
    wishes::Wishes,
};
use crate::{
    Condition, DatabaseSchema, MonitorError, Replica, TableMonitor, TransactError, Transaction,
    monitor::ConditionUpdates,
};

/// Transactions waiting for the task; more wait in their callers.
const QUEUE: usize = 64;

/// What the task writes and handles read.
#[derive(Debug, Default)]
pub(super) struct Shared {
    replica: RwLock<Replica>,
    schema: RwLock<Option<Arc<DatabaseSchema>>>,
    pub(super) subscribers: Subscribers,
}

impl Shared {
    /// Locks the replica. Writers change it in steps that cannot fail half-way, so a poisoned lock means a reader's
    /// panic, which does no harm.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Replica> {
        self.replica.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Replica> {
        self.replica.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn schema(&self) -> Option<Arc<DatabaseSchema>> {
        self.schema.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_schema(&self, schema: Arc<DatabaseSchema>) {
        *self.schema.write().unwrap_or_else(PoisonError::into_inner) = Some(schema);
    }
}

/// Why a condition was not put into force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// The table is not among the session's monitors.
    #[error("table {0} is not monitored")]
    NotMonitored(String),
    /// The server cannot evaluate it.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// The session was closed meanwhile.
    #[error("session is closed")]
    Closed,
    /// No server has confirmed it in time. It stays wanted, and comes into force when one does.
    #[error("condition was not confirmed within {0:?}")]
    TimedOut(Duration),
}

/// A read lock on a complete snapshot. Do not hold it across an `.await`: the session cannot apply updates meanwhile.
#[derive(Debug)]
pub struct ReplicaGuard<'a>(RwLockReadGuard<'a, Replica>);

impl Deref for ReplicaGuard<'_> {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        &self.0
    }
}

/// A handle to a session; clones share it. The session ends when it is closed or the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Session {
    shared: Arc<Shared>,
    requests: mpsc::Sender<TransactRequest>,
    wishes: Arc<watch::Sender<Wishes>>,
    applied: watch::Receiver<u64>,
    state: watch::Receiver<State>,
    lock: watch::Receiver<LockState>,
    config: Arc<SessionConfig>,
}

impl Session {
    /// Starts a session on the current tokio runtime. It connects by itself, now and whenever it must.
    pub fn spawn(config: SessionConfig) -> Self {
        let config = Arc::new(config);
        let shared = Arc::new(Shared::default());
        let (requests, request_queue) = mpsc::channel(QUEUE);
        let (wishes, wish_receiver) = watch::channel(Wishes::first(config.lock.is_some()));
        let (applied, applied_revision) = watch::channel(0);
        let (state, state_receiver) = watch::channel(State::Disconnected {
            reason: "not connected yet".to_owned(),
        });
        let (lock, lock_receiver) = watch::channel(LockState::NotRequested);
        let core = Core::new(
            Arc::clone(&config),
            Arc::clone(&shared),
            request_queue,
            wish_receiver,
            applied,
            state,
            lock,
        );
        tokio::spawn(task::run(core));
        Self {
            shared,
            requests,
            wishes: Arc::new(wishes),
            applied: applied_revision,
            state: state_receiver,
            lock: lock_receiver,
            config,
        }
    }

    /// Where the session stands, to watch.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until the replica follows a server.
    pub async fn ready(&self) -> Result<(), Closed> {
        let mut state = self.state.clone();
        let state = state
            .wait_for(|state| state.is_ready() || *state == State::Closed)
            .await
            .map_err(|_| Closed)?;
        if state.is_ready() { Ok(()) } else { Err(Closed) }
    }

    /// The last complete snapshot; empty before the first. Readers share it, and keep the session from applying updates
    /// while they hold it.
    pub fn replica(&self) -> ReplicaGuard<'_> {
        ReplicaGuard(self.shared.read())
    }

    /// Follows what changes from now on. Every row that is present now counts as changed at first.
    pub fn subscribe(&self) -> Subscription {
        let replica = self.shared.read();
        let rows = replica
            .tables()
            .flat_map(|table| table.rows().map(|row| (Arc::clone(table.name()), row.uuid())));
        self.shared.subscribers.subscribe(rows)
    }

    /// The server's schema, as of the last connection.
    pub fn schema(&self) -> Option<Arc<DatabaseSchema>> {
        self.shared.schema()
    }

    /// Whether the configured lock is held, to watch.
    pub fn lock_state(&self) -> watch::Receiver<LockState> {
        self.lock.clone()
    }

    /// Makes a transaction. On success the replica already holds its effects, as far as they are monitored.
    ///
    /// Waits for a ready connection, for room in the queue and for the answer, all together no longer than
    /// [`Timing::transact_timeout`](super::Timing::transact_timeout). Errors whose
    /// [`is_outcome_unknown`](TransactError::is_outcome_unknown) is true leave open whether the transaction was made.
    /// Cancelling leaves it open as well.
    pub async fn transact(&self, transaction: Transaction) -> Reply {
        let limit = self.config.timing.transact_timeout;
        let (request, progress, reply) = TransactRequest::new(transaction);
        let answer = timeout(limit, async {
            if self.requests.send(request).await.is_err() {
                return Err(TransactError::NotReady(Closed.to_string()));
            }
            // The task answers or drops what it has sent; what it drops unsent, it drops because it ends.
            reply
                .await
                .unwrap_or_else(|_| Err(TransactError::NotReady(Closed.to_string())))
        });
        match answer.await {
            Ok(answer) => answer,
            Err(_) if progress.abandon() => Err(TransactError::NotReady(self.obstacle(limit))),
            Err(_) => Err(TransactError::TimedOut),
        }
    }

    /// Replaces the conditions of a monitored table, and waits until the replica holds just the rows they select: those
    /// for which any of the conditions holds, or all rows if there are none.
    ///
    /// A server without `monitor_cond` sends all rows, whatever the conditions.
    pub async fn set_condition(&self, table: &str, conditions: Vec<Condition>) -> Result<(), ConditionError> {
        if !self.config.monitors.iter().any(|monitor| monitor.table == table) {
            return Err(ConditionError::NotMonitored(table.to_owned()));
        }
        if let Some(schema) = self.schema() {
            // A condition that cannot be sent would keep the session from synchronizing, for ever.
            let mut monitor = TableMonitor::new(table);
            monitor.conditions.clone_from(&conditions);
            ConditionUpdates::new(&schema, &[monitor])?;
        }
        let limit = self.config.timing.transact_timeout;
        let deadline = Instant::now() + limit;
        let mut revision = 0;
        self.wishes
            .send_modify(|wishes| revision = wishes.set_conditions(table, conditions));
        let mut applied = self.applied.clone();
        match timeout_at(deadline, applied.wait_for(|applied| *applied >= revision)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ConditionError::Closed),
            Err(_) => Err(ConditionError::TimedOut(limit)),
        }
    }

    /// Queues for the configured lock (which a session does by itself at first, and after [`unlock`](Self::unlock) no
    /// more). Watch [`lock_state`](Self::lock_state) for the result.
    pub fn lock(&self) {
        self.wish_lock(|wishes| wishes.lock.wanted = true);
    }

    /// Takes the configured lock from whoever holds it, once: after a lost connection the session queues again.
    pub fn steal_lock(&self) {
        self.wish_lock(|wishes| {
            wishes.lock.wanted = true;
            wishes.lock.steals += 1;
        });
    }

    /// Gives the configured lock back, or leaves its queue.
    pub fn unlock(&self) {
        self.wish_lock(|wishes| wishes.lock.wanted = false);
    }

    fn wish_lock(&self, wish: impl FnOnce(&mut Wishes)) {
        if self.config.lock.is_some() {
            self.wishes.send_modify(wish);
        }
    }

    /// Ends the session, and waits until its connection is gone: the server then knows that its lock is free.
    pub async fn close(&self) {
        self.wishes.send_modify(|wishes| wishes.closed = true);
        let mut state = self.state.clone();
        // An error means that the task is gone, which is what we wait for.
        let _ = state.wait_for(|state| *state == State::Closed).await;
    }

    /// Why a transaction was not sent.
    fn obstacle(&self, waited: Duration) -> String {
        match &*self.state.borrow() {
            State::Disconnected { reason } => reason.clone(),
            State::Connecting { remote } => format!("connecting to {remote}"),
            State::Syncing { remote } => format!("synchronizing with {remote}"),
            State::Ready { remote, .. } => format!("{remote} did not take more within {waited:?}"),
            State::Closed => Closed.to_string(),
        }
    }
}
