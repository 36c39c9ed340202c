//! Properties of values, differences and replicas, over generated inputs.
#![allow(clippy::unwrap_used, reason = "these are tests, and so are their helpers")]

mod generate;

use std::collections::BTreeSet;

use generate::{Rows, column_and_two_values, column_and_value, edits, monitors, rows, schema, update2_between};
use ovsdb::value::{Shape, TypedDatum};
use ovsdb::{
    Atom, DatabaseSchema, Datum, IndexSpec, Interner, Mutation, Replica, Transaction, Until, UpdateFormat, Uuid, Where,
};
use proptest::prelude::*;
use serde::de::DeserializeSeed;

fn read(text: &str, column: &ovsdb::ColumnType) -> Result<Datum, serde_json::Error> {
    let seed = ovsdb::value::DatumSeed {
        column: Some(column),
        interner: &mut Interner::new(),
    };
    seed.deserialize(&mut serde_json::Deserializer::from_str(text))
}

fn replica_of(schema: &DatabaseSchema, rows: &Rows) -> Replica {
    let mut replica = Replica::new(schema, &monitors());
    for (uuid, columns) in rows {
        replica.put("T", *uuid, columns.clone());
    }
    replica
}

fn contents(replica: &Replica) -> Vec<String> {
    replica
        .table("T")
        .unwrap()
        .rows()
        .map(|row| format!("{row:?}"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_survives_being_written_and_read((column, datum) in column_and_value()) {
        let typed = TypedDatum { datum: &datum, shape: Shape::of(Some(&column)) };
        let text = serde_json::to_string(&typed).unwrap();
        prop_assert_eq!(read(&text, &column).unwrap(), datum);
    }

    #[test]
    fn equal_values_have_equal_text((_, a, b) in column_and_two_values()) {
        prop_assert_eq!(a == b, a.to_string() == b.to_string());
        prop_assert_eq!(a.cmp(&b) == std::cmp::Ordering::Equal, a == b);
    }

    #[test]
    fn a_difference_leads_from_old_to_new((column, old, new) in column_and_two_values()) {
        let diff = old.diff(&new, &column);
        prop_assert_eq!(old.apply_diff(&diff, &column).unwrap(), new.clone());
        let text = serde_json::to_string(&TypedDatum { datum: &diff, shape: Shape::of(Some(&column)) }).unwrap();
        prop_assert_eq!(old.apply_diff(&read(&text, &column).unwrap(), &column).unwrap(), new);
    }

    #[test]
    fn an_update_leads_from_the_old_rows_to_the_new((old, new) in (rows(), edits())) {
        let schema = schema();
        let new = generate::edited(&old, new);
        let mut replica = replica_of(&schema, &old);
        let changed = replica.apply(UpdateFormat::Update2, &update2_between(&schema, &old, &new)).unwrap();
        let expected = replica_of(&schema, &new);
        prop_assert_eq!(contents(&replica), contents(&expected));
        prop_assert_eq!(changed.into_iter().collect::<BTreeSet<_>>(), naive_difference(&schema, &old, &new));
    }

    #[test]
    fn a_swap_tells_exactly_the_rows_that_differ((old, new) in (rows(), edits())) {
        let schema = schema();
        let new = generate::edited(&old, new);
        let mut replica = replica_of(&schema, &old);
        let told = replica.swap(replica_of(&schema, &new));
        prop_assert_eq!(told.len(), told.iter().collect::<BTreeSet<_>>().len(), "no row is told twice");
        prop_assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), naive_difference(&schema, &old, &new));
        prop_assert_eq!(contents(&replica), contents(&replica_of(&schema, &new)));
    }

    #[test]
    fn indexes_kept_along_the_way_equal_indexes_built_at_once((old, steps) in (rows(), prop::collection::vec(edits(), 1..4))) {
        let schema = schema();
        let mut replica = replica_of(&schema, &old);
        let mut rows = old;
        for step in steps {
            let next = generate::edited(&rows, step);
            replica.apply(UpdateFormat::Update2, &update2_between(&schema, &rows, &next)).unwrap();
            rows = next;
        }
        let rebuilt = replica_of(&schema, &rows);
        // Without indexes `find` looks at every row.
        let plain: Vec<_> = monitors().into_iter().map(|m| ovsdb::TableMonitor { indexes: vec![], ..m }).collect();
        let mut searched = Replica::new(&schema, &plain);
        searched.apply(UpdateFormat::Update2, &update2_between(&schema, &Rows::new(), &rows)).unwrap();
        for (index, value) in probes() {
            let find = |replica: &Replica| replica.table("T").unwrap().find(&index, &value).collect::<Vec<Uuid>>();
            prop_assert_eq!(find(&replica), find(&rebuilt), "{} {}", index, value);
            prop_assert_eq!(find(&replica), find(&searched), "{} {}", index, value);
        }
    }

    #[test]
    fn a_transaction_says_what_it_was_built_from(rows in rows()) {
        let schema = schema();
        let mut txn = Transaction::new("Random");
        for (uuid, columns) in &rows {
            txn.insert("T", Some(*uuid), columns.clone());
            txn.update("T", Where::Uuid(*uuid), columns.clone());
            txn.mutate("T", Where::All, columns.iter().map(|(column, datum)| Mutation::insert(column.clone(), datum.clone())));
            let expected = columns.iter().map(|(column, datum)| (column.clone().into(), datum.clone()));
            txn.wait("T", Where::Uuid(*uuid), &[], Until::Equal, vec![expected.collect()]);
        }
        prop_assert_eq!(txn.len(), 4 * rows.len());
        prop_assert_eq!(txn.check(&schema), Ok(()));
        let json = serde_json::to_value(txn.params(Some(&schema))).unwrap();
        let operations = json.as_array().unwrap()[1..].chunks(4);
        for (operations, (uuid, columns)) in operations.zip(&rows) {
            prop_assert_eq!(operations[0]["uuid"].as_str().unwrap(), uuid.to_string());
            for (column, datum) in columns {
                let r#type = schema.column_type("T", column).unwrap();
                let mutation = operations[2]["mutations"].as_array().unwrap().iter().find(|m| m[0] == **column).unwrap();
                let written = [&operations[0]["row"], &operations[1]["row"], &operations[3]["rows"][0]];
                for json in written.into_iter().map(|row| &row[column]).chain([&mutation[2]]) {
                    prop_assert_eq!(&read(&json.to_string(), r#type).unwrap(), datum);
                }
            }
        }
    }

    #[test]
    fn garbage_is_an_error_or_an_update_and_never_a_panic(text in generate::garbage()) {
        let schema = schema();
        let mut replica = replica_of(&schema, &Rows::new());
        for format in [UpdateFormat::Update, UpdateFormat::Update2] {
            if replica.apply(format, &text).is_err() {
                prop_assert!(replica.is_empty());
            }
            replica.swap(replica_of(&schema, &Rows::new()));
        }
        let _ = DatabaseSchema::parse(&text);
        for column in generate::column_types() {
            let _ = read(&text, &column);
        }
    }
}

fn probes() -> Vec<(String, Atom)> {
    let mut probes = Vec::new();
    for text in generate::WORDS {
        for spec in [
            IndexSpec::column("name"),
            IndexSpec::column("tags"),
            IndexSpec::map_key("ids", "a"),
        ] {
            probes.push((spec.name(), Atom::from(text)));
        }
        probes.push(("ids".to_owned(), Atom::from(text)));
    }
    probes
}

fn naive_difference(schema: &DatabaseSchema, old: &Rows, new: &Rows) -> BTreeSet<ovsdb::RowId> {
    let full = |rows: &Rows, uuid: Uuid| {
        let columns = rows.get(&uuid)?.clone();
        let defaults = schema.tables["T"]
            .columns
            .iter()
            .map(|(name, column)| (name.clone(), column.default_datum()));
        Some(defaults.chain(columns).collect::<std::collections::BTreeMap<_, _>>())
    };
    let uuids: BTreeSet<Uuid> = old.keys().chain(new.keys()).copied().collect();
    uuids
        .into_iter()
        .filter(|uuid| full(old, *uuid) != full(new, *uuid))
        .map(|uuid| ("T".into(), uuid))
        .collect()
}
