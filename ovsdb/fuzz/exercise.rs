//! Feeds bytes to everything that reads what a server sends. Shared by the fuzz target and by an ordinary test.

use ovsdb::value::DatumSeed;
use ovsdb::wire::{Framer, Message, parse};
use ovsdb::{
    DatabaseSchema, Datum, IndexSpec, Interner, Replica, TableMonitor, Transaction, UpdateFormat, Uuid, Where,
};
use serde::de::DeserializeSeed;

const SCHEMA: &str = include_str!("../tests/schemas/random.ovsschema");
const FORMATS: [UpdateFormat; 2] = [UpdateFormat::Update, UpdateFormat::Update2];

/// Whatever the bytes are, nothing may panic, and a replica that refuses an update must be as it was.
pub(crate) fn decoder(bytes: &[u8]) {
    let mut framer = Framer::new(1 << 20);
    for chunk in bytes.chunks(7) {
        framer.extend(chunk);
        while let Ok(Some(frame)) = framer.next() {
            message(&frame);
        }
    }
    let _ = parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        values(text);
    }
}

fn message(frame: &[u8]) {
    match parse(frame) {
        Ok(Message::Request { params, .. } | Message::Notification { params, .. }) => values(params.get()),
        Ok(Message::Response {
            outcome: Ok(Some(result)),
            ..
        }) => values(result.get()),
        Ok(Message::Response {
            outcome: Err(error), ..
        }) => values(error.get()),
        _ => {}
    }
}

fn values(text: &str) {
    let schema = DatabaseSchema::parse(SCHEMA).expect("our own schema");
    let _ = DatabaseSchema::parse(text);
    let types = schema.tables["T"].columns.values().map(|column| Some(&column.r#type));
    for column in types.chain([None]) {
        let seed = DatumSeed {
            column,
            interner: &mut Interner::new(),
        };
        let _ = seed.deserialize(&mut serde_json::Deserializer::from_str(text));
    }

    let monitor = TableMonitor::new("T")
        .index(IndexSpec::column("tags"))
        .index(IndexSpec::map_key("ids", "a"));
    for format in FORMATS {
        let mut replica = Replica::new(&schema, std::slice::from_ref(&monitor));
        replica.put(
            "T",
            Uuid::from_u128(1),
            [("name", Datum::scalar("a")), ("tags", Datum::set(["a", "b"]))],
        );
        let before = format!("{replica:?}");
        match replica.apply(format, text) {
            Ok(_) => drop(format!("{replica:?}")),
            Err(error) => assert_eq!(format!("{replica:?}"), before, "{error}"),
        }
    }

    let mut transaction = Transaction::new("Random");
    transaction
        .insert("T", None, [("name", Datum::scalar("a"))])
        .select("T", Where::All, None);
    let _ = transaction.outcome(text, Some(&schema));
    let _ = transaction.refusal(text);
}
