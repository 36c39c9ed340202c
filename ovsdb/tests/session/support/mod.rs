//! Builders and awaits shared by the tests. Nothing here sleeps: everything awaits a state, with a deadline.

mod proxy;

use std::{collections::BTreeSet, future::Future, time::Duration};

use ovsdb::{
    Atom, Condition, Datum, IndexSpec, LockState, Remote, Session, SessionConfig, State, Subscription, TableMonitor,
    Timing, Transaction, Uuid, Where,
    testing::{OvsdbServer, PATIENCE, northbound_schema},
};
use tokio::sync::watch;

pub(crate) use proxy::Proxy;

pub(crate) const DATABASE: &str = "OVN_Northbound";
pub(crate) const SWITCH: &str = "Logical_Switch";

pub(crate) fn northbound() -> OvsdbServer {
    OvsdbServer::start(&[&northbound_schema()])
}

/// Follows the logical switches, quickly after a fault.
pub(crate) fn config(remotes: impl IntoIterator<Item = Remote>) -> SessionConfig {
    let switches = TableMonitor::new(SWITCH)
        .columns(["name", "external_ids"])
        .index(IndexSpec::Column("name".to_owned()));
    SessionConfig::new(DATABASE, remotes.into_iter().collect())
        .with_monitor(switches)
        .with_timing(Timing {
            backoff_max: Duration::from_millis(200),
            ..Timing::default()
        })
}

pub(crate) async fn connected(config: SessionConfig) -> Session {
    let session = Session::spawn(config);
    ready(&session).await;
    session
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

pub(crate) async fn ready(session: &Session) {
    within("ready", session.ready()).await.unwrap();
}

/// Waits for a state, and returns it.
pub(crate) async fn state(session: &Session, what: &str, wanted: impl FnMut(&State) -> bool) -> State {
    let mut state = session.state();
    within(what, state.wait_for(wanted))
        .await
        .map(|state| state.clone())
        .unwrap()
}

/// Waits until the session is disconnected for a reason that contains this text.
pub(crate) async fn disconnected(state: &mut watch::Receiver<State>, because: &str) -> String {
    let what = format!("disconnected because {because:?}");
    let mut seen = Vec::new();
    let reason = tokio::time::timeout(PATIENCE, async {
        loop {
            if let State::Disconnected { reason } = &*state.borrow_and_update() {
                if reason.contains(because) {
                    return reason.clone();
                }
                seen.push(reason.clone());
            }
            state.changed().await.expect("the session lives");
        }
    });
    let within_patience = reason.await.ok();
    within_patience.unwrap_or_else(|| panic!("{what}: not within {PATIENCE:?}, but because {seen:?}"))
}

pub(crate) async fn epoch(session: &Session, at_least: u64) -> State {
    state(
        session,
        "ready again",
        |state| matches!(state, State::Ready { epoch, .. } if *epoch >= at_least),
    )
    .await
}

pub(crate) async fn lock(session: &Session, wanted: LockState) {
    let mut state = session.lock_state();
    within(&format!("lock is {wanted:?}"), state.wait_for(|state| *state == wanted))
        .await
        .unwrap();
}

pub(crate) fn transaction() -> Transaction {
    Transaction::new(DATABASE)
}

/// A transaction that adds a switch with this name.
pub(crate) fn add(name: &str) -> Transaction {
    let mut transaction = transaction();
    transaction.insert(SWITCH, None, [("name", Datum::scalar(name))]);
    transaction
}

/// A transaction that deletes the switches with this name.
pub(crate) fn delete(name: &str) -> Transaction {
    let mut transaction = transaction();
    transaction.delete(SWITCH, Where::Conditions(vec![Condition::eq("name", name)]));
    transaction
}

/// The switches' names as the replica has them.
pub(crate) fn names(session: &Session) -> BTreeSet<String> {
    let replica = session.replica();
    let Some(table) = replica.table(SWITCH) else {
        return BTreeSet::new();
    };
    table
        .rows()
        .filter_map(|row| row.get("name").as_str().map(str::to_owned))
        .collect()
}

pub(crate) fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// The only row with this name.
pub(crate) fn find(session: &Session, name: &str) -> Uuid {
    let replica = session.replica();
    let mut found = replica
        .table(SWITCH)
        .expect("monitored")
        .find("name", &Atom::from(name));
    let row = found.next().unwrap_or_else(|| panic!("no switch {name}"));
    assert_eq!(found.next(), None, "two switches {name}");
    row
}

/// Waits until the replica has just these switches.
pub(crate) async fn names_become<const N: usize>(session: &Session, wanted: [&str; N]) {
    let wanted = set(wanted);
    let mut changes = session.subscribe();
    let arrived = tokio::time::timeout(PATIENCE, async {
        while names(session) != wanted {
            changes.changed().await.expect("the session lives");
        }
    });
    let arrived = arrived.await.is_ok();
    let (found, state) = (names(session), session.state());
    assert!(
        arrived,
        "switches are {found:?}, not {wanted:?}; the session is {:?}",
        *state.borrow()
    );
}

/// The rows that a subscription reports next.
pub(crate) async fn changed(changes: &mut Subscription) -> (BTreeSet<Uuid>, bool) {
    let changes = within("changes", changes.changed()).await.expect("the session lives");
    (
        changes.rows.into_iter().map(|(_, uuid)| uuid).collect(),
        changes.resynced,
    )
}

/// As text for the tools.
pub(crate) fn json_add(name: &str) -> String {
    format!(r#"["{DATABASE}",{{"op":"insert","table":"{SWITCH}","row":{{"name":"{name}"}}}}]"#)
}

/// As text for the tools.
pub(crate) fn json_delete(name: &str) -> String {
    format!(r#"["{DATABASE}",{{"op":"delete","table":"{SWITCH}","where":[["name","==","{name}"]]}}]"#)
}

/// Another client adds a switch.
pub(crate) fn add_elsewhere(server: &OvsdbServer, name: &str) {
    let reply = server.client("transact", &[&json_add(name)]);
    assert!(!reply.contains("error"), "{reply}");
}

/// Another client deletes a switch.
pub(crate) fn delete_elsewhere(server: &OvsdbServer, name: &str) {
    let reply = server.client("transact", &[&json_delete(name)]);
    assert!(reply.contains("\"count\":1"), "{reply}");
}
