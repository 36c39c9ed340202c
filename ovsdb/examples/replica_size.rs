//! Fills a Northbound database with logical ports, replicates it, and prints what that takes.
//!
//! `cargo run --release -p ovsdb --example replica_size [PORTS]`
#![allow(clippy::print_stdout, reason = "printing is what it is for")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::env;
use std::time::{Duration, Instant};

use ovsdb::blocking::Client;
use ovsdb::testing::{OvsdbServer, northbound_schema};
use ovsdb::{Datum, IndexSpec, Mutation, Replica, Row, TableMonitor, Transaction, UpdateFormat, Uuid, Where};
use serde_json::{Map, Value, json};

const PORTS_PER_SWITCH: usize = 200;
const DATABASE: &str = "OVN_Northbound";

fn main() {
    let ports = env::args()
        .nth(1)
        .map_or(20_000, |count| count.parse().expect("a number of ports"));
    let server = OvsdbServer::start(&[&northbound_schema()]);
    let deadline = Instant::now() + Duration::from_mins(5);

    let mut writer = Client::connect(&server.socket(), deadline).expect("connect");
    let start = Instant::now();
    for switch in 0..ports / PORTS_PER_SWITCH {
        writer.transact(&switch_with_ports(switch)).expect("transact");
    }
    let filled = start.elapsed();
    drop(writer);

    let mut reader = Client::connect(&server.socket(), deadline).expect("connect");
    let index = IndexSpec::map_key("external_ids", "meridian/owner");
    let monitors = [
        TableMonitor::new("Logical_Switch").index(index.clone()),
        TableMonitor::new("Logical_Switch_Port")
            .index(index)
            .index(IndexSpec::column("name")),
    ];
    reader.schema(DATABASE).expect("schema");
    let before = resident();
    let start = Instant::now();
    reader.monitor(DATABASE, &monitors).expect("monitor");
    let monitored = start.elapsed();
    let grown = resident().saturating_sub(before);

    let rows = reader.replica().len();
    println!(
        "{rows} rows; written in {filled:.2?} ({:.0} ports/s)",
        ports as f64 / filled.as_secs_f64()
    );
    println!("first snapshot, server's work included: {monitored:.2?}");
    let schema = reader.schema(DATABASE).expect("schema");
    let text = snapshot(reader.replica());
    let decode = || {
        let mut replica = Replica::new(&schema, &monitors);
        replica.apply(UpdateFormat::Update2, &text).expect("a snapshot");
        replica
    };
    let start = Instant::now();
    let (mut one, two) = (decode(), decode());
    println!(
        "decoding and indexing {:.2} MB of it: {:.2?}",
        text.len() as f64 / 1e6,
        start.elapsed() / 2
    );
    let start = Instant::now();
    assert_eq!(one.swap(two), []);
    println!("swapping in the same once more: {:.2?}", start.elapsed());
    println!(
        "resident memory: +{:.1} MiB, {} bytes per row",
        grown as f64 / 1_048_576.0,
        grown / rows.max(1)
    );
}

fn switch_with_ports(switch: usize) -> Transaction {
    let uuid = |name: &str| Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    let node = format!("worker-{switch}.example.internal");
    let name = format!("vpc-default-{node}");
    let mut txn = Transaction::new(DATABASE);
    txn.insert(
        "Logical_Switch",
        Some(uuid(&name)),
        [("name", Datum::scalar(name.as_str()))],
    );
    let ports: Vec<_> = (0..PORTS_PER_SWITCH)
        .map(|port| format!("team-{}_web-7d9f8c6b5-{switch}-{port}", switch % 40))
        .collect();
    for (index, port) in ports.iter().enumerate() {
        let (high, low) = (switch % 256, index + 2);
        let addresses = format!("0a:58:0a:f4:{high:02x}:{low:02x} 10.244.{high}.{low} fd00:10:244:{high:x}::{low:x}");
        let owner = format!("pod/{}", port.replace('_', "/"));
        let columns = [
            ("name", Datum::scalar(port.as_str())),
            ("addresses", Datum::scalar(addresses.as_str())),
            ("port_security", Datum::scalar(addresses)),
            (
                "options",
                Datum::map([
                    ("requested-chassis", node.clone()),
                    ("iface-id-ver", uuid(&owner).to_string()),
                ]),
            ),
            (
                "external_ids",
                Datum::map([
                    ("meridian/owner", owner.clone()),
                    ("meridian/key", port.clone()),
                    ("meridian/cluster", "east-1".to_owned()),
                    ("meridian/kind", "pod".to_owned()),
                    ("meridian/prefix", "24".to_owned()),
                    ("meridian/gateway", format!("10.244.{high}.1")),
                    ("meridian/mtu", "1442".to_owned()),
                ]),
            ),
        ];
        txn.insert("Logical_Switch_Port", Some(uuid(port)), columns);
    }
    let members = Datum::set(ports.iter().map(|port| uuid(port)));
    txn.mutate(
        "Logical_Switch",
        Where::Uuid(uuid(&name)),
        [Mutation::insert("ports", members)],
    );
    txn
}

/// The rows as a server would send them at first.
fn snapshot(replica: &Replica) -> String {
    let row = |row: &Row| {
        let columns: Map<_, _> = row
            .iter_set()
            .map(|(column, datum)| (column.to_string(), json!(datum)))
            .collect();
        (row.uuid().to_string(), json!({ "initial": columns }))
    };
    let tables = replica.tables().map(|table| {
        (
            table.name().to_string(),
            table.rows().map(row).collect::<Map<_, _>>().into(),
        )
    });
    Value::Object(tables.collect()).to_string()
}

/// Bytes of memory this process has.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok())
        .expect("a number of pages")
        * 4096
}
