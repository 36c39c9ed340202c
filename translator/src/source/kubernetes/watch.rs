//! Following the objects of one kind.

use std::collections::{BTreeMap, HashSet};

use meridian_model::{Event, Key, Kind};
use meridian_northbound::writer::Stopped;
use meridian_northbound::{Feed, Input};

use super::backoff::Backoff;
use super::cluster::Cluster;
use super::health::Health;
use super::list_watch::{ListWatch, News};
use super::slim::{Modelled, Slim};
use crate::problems::{Board, Origin, Problem};

/// Follows the objects of one kind.
pub(super) struct Follower {
    name: &'static str,
    kind: Kind,
    origin: Origin,
    /// Whether the server may do without the kind, or may keep it from us.
    optional: bool,
    /// Without the right to read it nothing goes on, although there may be no such kind.
    readable: bool,
    feed: Feed,
    board: Board,
    health: Health,
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

/// What all followers share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) feed: Feed,
    pub(super) board: Board,
    pub(super) health: Health,
}

impl Follower {
    pub(super) fn new(name: &'static str, kind: Kind, origin: Origin, shared: Shared) -> Self {
        let Shared { feed, board, health } = shared;
        Self {
            name,
            kind,
            origin,
            optional: false,
            readable: false,
            feed,
            board,
            health,
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

    /// The same for a kind that clusters may do without.
    pub(super) fn optional(self) -> Self {
        self.health.note(self.name, |watch| watch.optional = true);
        Self { optional: true, ..self }
    }

    /// The same for a kind of which everything has to be known if there is such a kind.
    pub(super) fn optional_and_readable(self) -> Self {
        Self {
            readable: true,
            ..self.optional()
        }
    }

    /// Follows until the writer stops.
    pub(super) async fn run<K: Modelled>(mut self, cluster: Cluster) {
        let mut objects = ListWatch::<Slim<K>>::new(cluster, self.name, self.health.clone());
        if self.optional {
            objects = objects.optional();
        }
        let mut backoff = Backoff::default();
        loop {
            match objects.next().await {
                Ok(news) => {
                    backoff.reset();
                    self.set_failure();
                    if let Err(Stopped) = self.take(news).await {
                        return;
                    }
                }
                Err(failure) => {
                    tracing::debug!(source = self.name, cause = failure.cause.label(), %failure, "watch");
                    self.set_failure();
                    // Whoever was granted what Meridian needed before it knew this kind has lost nothing by it; the problem
                    // stays until it is granted. What is known already stays known.
                    let kept_from_us = !self.synced && !self.readable && objects.is_kept_from_us();
                    if kept_from_us && let Err(Stopped) = self.listed::<K>(Vec::new()).await {
                        return;
                    }
                    tokio::time::sleep(backoff.pause(failure.cause)).await;
                }
            }
        }
    }

    async fn take<K: Modelled>(&mut self, news: News<Slim<K>>) -> Result<(), Stopped> {
        match news {
            News::Listed(objects) => return self.listed(objects).await,
            News::Absent => return self.listed::<K>(Vec::new()).await,
            News::Applied(object) => self.apply(object),
            News::Deleted(object) => match object.key {
                Some(key) => self.delete(key),
                None => return Ok(()),
            },
            News::Alive => return Ok(()),
        }
        self.tell().await
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
        self.health.note(self.name, |watch| {
            watch.objects = self.known.len();
            watch.invalid = self.invalid.len() + self.nameless.len();
            watch.synced = true;
        });
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

    /// Takes over from the watch whether it works.
    fn set_failure(&mut self) {
        let failing = self.health.failure(self.name);
        let failure = failing.map(|failing| problem_of(format!("watch/{}", self.name), None, failing.last.message));
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
        reason: None,
        message,
        place: None,
    }
}
