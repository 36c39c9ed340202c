//! [`Allocator`]: decides when something has changed, and writes one status after the other.

mod memory;
mod words;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use meridian_model::ServiceKey;
use tokio::time::{Instant, sleep_until};

use super::family::Family;
use super::plan::{Plan, plan};
use super::pool::{Fault, Pools, Reserved};
use super::store::{Effect, Store};
use super::watch::Watches;
use super::write;
use super::{status, watch::Message};
use crate::events::Herald;
use crate::metrics::Metrics;
use crate::problems::{Board, Origin};
use crate::source::kubernetes::Cluster;
use crate::upkeep::{Refusal, Told};
use memory::{Quarrels, Recency};

/// What changes together is decided about together.
const SETTLE: Duration = Duration::from_millis(20);

/// Between two writes: a thousand services are served within seconds, and the API server has other things to do.
const PACE: Duration = Duration::from_millis(5);

/// Between two rounds of pool statuses, which count and so change with every service.
const ROUND: Duration = Duration::from_secs(1);

/// Pauses after failures, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// What the API server refuses of one object is tried again after this time.
const REFUSED: Duration = Duration::from_mins(1);

/// Gives addresses as long as this process leads.
pub(super) struct Allocator<'a> {
    cluster: &'a Cluster,
    board: &'a Board,
    metrics: &'a Metrics,
    reserved: Reserved,
    watches: Watches,
    store: Store,
    pools: Pools,
    plan: Plan,
    /// When to decide anew; nothing is written before.
    due: Option<Instant>,
    /// Services whose status differs from what was decided.
    queue: VecDeque<ServiceKey>,
    /// Whether statuses of pools may differ.
    pools_due: bool,
    /// No write before; none of a pool before.
    open: Instant,
    round: Instant,
    pause: Duration,
    /// Why nothing can be written at present of services, and of pools.
    failure: Option<String>,
    pools_failure: Option<String>,
    /// Services whose status was refused: why, and when to try again.
    refused: HashMap<ServiceKey, (String, Instant)>,
    quarrels: Quarrels,
    /// What others find wrong with pools.
    found: BTreeMap<String, Fault>,
    told: Told,
    recency: Recency,
    /// Says which services have lost an address.
    herald: Herald,
}

impl<'a> Allocator<'a> {
    pub(super) fn new(cluster: &'a Cluster, reserved: Reserved, board: &'a Board, metrics: &'a Metrics) -> Self {
        Self {
            cluster,
            board,
            metrics,
            reserved,
            watches: Watches::start(cluster),
            store: Store::default(),
            pools: Pools::default(),
            plan: Plan::default(),
            due: None,
            queue: VecDeque::new(),
            pools_due: false,
            open: Instant::now(),
            round: Instant::now(),
            pause: PAUSES.0,
            failure: None,
            pools_failure: None,
            quarrels: Quarrels::default(),
            refused: HashMap::new(),
            found: BTreeMap::new(),
            told: Told::default(),
            recency: Recency::default(),
            herald: Herald::start(cluster),
        }
    }

    /// Until the board is gone.
    pub(super) async fn run(mut self) {
        let mut found = self.board.subscribe();
        found.mark_changed();
        loop {
            let (due, next) = (self.due, self.next_write());
            tokio::select! {
                biased;
                message = self.watches.next() => self.take(message),
                changed = found.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = words::found(&found.borrow_and_update());
                    self.pools_due |= now != self.found;
                    self.found = now;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.decide(),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => self.write().await,
            }
        }
    }

    fn take(&mut self, message: Message) {
        let mut next = Some(message);
        while let Some(message) = next {
            match self.store.take(message) {
                Effect::None => {}
                Effect::Changed => self.decide_soon(),
                Effect::PoolsAppear => {
                    // Until a cluster has pools at all there is nothing to know about its services.
                    self.watches.complete();
                    self.decide_soon();
                }
            }
            next = self.watches.ready();
        }
    }

    fn decide_soon(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + SETTLE);
    }

    /// When to write, if there is anything to write.
    fn next_write(&self) -> Option<Instant> {
        if self.due.is_some() {
            return None;
        }
        if !self.queue.is_empty() {
            return Some(self.open);
        }
        let retry = self.refused.values().map(|(_, again)| *again).min();
        let pools = self.pools_due.then(|| self.open.max(self.round));
        retry.into_iter().chain(pools).min()
    }

    fn decide(&mut self) {
        self.due = None;
        let now = Instant::now();
        let Some(whole) = self.store.whole() else { return };
        self.pools = whole.pools(self.reserved.clone());
        self.plan = plan(&self.pools, whole.services, whole.namespaces, &self.recency.recent(now));
        self.recency.note(&self.plan, whole.services, now);
        self.refused
            .retain(|key, (_, again)| *again > now && self.plan.decisions.contains_key(key));
        let mut frees = VecDeque::new();
        let mut others = Vec::new();
        for (key, decision) in &self.plan.decisions {
            let Some(service) = whole.services.get(key).filter(|_| !self.refused.contains_key(key)) else {
                continue;
            };
            if status::of_service(service, decision).is_some() {
                if status::frees(service, decision) {
                    frees.push_back(key.clone());
                } else {
                    others.push((&service.created, key));
                }
            }
        }
        others.sort_unstable();
        // First what is freed: somebody may be waiting for it.
        frees.extend(others.into_iter().map(|(_, key)| key.clone()));
        self.queue = frees;
        self.pools_due = true;
        let (pools, plan) = (&self.pools, &self.plan);
        let usage = pools.list.iter().enumerate().flat_map(|(at, pool)| {
            let of = move |family: Family| {
                let usage = status::usage(family, at, pools, plan)?;
                Some((&*pool.name, family.name(), usage))
            };
            Family::BOTH.into_iter().filter_map(of)
        });
        self.metrics.pools(usage);
        self.publish();
    }

    async fn write(&mut self) {
        if let Some(key) = self.queue.pop_front() {
            self.write_service(key).await;
        } else if self.refused.values().any(|(_, again)| *again <= Instant::now()) {
            self.decide();
        } else {
            self.write_pools().await;
        }
    }

    async fn write_service(&mut self, key: ServiceKey) {
        let (Some(decision), Some(service)) = (self.plan.decisions.get(&key).cloned(), self.store.service(&key)) else {
            return;
        };
        let Some(patch) = status::of_service(service, &decision) else {
            return;
        };
        let frees = status::frees(service, &decision);
        let client = self.cluster.client();
        match write::service(&client, &key, &patch).await {
            Ok(entry) => {
                self.wrote();
                if patch.pointer("/status/loadBalancer").is_some() {
                    tracing::info!(service = %key, addresses = ?decision.addresses, "addresses of a service");
                }
                let lost = words::lost(&key, &decision);
                let differs = entry
                    .service
                    .as_ref()
                    .and_then(|now| status::of_service(now, &decision));
                if let Some(differs) = differs {
                    let message = format!("its status was written and still differs by {differs}");
                    self.refuse(&key, message);
                } else if self.quarrels.goes_on(&key, &patch, Instant::now()) {
                    let message = "another program keeps changing status.loadBalancer: set spec.loadBalancerClass to whose the \
                                   service is to be";
                    self.refuse(&key, message.to_owned());
                }
                self.store.wrote(entry);
                if frees {
                    self.decide_soon();
                }
                for complaint in lost {
                    self.herald.say(complaint);
                }
            }
            Err(Refusal::Conflict) => {
                match write::read(&client, &key).await {
                    Ok(entry) => self.store.wrote(entry),
                    Err(Refusal::Gone) => self.store.gone(&key),
                    Err(refusal) => self.failed(&refusal),
                }
                self.decide_soon();
            }
            Err(Refusal::Gone) => {
                self.store.gone(&key);
                self.decide_soon();
            }
            Err(refusal) if refusal.is_of_one() => self.refuse(&key, refusal.to_string()),
            Err(refusal) => {
                self.failed(&refusal);
                // It may be for this one alone, as with a webhook that does not work: others first.
                self.queue.push_back(key);
            }
        }
    }

    async fn write_pools(&mut self) {
        self.pools_due = false;
        self.round = Instant::now() + ROUND;
        let client = self.cluster.client();
        for at in 0..self.pools.list.len() {
            let name = self.pools.list[at].name.clone();
            let Some(pool) = self.store.pool(&name) else { continue };
            let found = self.found.get(&name).cloned();
            let Some(patch) = status::of_pool(pool, at, &self.pools, &self.plan, found) else {
                continue;
            };
            let uid = pool.metadata.uid.clone().unwrap_or_default();
            if !self.told.is_news(&uid, &patch, Instant::now()) {
                continue;
            }
            match write::pool(&client, &name, &patch).await {
                Ok(()) => {
                    if self.pools_failure.take().is_some() {
                        self.publish();
                    }
                }
                // The watch says what it is like now, or that it is gone.
                Err(Refusal::Conflict | Refusal::Gone) => self.told.forget(&uid),
                Err(refusal) if refusal.is_of_one() => {
                    tracing::debug!(pool = name, %refusal, "status of a pool not written");
                }
                Err(refusal) => {
                    self.told.forget(&uid);
                    self.pools_due = true;
                    // Nobody waits for it.
                    self.round = Instant::now() + PAUSES.1;
                    self.pools_failure = Some(refusal.to_string());
                    return self.publish();
                }
            }
        }
    }

    fn wrote(&mut self) {
        self.open = Instant::now() + PACE;
        self.pause = PAUSES.0;
        if self.failure.take().is_some() {
            self.publish();
        }
    }

    /// Nothing can be written for a while.
    fn failed(&mut self, refusal: &Refusal) {
        self.open = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSES.1);
        let message = refusal.to_string();
        if self.failure.as_ref() != Some(&message) {
            self.failure = Some(message);
            self.publish();
        }
    }

    fn refuse(&mut self, key: &ServiceKey, message: String) {
        self.refused.insert(key.clone(), (message, Instant::now() + REFUSED));
        self.open = Instant::now() + PACE;
        self.publish();
    }

    fn publish(&self) {
        let refused = self.refused.iter().map(|(key, (message, _))| (key, message.as_str()));
        let failures = [&self.failure, &self.pools_failure].into_iter().flatten();
        let problems = words::problems(&self.plan, &self.pools, refused, failures);
        self.board.set(Origin::Allocation, problems);
    }
}
