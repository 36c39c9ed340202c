//! What every user of a session relies on.

use std::time::Duration;

use ovsdb::{
    Condition, Datum, LockState, Session, SessionConfig, State, TableMonitor, Timing, TransactError, Where,
    session::ConditionError,
};

use crate::support::*;

#[tokio::test]
async fn own_changes_are_in_the_replica_when_they_are_confirmed() {
    let server = northbound();
    let session = connected(config([server.unix()])).await;
    for n in 0..100 {
        let name = format!("switch-{n}");
        let outcome = session.transact(add(&name)).await.unwrap();
        assert_eq!(outcome.results[0].uuid, Some(find(&session, &name)));
    }
    session.transact(delete("switch-7")).await.unwrap();
    assert!(!names(&session).contains("switch-7"));
}

#[tokio::test]
async fn changes_of_others_arrive() {
    let server = northbound();
    add_elsewhere(&server, "before");
    let session = connected(config([server.tcp()])).await;
    assert_eq!(names(&session), set(["before"]));
    add_elsewhere(&server, "after");
    names_become(&session, ["before", "after"]).await;
    delete_elsewhere(&server, "before");
    names_become(&session, ["after"]).await;
}

#[tokio::test]
async fn a_subscriber_sees_present_rows_first_and_then_what_changes() {
    let server = northbound();
    let session = connected(config([server.unix()])).await;
    session.transact(add("one")).await.unwrap();
    let mut changes = session.subscribe();
    let one = find(&session, "one");
    assert_eq!(changed(&mut changes).await, ([one].into(), false));
    assert!(changes.try_take().is_empty());

    session.transact(add("two")).await.unwrap();
    let two = find(&session, "two");
    session.transact(delete("one")).await.unwrap();
    assert_eq!(changed(&mut changes).await, ([one, two].into(), false));
}

#[tokio::test]
async fn a_refused_transaction_says_why() {
    let server = northbound();
    let session = connected(config([server.unix()])).await;
    let mut bad = transaction();
    bad.insert(SWITCH, None, [("name", Datum::scalar("a"))]);
    bad.insert("Logical_Router_Policy", None, [("priority", Datum::scalar(1_000_000))]);
    let error = session.transact(bad).await.unwrap_err();
    assert!(!error.is_outcome_unknown(), "{error}");
    assert_eq!(names(&session), set([]));

    let mut unknown = transaction();
    unknown.insert(SWITCH, None, [("colour", Datum::scalar("red"))]);
    let error = session.transact(unknown).await.unwrap_err();
    assert!(
        matches!(&error, TransactError::UnknownColumn { column, .. } if column == "colour"),
        "{error}"
    );
}

#[tokio::test]
async fn many_callers_share_a_session() {
    let server = northbound();
    let mut config = config([server.unix()]);
    config.max_in_flight = 2;
    let session = connected(config).await;
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let session = session.clone();
            tokio::spawn(async move { session.transact(add(&format!("switch-{n}"))).await })
        })
        .collect();
    for task in tasks {
        within("an answer", task).await.unwrap().unwrap();
    }
    assert_eq!(names(&session).len(), 200);
}

#[tokio::test]
async fn conditions_select_rows_and_can_be_changed() {
    let server = northbound();
    for name in ["a", "b", "c"] {
        add_elsewhere(&server, name);
    }
    let only = |names: &[&str]| {
        names
            .iter()
            .map(|name| Condition::eq("name", *name))
            .collect::<Vec<_>>()
    };
    let mut config = config([server.unix()]);
    config.monitors[0].conditions = only(&["a"]);
    let session = connected(config).await;
    assert_eq!(names(&session), set(["a"]));

    session.set_condition(SWITCH, only(&["b", "c"])).await.unwrap();
    assert_eq!(names(&session), set(["b", "c"]));
    session.set_condition(SWITCH, Vec::new()).await.unwrap();
    assert_eq!(names(&session), set(["a", "b", "c"]));
    session.set_condition(SWITCH, only(&["a"])).await.unwrap();
    assert_eq!(names(&session), set(["a"]));

    let error = session.set_condition("Logical_Router", Vec::new()).await.unwrap_err();
    assert_eq!(error, ConditionError::NotMonitored("Logical_Router".to_owned()));
    let error = session
        .set_condition(SWITCH, vec![Condition::eq("colour", "red")])
        .await
        .unwrap_err();
    assert!(matches!(error, ConditionError::Monitor(_)), "{error}");
}

#[tokio::test]
async fn conditions_survive_a_lost_connection() {
    let mut server = northbound();
    for name in ["a", "b"] {
        add_elsewhere(&server, name);
    }
    let session = connected(config([server.unix()])).await;
    session
        .set_condition(SWITCH, vec![Condition::eq("name", "a")])
        .await
        .unwrap();
    server.restart();
    epoch(&session, 2).await;
    assert_eq!(names(&session), set(["a"]));
}

#[tokio::test]
async fn a_server_without_conditional_monitors_will_do() {
    let server = northbound();
    server.appctl(&["ovsdb-server/disable-monitor-cond"]);
    add_elsewhere(&server, "a");
    let session = connected(config([server.unix()])).await;
    assert_eq!(names(&session), set(["a"]));
    session.transact(add("b")).await.unwrap();
    session.transact(delete("a")).await.unwrap();
    assert_eq!(names(&session), set(["b"]));

    let mut change = transaction();
    let ids = Datum::map([("k", "v")]);
    change.update(
        SWITCH,
        Where::Uuid(find(&session, "b")),
        [("external_ids", ids.clone())],
    );
    session.transact(change).await.unwrap();
    assert_eq!(
        session
            .replica()
            .row(SWITCH, find(&session, "b"))
            .unwrap()
            .get("external_ids"),
        &ids
    );
    // It cannot select; what matters is that nobody waits for ever.
    session
        .set_condition(SWITCH, vec![Condition::eq("name", "nobody")])
        .await
        .unwrap();
    assert_eq!(names(&session), set(["b"]));
}

#[tokio::test]
async fn tables_and_columns_are_monitored_as_asked() {
    let server = northbound();
    let monitors = [
        TableMonitor::new("NB_Global"),
        TableMonitor::new(SWITCH).columns(["name"]),
    ];
    let session = connected(SessionConfig::new(DATABASE, vec![server.unix()]).with_monitors(monitors)).await;
    let replica = session.replica();
    assert!(replica.table("NB_Global").unwrap().has_column("nb_cfg"));
    assert!(!replica.table(SWITCH).unwrap().has_column("ports"));
    assert!(replica.table("ACL").is_none());
    assert_eq!(session.schema().unwrap().name, DATABASE);
}

#[tokio::test]
async fn a_closed_session_answers_everybody() {
    let server = northbound();
    let session = connected(config([server.unix()])).await;
    session.transact(add("a")).await.unwrap();
    let mut changes = session.subscribe();
    changes.try_take();
    within("close", session.close()).await;

    assert_eq!(*session.state().borrow(), State::Closed);
    assert!(session.ready().await.is_err());
    assert_eq!(within("the end of changes", changes.changed()).await, None);
    assert!(matches!(
        session.transact(add("b")).await,
        Err(TransactError::NotReady(_))
    ));
    assert_eq!(
        session.set_condition(SWITCH, Vec::new()).await,
        Err(ConditionError::Closed)
    );
    assert_eq!(names(&session), set(["a"]), "the last snapshot stays");
    // Twice is as good as once.
    within("close", session.close()).await;
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_session() {
    let server = northbound();
    let session = connected(config([server.unix()]).with_lock("l")).await;
    lock(&session, LockState::Held).await;
    let other = connected(config([server.unix()]).with_lock("l")).await;
    lock(&other, LockState::Waiting).await;

    let mut state = session.state();
    let clone = session.clone();
    drop(session);
    clone.transact(add("a")).await.unwrap();
    drop(clone);
    within("closed", state.wait_for(|state| *state == State::Closed))
        .await
        .unwrap();
    // The server noticed, too.
    lock(&other, LockState::Held).await;
}

#[tokio::test]
async fn a_session_can_be_closed_before_it_ever_connected() {
    for remotes in [Vec::new(), vec!["unix:/nonexistent".parse().unwrap()]] {
        let session = Session::spawn(config(remotes));
        let mut state = session.state();
        disconnected(&mut state, "").await;
        within("close", session.close()).await;
    }
}

#[tokio::test]
async fn a_transaction_waits_for_a_connection_until_its_deadline() {
    let mut server = northbound();
    let remote = server.unix();
    server.kill();
    let mut config = config([remote]);
    config.timing = Timing {
        transact_timeout: Duration::from_millis(100),
        ..config.timing
    };
    let session = Session::spawn(config.clone());
    let error = within("an answer", session.transact(add("too soon")))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, TransactError::NotReady(reason) if reason.contains("db.sock")),
        "{error}"
    );

    config.timing.transact_timeout = Timing::default().transact_timeout;
    let session = Session::spawn(config);
    let patient = tokio::spawn({
        let session = session.clone();
        async move { session.transact(add("in time")).await }
    });
    disconnected(&mut session.state(), "cannot connect").await;
    server.restart();
    within("an answer", patient).await.unwrap().unwrap();
    assert_eq!(names(&session), set(["in time"]), "what was given up is never sent");
}
