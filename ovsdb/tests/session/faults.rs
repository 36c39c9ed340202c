//! Real servers that die, hang, or forget everything.

use std::time::Duration;

use ovsdb::{Session, State, Timing, TransactError};

use crate::support::*;

fn short(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test]
async fn a_killed_server_is_found_again_and_only_the_difference_is_reported() {
    let mut server = northbound();
    let session = connected(config([server.unix()])).await;
    for name in ["stays", "goes"] {
        session.transact(add(name)).await.unwrap();
    }
    let mut changes = session.subscribe();
    changes.try_take();
    let goes = find(&session, "goes");

    let mut state = session.state();
    server.kill();
    disconnected(&mut state, "").await;
    assert_eq!(names(&session), set(["stays", "goes"]), "the last snapshot stays");
    assert!(changes.try_take().is_empty());

    // What happens to the file meanwhile, the session cannot know.
    server.transact_offline(&json_delete("goes"));
    server.transact_offline(&json_add("new"));
    server.restart();
    epoch(&session, 2).await;
    let new = find(&session, "new");
    assert_eq!(changed(&mut changes).await, ([goes, new].into(), true));
    assert_eq!(names(&session), set(["stays", "new"]));
}

#[tokio::test]
async fn a_transaction_in_flight_when_the_connection_ends_has_an_unknown_outcome() {
    let server = northbound();
    let proxy = Proxy::before(server.socket());
    let session = connected(config([proxy.remote()])).await;
    server.pause();
    let lost = tokio::spawn({
        let session = session.clone();
        async move { session.transact(add("who knows")).await }
    });
    proxy.requests("transact", 1).await;
    proxy.cut();
    let error = within("an answer", lost).await.unwrap().unwrap_err();
    assert_eq!(error, TransactError::Disconnected);
    assert!(error.is_outcome_unknown());

    server.resume();
    epoch(&session, 2).await;
    // The server had received it all the same; it is never sent twice.
    names_become(&session, ["who knows"]).await;
    find(&session, "who knows");
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_leaves_the_outcome_unknown() {
    let server = northbound();
    let mut config = config([server.unix()]);
    config.timing = Timing {
        transact_timeout: short(100),
        ..config.timing
    };
    let session = connected(config).await;
    server.pause();
    let error = within("an answer", session.transact(add("late"))).await.unwrap_err();
    assert_eq!(error, TransactError::TimedOut);
    server.resume();
    names_become(&session, ["late"]).await;
}

#[tokio::test]
async fn a_silent_server_is_probed_and_left() {
    let server = northbound();
    let mut config = config([server.unix()]);
    config.timing = Timing {
        probe_interval: short(50),
        probe_timeout: short(300),
        ..config.timing
    };
    let session = connected(config).await;
    let mut state = session.state();
    server.pause();
    disconnected(&mut state, "was silent for").await;
    server.resume();
    epoch(&session, 2).await;
}

#[tokio::test]
async fn a_quiet_server_that_answers_probes_is_not_left() {
    let server = northbound();
    let proxy = Proxy::before(server.socket());
    let mut config = config([proxy.remote()]);
    config.timing = Timing {
        probe_interval: short(5),
        ..config.timing
    };
    let session = connected(config).await;
    proxy.requests("echo", 50).await;
    assert!(matches!(*session.state().borrow(), State::Ready { epoch: 1, .. }));
}

#[tokio::test]
async fn a_server_that_stops_reading_is_left() {
    let server = northbound();
    let mut config = config([server.unix()]);
    config.timing = Timing {
        write_timeout: short(300),
        ..config.timing
    };
    let session = connected(config).await;
    let mut state = session.state();
    server.pause();
    let mut large = add("large");
    large.comment(&"x".repeat(16 << 20));
    let blocked = tokio::spawn({
        let session = session.clone();
        async move { session.transact(large).await }
    });
    disconnected(&mut state, "took no byte for").await;
    assert_eq!(
        within("an answer", blocked).await.unwrap().unwrap_err(),
        TransactError::Disconnected
    );
    server.resume();
    epoch(&session, 2).await;
    session.transact(add("small")).await.unwrap();
}

#[tokio::test]
async fn callers_are_pushed_back_while_the_server_does_not_read() {
    let server = northbound();
    let session = connected(config([server.unix()])).await;
    server.pause();
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let session = session.clone();
            let mut transaction = add(&format!("switch-{n}"));
            transaction.comment(&"x".repeat(10_000));
            tokio::spawn(async move { session.transact(transaction).await })
        })
        .collect();
    server.resume();
    for task in tasks {
        within("an answer", task).await.unwrap().unwrap();
    }
    assert_eq!(names(&session).len(), 500);
}

#[tokio::test]
async fn a_request_that_is_never_answered_ends_the_connection() {
    let server = northbound();
    let mut config = config([server.unix()]);
    config.timing = Timing {
        request_timeout: short(300),
        ..config.timing
    };
    let session = connected(config).await;
    let mut state = session.state();
    server.pause();
    let error = within("an answer", session.transact(add("a"))).await.unwrap_err();
    assert_eq!(error, TransactError::Disconnected);
    disconnected(&mut state, "did not answer").await;
    server.resume();
    epoch(&session, 2).await;
}

#[tokio::test]
async fn a_wiped_database_is_noticed_row_by_row() {
    let mut server = northbound();
    let session = connected(config([server.unix()])).await;
    session.transact(add("a")).await.unwrap();
    session.transact(add("b")).await.unwrap();
    let mut changes = session.subscribe();
    changes.try_take();
    let before = [find(&session, "a"), find(&session, "b")];
    server.wipe();
    epoch(&session, 2).await;
    assert_eq!(changed(&mut changes).await, (before.into(), true));
    assert_eq!(names(&session), set([]));
    session.transact(add("a")).await.unwrap();
}

#[tokio::test]
async fn compaction_disturbs_nobody() {
    let server = northbound();
    let session = connected(config([server.unix()])).await;
    session.transact(add("a")).await.unwrap();
    server.appctl(&["ovsdb-server/compact"]);
    session.transact(add("b")).await.unwrap();
    assert!(matches!(*session.state().borrow(), State::Ready { epoch: 1, .. }));
}

#[tokio::test]
async fn a_reply_beyond_the_limit_is_refused() {
    let server = northbound();
    let mut config = config([server.unix()]);
    config.max_message = 1000;
    let session = Session::spawn(config);
    disconnected(&mut session.state(), "longer than 1000 bytes").await;
}

#[tokio::test]
async fn a_dead_remote_is_passed_over() {
    let mut dead = northbound();
    let server = northbound();
    let remotes = [dead.tcp(), "unix:/nonexistent".parse().unwrap(), server.unix()];
    dead.kill();
    let session = connected(config(remotes)).await;
    assert!(matches!(&*session.state().borrow(), State::Ready { remote, .. } if *remote == server.unix()));
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let server = northbound();
    let mut config = config([server.unix()]);
    config.database = "OVN_Southbound".to_owned();
    let session = Session::spawn(config);
    disconnected(&mut session.state(), "does not serve database OVN_Southbound").await;
}
