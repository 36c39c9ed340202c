//! Following the objects of one kind.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, watcher};
use kube::{Api, Client};
use meridian_model::{Event, Key, Kind};
use meridian_northbound::writer::Stopped;
use meridian_northbound::{Feed, Input};
use serde::de::DeserializeOwned;

use super::slim::{Modelled, Slim};
use crate::problems::{Board, Origin, Problem};

/// kube's watcher says nothing when a watch works again. Its pauses between attempts grow to 30 seconds (and some
/// jitter), so that an error not repeated for longer is over.
const ERROR_LASTS: Duration = Duration::from_mins(1);

/// Before starting over from a list.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the objects of one kind.
pub(super) struct Follower {
    name: &'static str,
    kind: Kind,
    origin: Origin,
    feed: Feed,
    board: Board,
    /// What the writer believes to be there.
    known: HashSet<Key>,
    /// Objects that cannot be read; the writer keeps them as they were before.
    invalid: BTreeMap<Key, Problem>,
    /// Those of them that never could be read: they may have rows that are not orphans.
    unread: HashSet<Key>,
    nameless: Vec<Problem>,
    /// Seen and not yet told: what comes in one list is told at once.
    events: Vec<Event>,
    failure: Option<Problem>,
    synced: bool,
    doubt: Option<String>,
}

/// How a watch that failed goes on.
#[derive(Debug, PartialEq, Eq)]
enum Remedy {
    /// The watcher helps itself.
    Retry,
    /// From a new list.
    StartOver,
    /// With a list, because the server knows no streaming lists.
    List,
}

impl Follower {
    pub(super) fn new(name: &'static str, kind: Kind, origin: Origin, feed: Feed, board: Board) -> Self {
        Self {
            name,
            kind,
            origin,
            feed,
            board,
            known: HashSet::new(),
            invalid: BTreeMap::new(),
            unread: HashSet::new(),
            nameless: Vec::new(),
            events: Vec::new(),
            failure: None,
            synced: false,
            doubt: None,
        }
    }

    /// Follows until the writer stops.
    pub(super) async fn run<K>(mut self, client: Client)
    where
        K: Modelled + 'static,
        Slim<K>: DeserializeOwned,
    {
        let api: Api<Slim<K>> = Api::all(client);
        let mut streaming = true;
        loop {
            let config = if streaming {
                Config::default().streaming_lists()
            } else {
                Config::default()
            };
            let mut events = pin!(watcher(api.clone(), config).default_backoff());
            let mut listing = None;
            let remedy = loop {
                let event = match tokio::time::timeout(ERROR_LASTS, events.next()).await {
                    Err(_) => {
                        self.set_failure(None);
                        continue;
                    }
                    Ok(None) => break Remedy::StartOver,
                    Ok(Some(event)) => event,
                };
                match event {
                    Ok(event) => {
                        self.set_failure(None);
                        if let Err(Stopped) = self.event(event, &mut listing).await {
                            return;
                        }
                    }
                    Err(error) => {
                        let remedy = remedy(&error, streaming);
                        if remedy != Remedy::List {
                            self.set_failure(Some(&error));
                        }
                        if remedy != Remedy::Retry {
                            break remedy;
                        }
                    }
                }
            };
            if remedy == Remedy::List {
                tracing::info!(
                    source = self.name,
                    "the server knows no streaming lists; listing instead"
                );
                streaming = false;
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn event<K>(
        &mut self,
        event: watcher::Event<Slim<K>>,
        listing: &mut Option<Vec<Slim<K>>>,
    ) -> Result<(), Stopped> {
        match event {
            watcher::Event::Init => *listing = Some(Vec::new()),
            watcher::Event::InitApply(object) => listing.get_or_insert_default().push(object),
            watcher::Event::InitDone => {
                let objects = listing.take().unwrap_or_default();
                self.listed(objects).await?;
            }
            watcher::Event::Apply(object) => {
                self.apply(object);
                self.tell().await?;
            }
            watcher::Event::Delete(object) => {
                if let Some(key) = object.key {
                    self.delete(key);
                    self.tell().await?;
                }
            }
        }
        Ok(())
    }

    /// A full list: what is gone goes first, so that what is new finds its addresses free.
    async fn listed<K>(&mut self, objects: Vec<Slim<K>>) -> Result<(), Stopped> {
        let seen: HashSet<Key> = objects.iter().filter_map(|object| object.key.clone()).collect();
        self.nameless.clear();
        let gone: Vec<Key> = self
            .known
            .union(&self.invalid.keys().cloned().collect())
            .cloned()
            .collect();
        for key in gone.into_iter().filter(|key| !seen.contains(key)) {
            self.delete(key);
        }
        for object in objects {
            self.apply(object);
        }
        if !self.synced {
            tracing::info!(kind = ?self.kind, objects = self.known.len(), invalid = self.invalid.len(), "listed");
        }
        self.unread.retain(|key| seen.contains(key));
        self.tell().await
    }

    fn apply<K>(&mut self, object: Slim<K>) {
        match (object.object, object.key) {
            (Ok(object), key) => {
                let key = key.unwrap_or_else(|| object.key());
                self.invalid.remove(&key);
                self.unread.remove(&key);
                self.known.insert(key);
                self.events.push(Event::Apply(object));
            }
            (Err(error), Some(key)) => {
                if !self.synced && !self.known.contains(&key) {
                    self.unread.insert(key.clone());
                }
                let problem = problem_of(error.object, Some(error.field), error.message);
                self.invalid.insert(key, problem);
            }
            (Err(error), None) => self
                .nameless
                .push(problem_of(error.object, Some(error.field), error.message)),
        }
    }

    fn delete(&mut self, key: Key) {
        self.invalid.remove(&key);
        self.unread.remove(&key);
        if self.known.remove(&key) {
            self.events.push(Event::Delete(key));
        }
    }

    /// Tells the board and the writer what has changed for them.
    async fn tell(&mut self) -> Result<(), Stopped> {
        if !self.events.is_empty() {
            self.feed.send(Input::Events(std::mem::take(&mut self.events))).await?;
        }
        self.publish();
        let doubt = (!self.unread.is_empty()).then(|| {
            format!(
                "{} of the {} could not be read since the start",
                self.unread.len(),
                self.name
            )
        });
        if !self.synced || doubt != self.doubt {
            self.synced = true;
            self.doubt.clone_from(&doubt);
            self.feed
                .send(Input::Synced {
                    source: self.name,
                    doubt,
                })
                .await?;
        }
        Ok(())
    }

    fn set_failure(&mut self, failure: Option<&dyn fmt::Display>) {
        let failure = failure.map(|error| problem_of(format!("watch/{}", self.name), None, error.to_string()));
        if failure != self.failure {
            self.failure = failure;
            self.publish();
        }
    }

    fn publish(&self) {
        let problems = self.invalid.values().chain(&self.nameless).chain(&self.failure);
        self.board.set(self.origin, problems.cloned());
    }
}

fn problem_of(object: String, field: Option<String>, message: String) -> Problem {
    Problem {
        object,
        field,
        message,
        place: None,
    }
}

/// A server without the `WatchList` feature calls `sendInitialEvents` invalid or bad. A watch that begins with an
/// expired version is refused for good, while the watcher would try again with the same version for ever.
fn remedy(error: &watcher::Error, streaming: bool) -> Remedy {
    let watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error else {
        return Remedy::Retry;
    };
    match status.code {
        400 | 422 if streaming => Remedy::List,
        410 => Remedy::StartOver,
        _ => Remedy::Retry,
    }
}
