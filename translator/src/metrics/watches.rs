//! How the watches of the live API fare.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::source::kubernetes::{Health, WatchHealth};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StartLabel {
    source: &'static str,
    from: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabel {
    source: &'static str,
    reason: &'static str,
}

/// The metrics of the watches; without a live cluster there are none.
#[derive(Debug, Default)]
pub(super) struct WatchMetrics {
    objects: Family<SourceLabel, Gauge>,
    unreadable: Family<SourceLabel, Gauge>,
    working: Family<SourceLabel, Gauge>,
    starts: Family<StartLabel, Counter>,
    errors: Family<ErrorLabel, Counter>,
    last_event: Family<SourceLabel, Gauge<f64, AtomicU64>>,
}

impl WatchMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let r = registry;
        r.register("watch_objects", "Objects that the watch knows", self.objects.clone());
        r.register(
            "watch_objects_unreadable",
            "Objects that could not be read as they are now",
            self.unreadable.clone(),
        );
        r.register("watch_working", "0 while attempts fail", self.working.clone());
        r.register(
            "watch_starts",
            "Watches begun, with a list or from where the last one was",
            self.starts.clone(),
        );
        r.register("watch_errors", "Failures by reason", self.errors.clone());
        r.register_with_unit(
            "watch_last_event_timestamp",
            "When the API server last said anything, be it that nothing has changed",
            Unit::Seconds,
            self.last_event.clone(),
        );
    }

    /// Takes over how the watches fare now.
    pub(super) fn set(&self, health: &Health) {
        for (source, watch) in health.all() {
            self.set_watch(source, &watch);
        }
    }

    fn set_watch(&self, source: &'static str, watch: &WatchHealth) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let label = SourceLabel { source };
        self.objects.get_or_create(&label).set(number(watch.objects));
        self.unreadable.get_or_create(&label).set(number(watch.invalid));
        self.working
            .get_or_create(&label)
            .set(i64::from(watch.failure.is_none()));
        for (from, count) in [("list", watch.lists), ("resume", watch.resumes)] {
            let starts = self.starts.get_or_create(&StartLabel { source, from });
            starts.inner().store(count, Ordering::Relaxed);
        }
        for (cause, count) in &watch.errors {
            let reason = cause.label();
            let errors = self.errors.get_or_create(&ErrorLabel { source, reason });
            errors.inner().store(*count, Ordering::Relaxed);
        }
        let heard = watch.last_heard.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        self.last_event
            .get_or_create(&label)
            .set(heard.unwrap_or_default().as_secs_f64());
    }
}
