//! A compiler and a writer on a real server, in this process.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use meridian_compile::{Compiler, Config, Settings};
use meridian_model::Event;
use meridian_northbound::writer::{self, Phase};
use meridian_northbound::{Counts, Feed, Input, Observer, Ownership, Status, TransactionResult, Writer, monitors};
use ovsdb::testing::OvsdbServer;
use ovsdb::{Session, SessionConfig, Subscription};
use ovsdb_schemas::northbound::{DATABASE, SCHEMA_JSON};
use tokio::sync::{oneshot, watch};

use crate::report::median;

/// Nothing measured here takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);
const SOURCE: &str = "bench";

/// A real server with an empty Northbound database.
pub(crate) fn northbound() -> OvsdbServer {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let schema = folder.path().join("ovn-nb.ovsschema");
    std::fs::write(&schema, SCHEMA_JSON).expect("the folder is writable");
    OvsdbServer::start(&[Path::new(&schema)])
}

/// The configuration of all measurements.
pub(crate) fn config() -> Config {
    Config::new(Settings {
        cluster_cidrs: vec!["10.128.0.0/9".parse().expect("a network")],
        ..Settings::default()
    })
    .expect("valid settings")
}

/// Waits until a row of that table is new, different or gone.
pub(crate) async fn seen(changes: &mut Subscription, table: &str) {
    loop {
        let next = tokio::time::timeout(PATIENCE, changes.changed())
            .await
            .expect("in time");
        let next = next.expect("the session is open");
        if next.rows.iter().any(|(of, _)| **of == *table) {
            return;
        }
    }
}

/// What the same events take beside either of two clusters, from the event until a row of that table is committed and
/// seen, medians; turn by turn, because the speed of the machine drifts.
pub(crate) async fn turn_by_turn(
    clusters: [Vec<Event>; 2],
    events: impl IntoIterator<Item = Event>,
    table: &str,
) -> [Duration; 2] {
    let servers = [northbound(), northbound()];
    let mut sides = Vec::new();
    for (cluster, server) in clusters.into_iter().zip(&servers) {
        let mut running = Running::start(server).await;
        running.sync(cluster).await;
        sides.push((running, Vec::new()));
    }
    for event in events {
        for (running, times) in &mut sides {
            times.push(running.until_row(table, event.clone()).await);
        }
    }
    let mut medians = [Duration::ZERO; 2];
    for ((running, mut times), middle) in sides.into_iter().zip(&mut medians) {
        *middle = median(&mut times);
        running.stop().await;
    }
    medians
}

/// A running writer.
#[derive(Debug)]
pub(crate) struct Running {
    feed: Feed,
    status: watch::Receiver<Status>,
    changes: Subscription,
    transactions: Arc<Transactions>,
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Transactions(AtomicUsize);

impl Observer for Transactions {
    fn transaction(&self, _: TransactionResult, _: Duration, _: Counts) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Running {
    /// Starts a writer and gives it the full lists. Returns when the session is ready and before anything is written.
    pub(crate) async fn start(server: &OvsdbServer) -> Self {
        let config = SessionConfig::new(DATABASE, vec![server.unix()])
            .with_monitors(monitors())
            .with_lock("bench");
        let session = Session::spawn(config);
        session.ready().await.expect("the server is there");
        let transactions = Arc::new(Transactions::default());
        let mut settings = writer::Settings::new(Ownership::new(None), "bench", vec![SOURCE]);
        settings.observer = Arc::clone(&transactions) as Arc<dyn Observer>;
        let changes = session.subscribe();
        let (writer, feed) = Writer::new(session, Compiler::new(self::config()), settings);
        let status = writer.status();
        let (stop, stopped) = oneshot::channel::<()>();
        // A thread of its own, as in the program, where the session has the others.
        let runtime = tokio::runtime::Handle::current();
        let thread = std::thread::spawn(move || {
            runtime.block_on(writer.run(async {
                // An error says that the other end is gone, which is a reason to stop too.
                let _ = stopped.await;
            }));
        });
        Self {
            feed,
            status,
            changes,
            transactions,
            stop,
            thread,
        }
    }

    /// The time from the first event until the database was compared and holds everything.
    pub(crate) async fn sync(&mut self, events: impl IntoIterator<Item = Event>) -> Duration {
        let start = Instant::now();
        for event in events {
            self.send(Input::Event(event)).await;
        }
        self.send(Input::Synced {
            source: SOURCE,
            doubt: None,
        })
        .await;
        let confirmed = self.status.wait_for(|status| status.phase == Phase::Confirmed);
        tokio::time::timeout(PATIENCE, confirmed)
            .await
            .expect("in time")
            .expect("the writer runs");
        let elapsed = start.elapsed();
        drop(self.changes.try_take());
        elapsed
    }

    /// The time from an event until a row of that table is committed and seen.
    pub(crate) async fn until_row(&mut self, table: &str, event: Event) -> Duration {
        let start = Instant::now();
        self.send(Input::Event(event)).await;
        seen(&mut self.changes, table).await;
        start.elapsed()
    }

    /// How many transactions were sent.
    pub(crate) fn transactions(&self) -> usize {
        self.transactions.0.load(Ordering::Relaxed)
    }

    /// Ends the writer.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        joined.expect("it waits").expect("the writer does not panic");
    }

    async fn send(&self, input: Input) {
        self.feed.send(input).await.expect("the writer runs");
    }
}
