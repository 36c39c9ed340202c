//! The watches of a live API, against a server that speaks list and watch.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed expectation is a failed test"
)]

mod common;

use common::api::FakeApi;
use common::{Told, eventually};
use kube::Config;
use meridian_northbound::Feed;
use meridian_translator::problems::Board;
use meridian_translator::source::kubernetes::{self, Cluster, Health};
use serde_json::{Value, json};
use tokio::task::JoinSet;

struct Watched {
    api: FakeApi,
    told: Told,
    board: Board,
    _tasks: JoinSet<()>,
}

impl Watched {
    async fn new(prepare: impl FnOnce(&FakeApi)) -> Self {
        let api = FakeApi::start().await;
        prepare(&api);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = Cluster::at(Config::new(format!("http://{}", api.address).parse().unwrap())).unwrap();
        let (feed, inputs) = Feed::to_receiver();
        let board = Board::default();
        let tasks = kubernetes::watch(&cluster, &feed, &board, &Health::default());
        let mut told = Told::new(inputs);
        told.until_synced(kubernetes::NAMES.len()).await;
        Self {
            api,
            told,
            board,
            _tasks: tasks,
        }
    }

    fn problems(&self) -> Vec<String> {
        self.board
            .all()
            .into_iter()
            .map(|(_, problem)| problem.to_string())
            .collect()
    }
}

fn node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}, "spec": {"podCIDRs": ["10.244.0.0/24"]}})
}

fn pod(name: &str, on: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "ns", "name": name, "uid": name, "managedFields": [{"manager": "x"}]},
        "spec": {"nodeName": on, "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running"},
    })
}

fn broken(name: &str) -> Value {
    let mut pod = pod(name, "a");
    pod["spec"]["hostNetwork"] = json!("perhaps");
    pod
}

#[tokio::test]
async fn a_streaming_list_is_read_and_followed() {
    let mut w = Watched::new(|api| {
        api.put("nodes", node("a"));
        for n in 0..5 {
            api.put("pods", pod(&format!("p{n}"), "a"));
        }
    })
    .await;
    assert_eq!((w.told.cluster.nodes().len(), w.told.cluster.pods().len()), (1, 5));
    assert_eq!(w.api.lists(), 0);
    w.api.put("pods", pod("p9", "a"));
    w.api.put("pods", pod("p0", "b"));
    w.api.delete("pods", "p1");
    let expected = ["ns/p0 on b", "ns/p2 on a", "ns/p3 on a", "ns/p4 on a", "ns/p9 on a"];
    w.told.until("the pods after it", |told| told.pods() == expected).await;
}

#[tokio::test]
async fn a_server_without_streaming_lists_is_listed_page_by_page() {
    let mut w = Watched::new(|api| {
        api.refuse_streaming_lists();
        for n in 0..5 {
            api.put("pods", pod(&format!("p{n}"), "a"));
        }
    })
    .await;
    assert_eq!(w.told.cluster.pods().len(), 5);
    assert!(w.api.lists() >= 7, "three pages of pods, one of each other kind");
    w.api.delete("pods", "p1");
    w.told.until("p1 gone", |told| told.cluster.pods().len() == 4).await;
    assert!(w.problems().is_empty(), "{:?}", w.problems());
}

async fn what_a_watch_missed_is_found(prepare: impl FnOnce(&FakeApi)) {
    let mut w = Watched::new(|api| {
        prepare(api);
        api.put("pods", pod("old", "a"));
        api.put("pods", pod("kept", "a"));
    })
    .await;
    w.api.change_unseen("pods", "old", pod("new", "a"));
    w.told
        .until("the pods of now", |told| told.pods() == ["ns/kept on a", "ns/new on a"])
        .await;
    assert!(w.api.gone() > 0);
    w.api.delete("pods", "kept");
    w.told
        .until("followed again", |told| told.pods() == ["ns/new on a"])
        .await;
}

#[tokio::test]
async fn history_that_is_gone_is_made_up_for_by_a_list() {
    what_a_watch_missed_is_found(|_| {}).await;
}

#[tokio::test]
async fn history_that_is_gone_is_made_up_for_where_lists_do_not_stream() {
    what_a_watch_missed_is_found(FakeApi::refuse_streaming_lists).await;
}

#[tokio::test]
async fn a_watch_that_is_refused_as_expired_is_no_dead_end() {
    what_a_watch_missed_is_found(FakeApi::refuse_expired_watches).await;
}

#[tokio::test]
async fn a_server_that_was_away_is_listed_again_whatever_it_remembers() {
    let mut w = Watched::new(|api| api.put("pods", pod("old", "a"))).await;
    let gone = w.api.gone();
    w.api.stop().await;
    eventually("the problem", || !w.problems().is_empty()).await;
    w.api.delete("pods", "old");
    w.api.put("pods", pod("new", "a"));
    w.api.restart().await;
    w.told.until("new", |told| told.pods() == ["ns/new on a"]).await;
    assert_eq!(w.api.gone(), gone);
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let mut w = Watched::new(|api| api.put("pods", pod("a", "a"))).await;
    w.api.end_watches();
    w.api.put("pods", pod("b", "a"));
    w.told
        .until("b", |told| told.pods() == ["ns/a on a", "ns/b on a"])
        .await;
    assert_eq!(w.api.gone(), 0);
}

#[tokio::test]
async fn a_server_that_is_away_is_a_problem_until_it_is_back() {
    let mut w = Watched::new(|api| api.put("pods", pod("a", "a"))).await;
    w.api.stop().await;
    eventually("the problem", || {
        w.problems().iter().any(|problem| problem.starts_with("watch/pods: "))
    })
    .await;
    w.api.put("pods", pod("b", "a"));
    w.api.restart().await;
    w.told
        .until("b", |told| told.pods() == ["ns/a on a", "ns/b on a"])
        .await;
    eventually("no problem", || {
        !w.problems().iter().any(|problem| problem.starts_with("watch/pods"))
    })
    .await;
}

#[tokio::test]
async fn a_malformed_object_stops_nothing_and_is_named() {
    let mut w = Watched::new(|api| api.put("pods", pod("a", "a"))).await;
    w.api.put("pods", broken("a"));
    w.api.put("pods", pod("b", "a"));
    w.told
        .until("b", |told| told.pods() == ["ns/a on a", "ns/b on a"])
        .await;
    let problems = w.problems();
    assert!(problems[0].starts_with("pod/ns/a: spec.hostNetwork: "), "{problems:?}");
    // Also a new list keeps what was last known of it.
    w.api.stop().await;
    w.api.compact();
    w.api.put("pods", pod("c", "a"));
    w.api.restart().await;
    w.told
        .until("c", |told| told.pods() == ["ns/a on a", "ns/b on a", "ns/c on a"])
        .await;
    w.api.put("pods", pod("a", "repaired"));
    w.told
        .until("a again", |told| told.pods()[0] == "ns/a on repaired")
        .await;
    eventually("no problem", || w.problems().is_empty()).await;
}

#[tokio::test]
async fn an_object_malformed_from_the_start_leaves_doubt_until_it_reads() {
    let mut w = Watched::new(|api| {
        api.put("pods", broken("a"));
        api.put("pods", pod("b", "a"));
    })
    .await;
    assert_eq!(w.told.pods(), ["ns/b on a"]);
    let doubt = |told: &Told| told.synced.iter().find(|(name, _)| *name == "pods").unwrap().1.clone();
    assert_eq!(
        doubt(&w.told).as_deref(),
        Some("1 of the pods could not be read since the start")
    );
    w.api.delete("pods", "a");
    w.told.until("no doubt", |told| doubt(told).is_none()).await;
}
