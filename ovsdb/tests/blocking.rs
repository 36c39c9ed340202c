//! The blocking client's monitor, deadlines and echoes.
#![allow(clippy::unwrap_used, reason = "these are tests, and so are their helpers")]
#![cfg(all(feature = "blocking", feature = "testing"))]

#[allow(dead_code)]
mod fixture;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use fixture::{connect, named, only_name, patience, server, thing, transaction};
use ovsdb::blocking::{Client, ClientError};
use ovsdb::{Condition, Datum, IndexSpec, MonitorError, TableMonitor, TransactError, Where};

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(20)
}

#[test]
fn changes_by_others_wake_the_waiting_client() {
    let server = server();
    let (mut reader, mut writer) = (connect(&server), connect(&server));
    writer
        .transact(transaction().insert("Thing", None, only_name("first")))
        .unwrap();
    reader
        .monitor("Types", &[TableMonitor::new("Thing").index(IndexSpec::column("name"))])
        .unwrap();
    assert_eq!(thing(&reader, "first").get("integer"), &Datum::scalar(0_i64));
    assert!(
        !reader.wait_update(soon()).unwrap(),
        "nothing has changed since the monitor's reply"
    );

    let mut txn = transaction();
    txn.update("Thing", named("first"), [("integer", Datum::scalar(1_i64))])
        .insert("Thing", None, only_name("second"));
    writer.transact(&txn).unwrap();
    assert!(reader.wait_update(patience()).unwrap());
    assert_eq!(thing(&reader, "first").get("integer"), &Datum::scalar(1_i64));
    thing(&reader, "second");
    assert!(!reader.wait_update(soon()).unwrap());

    writer.transact(transaction().delete("Thing", Where::All)).unwrap();
    assert!(reader.wait_update(patience()).unwrap());
    assert!(reader.replica().is_empty());
}

#[test]
fn a_change_that_came_with_an_answer_is_news_too() {
    let server = server();
    let mut client = connect(&server);
    client.monitor("Types", &[TableMonitor::new("Thing")]).unwrap();
    client
        .transact(transaction().insert("Thing", None, only_name("mine")))
        .unwrap();
    assert!(client.wait_update(soon()).unwrap());
    assert!(!client.wait_update(soon()).unwrap());
}

#[test]
fn rows_that_meet_any_condition_are_replicated_and_come_and_go() {
    let server = server();
    let (mut reader, mut writer) = (connect(&server), connect(&server));
    let monitor = TableMonitor::new("Thing")
        .condition(Condition::eq("name", "a"))
        .condition(Condition::eq("name", "b"));
    reader.monitor("Types", &[monitor]).unwrap();
    let mut txn = transaction();
    for name in ["a", "b", "c"] {
        txn.insert("Thing", None, only_name(name));
    }
    writer.transact(&txn).unwrap();
    assert!(reader.wait_update(patience()).unwrap());
    assert_eq!(reader.replica().len(), 2);
    writer
        .transact(transaction().update("Thing", named("b"), only_name("d")))
        .unwrap();
    assert!(reader.wait_update(patience()).unwrap());
    assert_eq!(reader.replica().len(), 1);
}

#[test]
fn a_condition_on_a_column_the_server_lacks_is_an_error() {
    let server = server();
    let mut client = connect(&server);
    let error = client.monitor(
        "Types",
        &[TableMonitor::new("Thing").condition(Condition::eq("nope", "a"))],
    );
    assert!(
        matches!(error, Err(ClientError::Monitor(MonitorError::UnknownConditionColumn { column, .. })) if column == "nope")
    );
}

#[test]
fn nobody_at_the_socket_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no.sock");
    let error = Client::connect(&path, patience()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("connecting to {}: ", path.display())),
        "{error}"
    );
}

/// Accepts one client and answers each line of requests with what `answer` says.
///
/// The client's requests have no newlines in them, and none at their end; `answer` sees what has arrived.
fn fake_server(listener: UnixListener, answers: Vec<&'static str>) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut heard = Vec::new();
        for answer in answers {
            let mut text = Vec::new();
            while !text.ends_with(b"}") {
                if reader.read_until(b'}', &mut text).unwrap() == 0 {
                    return heard;
                }
            }
            heard.push(String::from_utf8(text).unwrap());
            stream.write_all(answer.as_bytes()).unwrap();
        }
        // Stay until the client hangs up.
        let _ = reader.read_until(0, &mut Vec::new());
        heard
    })
}

const SCHEMA: &str =
    r#"{"id":1,"error":null,"result":{"name":"Types","tables":{"Thing":{"columns":{"name":{"type":"string"}}}}}}"#;

#[test]
fn an_echo_is_answered_while_waiting_for_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fake.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = fake_server(
        listener,
        vec![r#"{"id":"echo","method":"echo","params":["x"]}"#, SCHEMA],
    );
    let mut client = Client::connect(&path, patience()).unwrap();
    assert_eq!(client.schema("Types").unwrap().tables.len(), 1);
    drop(client);
    let heard = server.join().unwrap();
    assert_eq!(heard[1], r#"{"id":"echo","result":["x"],"error":null}"#);
}

#[test]
fn a_server_that_does_not_answer_ends_in_an_error_at_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fake.sock");
    let server = fake_server(UnixListener::bind(&path).unwrap(), vec![SCHEMA, ""]);
    let mut client = Client::connect(&path, patience()).unwrap();
    client.schema("Types").unwrap();
    client.set_deadline(soon());
    let error = client
        .transact(transaction().insert("Thing", None, only_name("a")))
        .unwrap_err();
    assert_eq!(error, TransactError::TimedOut);
    assert!(error.is_outcome_unknown());
    drop(client);
    server.join().unwrap();
}

#[test]
fn a_server_that_hangs_up_leaves_the_outcome_unknown() {
    let mut server = server();
    let mut client = connect(&server);
    client.schema("Types").unwrap();
    server.kill();
    let error = client
        .transact(transaction().insert("Thing", None, only_name("a")))
        .unwrap_err();
    // Whether the kernel takes the request before it notices decides which.
    assert!(
        matches!(error, TransactError::Disconnected | TransactError::NotReady(_)),
        "{error:?}"
    );
}
