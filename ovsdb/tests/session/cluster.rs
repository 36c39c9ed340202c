//! A database shared by three servers.

use std::collections::BTreeSet;

use ovsdb::{
    Datum, Remote, Session, State,
    testing::{Cluster, northbound_schema},
};

use crate::support::*;

fn cluster() -> Cluster {
    Cluster::raft(3, &northbound_schema())
}

fn remote(session: &Session) -> Remote {
    match &*session.state().borrow() {
        State::Ready { remote, .. } => remote.clone(),
        other => panic!("{other:?}"),
    }
}

/// Servers forget recent transactions that are larger than the whole database, and an empty one is small.
async fn ballast(session: &Session) {
    let mut ballast = transaction();
    for n in 0..100 {
        ballast.insert(SWITCH, None, [("name", Datum::scalar(format!("ballast-{n}")))]);
    }
    session.transact(ballast).await.unwrap();
}

/// Waits until the session is ready at another member than this.
async fn moved(session: &Session, from: &Remote) {
    state(
        session,
        "ready elsewhere",
        |state| matches!(state, State::Ready { remote, .. } if remote != from),
    )
    .await;
}

#[tokio::test]
async fn a_session_finds_the_leader_wherever_it_begins() {
    let cluster = cluster();
    let mut remotes = cluster.remotes();
    for _ in 0..remotes.len() {
        remotes.rotate_left(1);
        let session = connected(config(remotes.clone()).with_leader_only(true)).await;
        assert_eq!(remote(&session), cluster.member(cluster.leader()).unix());
    }
}

#[tokio::test]
async fn readers_stay_with_any_member_and_may_write_through_it() {
    let cluster = cluster();
    let follower = (cluster.leader() + 1) % 3;
    let session = connected(config([cluster.member(follower).unix()])).await;
    for n in 0..50 {
        let name = format!("switch-{n}");
        let outcome = session.transact(add(&name)).await.unwrap();
        assert_eq!(
            outcome.results[0].uuid,
            Some(find(&session, &name)),
            "the update comes before the answer"
        );
    }
}

#[tokio::test]
async fn after_a_transfer_of_leadership_only_the_difference_is_fetched() {
    let cluster = cluster();
    let session = connected(config(cluster.remotes()).with_leader_only(true).with_lock("l")).await;
    ballast(&session).await;
    let mut changes = session.subscribe();
    changes.try_take();
    let mut lock_state = session.lock_state();
    for round in 0..3 {
        lock(&session, ovsdb::LockState::Held).await;
        lock_state.mark_unchanged();
        let old = remote(&session);
        cluster.transfer_leadership();
        moved(&session, &old).await;
        let name = format!("after {round}");
        session.transact(add(&name)).await.unwrap();
        let (rows, resynced) = changed(&mut changes).await;
        assert_eq!((rows, resynced), ([find(&session, &name)].into(), false), "a delta");
        within("the lock moves along", lock_state.changed()).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_missed_while_away_comes_as_a_delta() {
    let cluster = cluster();
    let leader = cluster.member(cluster.leader());
    let proxy = Proxy::before(leader.socket());
    let session = connected(config([proxy.remote()]).with_leader_only(true)).await;
    ballast(&session).await;
    session.transact(add("goes")).await.unwrap();
    let mut changes = session.subscribe();
    changes.try_take();
    let goes = find(&session, "goes");
    leader.pause();
    proxy.cut();
    leader.resume();
    add_elsewhere(leader, "new");
    delete_elsewhere(leader, "goes");
    epoch(&session, 2).await;
    let mut rows = BTreeSet::new();
    while rows.len() < 2 {
        let (more, resynced) = changed(&mut changes).await;
        assert!(!resynced);
        rows.extend(more);
    }
    assert_eq!(rows, [goes, find(&session, "new")].into());
    assert_eq!(names(&session).len(), 101);
}

#[tokio::test]
async fn a_leader_that_dies_is_succeeded() {
    let mut cluster = cluster();
    let session = connected(config(cluster.remotes()).with_leader_only(true)).await;
    session.transact(add("a")).await.unwrap();
    let old = remote(&session);
    let leader = cluster.leader();
    cluster.member_mut(leader).kill();
    moved(&session, &old).await;
    session.transact(add("b")).await.unwrap();
    cluster.member_mut(leader).restart();
    assert_eq!(names(&session), set(["a", "b"]));
}

#[tokio::test]
async fn compacting_the_leader_may_move_the_session_and_loses_nothing() {
    let cluster = cluster();
    let session = connected(config(cluster.remotes()).with_leader_only(true)).await;
    for round in 0..3 {
        session.transact(add(&format!("{round}"))).await.unwrap();
        cluster.member(cluster.leader()).appctl(&["ovsdb-server/compact"]);
    }
    ready(&session).await;
    session.transact(add("last")).await.unwrap();
    assert_eq!(names(&session), set(["0", "1", "2", "last"]));
}

#[tokio::test]
async fn a_member_cut_off_from_the_majority_is_left() {
    let mut cluster = cluster();
    let survivor = (cluster.leader() + 1) % 3;
    let session = connected(config([cluster.member(survivor).unix()])).await;
    let mut state = session.state();
    for member in (0..3).filter(|member| *member != survivor) {
        cluster.member_mut(member).kill();
    }
    disconnected(&mut state, "cut off from its cluster").await;
    cluster.member_mut((survivor + 1) % 3).restart();
    epoch(&session, 2).await;
    session.transact(add("a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_while_leaders_change() {
    let cluster = cluster();
    let session = connected(config(cluster.remotes()).with_leader_only(true)).await;
    let writer = tokio::spawn({
        let session = session.clone();
        async move {
            let (mut confirmed, mut unknown) = (BTreeSet::new(), BTreeSet::new());
            // Until leaders have changed three times, and a little longer.
            let mut after = 0;
            while after < 20 {
                let name = format!("switch-{}", confirmed.len() + unknown.len());
                match session.transact(add(&name)).await {
                    Ok(_) => {
                        assert!(
                            names(&session).contains(&name),
                            "confirmed but not in the replica: {name}"
                        );
                        confirmed.insert(name);
                    }
                    Err(error) if error.is_outcome_unknown() => drop(unknown.insert(name)),
                    // A leader that is handing over refuses.
                    Err(ovsdb::TransactError::Rejected { error, .. }) if error.contains("leader") => {}
                    Err(error) => panic!("{error}"),
                }
                if matches!(*session.state().borrow(), State::Ready { epoch, .. } if epoch > 3) {
                    after += 1;
                }
            }
            (confirmed, unknown)
        }
    });
    for at_least in 2..=4 {
        let old = tokio::task::block_in_place(|| cluster.transfer_leadership());
        epoch(&session, at_least).await;
        assert!(old < 3);
    }
    let (confirmed, unknown) = within("the writer", writer).await.unwrap();
    let replica = names(&session);
    let server = cluster
        .member(cluster.leader())
        .client("dump", &[DATABASE, SWITCH, "name"]);
    for name in &confirmed {
        assert!(replica.contains(name) && server.contains(name.as_str()), "lost {name}");
    }
    for name in &replica {
        assert!(
            confirmed.contains(name) || unknown.contains(name),
            "nobody wrote {name}"
        );
        assert!(server.contains(name.as_str()), "only in the replica: {name}");
    }
}
