//! Prometheus metrics. What happens is counted as it happens; what is the case is asked for at each scrape, so that a
//! gauge is never older than its scrape.

mod pools;
mod watches;

use std::time::{Duration, UNIX_EPOCH};

use meridian_api::address_pool::Usage;
use meridian_northbound::plan::Counts;
use meridian_northbound::writer::{LockStatus, Phase, Status};
use meridian_northbound::{Observer, TransactionResult};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::problems::Board;
use crate::source::kubernetes::Health;
use pools::PoolMetrics;
use watches::WatchMetrics;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabel {
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "label values are lower case")]
enum Action {
    insert,
    update,
    delete,
    link,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: ResultValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "label values are lower case")]
enum ResultValue {
    committed,
    rejected,
    lock_lost,
    unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OriginLabel {
    origin: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    rows: Family<ActionLabel, Counter>,
    transactions: Family<ResultLabel, Counter>,
    latency: Histogram,
    desired: Gauge,
    dirty: Gauge,
    held: Gauge,
    lock: Gauge,
    ready: Gauge,
    connected: Gauge,
    confirmed: Gauge<f64, std::sync::atomic::AtomicU64>,
    problems: Family<OriginLabel, Gauge>,
    sources: Family<SourceLabel, Gauge>,
    memory: Gauge,
    chassis: Counter,
    watches: WatchMetrics,
    pools: PoolMetrics,
}

/// From a quarter of a millisecond, a transaction of a few rows, to eight seconds.
fn latency_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("meridian"),
            rows: Family::default(),
            transactions: Family::default(),
            latency: latency_buckets(),
            desired: Gauge::default(),
            dirty: Gauge::default(),
            held: Gauge::default(),
            lock: Gauge::default(),
            ready: Gauge::default(),
            connected: Gauge::default(),
            confirmed: Gauge::default(),
            problems: Family::default(),
            sources: Family::default(),
            memory: Gauge::default(),
            chassis: Counter::default(),
            watches: WatchMetrics::default(),
            pools: PoolMetrics::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("northbound_rows_written", "Rows and links written", self.rows.clone());
        r.register(
            "northbound_transactions",
            "Transactions by their end",
            self.transactions.clone(),
        );
        r.register_with_unit(
            "northbound_transaction",
            "Time from sending a transaction to its answer",
            Unit::Seconds,
            self.latency.clone(),
        );
        r.register("northbound_rows_desired", "Rows there should be", self.desired.clone());
        r.register(
            "northbound_dirty",
            "Rows and links waiting to be compared",
            self.dirty.clone(),
        );
        r.register("northbound_deletions_held", "Deletions held back", self.held.clone());
        r.register(
            "northbound_lock_held",
            "1 if this process holds the lock",
            self.lock.clone(),
        );
        r.register(
            "northbound_connected",
            "1 if the replica follows the database",
            self.connected.clone(),
        );
        r.register_with_unit(
            "northbound_last_confirmed_timestamp",
            "When the database was last seen to hold everything it should",
            Unit::Seconds,
            self.confirmed.clone(),
        );
        r.register("ready", "1 if /readyz says so", self.ready.clone());
        r.register("problems", "Problems by who found them", self.problems.clone());
        r.register(
            "source_synced",
            "1 if the source has told all there is",
            self.sources.clone(),
        );
        r.register_with_unit(
            "resident_memory",
            "Memory of this process",
            Unit::Bytes,
            self.memory.clone(),
        );
        r.register(
            "chassis_removed",
            "Chassis removed because their nodes are no more",
            self.chassis.clone(),
        );
        self.watches.register(r);
        self.pools.register(r);
    }

    /// A chassis was removed.
    pub fn chassis_removed(&self) {
        self.chassis.inc();
    }

    /// How full the pools are: by name and family.
    pub fn pools<'a>(&self, usage: impl Iterator<Item = (&'a str, &'static str, Usage)>) {
        self.pools.set(usage);
    }

    /// The metrics as text, with the gauges as of now.
    pub fn scrape(&self, status: &Status, board: &Board, health: &Health) -> Result<String, std::fmt::Error> {
        let flag = |value: bool| i64::from(value);
        let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.desired.set(number(status.desired));
        self.dirty.set(number(status.dirty));
        self.held
            .set(number(status.held.as_ref().map_or(0, |held| held.deletions)));
        self.lock.set(flag(status.lock == LockStatus::Held));
        self.ready.set(flag(status.ready().is_ok()));
        self.connected
            .set(flag(!matches!(status.phase, Phase::Connecting | Phase::Stopped)));
        let confirmed = status.last_confirmed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        self.confirmed.set(confirmed.unwrap_or_default().as_secs_f64());
        for (origin, count) in board.counts() {
            let label = OriginLabel {
                origin: format!("{origin:?}").to_lowercase(),
            };
            self.problems.get_or_create(&label).set(number(count));
        }
        for source in &status.sources {
            let label = SourceLabel {
                source: source.name.to_owned(),
            };
            self.sources.get_or_create(&label).set(flag(source.synced));
        }
        self.watches.set(health);
        self.memory.set(resident_memory().unwrap_or_default());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Observer for Metrics {
    fn transaction(&self, result: TransactionResult, latency: Duration, counts: Counts) {
        let value = match result {
            TransactionResult::Committed => ResultValue::committed,
            TransactionResult::Rejected => ResultValue::rejected,
            TransactionResult::LockLost => ResultValue::lock_lost,
            TransactionResult::Unknown => ResultValue::unknown,
        };
        self.transactions.get_or_create(&ResultLabel { result: value }).inc();
        self.latency.observe(latency.as_secs_f64());
        if result != TransactionResult::Committed {
            return;
        }
        let Counts {
            inserts,
            updates,
            deletes,
            links,
        } = counts;
        for (action, count) in [
            (Action::insert, inserts),
            (Action::update, updates),
            (Action::delete, deletes),
            (Action::link, links),
        ] {
            self.rows.get_or_create(&ActionLabel { action }).inc_by(count as u64);
        }
    }
}

/// Resident memory in bytes, as the kernel counts it.
fn resident_memory() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_counted_and_what_is_the_case_is_asked_for() {
        let metrics = Metrics::default();
        let counts = Counts {
            inserts: 3,
            links: 2,
            ..Counts::default()
        };
        metrics.transaction(TransactionResult::Committed, Duration::from_millis(2), counts);
        metrics.transaction(TransactionResult::Rejected, Duration::from_millis(2), counts);
        metrics.chassis_removed();
        let usage = Usage {
            total: 5,
            allocated: 2,
            free: 3,
        };
        metrics.pools([("public", "IPv4", usage)].into_iter());
        let status = Status {
            dirty: 7,
            ..Status::default()
        };
        let text = metrics.scrape(&status, &Board::default(), &Health::default()).unwrap();
        for line in [
            "meridian_northbound_rows_written_total{action=\"insert\"} 3",
            "meridian_northbound_transactions_total{result=\"rejected\"} 1",
            "meridian_northbound_transaction_seconds_count 2",
            "meridian_northbound_dirty 7",
            "meridian_ready 0",
            "meridian_chassis_removed_total 1",
            "meridian_problems{origin=\"compile\"} 0",
            "meridian_address_pool_addresses{pool=\"public\",family=\"IPv4\",state=\"free\"} 3",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
