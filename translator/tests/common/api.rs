//! An HTTP server that speaks list and watch as the Kubernetes API server does, and misbehaves on demand.
//!
//! It stands in where a peer must misbehave: a real API server loses its history, sends malformed objects and refuses
//! streaming lists only when it is made to with effort.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the server holds.
#[derive(Debug, Default)]
struct World {
    version: u64,
    /// By plural, then by name.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// Version, plural, event.
    history: Vec<(u64, String, Value)>,
    /// History up to here is forgotten.
    compacted: u64,
    no_streaming_lists: bool,
    refuse_expired: bool,
    /// Plurals of optional kinds it has.
    installed: BTreeSet<String>,
    /// Plurals nobody may read.
    /// How often each kind is still forbidden.
    forbidden: HashMap<String, usize>,
    /// Watches of earlier generations end.
    generation: u64,
    lists: usize,
    gone: usize,
}

#[derive(Clone, Debug)]
struct Shared {
    world: Arc<Mutex<World>>,
    changed: watch::Sender<u64>,
}

/// The server.
#[derive(Debug)]
pub struct FakeApi {
    shared: Shared,
    pub address: SocketAddr,
    server: Option<JoinHandle<()>>,
}

impl FakeApi {
    pub async fn start() -> Self {
        let shared = Shared {
            world: Arc::default(),
            changed: watch::Sender::new(0),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut api = Self {
            shared,
            address,
            server: None,
        };
        api.serve(listener);
        api
    }

    fn serve(&mut self, listener: TcpListener) {
        let router = Router::new()
            .route("/api/v1/{plural}", get(answer))
            .route("/apis", get(groups))
            .route("/apis/discovery.k8s.io/v1/{plural}", get(answer))
            .route("/apis/networking.k8s.io/v1/{plural}", get(answer))
            .route("/apis/meridian.dev/v1alpha1/{plural}", get(answer))
            .route("/apis/k8s.cni.cncf.io/v1/{plural}", get(answer))
            .with_state(self.shared.clone());
        self.server = Some(tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        }));
    }

    /// Ends the server with all its connections.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
        // Connections have tasks of their own.
        self.end_watches();
    }

    /// Starts it again at the same address.
    pub async fn restart(&mut self) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        self.serve(listener);
    }

    /// Forgets all history: watches from earlier versions are answered with 410 Gone.
    pub fn compact(&self) {
        let mut world = self.shared.world.lock().unwrap();
        world.version += 1;
        world.compacted = world.version;
        world.history.clear();
    }

    pub fn refuse_streaming_lists(&self) {
        self.shared.world.lock().unwrap().no_streaming_lists = true;
    }

    /// Answers expired watches with the status 410 instead of an event.
    pub fn refuse_expired_watches(&self) {
        self.shared.world.lock().unwrap().refuse_expired = true;
    }

    /// Has an optional kind from now on.
    pub fn install(&self, plural: &str) {
        self.shared.world.lock().unwrap().installed.insert(plural.to_owned());
    }

    /// Has an optional kind, and all objects of it, no more.
    pub fn uninstall(&self, plural: &str) {
        let mut world = self.shared.world.lock().unwrap();
        world.installed.remove(plural);
        world.objects.remove(plural);
        world.generation += 1;
        drop(world);
        self.shared.changed.send_replace(0);
    }

    /// Lets nobody read a kind.
    pub fn forbid(&self, plural: &str) {
        self.forbid_times(plural, usize::MAX);
    }

    /// Lets nobody read a kind who asks for the first or second time.
    pub fn forbid_twice(&self, plural: &str) {
        self.forbid_times(plural, 2);
    }

    fn forbid_times(&self, plural: &str, times: usize) {
        let mut world = self.shared.world.lock().unwrap();
        world.forbidden.insert(plural.to_owned(), times);
    }

    /// Undoes [`Self::forbid`].
    pub fn permit(&self, plural: &str) {
        self.shared.world.lock().unwrap().forbidden.remove(plural);
    }

    pub fn lists(&self) -> usize {
        self.shared.world.lock().unwrap().lists
    }

    pub fn gone(&self) -> usize {
        self.shared.world.lock().unwrap().gone
    }

    /// Adds or replaces an object.
    pub fn put(&self, plural: &str, mut object: Value) {
        let mut world = self.shared.world.lock().unwrap();
        world.version += 1;
        let version = world.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let old = world
            .objects
            .entry(plural.to_owned())
            .or_default()
            .insert(name, object.clone());
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        world
            .history
            .push((version, plural.to_owned(), json!({"type": kind, "object": object})));
        drop(world);
        self.shared.changed.send_replace(version);
    }

    pub fn delete(&self, plural: &str, name: &str) {
        let mut world = self.shared.world.lock().unwrap();
        world.version += 1;
        let version = world.version;
        let mut object = world.objects.get_mut(plural).unwrap().remove(name).unwrap();
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        world
            .history
            .push((version, plural.to_owned(), json!({"type": "DELETED", "object": object})));
        drop(world);
        self.shared.changed.send_replace(version);
    }

    /// Removes one object and adds another, ends all watches and forgets everything up to here, all at once: no watch
    /// can have seen it.
    pub fn change_unseen(&self, plural: &str, gone: &str, mut new: Value) {
        let mut world = self.shared.world.lock().unwrap();
        world.version += 2;
        let version = world.version;
        new["metadata"]["resourceVersion"] = json!(version.to_string());
        let name = new["metadata"]["name"].as_str().unwrap().to_owned();
        let objects = world.objects.get_mut(plural).unwrap();
        objects.remove(gone).unwrap();
        objects.insert(name, new);
        world.compacted = version;
        world.history.clear();
        world.generation += 1;
        drop(world);
        self.shared.changed.send_replace(version);
    }

    /// Ends all watches without forgetting anything, as their timeout does.
    pub fn end_watches(&self) {
        self.shared.world.lock().unwrap().generation += 1;
        self.shared.changed.send_replace(0);
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }
}

async fn groups() -> String {
    let version = json!({"groupVersion": "discovery.k8s.io/v1", "version": "v1"});
    let group = json!({"name": "discovery.k8s.io", "versions": [version], "preferredVersion": version});
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}).to_string()
}

/// Kinds that a server may do without.
const OPTIONAL: [&str; 6] = [
    "servicecidrs",
    "addresspools",
    "vpcs",
    "vpcpeerings",
    "subnets",
    "network-attachment-definitions",
];

/// What keeps a kind from whoever asks.
fn obstacle(plural: &str, world: &mut World) -> Option<Response> {
    if let Some(times) = world.forbidden.get_mut(plural).filter(|times| **times > 0) {
        *times -= 1;
        let body = refusal(
            403,
            "Forbidden",
            &format!("{plural} is forbidden: User \"x\" cannot list {plural}"),
        );
        return Some((StatusCode::FORBIDDEN, body.to_string()).into_response());
    }
    let absent = OPTIONAL.contains(&plural) && !world.installed.contains(plural);
    absent.then(|| (StatusCode::NOT_FOUND, "404 page not found").into_response())
}

async fn answer(
    Path(plural): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    State(shared): State<Shared>,
) -> Response {
    if let Some(refusal) = obstacle(&plural, &mut shared.world.lock().unwrap()) {
        return refusal;
    }
    let is_watch = query.get("watch").is_some_and(|value| value == "true" || value == "1");
    if is_watch {
        watch_objects(&plural, &query, shared)
    } else {
        list(&plural, &query, &shared)
    }
}

fn kind_of(plural: &str) -> &'static str {
    match plural {
        "nodes" => "Node",
        "namespaces" => "Namespace",
        "pods" => "Pod",
        "services" => "Service",
        "endpointslices" => "EndpointSlice",
        "servicecidrs" => "ServiceCIDR",
        "addresspools" => "AddressPool",
        "vpcs" => "Vpc",
        "subnets" => "Subnet",
        "network-attachment-definitions" => "NetworkAttachmentDefinition",
        "vpcpeerings" => "VpcPeering",
        "networkpolicies" => "NetworkPolicy",
        "clusternetworkpolicies" => "ClusterNetworkPolicy",
        "adminnetworkpolicies" => "AdminNetworkPolicy",
        "baselineadminnetworkpolicies" => "BaselineAdminNetworkPolicy",
        other => panic!("nobody should ask for {other}"),
    }
}

fn list(plural: &str, query: &HashMap<String, String>, shared: &Shared) -> Response {
    let mut world = shared.world.lock().unwrap();
    world.lists += 1;
    let limit: usize = query.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
    // Small pages, so that there are several.
    let limit = limit.min(2);
    let from: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
    let all: Vec<Value> = world
        .objects
        .get(plural)
        .into_iter()
        .flat_map(BTreeMap::values)
        .cloned()
        .collect();
    let items: Vec<Value> = all
        .iter()
        .skip(from)
        .take(limit)
        .cloned()
        .map(|mut item| {
            // As a real server does: what is the same for all items is left out of them.
            item.as_object_mut().unwrap().remove("kind");
            item
        })
        .collect();
    let next = if from + items.len() < all.len() {
        (from + items.len()).to_string()
    } else {
        String::new()
    };
    axum::response::Response::new(Body::from(
        json!({
            "kind": format!("{}List", kind_of(plural)),
            "apiVersion": "v1",
            "metadata": {"resourceVersion": world.version.to_string(), "continue": next},
            "items": items,
        })
        .to_string(),
    ))
}

fn refusal(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code})
}

fn watch_objects(plural: &str, query: &HashMap<String, String>, shared: Shared) -> Response {
    let streaming = query.get("sendInitialEvents").is_some_and(|value| value == "true");
    let from: u64 = query
        .get("resourceVersion")
        .and_then(|version| version.parse().ok())
        .unwrap_or(0);
    let mut world = shared.world.lock().unwrap();
    if streaming && world.no_streaming_lists {
        let body = refusal(
            422,
            "Invalid",
            "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch",
        );
        return (StatusCode::UNPROCESSABLE_ENTITY, body.to_string()).into_response();
    }
    if !streaming && from < world.compacted {
        world.gone += 1;
        let body = refusal(410, "Expired", "too old resource version");
        if world.refuse_expired {
            return (StatusCode::GONE, body.to_string()).into_response();
        }
        return line(&json!({"type": "ERROR", "object": body})).into_response();
    }
    let mut first = String::new();
    let mut seen = from;
    if streaming {
        for object in world.objects.get(plural).into_iter().flat_map(BTreeMap::values) {
            first += &line(&json!({"type": "ADDED", "object": object}));
        }
        let version = world.version.to_string();
        first += &line(&json!({"type": "BOOKMARK", "object": {
            "kind": kind_of(plural), "apiVersion": "v1",
            "metadata": {"resourceVersion": version, "annotations": {"k8s.io/initial-events-end": "true"}},
        }}));
        seen = world.version;
    }
    let generation = world.generation;
    drop(world);
    let changed = shared.changed.subscribe();
    let state = (
        shared,
        changed,
        plural.to_owned(),
        seen,
        Some(first).filter(|text| !text.is_empty()),
    );
    let events = stream::unfold(state, move |(shared, mut changed, plural, seen, first)| async move {
        if let Some(first) = first {
            return Some((Ok::<_, Infallible>(first), (shared, changed, plural, seen, None)));
        }
        loop {
            changed.borrow_and_update();
            let (text, version) = {
                let world = shared.world.lock().unwrap();
                if world.generation != generation {
                    return None;
                }
                let news = world
                    .history
                    .iter()
                    .filter(|(version, kind, _)| *version > seen && *kind == plural);
                (news.map(|(_, _, event)| line(event)).collect::<String>(), world.version)
            };
            if !text.is_empty() {
                return Some((Ok(text), (shared, changed, plural, version, None)));
            }
            changed.changed().await.ok()?;
        }
    });
    Response::new(Body::from_stream(events))
}

fn line(event: &Value) -> String {
    format!("{event}\n")
}
