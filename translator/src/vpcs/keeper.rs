//! [`Keeper`]: looks when something has changed, and writes what is to be different.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use meridian_northbound::writer::Status;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::kept::{Kept, Known, finalizer, is_deleting};
use crate::problems::{Board, Found, Problem};
use crate::source::kubernetes::{Cluster, Health, ListWatch, News};
use crate::upkeep::{InFull, Refusal, Told, ask, fold, forward};

/// What changes together is written together.
const SETTLE: Duration = Duration::from_millis(100);

/// Between two rounds: a status counts pods, and so changes with each.
const ROUND: Duration = Duration::from_secs(1);

/// Pauses after failures, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// News that wait to be heard.
const ROOM: usize = 256;

/// Keeps the status of the objects of a kind as long as this process leads.
#[derive(Debug)]
pub(super) struct Keeper<'a, K: Kept> {
    cluster: &'a Cluster,
    board: &'a Board,
    news: mpsc::Receiver<News<InFull<K>>>,
    _watch: JoinSet<()>,
    /// Without those that cannot be read as what they are, which the source complains of.
    objects: Option<BTreeMap<String, Option<K>>>,
    reports: Arc<[K::Report]>,
    doubt: Option<String>,
    unreadable: BTreeMap<String, String>,
    /// When to look what differs.
    due: Option<Instant>,
    /// Not before.
    open: Instant,
    pause: Duration,
    told: Told,
    /// Why nothing can be written at present, and why not of single objects.
    failure: Option<String>,
    refused: BTreeMap<String, String>,
}

/// What became of a patch.
enum Outcome<K> {
    /// It was written, and this is what the object is like now.
    Written(Box<K>),
    /// It was not, because it was a moment ago, or is refused: other patches may fare better.
    Withheld,
    /// It was not, because the object is not what it was.
    Overtaken,
}

impl<'a, K: Kept> Keeper<'a, K> {
    pub(super) fn new(cluster: &'a Cluster, board: &'a Board) -> Self {
        let (sender, news) = mpsc::channel(ROOM);
        let objects = ListWatch::<InFull<K>>::new(cluster.clone(), K::PLURAL, Health::default()).optional();
        let mut watch = JoinSet::new();
        watch.spawn(forward(objects, std::convert::identity, sender));
        Self {
            cluster,
            board,
            news,
            _watch: watch,
            objects: None,
            reports: Arc::from([]),
            doubt: None,
            unreadable: BTreeMap::new(),
            due: None,
            open: Instant::now(),
            pause: PAUSES.0,
            told: Told::default(),
            failure: None,
            refused: BTreeMap::new(),
        }
    }

    /// Until the writer or the board is gone.
    pub(super) async fn run(mut self, mut status: watch::Receiver<Status>) {
        let mut found = self.board.subscribe();
        found.mark_changed();
        status.mark_changed();
        loop {
            let due = self.due;
            let changed = tokio::select! {
                biased;
                Some(news) = self.news.recv() => fold(&mut self.objects, news, |seen| (seen.name, seen.object.ok())),
                changed = status.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.take(&status.borrow_and_update())
                }
                changed = found.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = unreadable::<K>(&found.borrow_and_update());
                    std::mem::replace(&mut self.unreadable, now) != self.unreadable
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.round().await;
                    false
                }
            };
            if changed {
                self.look_at((Instant::now() + SETTLE).max(self.open));
            }
        }
    }

    /// Takes in what the writer says. Whether anything is different.
    fn take(&mut self, status: &Status) -> bool {
        let doubt = status.sources.iter().find_map(|source| source.doubt.clone());
        let reports = K::reports(status);
        let same = doubt == self.doubt && (Arc::ptr_eq(reports, &self.reports) || *reports == self.reports);
        self.reports = reports.clone();
        self.doubt = doubt;
        !same
    }

    fn look_at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Writes whatever differs.
    async fn round(&mut self) {
        self.due = None;
        let client = self.cluster.client();
        let objects = self.objects.iter().flat_map(BTreeMap::values);
        let objects: Vec<K> = objects.flatten().cloned().collect();
        let before = self.refused.clone();
        let there = |name: &str| self.objects.as_ref().is_some_and(|objects| objects.contains_key(name));
        self.refused.retain(|name, _| there(name));
        for object in objects {
            match self.settle(&client, object).await {
                Ok(()) => {}
                Err(refusal) => return self.failed(&refusal),
            }
        }
        self.open = Instant::now() + ROUND;
        self.pause = PAUSES.0;
        if self.failure.take().is_some() || self.refused != before {
            self.publish();
        }
    }

    /// Writes what differs of one. An error is one for all.
    async fn settle(&mut self, client: &Client, mut object: K) -> Result<(), Refusal> {
        let name = object.meta().name.clone().unwrap_or_default();
        let uid = object.meta().uid.clone().unwrap_or_default();
        if let Some(patch) = finalizer(&object, self.known(&name)) {
            let of = format!("{uid}/finalizers");
            let request = requests::<K>().patch(&name, &PatchParams::default(), &Patch::Merge(&patch));
            match self.write(client, (&name, &of), &patch, request).await? {
                Outcome::Written(now) if is_deleting(&*now) => {
                    tracing::info!(object = %format_args!("{}/{name}", K::SINGULAR), "no pod is in it any more: it may go");
                    return Ok(());
                }
                Outcome::Written(now) => object = *now,
                Outcome::Overtaken => return Ok(()),
                Outcome::Withheld => {}
            }
        }
        let Some(patch) = object.status_patch(self.known(&name)) else {
            return Ok(());
        };
        let request =
            requests::<K>().patch_subresource("status", &name, &PatchParams::default(), &Patch::Merge(&patch));
        self.write(client, (&name, &uid), &patch, request).await.map(drop)
    }

    /// Writes one patch unless that was done a moment ago.
    async fn write(
        &mut self,
        client: &Client,
        (name, of): (&str, &str),
        patch: &Value,
        request: Result<axum::http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Outcome<K>, Refusal> {
        if !self.told.is_news(of, patch, Instant::now()) {
            // Whoever undid it may have stopped by then.
            if let Some(again) = self.told.until() {
                self.look_at(again);
            }
            return Ok(Outcome::Withheld);
        }
        match ask::<InFull<K>>(client, request, K::RIGHTS).await {
            Ok(written) => {
                self.refused.remove(name);
                // We could read it before we wrote.
                Ok(written
                    .object
                    .map_or(Outcome::Overtaken, |now| Outcome::Written(Box::new(now))))
            }
            // The watch says what it is like now, or that it is gone.
            Err(Refusal::Conflict | Refusal::Gone) => {
                self.told.forget(of);
                self.look_at(Instant::now() + ROUND);
                Ok(Outcome::Overtaken)
            }
            Err(refusal) if refusal.is_of_one() => {
                self.refused.insert(name.to_owned(), refusal.to_string());
                if let Some(again) = self.told.until() {
                    self.look_at(again);
                }
                Ok(Outcome::Withheld)
            }
            Err(refusal) => {
                self.told.forget(of);
                Err(refusal)
            }
        }
    }

    fn known(&self, name: &str) -> Known<'_, K::Report> {
        Known {
            report: self.reports.iter().find(|report| K::name(report) == name),
            unreadable: self.unreadable.get(name).map(String::as_str),
            doubt: self.doubt.as_deref(),
        }
    }

    /// Nothing can be written for a while.
    fn failed(&mut self, refusal: &Refusal) {
        self.open = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSES.1);
        self.look_at(self.open);
        self.failure = Some(refusal.to_string());
        self.publish();
    }

    fn publish(&self) {
        let problem = |object: String, reason, message: &String| Problem {
            object,
            field: None,
            reason,
            message: message.clone(),
            place: None,
        };
        let refused = self.refused.iter();
        let refused =
            refused.map(|(name, why)| problem(format!("{}/{name}", K::SINGULAR), Some("FailedStatusWrite"), why));
        let failure = self.failure.iter().map(|why| problem(K::PLURAL.to_owned(), None, why));
        self.board.set(K::STATUS, refused.chain(failure));
    }
}

fn requests<K: Kept>() -> Request {
    Request::new(K::url_path(&(), None))
}

/// Which objects the source cannot read, and why.
fn unreadable<K: Kept>(found: &Found) -> BTreeMap<String, String> {
    let problems = found.get(&K::SOURCE).into_iter().flatten();
    let named = problems.filter_map(|problem| {
        let name = problem.object.strip_prefix(K::SINGULAR)?.strip_prefix('/')?;
        let field = problem.field.as_ref().map(|field| format!("{field}: "));
        let message = format!("{}{}", field.unwrap_or_default(), problem.message);
        Some((name.to_owned(), message))
    });
    named.collect()
}
