//! Many rows, and readers that are in no hurry.

use std::collections::BTreeSet;

use ovsdb::{Datum, Session, Where};

use crate::support::*;

const ROWS: usize = 50_000;

/// Fills the database, several hundred rows at a time.
async fn fill(session: &Session, rows: usize) {
    let numbers: Vec<_> = (0..rows).collect();
    for batch in numbers.chunks(500) {
        let mut transaction = transaction();
        for n in batch {
            let ids = Datum::map([("owner", format!("pod/namespace-{}/name-{n}", n % 100))]);
            transaction.insert(
                SWITCH,
                None,
                [("name", Datum::scalar(format!("switch-{n}"))), ("external_ids", ids)],
            );
        }
        session.transact(transaction).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_rows_are_fetched_and_found() {
    let server = northbound();
    let writer = connected(config([server.unix()])).await;
    fill(&writer, ROWS).await;
    assert_eq!(names(&writer).len(), ROWS);

    let reader = connected(config([server.tcp()])).await;
    assert_eq!(names(&reader), names(&writer));
    assert_eq!(find(&reader, "switch-49999"), find(&writer, "switch-49999"));
    assert_eq!(reader.subscribe().try_take().rows.len(), ROWS);

    // One transaction, one update with every row.
    let mut everything = transaction();
    everything.delete(SWITCH, Where::All);
    let outcome = writer.transact(everything).await.unwrap();
    assert_eq!(outcome.results[0].count, Some(ROWS as u64));
    names_become(&reader, []).await;
}

#[tokio::test]
async fn a_slow_subscriber_loses_nothing_and_holds_up_nobody() {
    let server = northbound();
    let session = connected(config([server.unix()])).await;
    let mut slow = session.subscribe();
    fill(&session, 5_000).await;
    let all: BTreeSet<_> = session
        .replica()
        .table(SWITCH)
        .unwrap()
        .rows()
        .map(ovsdb::Row::uuid)
        .collect();
    for n in 0..500 {
        session.transact(delete(&format!("switch-{n}"))).await.unwrap();
    }
    let changes = slow.try_take();
    let told: BTreeSet<_> = changes.rows.iter().map(|(_, uuid)| *uuid).collect();
    assert_eq!(told.len(), changes.rows.len(), "each once");
    assert_eq!(told, all);
    assert!(!changes.resynced);
}

#[tokio::test]
async fn a_reader_never_sees_a_half_filled_replica() {
    let mut server = northbound();
    let session = connected(config([server.unix()])).await;
    fill(&session, 2_000).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let reader = std::thread::spawn({
        let session = session.clone();
        move || {
            let mut looks = 0u64;
            while !*stopped.borrow() {
                assert_eq!(session.replica().table(SWITCH).unwrap().len(), 2_000);
                looks += 1;
                std::thread::yield_now();
            }
            looks
        }
    });
    for restart in 0..3 {
        server.restart();
        epoch(&session, restart + 2).await;
    }
    stop.send_replace(true);
    assert!(reader.join().unwrap() > 0);
}
