//! [`ListWatch`]: everything there is of a kind, and then what happens to it.
//!
//! ```text
//!            ┌───────────── list (streamed, or page by page) ◀──────────┐
//!            ▼                                                          │ 410, an absence, an older history,
//!   watch from a version ── ends or breaks ──▶ watch from the last one ─┘ no progress, now and then
//! ```
//!
//! A kind may be optional: then a server that has no such kind has nothing of it, and is asked for it again now and then.
//!
//! Not kube's watcher, because a resumed watch is right only where the server's history is the one we have seen. A
//! server whose database was restored or wiped accepts a version of its future and then says nothing, for ever; so it is
//! asked for its own version first, and after an absence of the server nothing is resumed at all.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::Resource;
use kube::api::{ListParams, WatchParams};
use kube::core::{ObjectList, Request, WatchEvent};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout};

use super::cluster::{Cluster, Link};
use super::failure::{Asked, Cause, Failure};
use super::health::{Health, WatchHealth};
use super::patience::Patience;

/// How long a watch lasts, in seconds. The server ends it, and the next one goes on where it was.
const WATCH_SECONDS: u32 = 290;

/// Objects per page, as client-go has it.
const PAGE: u32 = 500;

/// However sure we are, now and then everything is listed: what went wrong unseen is put right within this time.
const RELIST: Duration = Duration::from_hours(1);

/// After so many failures in a row without a word, nothing that was tried is tried again the same way.
const FUTILE: u32 = 3;

/// Ends the objects of a streamed list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// What is kept of an object. It is made while the object is read, and must never fail for what the object says.
pub(crate) trait Seen: DeserializeOwned + Clone + fmt::Debug + Send + 'static {
    /// The kind.
    type Kind: Resource<DynamicType = ()>;

    /// `metadata.resourceVersion`: how far whoever has seen this has got.
    fn version(&self) -> Option<&str>;

    /// Whether both are the same object, be it at different times.
    fn is(&self, other: &Self) -> bool;
}

/// What is new.
#[derive(Debug)]
pub(crate) enum News<T> {
    /// Everything there is.
    Listed(Vec<T>),
    /// The server has no such kind, and so there is nothing.
    Absent,
    /// An object is now like this.
    Applied(T),
    /// An object is gone.
    Deleted(T),
    /// Nothing has changed.
    Alive,
}

type Events<T> = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<T>>> + Send>>;

/// Whether the server has the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// It must.
    Needed,
    /// It may.
    Optional,
    /// It may, and does not. It is to be asked again then.
    Absent(Instant),
}

pub(crate) struct ListWatch<T> {
    cluster: Cluster,
    resource: &'static str,
    health: Health,
    presence: Presence,
    /// The connection in use.
    link: Link,
    /// Whether the server streams lists.
    streams: bool,
    /// What we have seen everything up to; none if a list is due.
    version: Option<String>,
    listed: Instant,
    events: Option<Events<T>>,
    /// Whether the version is that of a list just read, rather than of a watch that is over.
    just_listed: bool,
    /// When the watch began, and whether it has said anything.
    began: Instant,
    heard: bool,
    /// When the watch last said anything.
    last: Instant,
    patience: Patience,
    /// Failures since anything was heard.
    futile: u32,
    /// Since when it is forbidden.
    forbidden: Option<Instant>,
}

impl<T: Seen> ListWatch<T> {
    pub(crate) fn new(cluster: Cluster, resource: &'static str, health: Health) -> Self {
        Self {
            link: cluster.link(),
            patience: cluster.patience(),
            cluster,
            resource,
            health,
            presence: Presence::Needed,
            streams: true,
            version: None,
            listed: Instant::now(),
            events: None,
            just_listed: false,
            began: Instant::now(),
            heard: false,
            last: Instant::now(),
            futile: 0,
            forbidden: None,
        }
    }

    /// The same of a kind that the server may do without.
    pub(crate) fn optional(self) -> Self {
        Self {
            presence: Presence::Optional,
            ..self
        }
    }

    /// Waits for news. After a failure, whose pause is the caller's business, it goes on as well as it can.
    pub(crate) async fn next(&mut self) -> Result<News<T>, Failure> {
        if let Presence::Absent(until) = self.presence {
            sleep_until(until).await;
            self.presence = Presence::Optional;
        }
        let result = match self.advance().await {
            Err(failure) if self.presence == Presence::Optional && failure.cause == Cause::NotFound => {
                self.absent(failure).await
            }
            result => result,
        };
        self.forbidden = match &result {
            Err(failure) if failure.cause == Cause::Forbidden => self.forbidden.or_else(|| Some(Instant::now())),
            _ => None,
        };
        match &result {
            Ok(_) => {
                self.futile = 0;
                self.health.note(self.resource, WatchHealth::heard);
            }
            Err(failure) => self.failed(failure).await,
        }
        result
    }

    /// Whether a kind that the server may do without may not be read, and that for so long that whoever has waited for it
    /// goes on without: as after an upgrade without the new rights.
    pub(crate) fn is_kept_from_us(&self) -> bool {
        let is_lasting = |since: Instant| since.elapsed() >= self.patience.grace;
        self.presence != Presence::Needed && self.forbidden.is_some_and(is_lasting)
    }

    async fn advance(&mut self) -> Result<News<T>, Failure> {
        loop {
            let Some(events) = &mut self.events else {
                if let Some(news) = self.start().await? {
                    return Ok(news);
                }
                continue;
            };
            let Ok(event) = timeout(self.patience.quiet, events.next()).await else {
                return self.ask_who_is_there().await;
            };
            self.last = Instant::now();
            let Some(event) = event else {
                self.events = None;
                // The server ends a watch when its time is over. One that ends at once must not be begun at once.
                if !self.heard && self.began.elapsed() < Duration::from_secs(1) {
                    return Err(self.broken("the watch ended as soon as it had begun"));
                }
                continue;
            };
            self.heard = true;
            return self.take(event);
        }
    }

    /// The server has no such kind, if it is an API server: what stands before a cluster without one says 404 to everything.
    async fn absent(&mut self, failure: Failure) -> Result<News<T>, Failure> {
        match timeout(self.patience.word, self.link.client.list_api_groups()).await {
            Ok(Ok(groups)) if !groups.groups.is_empty() => {}
            _ => return Err(failure),
        }
        self.events = None;
        self.version = None;
        self.presence = Presence::Absent(Instant::now() + self.patience.search);
        Ok(News::Absent)
    }

    /// A watch that is quiet for a while is an idle cluster, or a server that is stalled or gone.
    async fn ask_who_is_there(&mut self) -> Result<News<T>, Failure> {
        let silent = self.last.elapsed();
        if silent >= self.patience.silence {
            return Err(Failure::silence(&self.asked(), silent.as_secs()));
        }
        if let Some(version) = self.version.clone() {
            self.refuse_older_history(&version).await?;
        }
        Ok(News::Alive)
    }

    fn take(&mut self, event: kube::Result<WatchEvent<T>>) -> Result<News<T>, Failure> {
        let asked = self.asked();
        Ok(match event.map_err(|error| Failure::of(&error, &asked))? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.reached(object.version());
                News::Applied(object)
            }
            WatchEvent::Deleted(object) => {
                self.reached(object.version());
                News::Deleted(object)
            }
            WatchEvent::Bookmark(bookmark) => {
                self.reached(Some(&bookmark.metadata.resource_version));
                News::Alive
            }
            WatchEvent::Error(status) => return Err(Failure::of_status(&status, &asked)),
        })
    }

    /// An object without a version leaves the last one, from which its event comes once more.
    fn reached(&mut self, version: Option<&str>) {
        if let Some(version) = version.filter(|version| !version.is_empty()) {
            self.version = Some(version.to_owned());
        }
    }

    /// Begins a watch; with a list, if one is due.
    async fn start(&mut self) -> Result<Option<News<T>>, Failure> {
        self.link = self.cluster.link();
        let Some(version) = self.version.clone().filter(|_| self.listed.elapsed() < RELIST) else {
            let objects = if self.streams && self.futile < FUTILE {
                self.stream_list().await?
            } else {
                self.page_list().await?
            };
            self.listed = Instant::now();
            self.health.note(self.resource, |watch| watch.lists += 1);
            return Ok(Some(News::Listed(objects)));
        };
        let resumes = !std::mem::take(&mut self.just_listed);
        if resumes {
            self.refuse_older_history(&version).await?;
        }
        self.events = Some(self.watch(&WatchParams::default(), &version).await?);
        self.health.note(self.resource, |watch| {
            watch.resumes += u64::from(resumes);
            watch.heard();
        });
        Ok(None)
    }

    /// A version is a number that only grows, as long as the database is the same. The list is not served from a cache
    /// that may be behind, and of one object, because only its version matters.
    async fn refuse_older_history(&mut self, version: &str) -> Result<(), Failure> {
        let list = self.list(&ListParams::default().limit(1), self.patience.word).await?;
        let theirs = list
            .metadata
            .resource_version
            .and_then(|version| version.parse::<u64>().ok());
        let ours = version.parse::<u64>().ok();
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if theirs < ours => Err(Failure::rewound(&self.asked(), ours, theirs)),
            _ => Ok(()),
        }
    }

    async fn stream_list(&mut self) -> Result<Vec<T>, Failure> {
        // Without a version the list is of now; with "0" it could be of a time before what we have seen.
        let params = WatchParams::default().initial_events();
        let mut events = self.watch(&params, "").await?;
        let mut objects: Vec<T> = Vec::new();
        loop {
            let event = timeout(self.patience.silence, events.next()).await;
            let event = event.map_err(|_| Failure::silence(&self.asked(), self.patience.silence.as_secs()))?;
            let event = event.ok_or_else(|| self.broken("the list ended before it was complete"))?;
            match event.map_err(|error| Failure::of(&error, &self.asked()))? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => objects.push(object),
                // Said to be impossible; if it is not, this is what it means.
                WatchEvent::Deleted(gone) => objects.retain(|object| !object.is(&gone)),
                WatchEvent::Bookmark(bookmark) => {
                    if bookmark.metadata.annotations.contains_key(INITIAL_EVENTS_END) {
                        self.version = Some(bookmark.metadata.resource_version);
                        self.events = Some(events);
                        self.heard = true;
                        self.just_listed = false;
                        return Ok(objects);
                    }
                }
                WatchEvent::Error(status) => return Err(Failure::of_status(&status, &self.asked())),
            }
        }
    }

    async fn page_list(&mut self) -> Result<Vec<T>, Failure> {
        let mut objects = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = self.list(&params, self.patience.answer).await?;
            objects.extend(page.items);
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                self.version = page.metadata.resource_version;
                self.just_listed = true;
                return Ok(objects);
            }
        }
    }

    async fn list(&mut self, params: &ListParams, patience: Duration) -> Result<ObjectList<T>, Failure> {
        let request = Self::request().list(params);
        let list = async {
            self.link
                .client
                .request(request.map_err(kube::Error::BuildRequest)?)
                .await
        };
        match timeout(patience, list).await {
            Ok(list) => list.map_err(|error| Failure::of(&error, &self.asked())),
            Err(_) => Err(Failure::silence(&self.asked(), patience.as_secs())),
        }
    }

    async fn watch(&mut self, params: &WatchParams, version: &str) -> Result<Events<T>, Failure> {
        self.began = Instant::now();
        self.heard = false;
        let params = params.clone().timeout(WATCH_SECONDS);
        let request = Self::request().watch(&params, version);
        let client = self.link.client.clone();
        let watch = async move { client.request_events(request.map_err(kube::Error::BuildRequest)?).await };
        let patience = self.patience.answer;
        let events = match timeout(patience, watch).await {
            Ok(events) => events.map_err(|error| Failure::of(&error, &self.asked()))?,
            Err(_) => return Err(Failure::silence(&self.asked(), patience.as_secs())),
        };
        self.last = Instant::now();
        Ok(Box::pin(events))
    }

    /// Decides how to go on.
    async fn failed(&mut self, failure: &Failure) {
        self.health.note(self.resource, |watch| watch.failed(failure));
        self.futile += 1;
        // A watch that breaks is resumed; a server that cannot be asked at all may come back with another history.
        let absent = self.events.take().is_none() && failure.cause.is_absence();
        let lost = matches!(failure.cause, Cause::Expired | Cause::Malformed);
        if absent || lost || self.futile >= FUTILE {
            self.version = None;
        }
        match failure.cause {
            Cause::NoStreaming => self.streams = false,
            Cause::Unauthorized | Cause::Tls => self.cluster.renew(&self.link).await,
            _ => {}
        }
    }

    /// In every namespace.
    fn request() -> Request {
        Request::new(T::Kind::url_path(&(), None))
    }

    fn broken(&self, how: &str) -> Failure {
        let Asked { server, resource, .. } = self.asked();
        Failure {
            cause: Cause::Unreachable,
            message: format!("the connection to {server} about {resource} is no good: {how}"),
        }
    }

    fn asked(&self) -> Asked {
        Asked {
            server: self.link.server.clone(),
            identity: self.link.identity.clone(),
            resource: self.resource,
        }
    }
}
