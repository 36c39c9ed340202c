//! A writer on a real `ovsdb-server`.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use meridian_model::{Event, Object};
use meridian_northbound::plan::Counts;
use meridian_northbound::writer::{Phase, Settings, Status};
use meridian_northbound::{Feed, Input, Observer, Ownership, TransactionResult, Writer, monitors};
use ovsdb::testing::{OvsdbServer, PATIENCE, northbound_schema};
use ovsdb::{Session, SessionConfig, Timing, Transaction};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::bare_compiler;

pub const LOCK: &str = "meridian_translator";
pub const SOURCE: &str = "test";

pub fn server() -> OvsdbServer {
    OvsdbServer::start(&[&northbound_schema()])
}

/// What a writer did.
#[derive(Debug, Default)]
pub struct Log(Mutex<Vec<(TransactionResult, Counts)>>);

impl Observer for Log {
    fn transaction(&self, result: TransactionResult, _: Duration, counts: Counts) {
        self.0.lock().unwrap().push((result, counts));
    }
}

impl Log {
    /// Rows and links written so far.
    pub fn written(&self) -> usize {
        let log = self.0.lock().unwrap();
        let committed = log.iter().filter(|(result, _)| *result == TransactionResult::Committed);
        committed.map(|(_, counts)| counts.total()).sum()
    }

    pub fn transactions(&self, result: TransactionResult) -> usize {
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter(|(found, _)| *found == result)
            .count()
    }
}

/// A writer at work.
pub struct Running {
    pub feed: Feed,
    pub status: watch::Receiver<Status>,
    pub log: Arc<Log>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

fn config(server: &OvsdbServer) -> SessionConfig {
    let quick = Timing {
        backoff_min: Duration::from_millis(10),
        ..Timing::default()
    };
    SessionConfig::new("OVN_Northbound", vec![server.unix()])
        .with_monitors(monitors())
        .with_timing(quick)
}

/// A session of a bystander.
pub async fn bystander(server: &OvsdbServer) -> Session {
    let session = Session::spawn(config(server));
    timeout(PATIENCE, session.ready()).await.unwrap().unwrap();
    session
}

impl Running {
    pub fn start(server: &OvsdbServer, adjust: impl FnOnce(&mut Settings)) -> Self {
        let log = Arc::new(Log::default());
        let mut settings = Settings::new(Ownership::default(), LOCK, vec![SOURCE]);
        settings.observer = log.clone();
        adjust(&mut settings);
        let session = Session::spawn(config(server).with_lock(LOCK));
        let (writer, feed) = Writer::new(session, bare_compiler(None), settings);
        let status = writer.status();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(writer.run(async {
            // A test that drops the sender wants the writer to stop as well.
            let _ = stopped.await;
        }));
        Self {
            feed,
            status,
            log,
            stop: Some(stop),
            task,
        }
    }

    /// A writer that knows these objects and is synced.
    pub async fn with(server: &OvsdbServer, objects: impl IntoIterator<Item = Object>) -> Self {
        let running = Self::start(server, |_| {});
        running.apply(objects).await;
        running.synced(None).await;
        running
    }

    pub async fn apply(&self, objects: impl IntoIterator<Item = Object>) {
        for object in objects {
            self.event(Event::Apply(object)).await;
        }
    }

    pub async fn event(&self, event: Event) {
        self.feed.send(Input::Event(event)).await.unwrap();
    }

    pub async fn synced(&self, doubt: Option<&str>) {
        let doubt = doubt.map(str::to_owned);
        self.feed.send(Input::Synced { source: SOURCE, doubt }).await.unwrap();
    }

    /// Waits for a status.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        if let Ok(status) = timeout(PATIENCE, self.status.wait_for(|status| wanted(status))).await {
            return status.unwrap().clone();
        }
        panic!("{what}: not within {PATIENCE:?}: {:#?}", *self.status.borrow())
    }

    /// Waits until everything is written and compared.
    pub async fn confirmed(&mut self) -> Status {
        self.until("confirmed", |status| status.phase == Phase::Confirmed).await
    }

    pub async fn stop(mut self) {
        drop(self.stop.take());
        timeout(PATIENCE, &mut self.task).await.unwrap().unwrap();
    }
}

/// Waits until a bystander sees something.
pub async fn seen(session: &Session, what: &str, wanted: impl Fn(&ovsdb::Replica) -> bool) {
    let mut changes = session.subscribe();
    let wait = async {
        while !wanted(&session.replica()) {
            changes.changed().await.unwrap();
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "{what}: not within {PATIENCE:?}");
}

/// The names in a table, sorted.
pub fn names(replica: &ovsdb::Replica, table: &str) -> Vec<String> {
    let rows = replica.table(table).unwrap().rows();
    let mut names: Vec<_> = rows
        .map(|row| row.get("name").as_str().unwrap_or("?").to_owned())
        .collect();
    names.sort();
    names
}

pub async fn transact(session: &Session, build: impl FnOnce(&mut Transaction)) {
    let mut transaction = Transaction::new("OVN_Northbound");
    build(&mut transaction);
    session.transact(transaction).await.unwrap();
}
