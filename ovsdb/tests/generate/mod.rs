//! Strategies for the property tests: a small alphabet, so that values collide often.

use std::collections::BTreeMap;

use ovsdb::value::{Shape, TypedDatum};
use ovsdb::{Atom, AtomKind, BaseType, ColumnType, DatabaseSchema, Datum, IndexSpec, Real, TableMonitor, Uuid};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Columns that are not at their default, by row.
pub(crate) type Rows = BTreeMap<Uuid, BTreeMap<String, Datum>>;

/// The strings that occur in generated rows.
pub(crate) const WORDS: [&str; 5] = ["", "a", "b", "set", "é\"\\\u{1}"];

const SCHEMA: &str = include_str!("../schemas/random.ovsschema");

pub(crate) fn schema() -> DatabaseSchema {
    DatabaseSchema::parse(SCHEMA).unwrap()
}

pub(crate) fn monitors() -> Vec<TableMonitor> {
    let monitor = TableMonitor::new("T")
        .index(IndexSpec::column("name"))
        .index(IndexSpec::column("tags"));
    vec![
        monitor
            .index(IndexSpec::column("ids"))
            .index(IndexSpec::map_key("ids", "a")),
    ]
}

pub(crate) fn column_types() -> Vec<ColumnType> {
    schema().tables["T"]
        .columns
        .values()
        .map(|column| column.r#type.clone())
        .collect()
}

/// Servers take every character but NUL.
fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.replace('\0', ""))
}

fn atom(kind: AtomKind) -> BoxedStrategy<Atom> {
    match kind {
        AtomKind::Integer => prop_oneof![0..4_i64, any::<i64>()].prop_map(Atom::Integer).boxed(),
        AtomKind::Real => prop_oneof![
            Just(0.0),
            Just(1.0),
            Just(-0.0),
            proptest::num::f64::NORMAL.prop_filter("rounds to infinity", |n| n.abs() < 1e308)
        ]
        .prop_map(|number| Atom::Real(Real::new(number).unwrap()))
        .boxed(),
        AtomKind::Boolean => any::<bool>().prop_map(Atom::Boolean).boxed(),
        AtomKind::String => {
            prop_oneof![4 => prop::sample::select(&WORDS[..]).prop_map(Atom::from), 1 => text().prop_map(Atom::from)]
                .boxed()
        }
        AtomKind::Uuid => (0..4_u128).prop_map(|n| Atom::Uuid(Uuid::from_u128(n))).boxed(),
    }
}

fn value(column: &ColumnType) -> BoxedStrategy<Datum> {
    let count = usize::try_from(column.min).unwrap()..=usize::try_from(column.max.unwrap_or(5)).unwrap();
    let min = *count.start();
    let key = atom(column.key.kind);
    match &column.value {
        None => prop::collection::vec(key, count).prop_map(Datum::set).boxed(),
        Some(BaseType { kind, .. }) => prop::collection::vec((key, atom(*kind)), count)
            .prop_map(Datum::map)
            .boxed(),
    }
    .prop_filter("duplicates collapse", move |datum| datum.len() >= min)
    .boxed()
}

fn column_type() -> impl Strategy<Value = ColumnType> {
    let kind = || {
        prop::sample::select(vec![
            AtomKind::Integer,
            AtomKind::Real,
            AtomKind::Boolean,
            AtomKind::String,
            AtomKind::Uuid,
        ])
    };
    let bounds = prop::sample::select(vec![(0, Some(1)), (1, Some(1)), (0, None), (1, None), (0, Some(3))]);
    (kind(), prop::option::of(kind()), bounds).prop_map(|(key, value, (min, max))| ColumnType {
        key: BaseType::plain(key),
        value: value.map(BaseType::plain),
        min,
        max,
    })
}

pub(crate) fn column_and_value() -> impl Strategy<Value = (ColumnType, Datum)> {
    column_type().prop_flat_map(|column| {
        let values = value(&column);
        (Just(column), values)
    })
}

pub(crate) fn column_and_two_values() -> impl Strategy<Value = (ColumnType, Datum, Datum)> {
    column_type().prop_flat_map(|column| {
        let (a, b) = (value(&column), value(&column));
        (Just(column), a, b)
    })
}

fn columns() -> impl Strategy<Value = BTreeMap<String, Datum>> {
    let one = prop::sample::select(
        schema().tables["T"]
            .columns
            .iter()
            .map(|(n, c)| (n.clone(), c.r#type.clone()))
            .collect::<Vec<_>>(),
    )
    .prop_flat_map(|(name, column)| value(&column).prop_map(move |datum| (name.clone(), datum)));
    prop::collection::vec(one, 0..6).prop_map(|columns| columns.into_iter().collect())
}

fn uuid() -> impl Strategy<Value = Uuid> {
    (0..6_u128).prop_map(|n| Uuid::from_u128(n << 64))
}

pub(crate) fn rows() -> impl Strategy<Value = Rows> {
    prop::collection::btree_map(uuid(), columns(), 0..6)
}

/// Rows to delete, and columns to overwrite.
pub(crate) fn edits() -> impl Strategy<Value = BTreeMap<Uuid, Option<BTreeMap<String, Datum>>>> {
    prop::collection::btree_map(uuid(), prop::option::weighted(0.8, columns()), 0..6)
}

pub(crate) fn edited(rows: &Rows, edits: BTreeMap<Uuid, Option<BTreeMap<String, Datum>>>) -> Rows {
    let mut rows = rows.clone();
    for (uuid, edit) in edits {
        match edit {
            None => drop(rows.remove(&uuid)),
            Some(columns) => rows.entry(uuid).or_default().extend(columns),
        }
    }
    rows
}

/// What a server would send, by the rules of `ovsdb-server(7)`, written without the crate's own rules for differences.
pub(crate) fn update2_between(schema: &DatabaseSchema, old: &Rows, new: &Rows) -> String {
    let columns = &schema.tables["T"].columns;
    let written = |column: &str, datum: &Datum| {
        let shape = Shape::of(Some(&columns[column].r#type));
        serde_json::to_value(TypedDatum { datum, shape }).unwrap()
    };
    let mut updates = serde_json::Map::new();
    for (uuid, row) in new {
        let change = match old.get(uuid) {
            None => {
                let set = row
                    .iter()
                    .filter(|(name, datum)| **datum != columns[*name].default_datum());
                json!({"insert": set.map(|(name, datum)| (name.clone(), written(name, datum))).collect::<serde_json::Map<_, _>>()})
            }
            Some(before) => {
                let mut modify = serde_json::Map::new();
                for (name, column) in columns {
                    let default = column.default_datum();
                    let was = before.get(name).unwrap_or(&default);
                    let is = row.get(name).unwrap_or(&default);
                    if was != is {
                        modify.insert(name.clone(), written(name, &difference(&column.r#type, was, is)));
                    }
                }
                if modify.is_empty() {
                    continue;
                }
                json!({ "modify": modify })
            }
        };
        updates.insert(uuid.to_string(), change);
    }
    for uuid in old.keys().filter(|uuid| !new.contains_key(uuid)) {
        updates.insert(uuid.to_string(), json!({"delete": null}));
    }
    json!({ "T": Value::Object(updates) }).to_string()
}

fn difference(column: &ColumnType, old: &Datum, new: &Datum) -> Datum {
    if column.max == Some(1) {
        new.clone()
    } else if column.value.is_some() {
        let mut pairs: BTreeMap<Atom, Atom> = BTreeMap::new();
        for (key, value) in old.pairs() {
            if new.value_of(key).is_none() {
                pairs.insert(key.clone(), value.clone());
            }
        }
        for (key, value) in new.pairs() {
            if old.value_of(key) != Some(value) {
                pairs.insert(key.clone(), value.clone());
            }
        }
        Datum::map(pairs)
    } else {
        let gone = old.atoms().iter().filter(|atom| !new.contains(atom));
        Datum::set(gone.chain(new.atoms().iter().filter(|atom| !old.contains(atom))))
    }
}

/// Texts near enough to updates to reach deep into the decoder, and broken at random places.
pub(crate) fn garbage() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"T\"",
        "\"00000000-0000-0000-0000-000000000001\"",
        "\"insert\"",
        "\"modify\"",
        "\"delete\"",
        "\"old\"",
        "\"new\"",
        "null",
        "\"set\"",
        "\"map\"",
        "\"uuid\"",
        "\"name\"",
        "\"ids\"",
        "1",
        "1e999",
        "-0",
        "18446744073709551615",
        "true",
        "\"\\ud800\"",
        "\"a\"",
        " ",
    ]);
    let soup = prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat());
    let cut = (
        rows(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<char>(),
    )
        .prop_map(|(rows, from, len, noise)| {
            let mut text: Vec<char> = update2_between(&schema(), &Rows::new(), &rows).chars().collect();
            let at = from.index(text.len());
            let end = (at + len.index(8)).min(text.len());
            text.splice(at..end, [noise]);
            text.into_iter().collect()
        });
    let wrong_type = (
        columns(),
        prop::sample::select(vec!["insert", "initial", "modify", "old", "new"]),
    )
        .prop_map(|(columns, change)| {
            let names: Vec<_> = columns.keys().rev().cloned().collect();
            let row: serde_json::Map<_, _> = names.into_iter().zip(columns.values().map(|d| json!(d))).collect();
            json!({"T": {Uuid::from_u128(1).to_string(): {change: row}}}).to_string()
        });
    prop_oneof![soup, cut, wrong_type, any::<String>()]
}
