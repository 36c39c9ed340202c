//! Filling an empty database while the cluster is still being compiled.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed expectation is a failed test"
)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::server::{Running, bystander, names, seen, server, transact};
use common::{node, pod};
use meridian_api::port::{KEY, OWNER};
use meridian_model::Object;
use meridian_northbound::{Counts, Observer, TransactionResult};
use ovsdb::{Datum, Session, Uuid};

const PORT: &str = "Logical_Switch_Port";
const NODES: usize = 10;
const PODS: usize = 2_000;

/// What a writer did, in order.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Compiled(usize),
    Wrote(Counts),
}

#[derive(Debug, Default)]
struct Story(Mutex<Vec<Step>>);

impl Observer for Story {
    fn transaction(&self, result: TransactionResult, _: Duration, counts: Counts) {
        assert_eq!(result, TransactionResult::Committed);
        self.0.lock().unwrap().push(Step::Wrote(counts));
    }

    fn compiled(&self, units: usize) {
        if units > 0 {
            self.0.lock().unwrap().push(Step::Compiled(units));
        }
    }
}

impl Story {
    fn first(&self, is: impl Fn(&Step) -> bool) -> Option<usize> {
        self.0.lock().unwrap().iter().position(is)
    }

    fn last_compile(&self) -> usize {
        let story = self.0.lock().unwrap();
        let last = story.iter().rposition(|step| matches!(step, Step::Compiled(_)));
        last.unwrap()
    }

    fn compiled(&self) -> usize {
        let story = self.0.lock().unwrap();
        let units = story.iter().map(|step| match step {
            Step::Compiled(units) => *units,
            Step::Wrote(_) => 0,
        });
        units.sum()
    }
}

fn cluster() -> impl Iterator<Item = Object> {
    let pods = (0..PODS).map(|n| pod(&format!("p{n}"), n % NODES));
    (0..NODES).map(node).chain(pods)
}

/// A writer that is told of the whole cluster, and what it does.
async fn synced(server: &ovsdb::testing::OvsdbServer) -> (Running, Arc<Story>) {
    let story = Arc::new(Story::default());
    let mut running = Running::start(server, |settings| settings.observer = story.clone());
    running.apply(cluster()).await;
    running.synced(None).await;
    running.confirmed().await;
    (running, story)
}

/// A port of ours, on a switch of somebody else's, for a pod that is no more.
async fn leave_port(session: &Session, address: &str) {
    let ids = [(OWNER, "pod/ns/gone"), (KEY, "ns_gone")];
    let (port, switch) = (Uuid::from_u128(1), Uuid::from_u128(2));
    transact(session, |t| {
        t.insert(
            PORT,
            Some(port),
            [
                ("name", Datum::scalar("ns_gone")),
                ("addresses", Datum::scalar(address)),
                ("external_ids", Datum::map(ids)),
            ],
        );
        let columns = [("name", Datum::scalar("theirs")), ("ports", Datum::scalar(port))];
        t.insert("Logical_Switch", Some(switch), columns);
    })
    .await;
}

#[tokio::test]
async fn the_first_rows_are_there_before_the_last_unit_is_compiled() {
    let server = server();
    let (_running, story) = synced(&server).await;
    let first = story.first(|step| matches!(step, Step::Wrote(_))).unwrap();
    assert!(first < story.last_compile(), "{story:?}");
    assert_eq!(story.compiled(), 1 + NODES + PODS, "every unit is compiled once");
    let session = bystander(&server).await;
    assert_eq!(names(&session.replica(), PORT).len(), 2 * NODES + PODS);
}

#[tokio::test]
async fn nothing_is_written_from_half_a_compile_where_something_of_ours_may_have_to_go_first() {
    let server = server();
    let session = bystander(&server).await;
    // The first address of the slice goes to the first pod, once nobody has it.
    leave_port(&session, "0a:58:0a:f4:00:04 10.244.0.4").await;
    let (_running, story) = synced(&server).await;
    let first = story.first(|step| matches!(step, Step::Wrote(_))).unwrap();
    assert!(first > story.last_compile(), "{story:?}");
    let frees = story.first(|step| matches!(step, Step::Wrote(counts) if counts.deletes > 0));
    let fills = story.first(|step| matches!(step, Step::Wrote(counts) if counts.inserts > 0));
    assert!(frees <= fills, "{story:?}");
    seen(&session, "no port of the pod that is gone", |replica| {
        !names(replica, PORT).contains(&"ns_gone".to_owned())
    })
    .await;
}

#[tokio::test]
async fn what_appears_while_the_database_is_filled_is_dealt_with_at_the_end() {
    let server = server();
    let session = bystander(&server).await;
    let story = Arc::new(Story::default());
    let mut running = Running::start(&server, |settings| settings.observer = story.clone());
    running.apply(cluster()).await;
    running.synced(None).await;
    seen(&session, "the first switch", |replica| {
        !names(replica, "Logical_Switch").is_empty()
    })
    .await;
    leave_port(&session, "0a:58:0a:00:00:09 10.0.0.9").await;
    seen(&session, "everything else, and no such port", |replica| {
        let names = names(replica, PORT);
        names.len() == 2 * NODES + PODS && !names.contains(&"ns_gone".to_owned())
    })
    .await;
    running.confirmed().await;
    let deletes = story.first(|step| matches!(step, Step::Wrote(counts) if counts.deletes > 0));
    assert!(deletes.unwrap() > story.last_compile(), "{story:?}");
}
