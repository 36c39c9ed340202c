//! Peers that say what no real server says: a man in the middle, and bare sockets.

use std::time::Duration;

use ovsdb::{Remote, Session, State};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use crate::support::*;

/// A socket behind which a test plays the server.
fn stage() -> (TempDir, UnixListener, Remote) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peer.sock");
    (folder, UnixListener::bind(&path).unwrap(), Remote::Unix(path))
}

/// Reads until the client has sent this text.
async fn expect(stream: &mut UnixStream, text: &str) {
    let mut heard = Vec::new();
    within(text, async {
        while !String::from_utf8_lossy(&heard).contains(text) {
            assert_ne!(
                stream.read_buf(&mut heard).await.unwrap(),
                0,
                "closed after {}",
                String::from_utf8_lossy(&heard)
            );
        }
    })
    .await;
}

async fn accept(listener: &UnixListener) -> UnixStream {
    within("a connection", listener.accept()).await.unwrap().0
}

#[tokio::test]
async fn the_servers_probes_are_answered_before_anything_else_works() {
    let (_folder, listener, remote) = stage();
    let session = Session::spawn(config([remote]));
    let mut peer = accept(&listener).await;
    peer.write_all(br#"{"id":"echo","method":"echo","params":["are you there"]}"#)
        .await
        .unwrap();
    expect(&mut peer, r#"{"id":"echo","result":["are you there"],"error":null}"#).await;
    assert!(!session.state().borrow().is_ready());
}

#[tokio::test]
async fn requests_nobody_knows_are_refused() {
    let (_folder, listener, remote) = stage();
    let _session = Session::spawn(config([remote]));
    let mut peer = accept(&listener).await;
    peer.write_all(br#"{"id":7,"method":"dance","params":[]}"#)
        .await
        .unwrap();
    expect(&mut peer, r#"{"id":7,"result":null,"error":"unknown method"}"#).await;
}

#[tokio::test]
async fn a_peer_that_accepts_and_says_nothing_is_left() {
    let (_folder, listener, silent) = stage();
    let server = northbound();
    let mut config = config([silent, server.unix()]).with_leader_only(true);
    config.timing.probe_interval = Duration::from_millis(20);
    config.timing.probe_timeout = Duration::from_millis(20);
    let session = Session::spawn(config);
    let mut state = session.state();
    let _peer = accept(&listener).await;
    disconnected(&mut state, "was silent for").await;
    ready(&session).await;
}

#[tokio::test]
async fn garbage_ends_the_connection_with_a_reason() {
    let server = northbound();
    let proxy = Proxy::before(server.socket());
    let session = connected(config([proxy.remote()])).await;
    session.transact(add("a")).await.unwrap();
    let garbage = [
        ("nonsense", "expected a JSON object, found byte 0x6e"),
        ("{]}", "malformed message"),
        ("{}", "neither a method nor an id"),
        (r#"{"id":4711,"result":[],"error":null}"#, "reply: to request 4711"),
        (r#"{"id":null,"method":"update2","params":{}}"#, "update2: invalid type"),
        (
            r#"{"id":null,"method":"update3","params":["replica-1",{}]}"#,
            "update3: invalid type",
        ),
        (
            r#"{"id":null,"method":"update2","params":["server",7]}"#,
            "update of _Server",
        ),
    ];
    for (round, (bytes, reason)) in garbage.into_iter().enumerate() {
        let mut state = session.state();
        proxy.inject(bytes);
        disconnected(&mut state, reason).await;
        epoch(&session, round as u64 + 2).await;
        assert_eq!(names(&session), set(["a"]));
    }
}

#[tokio::test]
async fn an_update_that_does_not_fit_leads_to_a_fresh_start() {
    let server = northbound();
    let proxy = Proxy::before(server.socket());
    let session = connected(config([proxy.remote()])).await;
    session.transact(add("a")).await.unwrap();
    let mut changes = session.subscribe();
    changes.try_take();
    let lies = [
        r#"{"6a6e31ea-0000-4000-8000-000000000000":{"delete":null}}"#,
        r#"{"6a6e31ea-0000-4000-8000-000000000000":{"modify":{"name":"x"}}}"#,
        r#"{"6a6e31ea-0000-4000-8000-000000000000":{"insert":{"name":7}}}"#,
        r#"{"6a6e31ea-0000-4000-8000-000000000000":{"invent":{}}}"#,
    ];
    for (round, lie) in lies.into_iter().enumerate() {
        let update = format!(r#"{{"id":null,"method":"update2","params":["replica-1",{{"Logical_Switch":{lie}}}]}}"#);
        let mut state = session.state();
        proxy.inject(update.leak());
        disconnected(&mut state, "does not fit the replica").await;
        epoch(&session, round as u64 + 2).await;
        assert_eq!(
            changed(&mut changes).await,
            ([].into(), true),
            "nothing is different after all"
        );
    }
    assert_eq!(proxy.connections(), lies.len() + 1);
}

#[tokio::test]
async fn a_false_row_is_gone_after_the_next_synchronisation() {
    let server = northbound();
    let proxy = Proxy::before(server.socket());
    let session = connected(config([proxy.remote()])).await;
    let mut changes = session.subscribe();
    proxy.inject(
        r#"{"id":null,"method":"update2","params":["replica-1",{"Logical_Switch":
           {"6a6e31ea-0000-4000-8000-000000000000":{"insert":{"name":"false"}}}}]}"#,
    );
    names_become(&session, ["false"]).await;
    let (falsehood, _) = changed(&mut changes).await;
    proxy.cut();
    epoch(&session, 2).await;
    assert_eq!(changed(&mut changes).await, (falsehood, true));
    assert_eq!(names(&session), set([]));
}

#[tokio::test]
async fn updates_and_notifications_of_no_concern_are_ignored() {
    let server = northbound();
    let proxy = Proxy::before(server.socket());
    let session = connected(config([proxy.remote()]).with_lock("mine")).await;
    for bytes in [
        r#"{"id":null,"method":"update2","params":["somebody else",{"Logical_Switch":{"x":7}}]}"#,
        r#"{"id":null,"method":"monitor_canceled","params":["somebody else"]}"#,
        r#"{"id":null,"method":"stolen","params":["theirs"]}"#,
        r#"{"id":null,"method":"news","params":["of the future"]}"#,
    ] {
        proxy.inject(bytes);
    }
    session.transact(add("a")).await.unwrap();
    lock(&session, ovsdb::LockState::Held).await;
    assert!(matches!(*session.state().borrow(), State::Ready { epoch: 1, .. }));
}

#[tokio::test]
async fn a_peer_that_hangs_up_at_once_is_not_pestered() {
    let (_folder, listener, remote) = stage();
    let mut config = config([remote]);
    config.timing.backoff_min = Duration::from_millis(20);
    config.timing.backoff_max = Duration::from_millis(40);
    let _session = Session::spawn(config);
    let begin = tokio::time::Instant::now();
    for _ in 0..10 {
        drop(accept(&listener).await);
    }
    // Nine pauses of at least half their length: one from 20 ms, the others from 40 ms.
    assert!(
        begin.elapsed() >= Duration::from_millis(10 + 8 * 20),
        "{:?}",
        begin.elapsed()
    );
}
