//! Servers whose schema is older or newer than ours, or changes under us.

use std::{fs, path::Path};

use ovsdb::{Datum, SessionConfig, State, TableMonitor, TransactError, testing::OvsdbServer};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::*;

/// The Northbound schema with changes, as a file.
fn altered(folder: &TempDir, name: &str, alter: impl FnOnce(&mut Value)) -> std::path::PathBuf {
    let text = fs::read_to_string(ovsdb::testing::northbound_schema()).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    schema.as_object_mut().unwrap().remove("cksum");
    alter(&mut schema);
    let path = folder.path().join(name);
    fs::write(&path, schema.to_string()).unwrap();
    path
}

fn older(schema: &mut Value) {
    let switch = &mut schema["tables"][SWITCH]["columns"];
    switch.as_object_mut().unwrap().remove("external_ids").unwrap();
    schema["tables"]
        .as_object_mut()
        .unwrap()
        .remove("Static_MAC_Binding")
        .unwrap();
}

fn newer(schema: &mut Value) {
    schema["version"] = json!("99.0.0");
    let switch = &mut schema["tables"][SWITCH]["columns"];
    switch["colour"] = json!({"type": {"key": "string", "min": 0, "max": 1}});
    schema["tables"]["Novelty"] = json!({"columns": {"name": {"type": "string"}}, "isRoot": true});
}

fn monitors() -> [TableMonitor; 3] {
    [
        TableMonitor::new(SWITCH).columns(["name", "external_ids", "colour"]),
        TableMonitor::new("Static_MAC_Binding"),
        TableMonitor::new("Novelty"),
    ]
}

fn session_config(server: &OvsdbServer) -> SessionConfig {
    let mut config = config([server.unix()]);
    config.monitors = monitors().into();
    config
}

fn start(schema: &Path) -> OvsdbServer {
    OvsdbServer::start(&[schema])
}

#[tokio::test]
async fn what_an_older_server_lacks_is_not_monitored_and_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&altered(&folder, "older", older));
    let session = connected(session_config(&server)).await;
    session.transact(add("a")).await.unwrap();
    assert_eq!(names(&session), set(["a"]));
    {
        let replica = session.replica();
        assert!(replica.table("Static_MAC_Binding").is_none());
        assert!(!replica.table(SWITCH).unwrap().has_column("external_ids"));
        assert!(
            replica
                .row(SWITCH, find(&session, "a"))
                .unwrap()
                .get("external_ids")
                .is_empty()
        );
    }
    let mut modern = transaction();
    modern.insert(SWITCH, None, [("external_ids", Datum::map([("k", "v")]))]);
    let error = session.transact(modern).await.unwrap_err();
    assert!(
        matches!(&error, TransactError::UnknownColumn { column, .. } if column == "external_ids"),
        "{error}"
    );
}

#[tokio::test]
async fn a_newer_server_is_used_as_far_as_we_know_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&altered(&folder, "newer", newer));
    let session = connected(session_config(&server)).await;
    let mut modern = transaction();
    modern.insert(
        SWITCH,
        None,
        [("name", Datum::scalar("a")), ("colour", Datum::scalar("red"))],
    );
    session.transact(modern).await.unwrap();
    let row = find(&session, "a");
    assert_eq!(
        session.replica().row(SWITCH, row).unwrap().get("colour").as_str(),
        Some("red")
    );
    assert_eq!(session.schema().unwrap().version, "99.0.0");
}

#[tokio::test]
async fn a_conversion_at_run_time_is_followed_on_the_same_connection() {
    let folder = tempfile::tempdir().unwrap();
    let server = northbound();
    let proxy = Proxy::before(server.socket());
    let mut config = session_config(&server).with_lock("l");
    config.remotes = vec![proxy.remote()];
    let session = connected(config).await;
    lock(&session, ovsdb::LockState::Held).await;
    session.transact(add("a")).await.unwrap();
    assert!(!session.replica().table(SWITCH).unwrap().has_column("colour"));
    let mut changes = session.subscribe();
    changes.try_take();

    server.client("convert", &[altered(&folder, "newer", newer).to_str().unwrap()]);
    epoch(&session, 2).await;
    assert!(session.replica().table(SWITCH).unwrap().has_column("colour"));
    assert!(session.replica().table("Novelty").is_some());
    assert_eq!(names(&session), set(["a"]));
    let (_, resynced) = changed(&mut changes).await;
    assert!(resynced);

    server.client("convert", &[altered(&folder, "older", older).to_str().unwrap()]);
    epoch(&session, 3).await;
    assert!(!session.replica().table(SWITCH).unwrap().has_column("external_ids"));
    session.transact(add("b")).await.unwrap();
    assert_eq!(names(&session), set(["a", "b"]));
    assert_eq!(proxy.connections(), 1);
    lock(&session, ovsdb::LockState::Held).await;
}

#[tokio::test]
async fn a_database_that_is_removed_and_added_again_is_followed() {
    let server = northbound();
    let session = connected(config([server.unix()])).await;
    session.transact(add("a")).await.unwrap();
    let mut state = session.state();
    server.appctl(&["ovsdb-server/remove-db", DATABASE]);
    disconnected(&mut state, "does not serve database").await;
    assert_eq!(names(&session), set(["a"]));
    server.appctl(&["ovsdb-server/add-db", server.folder().join("0.db").to_str().unwrap()]);
    epoch(&session, 2).await;
    assert!(matches!(*session.state().borrow(), State::Ready { .. }));
}
