//! The writer on a real `ovsdb-server`.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed expectation is a failed test"
)]

mod common;

use std::time::Duration;

use common::server::{LOCK, Running, bystander, names, seen, server, transact};
use common::{node, pod};
use meridian_api::port::OWNER;
use meridian_model::{Event, Key, Kind, Pod};
use meridian_northbound::writer::{LockStatus, Phase};
use meridian_northbound::{DeletionBudget, Input, TransactionResult};
use ovsdb::testing::PATIENCE;
use ovsdb::{Datum, Mutation, Session, Uuid, Where};
use tokio::time::timeout;

const PORT: &str = "Logical_Switch_Port";
const SWITCH: &str = "Logical_Switch";

fn port(session: &Session, name: &str) -> Option<Uuid> {
    let replica = session.replica();
    let rows = replica.table(PORT).unwrap().rows();
    rows.filter(|row| row.get("name").as_str() == Some(name))
        .map(ovsdb::Row::uuid)
        .next()
}

fn switch(session: &Session, name: &str) -> Uuid {
    let replica = session.replica();
    let mut rows = replica.table(SWITCH).unwrap().rows();
    rows.find(|row| row.get("name").as_str() == Some(name)).unwrap().uuid()
}

#[tokio::test]
async fn what_is_wanted_is_written_and_a_restart_writes_nothing() {
    let server = server();
    let mut first = Running::with(&server, [node(0), pod("a", 0)]).await;
    let status = first.confirmed().await;
    assert_eq!(status.ready(), Ok("leader: holding the lock"));
    let session = bystander(&server).await;
    assert_eq!(
        names(&session.replica(), PORT),
        ["mgmt-default-node-0", "ns_a", "vpc-default-node-0-router"]
    );
    first.stop().await;
    let mut second = Running::with(&server, [node(0), pod("a", 0)]).await;
    second.confirmed().await;
    assert_eq!(second.log.written(), 0);
}

#[tokio::test]
async fn nothing_is_written_before_every_source_is_synced() {
    let server = server();
    let mut running = Running::start(&server, |settings| settings.sources.push("slow"));
    running.apply([node(0)]).await;
    running.synced(None).await;
    let status = running
        .until("syncing", |status| {
            status.phase == Phase::Syncing && status.sources[0].synced
        })
        .await;
    assert_eq!(status.ready(), Err("waiting for the first list of slow".to_owned()));
    assert_eq!(
        status.lock,
        LockStatus::None,
        "one who does not know the cluster does not take the lock"
    );
    assert_eq!(running.log.written(), 0);
}

#[tokio::test]
async fn a_pod_that_comes_is_a_port_and_one_that_goes_is_none() {
    let server = server();
    let mut running = Running::with(&server, [node(0)]).await;
    running.confirmed().await;
    let session = bystander(&server).await;
    running.apply([pod("a", 0)]).await;
    seen(&session, "port of a", |replica| {
        names(replica, PORT).contains(&"ns_a".to_owned())
    })
    .await;
    running.event(Event::Delete(Key::pod("ns", "a"))).await;
    seen(&session, "no port of a", |replica| {
        !names(replica, PORT).contains(&"ns_a".to_owned())
    })
    .await;
}

#[tokio::test]
async fn rows_changed_behind_our_back_are_put_back() {
    let server = server();
    let mut running = Running::with(&server, [node(0), pod("a", 0)]).await;
    running.confirmed().await;
    let session = bystander(&server).await;
    let (port, switch) = (port(&session, "ns_a").unwrap(), switch(&session, "vpc-default-node-0"));
    transact(&session, |t| {
        t.update(PORT, Where::Uuid(port), [("addresses", Datum::set(["unknown"]))]);
    })
    .await;
    let address = |replica: &ovsdb::Replica| {
        replica
            .row(PORT, port)
            .is_some_and(|row| row.get("addresses").len() == 1 && row.get("addresses").as_str() != Some("unknown"))
    };
    seen(&session, "addresses again", address).await;
    transact(&session, |t| {
        t.mutate(
            SWITCH,
            Where::Uuid(switch),
            [Mutation::delete("ports", Datum::set([port]))],
        );
    })
    .await;
    seen(&session, "port again", address).await;
    transact(&session, |t| {
        t.delete(SWITCH, Where::Uuid(switch));
    })
    .await;
    seen(&session, "switch again", |replica| {
        replica
            .row(SWITCH, switch)
            .is_some_and(|row| row.get("ports").len() == 3)
    })
    .await;
}

#[tokio::test]
async fn a_wiped_database_is_rebuilt_with_the_same_addresses() {
    let mut server = server();
    let mut running = Running::with(&server, [node(0), pod("a", 0)]).await;
    running.apply([pod("b", 0)]).await;
    running.event(Event::Delete(Key::pod("ns", "a"))).await;
    running.confirmed().await;
    let session = bystander(&server).await;
    seen(&session, "only b", |replica| names(replica, PORT).len() == 3).await;
    let addresses = |session: &Session| {
        let port = port(session, "ns_b")?;
        Some(session.replica().row(PORT, port)?.get("addresses").clone())
    };
    let before = addresses(&session).unwrap();
    server.wipe();
    let again = bystander(&server).await;
    seen(&again, "rebuilt", |replica| names(replica, PORT).len() == 3).await;
    assert_eq!(addresses(&again).unwrap(), before);
}

/// A port of somebody else's with the name that ours is to have: names are unique.
async fn take_name(session: &Session, name: &str) {
    transact(session, |t| {
        t.insert(PORT, Some(Uuid::from_u128(1)), [("name", Datum::scalar(name))]);
        let ports = Datum::set([Uuid::from_u128(1)]);
        t.insert(SWITCH, None, [("name", Datum::scalar("theirs")), ("ports", ports)]);
    })
    .await;
}

#[tokio::test]
async fn one_bad_row_does_not_stop_the_rest_and_is_named() {
    let server = server();
    let session = bystander(&server).await;
    take_name(&session, "ns_p7").await;
    let pods = (0..40).map(|n| pod(&format!("p{n}"), 0));
    let mut running = Running::with(&server, [node(0)].into_iter().chain(pods)).await;
    let status = running.confirmed().await;
    assert_eq!(status.problems.len(), 1);
    let problem = &status.problems[0];
    assert_eq!((problem.owner.as_str(), problem.name.as_str()), ("pod/ns/p7", "ns_p7"));
    assert!(problem.message.contains("ns_p7"), "{}", problem.message);
    seen(&session, "all others", |replica| names(replica, PORT).len() == 2 + 40).await;
    // Once the name is free the row is written without anybody asking.
    transact(&session, |t| {
        t.delete(SWITCH, Where::Conditions(vec![ovsdb::Condition::eq("name", "theirs")]));
    })
    .await;
    running
        .until("no problem", |status| {
            status.problems.is_empty() && status.phase == Phase::Confirmed
        })
        .await;
}

#[tokio::test]
async fn a_bad_row_among_batches_on_their_way_stops_none_of_them() {
    let server = server();
    let session = bystander(&server).await;
    take_name(&session, "ns_p700").await;
    let nodes = (0..10).map(node);
    let pods = (0..1500).map(|n| pod(&format!("p{n}"), n % 10));
    let mut running = Running::with(&server, nodes.chain(pods)).await;
    let status = running.confirmed().await;
    let named: Vec<_> = status.problems.iter().map(|problem| problem.name.as_str()).collect();
    assert_eq!(named, ["ns_p700"]);
    // Two ports of each node, every pod but one, and theirs.
    seen(&session, "all others", |replica| {
        names(replica, PORT).len() == 20 + 1499 + 1
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn orphans_go_and_rows_of_others_stay() {
    let server = server();
    let session = bystander(&server).await;
    transact(&session, |t| {
        let ids = Datum::map([(OWNER, "node/old")]);
        t.insert(SWITCH, None, [("name", Datum::scalar("orphan")), ("external_ids", ids)]);
        t.insert(SWITCH, None, [("name", Datum::scalar("foreign"))]);
    })
    .await;
    let mut running = Running::with(&server, [node(0)]).await;
    running.confirmed().await;
    seen(&session, "no orphan", |replica| {
        names(replica, SWITCH) == ["foreign", "services-default", "vpc-default-node-0"]
    })
    .await;
}

fn many() -> impl Iterator<Item = meridian_model::Object> {
    let pod = |n| {
        Pod::test("ns", &format!("p{n}"))
            .on("node-0")
            .with_ips([format!("10.244.0.{}", 10 + n).as_str()])
    };
    [node(0)].into_iter().chain((0..60).map(move |n| pod(n).into()))
}

#[tokio::test]
async fn deletions_beyond_the_budget_wait_while_the_rest_goes_on() {
    let server = server();
    let mut running = Running::with(&server, many()).await;
    running.confirmed().await;
    let session = bystander(&server).await;
    running.event(Event::Replace(Kind::Pod, vec![])).await;
    let status = running.until("held", |status| status.held.is_some()).await;
    assert!(
        status.ready().unwrap_err().starts_with("60 deletions are held back: "),
        "{:?}",
        status.ready()
    );
    running.apply([node(1)]).await;
    seen(&session, "the new node", |replica| {
        names(replica, SWITCH).contains(&"vpc-default-node-1".to_owned())
    })
    .await;
    assert_eq!(
        names(&session.replica(), PORT).len(),
        64,
        "all ports of pods, and two of each node"
    );
    running.stop().await;
    // Somebody has looked, and means it.
    let mut running = Running::start(&server, |settings| settings.budget = DeletionBudget::Unlimited);
    running.apply([node(0)]).await;
    running.synced(None).await;
    running.confirmed().await;
    seen(&session, "no ports of pods", |replica| names(replica, PORT).len() == 2).await;
}

#[tokio::test]
async fn what_is_seen_gone_at_once_is_held_at_once() {
    let server = server();
    let mut running = Running::with(&server, many()).await;
    running.confirmed().await;
    let session = bystander(&server).await;
    let gone = (0..60).map(|n| Event::Delete(Key::pod("ns", format!("p{n}"))));
    running.feed.send(Input::Events(gone.collect())).await.unwrap();
    let status = running.until("held", |status| status.held.is_some()).await;
    assert_eq!(status.held.unwrap().deletions, 60);
    assert_eq!(names(&session.replica(), PORT).len(), 62);
}

#[tokio::test]
async fn the_address_of_a_port_that_is_held_is_not_used_again() {
    let server = server();
    let mut running = Running::with(&server, many()).await;
    running.confirmed().await;
    running.event(Event::Replace(Kind::Pod, vec![])).await;
    running.until("held", |status| status.held.is_some()).await;
    let heir = |name: &str, ip: &str| Pod::test("ns", name).on("node-0").with_ips([ip]).into();
    running
        .apply([heir("heir", "10.244.0.12"), heir("free", "10.244.0.200")])
        .await;
    let session = bystander(&server).await;
    seen(&session, "the port with a free address", |replica| {
        names(replica, PORT).contains(&"ns_free".into())
    })
    .await;
    assert_eq!(port(&session, "ns_heir"), None);
    running.stop().await;
    let mut running = Running::start(&server, |settings| settings.budget = DeletionBudget::Unlimited);
    running.apply([node(0), heir("heir", "10.244.0.12")]).await;
    running.synced(None).await;
    running.confirmed().await;
    seen(&session, "the heir's port", |replica| names(replica, PORT).len() == 3).await;
    assert!(port(&session, "ns_heir").is_some());
}

#[tokio::test]
async fn held_deletions_are_forgotten_when_the_objects_come_back() {
    let server = server();
    let mut running = Running::with(&server, many()).await;
    running.confirmed().await;
    let written = running.log.written();
    running.event(Event::Replace(Kind::Pod, vec![])).await;
    running.until("held", |status| status.held.is_some()).await;
    running.apply(many()).await;
    running
        .until("not held", |status| {
            status.held.is_none() && status.phase == Phase::Confirmed
        })
        .await;
    assert_eq!(running.log.written(), written);
}

#[tokio::test]
async fn nothing_is_deleted_while_a_source_is_in_doubt() {
    let server = server();
    let mut running = Running::with(&server, [node(0), pod("a", 0)]).await;
    running.confirmed().await;
    running.stop().await;
    let session = bystander(&server).await;
    let mut running = Running::start(&server, |_| {});
    running.apply([node(0)]).await;
    running.synced(Some("a.yaml has not been read")).await;
    let status = running.until("held", |status| status.held.is_some()).await;
    assert_eq!(status.held.unwrap().reason, "a.yaml has not been read");
    running.synced(None).await;
    seen(&session, "no port of a", |replica| names(replica, PORT).len() == 2).await;
}

#[tokio::test]
async fn a_standby_writes_nothing_and_takes_over_when_the_leader_stops() {
    let server = server();
    let mut leader = Running::with(&server, [node(0), pod("a", 0)]).await;
    leader.confirmed().await;
    let mut standby = Running::with(&server, [node(0), pod("a", 0)]).await;
    let status = standby.until("standby", |status| status.phase == Phase::Standby).await;
    assert_eq!(status.ready(), Ok("standby: another translator holds the lock"));
    leader.apply([pod("b", 0)]).await;
    leader
        .until("b written", |status| {
            status.phase == Phase::Confirmed && status.desired == 11
        })
        .await;
    leader.stop().await;
    // The standby has not heard of b yet, and of its own c: b's address is not c's.
    standby.apply([pod("c", 0), pod("b", 0)]).await;
    standby
        .until("leading", |status| {
            status.phase == Phase::Confirmed && status.desired == 12
        })
        .await;
    let session = bystander(&server).await;
    let replica = session.replica();
    let mut addresses: Vec<_> = replica
        .table(PORT)
        .unwrap()
        .rows()
        .map(|row| row.get("addresses").clone())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 5);
}

#[tokio::test]
async fn a_translator_deposed_by_force_stops_at_once() {
    let server = server();
    let mut running = Running::with(&server, [node(0)]).await;
    running.confirmed().await;
    let thief = Session::spawn(
        ovsdb::SessionConfig::new("OVN_Northbound", vec![server.unix()])
            .with_monitors(meridian_northbound::monitors())
            .with_lock(LOCK),
    );
    timeout(PATIENCE, thief.ready()).await.unwrap().unwrap();
    thief.steal_lock();
    let status = running
        .until("deposed", |status| status.lock == LockStatus::Stolen)
        .await;
    assert_eq!(status.phase, Phase::Standby);
    let written = running.log.written();
    running.apply([pod("a", 0)]).await;
    transact(&thief, |t| {
        t.insert(SWITCH, None, [("name", Datum::scalar("x"))]);
    })
    .await;
    assert_eq!(running.log.written(), written);
    thief.close().await;
    let status = running
        .until("leading again", |status| {
            status.desired == 10 && status.phase == Phase::Confirmed
        })
        .await;
    assert_eq!(status.lock, LockStatus::Held);
}

#[tokio::test]
async fn a_server_that_dies_is_waited_for() {
    let mut server = server();
    let mut running = Running::with(&server, [node(0)]).await;
    running.confirmed().await;
    server.kill();
    let status = running
        .until("disconnected", |status| status.phase == Phase::Connecting)
        .await;
    assert!(status.ready().unwrap_err().starts_with("northbound database: "));
    running.apply([pod("a", 0)]).await;
    server.restart();
    running
        .until("written", |status| {
            status.desired == 10 && status.phase == Phase::Confirmed
        })
        .await;
    let session = bystander(&server).await;
    assert!(port(&session, "ns_a").is_some());
}

#[tokio::test]
async fn a_row_that_another_program_fights_over_does_not_become_a_busy_loop() {
    let server = server();
    let mut running = Running::with(&server, [node(0), pod("a", 0)]).await;
    running.confirmed().await;
    let session = bystander(&server).await;
    let port = port(&session, "ns_a").unwrap();
    let mut changes = session.subscribe();
    let fight = async {
        loop {
            let ours = session
                .replica()
                .row(PORT, port)
                .is_some_and(|row| row.get("type").as_str() == Some(""));
            if ours {
                transact(&session, |t| {
                    t.update(PORT, Where::Uuid(port), [("type", Datum::scalar("vtep"))]);
                })
                .await;
            }
            changes.changed().await.unwrap();
        }
    };
    let status = tokio::select! {
        status = running.until("a problem", |status| !status.problems.is_empty()) => status,
        () = fight => unreachable!("it fights for ever"),
    };
    assert!(
        status.problems[0].message.contains("another program"),
        "{:?}",
        status.problems
    );
    assert!(running.log.transactions(TransactionResult::Committed) < 20);
}

#[tokio::test]
async fn a_large_cluster_is_written_in_batches() {
    let server = server();
    let nodes = (0..10).map(node);
    let pods = (0..10).flat_map(|n| (0..200).map(move |p| pod(&format!("p{n}-{p}"), n)));
    let mut running = Running::with(&server, nodes.chain(pods)).await;
    let status = running.confirmed().await;
    assert_eq!(status.desired, 3 + 10 * 6 + 2000);
    assert!(running.log.transactions(TransactionResult::Committed) >= 10);
    let before = running.log.transactions(TransactionResult::Committed);
    running
        .apply([Pod::test("ns", "p0-0").on("node-0").with_uid("another").into()])
        .await;
    let deadline = tokio::time::sleep(Duration::from_secs(30));
    tokio::pin!(deadline);
    let counted = async {
        while running.log.transactions(TransactionResult::Committed) == before {
            running.status.changed().await.unwrap();
        }
    };
    tokio::select! { () = counted => {}, () = &mut deadline => panic!("not written") }
    assert_eq!(
        running.log.transactions(TransactionResult::Committed),
        before + 1,
        "one event is one transaction"
    );
}
