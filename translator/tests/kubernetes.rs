//! The watches of a live API, against a server that speaks list and watch.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed expectation is a failed test"
)]

mod common;

use std::time::Duration;

use common::api::FakeApi;
use common::{Told, eventually};
use kube::Config;
use meridian_northbound::Feed;
use meridian_translator::problems::Board;
use meridian_translator::source::kubernetes::{self, Cluster, Health, Patience};
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
        Self::synced(kubernetes::NAMES.len(), prepare).await
    }

    /// As soon as so many sources are.
    async fn synced(sources: usize, prepare: impl FnOnce(&FakeApi)) -> Self {
        let api = FakeApi::start().await;
        prepare(&api);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = Cluster::at(Config::new(format!("http://{}", api.address).parse().unwrap())).unwrap();
        let cluster = cluster.with_patience(Patience {
            search: Duration::from_millis(20),
            grace: Duration::from_millis(500),
            ..Patience::default()
        });
        let (feed, inputs) = Feed::to_receiver();
        let board = Board::default();
        let tasks = kubernetes::watch(&cluster, &feed, &board, &Health::default());
        let mut told = Told::new(inputs);
        told.until_synced(sources).await;
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

fn pool(name: &str) -> Value {
    json!({
        "apiVersion": "meridian.dev/v1alpha1", "kind": "AddressPool",
        "metadata": {"name": name}, "spec": {"addresses": ["198.51.100.0/28"]},
    })
}

fn pools(told: &Told) -> usize {
    told.cluster.address_pools().count()
}

#[tokio::test]
async fn a_kind_that_a_server_does_without_is_no_problem_and_is_found_when_it_is_there() {
    let mut w = Watched::new(|_| {}).await;
    assert!(w.problems().is_empty(), "{:?}", w.problems());
    w.api.install("addresspools");
    w.api.put("addresspools", pool("public"));
    w.told.until("the pool", |told| pools(told) == 1).await;
    w.api.put("addresspools", pool("more"));
    w.told.until("the other", |told| pools(told) == 2).await;
    w.api.uninstall("addresspools");
    w.told.until("no pool", |told| pools(told) == 0).await;
    w.api.install("addresspools");
    w.api.put("addresspools", pool("again"));
    w.told.until("a new one", |told| pools(told) == 1).await;
    assert!(w.problems().is_empty(), "{:?}", w.problems());
}

#[tokio::test]
async fn vpcs_are_found_when_they_are_there_and_missed_when_they_are_not() {
    let mut w = Watched::new(|_| {}).await;
    let vpc = json!({
        "apiVersion": "meridian.dev/v1alpha1", "kind": "Vpc",
        "metadata": {"name": "blue"}, "spec": {"podNetwork": {"cidrs": ["10.8.0.0/16"]}},
    });
    w.api.install("vpcs");
    w.api.put("vpcs", vpc);
    w.told.until("the VPC", |told| told.cluster.vpcs().count() == 1).await;
    // All watches end with it, so that it comes once in a test: one that begins and ends at once is a problem.
    w.api.uninstall("vpcs");
    w.told.until("no VPC", |told| told.cluster.vpcs().count() == 0).await;
    assert!(w.problems().is_empty(), "{:?}", w.problems());
}

#[tokio::test]
async fn an_optional_kind_that_is_forbidden_only_for_a_moment_is_waited_for() {
    let w = Watched::new(|api| {
        api.install("servicecidrs");
        api.forbid_twice("servicecidrs");
        let cidr = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": ["10.96.0.0/16"]}});
        api.put("servicecidrs", cidr);
    })
    .await;
    assert_eq!(
        w.told.cluster.service_cidrs().count(),
        1,
        "known before anything begins"
    );
    assert_eq!(w.problems(), [""; 0]);
}

#[tokio::test]
async fn vpcs_and_peerings_that_may_not_be_read_hold_up_everything() {
    let all = kubernetes::NAMES.len();
    let needed = ["vpcs", "vpcpeerings"];
    let mut w = Watched::synced(all - needed.len(), |api| {
        // The other is given up in time.
        for kind in needed.into_iter().chain(["servicecidrs"]) {
            api.install(kind);
            api.forbid(kind);
        }
    })
    .await;
    assert!(
        w.told.synced.iter().all(|(name, _)| !needed.contains(&&**name)),
        "{:?}",
        w.told.synced
    );
    for kind in needed {
        w.api.permit(kind);
    }
    w.told.until_synced(all).await;
}

#[tokio::test]
async fn an_optional_kind_that_may_not_be_read_is_a_problem_that_holds_up_nothing() {
    let mut w = Watched::new(|api| {
        api.install("servicecidrs");
        api.forbid("servicecidrs");
        let cidr = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "more"},
            "spec": {"cidrs": ["10.97.0.0/16"]}});
        api.put("servicecidrs", cidr);
    })
    .await;
    assert!(w.told.synced.iter().all(|(_, doubt)| doubt.is_none()));
    let problems = w.problems();
    assert!(problems[0].starts_with("watch/servicecidrs: "), "{problems:?}");
    assert!(
        problems[0].contains("grant list and watch of servicecidrs"),
        "{problems:?}"
    );
    w.api.permit("servicecidrs");
    w.told
        .until("it is read", |told| told.cluster.service_cidrs().count() == 1)
        .await;
    // What is known stays known, whatever somebody takes away.
    w.api.forbid("servicecidrs");
    w.api.end_watches();
    eventually("the problem", || !w.problems().is_empty()).await;
    assert_eq!(w.told.cluster.service_cidrs().count(), 1);
}
