//! Random transactions on a real server, followed by replicas over both forms of updates.
#![allow(clippy::unwrap_used, reason = "these are tests, and so are their helpers")]
#![cfg(all(feature = "blocking", feature = "testing"))]

#[allow(dead_code)]
mod generate;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use generate::{Rows, edited, edits, monitors, schema};
use ovsdb::blocking::Client;
use ovsdb::monitor::MonitorRequests;
use ovsdb::testing::{OvsdbServer, PATIENCE};
use ovsdb::wire::{Framer, Message, encode_request, parse};
use ovsdb::{Datum, Replica, Transaction, UpdateFormat, Where};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::value::RawValue;

const STEPS: usize = 500;

/// A follower over the oldest form of monitoring, which the clients of this crate use only if they must.
struct PlainFollower {
    stream: UnixStream,
    framer: Framer,
    replica: Replica,
}

impl PlainFollower {
    fn start(path: &Path) -> Self {
        let (schema, monitors) = (schema(), monitors());
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let requests = MonitorRequests::plain(&schema, &monitors).unwrap();
        stream
            .write_all(&encode_request(1, "monitor", &("Random", "m", requests)))
            .unwrap();
        let mut follower = Self {
            stream,
            framer: Framer::default(),
            replica: Replica::new(&schema, &monitors),
        };
        follower.follow();
        follower
    }

    /// Applies one message.
    fn follow(&mut self) {
        let frame = loop {
            if let Some(frame) = self.framer.next().unwrap() {
                break frame;
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "the server hung up");
            self.framer.extend(&buffer[..count]);
        };
        let updates = match parse(&frame).unwrap() {
            Message::Response { outcome, .. } => outcome.unwrap().unwrap(),
            Message::Notification { params, .. } => {
                serde_json::from_str::<(&RawValue, &RawValue)>(params.get()).unwrap().1
            }
            Message::Request { .. } => return,
        };
        self.replica.apply(UpdateFormat::Update, updates.get()).unwrap();
    }
}

/// Leads the database from `old` to `new`.
fn transaction(old: &Rows, new: &Rows) -> Transaction {
    let mut txn = Transaction::new("Random");
    for uuid in old.keys().filter(|uuid| !new.contains_key(uuid)) {
        txn.delete("T", Where::Uuid(*uuid));
    }
    for (uuid, row) in new {
        match old.get(uuid) {
            None => txn.insert("T", Some(*uuid), row.clone()),
            Some(_) => txn.update("T", Where::Uuid(*uuid), row.clone()),
        };
    }
    txn
}

fn contents(replica: &Replica) -> Vec<String> {
    replica
        .table("T")
        .unwrap()
        .rows()
        .map(|row| format!("{row:?}"))
        .collect()
}

#[test]
fn replicas_follow_random_transactions_exactly() {
    let server = OvsdbServer::start(&[&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas/random.ovsschema")]);
    let deadline = Instant::now() + 4 * PATIENCE;
    let mut client = Client::connect(&server.socket(), deadline).unwrap();
    client.monitor("Random", &monitors()).unwrap();
    let mut plain = PlainFollower::start(&server.socket());

    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut rows = Rows::new();
    for step in 0..STEPS {
        let next = edited(&rows, edits().new_tree(&mut runner).unwrap().current());
        client.transact(&transaction(&rows, &next)).unwrap();
        rows = next;

        let mut expected = Replica::new(&schema(), &monitors());
        for (uuid, columns) in &rows {
            expected.put(
                "T",
                *uuid,
                columns
                    .iter()
                    .map(|(column, datum): (&String, &Datum)| (column, datum.clone())),
            );
        }
        assert_eq!(contents(client.replica()), contents(&expected), "step {step}");
        while contents(&plain.replica) != contents(&expected) {
            plain.follow();
        }
    }
    assert!(rows.len() > 1, "the run has something to show");
}
