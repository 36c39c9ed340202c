//! Values and transactions against a real server.
#![allow(clippy::unwrap_used, reason = "these are tests, and so are their helpers")]
#![cfg(all(feature = "blocking", feature = "testing"))]

#[allow(dead_code)]
mod fixture;

use fixture::{connect, named, only_name, schema, server, thing, transaction};
use ovsdb::testing::OvsdbServer;
use ovsdb::{
    Atom, Condition, Datum, Function, IndexSpec, Mutation, Mutator, Real, TableMonitor, TransactError, Until, Uuid,
    Where,
};

fn real(number: f64) -> Real {
    Real::new(number).unwrap()
}

/// Every column of `Thing` but the references.
fn every_value() -> Vec<(&'static str, Datum)> {
    vec![
        ("name", Datum::scalar("every \"value\" \\ é\n\u{1}")),
        ("kind", Datum::scalar("fancy")),
        ("fixed", Datum::scalar("f")),
        ("integer", Datum::scalar(i64::MIN)),
        ("real", Datum::scalar(real(0.1 + 0.2))),
        ("boolean", Datum::scalar(true)),
        ("uuid", Datum::scalar(Uuid::from_u128(7))),
        ("maybe_integer", Datum::scalar(42_i64)),
        ("maybe_string", Datum::scalar("")),
        ("integers", Datum::set([3_i64, 1, 2])),
        ("reals", Datum::set([real(1.0), real(-2.5e-300)])),
        ("booleans", Datum::set([false, true])),
        ("strings", Datum::set(["set", "map", ""])),
        ("some_strings", Datum::set(["a", "b", "c"])),
        ("string_map", Datum::map([("k", "v"), ("", "")])),
        ("integer_map", Datum::map([(1_i64, real(2.0)), (-1, real(0.5))])),
        ("lone_pair", Datum::map([("k", false)])),
        ("lost", Datum::scalar("soon")),
    ]
}

#[test]
fn every_column_type_is_written_and_read_back() {
    let server = server();
    let mut client = connect(&server);
    client
        .monitor("Types", &[TableMonitor::new("Thing"), TableMonitor::new("Part")])
        .unwrap();
    let part = Uuid::from_u128(1);
    let refs = [
        ("parts", Datum::scalar(part)),
        ("part_map", Datum::map([("p", part)])),
        ("friends", Datum::scalar(Uuid::from_u128(2))),
    ];
    let columns: Vec<_> = every_value().into_iter().chain(refs).collect();
    let mut txn = transaction();
    txn.insert("Part", Some(part), only_name("p"));
    txn.insert("Thing", Some(Uuid::from_u128(2)), columns.clone());
    txn.select("Thing", Where::All, None);
    let outcome = client.transact(&txn).unwrap();

    let selected = &outcome.results[2].rows[0];
    let row = client.replica().row("Thing", Uuid::from_u128(2)).unwrap();
    for (column, datum) in &columns {
        assert_eq!(selected[*column], *datum, "{column} selected");
        assert_eq!(row.get(column), datum, "{column} monitored");
    }
    assert_eq!(row.iter().count(), columns.len(), "every column of the schema is tried");
}

#[test]
fn columns_nobody_wrote_read_as_their_defaults() {
    let server = server();
    let mut client = connect(&server);
    client.monitor("Types", &[TableMonitor::new("Thing")]).unwrap();
    let mut txn = transaction();
    txn.insert("Thing", Some(Uuid::from_u128(2)), only_name("bare"))
        .select("Thing", Where::All, None);
    let selected = client.transact(&txn).unwrap().results[1].rows[0].clone();
    let row = client.replica().row("Thing", Uuid::from_u128(2)).unwrap();
    for (column, datum) in row.iter() {
        assert_eq!(selected[&**column], *datum, "{column}");
    }
    assert_eq!(row.get("integer"), &Datum::scalar(0_i64));
    assert_eq!(row.get("some_strings"), &Datum::scalar(""));
    assert_eq!(row.get("string_map"), &Datum::empty());
}

#[test]
fn every_column_can_be_cleared() {
    let server = server();
    let mut client = connect(&server);
    client.monitor("Types", &[TableMonitor::new("Thing")]).unwrap();
    let uuid = Uuid::from_u128(2);
    client
        .transact(transaction().insert("Thing", Some(uuid), every_value()))
        .unwrap();
    let schema = client.schema("Types").unwrap();
    let defaults = schema.tables["Thing"]
        .columns
        .iter()
        .filter(|(_, column)| column.mutable);
    let defaults: Vec<_> = defaults
        .map(|(name, column)| (name.clone(), column.default_datum()))
        .collect();
    client
        .transact(transaction().update("Thing", Where::Uuid(uuid), defaults))
        .unwrap();
    let row = client.replica().row("Thing", uuid).unwrap();
    let left: Vec<_> = row.iter_set().map(|(column, _)| column.to_string()).collect();
    assert_eq!(left, ["fixed"]);
}

#[test]
fn the_replica_holds_the_change_when_the_answer_comes() {
    let server = server();
    let mut client = connect(&server);
    client
        .monitor("Types", &[TableMonitor::new("Thing").index(IndexSpec::column("name"))])
        .unwrap();
    for round in 0..20_i64 {
        let mut txn = transaction();
        txn.insert(
            "Thing",
            None,
            [
                ("name", Datum::scalar(format!("t{round}"))),
                ("integer", Datum::scalar(round)),
            ],
        );
        let uuid = client.transact(&txn).unwrap().results[0].uuid.unwrap();
        assert_eq!(thing(&client, &format!("t{round}")).uuid(), uuid);
    }
}

#[test]
fn a_constraint_that_fails_when_committing_is_an_error() {
    let server = server();
    let mut client = connect(&server);
    let mut txn = transaction();
    txn.insert("Thing", None, only_name("twin"))
        .insert("Thing", None, only_name("twin"));
    let error = client.transact(&txn).unwrap_err();
    let TransactError::Rejected {
        operation: None,
        error: word,
        details,
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(word, "constraint violation");
    assert!(details.contains("twin"), "{details}");
    assert!(
        error
            .to_string()
            .starts_with("transaction rejected: constraint violation"),
        "{error}"
    );
}

#[test]
fn an_operation_that_fails_is_named_with_its_table_and_row() {
    let server = server();
    let mut client = connect(&server);
    let mut txn = transaction();
    txn.comment("first").insert("Thing", None, only_name("a"));
    txn.update("Thing", named("a"), [("maybe_integer", Datum::scalar(101_i64))]);
    let error = client.transact(&txn).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("operation 2: table Thing, name == \"a\": constraint violation"),
        "{text}"
    );
}

#[test]
fn a_wait_that_does_not_hold_undoes_the_whole_transaction() {
    let server = server();
    let mut client = connect(&server);
    client
        .transact(transaction().insert("Thing", None, only_name("guard")))
        .unwrap();
    let expect = |integer: i64| vec![vec![("integer".into(), Datum::scalar(integer))]];
    let mut txn = transaction();
    txn.insert("Thing", None, only_name("new"));
    txn.wait("Thing", named("guard"), &["integer"], Until::Equal, expect(5));
    let error = client.transact(&txn).unwrap_err();
    assert_eq!(
        error,
        TransactError::WaitFailed {
            operation: 1,
            table: "Thing".to_owned(),
            row: "name == \"guard\"".to_owned()
        }
    );
    let mut txn = transaction();
    txn.wait("Thing", named("guard"), &["integer"], Until::Equal, expect(0));
    txn.wait("Thing", named("guard"), &["integer"], Until::NotEqual, expect(5));
    txn.select("Thing", Where::All, Some(&["name"]));
    assert_eq!(
        client.transact(&txn).unwrap().results[2].rows.len(),
        1,
        "the insert was undone"
    );
}

#[test]
fn a_lock_that_is_not_held_is_told_apart() {
    let server = server();
    let mut client = connect(&server);
    let mut txn = transaction();
    txn.assert_lock("nobody").insert("Thing", None, only_name("a"));
    assert_eq!(client.transact(&txn).unwrap_err(), TransactError::LockLost);
}

#[test]
fn a_row_gets_the_uuid_we_choose_and_only_once() {
    let server = server();
    let mut client = connect(&server);
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"Thing/a");
    let mut txn = transaction();
    txn.insert("Thing", Some(uuid), only_name("a"));
    assert_eq!(client.transact(&txn).unwrap().results[0].uuid, Some(uuid));
    let mut again = transaction();
    again.insert("Thing", Some(uuid), only_name("b"));
    let error = client.transact(&again).unwrap_err();
    assert!(
        matches!(&error, TransactError::Rejected { operation: Some(0), .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains(&uuid.to_string()), "{error}");
}

#[test]
fn rows_of_one_transaction_refer_to_one_another_by_name() {
    let server = server();
    let mut client = connect(&server);
    client
        .monitor("Types", &[TableMonitor::new("Thing"), TableMonitor::new("Part")])
        .unwrap();
    let mut txn = transaction();
    let parts = Datum::set([Atom::named_uuid("p1"), Atom::named_uuid("p2")]);
    let map = Datum::map([("first", Atom::named_uuid("p1"))]);
    txn.insert(
        "Thing",
        None,
        [("name", Datum::scalar("t")), ("parts", parts), ("part_map", map)],
    );
    txn.insert_named("Part", "p1", only_name("one"))
        .insert_named("Part", "p2", only_name("two"));
    let results = client.transact(&txn).unwrap().results;
    let row = client.replica().row("Thing", results[0].uuid.unwrap()).unwrap();
    assert_eq!(
        row.get("parts"),
        &Datum::set([results[1].uuid.unwrap(), results[2].uuid.unwrap()])
    );
    assert_eq!(
        row.get("part_map").get("first").and_then(Atom::as_uuid),
        results[1].uuid
    );

    // Rows that are no roots go away with the last reference.
    let mut txn = transaction();
    txn.mutate(
        "Thing",
        Where::All,
        [Mutation::delete("parts", Datum::scalar(results[2].uuid.unwrap()))],
    );
    client.transact(&txn).unwrap();
    assert_eq!(client.replica().table("Part").unwrap().len(), 1);
}

#[test]
fn mutations_change_parts_of_columns() {
    let server = server();
    let mut client = connect(&server);
    client
        .monitor("Types", &[TableMonitor::new("Thing").index(IndexSpec::column("name"))])
        .unwrap();
    let columns = [
        ("name", Datum::scalar("m")),
        ("strings", Datum::set(["a", "b"])),
        (
            "string_map",
            Datum::map([("gone", "1"), ("other", "2"), ("kept", "3"), ("wrong", "4")]),
        ),
        ("integer", Datum::scalar(40_i64)),
    ];
    let mut txn = transaction();
    txn.insert("Thing", None, columns);
    txn.mutate(
        "Thing",
        named("m"),
        [
            Mutation::insert("strings", Datum::set(["b", "c"])),
            Mutation::delete("strings", Datum::scalar("a")),
            Mutation::delete("string_map", Datum::scalar("gone")),
            Mutation::delete("string_map", Datum::set(["other", "never there"])),
            Mutation::delete("string_map", Datum::map([("wrong", "other value")])),
            Mutation::insert("string_map", Datum::map([("new", "5"), ("kept", "not replaced")])),
            Mutation::insert("string_map", Datum::empty()),
            Mutation::delete("string_map", Datum::empty()),
            Mutation::new("integer", Mutator::Add, Datum::scalar(2_i64)),
        ],
    );
    assert_eq!(client.transact(&txn).unwrap().results[1].count, Some(1));
    let row = thing(&client, "m");
    assert_eq!(row.get("strings"), &Datum::set(["b", "c"]));
    assert_eq!(
        row.get("string_map"),
        &Datum::map([("kept", "3"), ("new", "5"), ("wrong", "4")])
    );
    assert_eq!(row.get("integer"), &Datum::scalar(42_i64));
}

#[test]
fn conditions_select_rows() {
    let server = server();
    let mut client = connect(&server);
    let mut txn = transaction();
    for n in 0..5_i64 {
        let map = Datum::map([("n", n.to_string())]);
        txn.insert(
            "Thing",
            None,
            [
                ("name", Datum::scalar(n.to_string())),
                ("integer", Datum::scalar(n)),
                ("string_map", map),
            ],
        );
    }
    client.transact(&txn).unwrap();
    let conditions = |list: Vec<Condition>| Where::Conditions(list);
    let cases = [
        (Where::All, 5),
        (conditions(vec![Condition::eq("integer", 3_i64)]), 1),
        (
            conditions(vec![
                Condition::new("integer", Function::Gt, Datum::scalar(1_i64)),
                Condition::new("integer", Function::Le, Datum::scalar(3_i64)),
            ]),
            2,
        ),
        (
            conditions(vec![Condition::includes("string_map", Datum::map([("n", "2")]))]),
            1,
        ),
        (
            conditions(vec![Condition::new(
                "string_map",
                Function::Excludes,
                Datum::map([("n", "2")]),
            )]),
            4,
        ),
        (
            conditions(vec![Condition::new("string_map", Function::Eq, Datum::empty())]),
            0,
        ),
        (
            conditions(vec![Condition::new("maybe_string", Function::Eq, Datum::empty())]),
            5,
        ),
        (
            conditions(vec![Condition::new("name", Function::Ne, Datum::scalar("0"))]),
            4,
        ),
    ];
    for (where_, count) in cases {
        let mut txn = transaction();
        txn.select("Thing", where_.clone(), Some(&["_uuid", "name"]));
        assert_eq!(client.transact(&txn).unwrap().results[0].rows.len(), count, "{where_}");
    }
    let mut txn = transaction();
    txn.delete(
        "Thing",
        conditions(vec![Condition::new("integer", Function::Ge, Datum::scalar(2_i64))]),
    );
    assert_eq!(client.transact(&txn).unwrap().results[0].count, Some(3));
}

#[test]
fn an_aborted_transaction_changes_nothing() {
    let server = server();
    let mut client = connect(&server);
    let mut txn = transaction();
    txn.insert("Thing", None, only_name("a")).abort();
    let error = client.transact(&txn).unwrap_err();
    assert!(
        matches!(&error, TransactError::Rejected { operation: Some(1), error, .. } if error == "aborted"),
        "{error:?}"
    );
    let mut txn = transaction();
    txn.select("Thing", Where::All, None).durable();
    assert_eq!(client.transact(&txn).unwrap().results[0].rows, []);
}

#[test]
fn an_unknown_database_is_an_error_before_anything_is_sent() {
    let server = server();
    let mut client = connect(&server);
    let error = client.transact(&ovsdb::Transaction::new("Nonsense")).unwrap_err();
    assert!(
        matches!(&error, TransactError::NotReady(text) if text.contains("Nonsense")),
        "{error:?}"
    );
}

#[test]
fn an_older_server_lacks_columns_and_says_so_before_anything_is_sent() {
    let server = OvsdbServer::start(&[&schema("older.ovsschema")]);
    let mut client = connect(&server);
    let monitors = [
        TableMonitor::new("Thing")
            .columns(["name", "integer", "strings"])
            .index(IndexSpec::column("strings")),
        TableMonitor::new("Part"),
    ];
    client.monitor("Types", &monitors).unwrap();
    client
        .transact(transaction().insert("Thing", Some(Uuid::from_u128(1)), only_name("a")))
        .unwrap();
    let table = client.replica().table("Thing").unwrap();
    assert_eq!(table.columns().iter().map(|c| &**c).collect::<Vec<_>>(), ["name"]);
    assert!(!table.has_column("integer") && client.replica().table("Part").is_none());
    let row = table.get(Uuid::from_u128(1)).unwrap();
    assert_eq!(
        (row.get("name").as_str(), row.get("integer")),
        (Some("a"), &Datum::empty())
    );
    assert_eq!(row.integer("integer").unwrap(), 0);
    assert_eq!(table.find("strings", &"x".into()).count(), 0);

    let mut txn = transaction();
    txn.insert(
        "Thing",
        None,
        [("name", Datum::scalar("b")), ("integer", Datum::scalar(1_i64))],
    );
    assert_eq!(
        client.transact(&txn).unwrap_err(),
        TransactError::UnknownColumn {
            operation: 0,
            table: "Thing".to_owned(),
            column: "integer".to_owned()
        }
    );
    let mut txn = transaction();
    txn.insert("Part", None, only_name("p"));
    let error = client.transact(&txn).unwrap_err();
    assert_eq!(error.to_string(), "operation 0: the server has no table Part");
}

#[test]
fn a_newer_server_has_columns_we_do_not_ask_for() {
    let server = server();
    let mut client = connect(&server);
    let columns = ["name", "string_map"];
    client
        .monitor(
            "Types",
            &[TableMonitor::new("Thing")
                .columns(columns)
                .index(IndexSpec::column("name"))],
        )
        .unwrap();
    client
        .transact(transaction().insert("Thing", None, every_value()))
        .unwrap();
    let name = every_value()[0].1.as_str().unwrap().to_owned();
    let seen: Vec<_> = thing(&client, &name)
        .iter()
        .map(|(column, _)| column.to_string())
        .collect();
    assert_eq!(seen, columns);
}

#[test]
fn values_that_do_not_fit_are_refused_before_anything_is_sent() {
    let server = server();
    let mut client = connect(&server);
    let cases = [
        (
            "integer",
            Datum::scalar("one"),
            "\"one\" is a string, expected a integer",
        ),
        ("integer", Datum::empty(), "[] has 0 elements, expected integer"),
        (
            "maybe_string",
            Datum::set(["a", "b"]),
            "[\"a\", \"b\"] has 2 elements, expected optional string",
        ),
        (
            "string_map",
            Datum::set(["a", "b"]),
            "[\"a\", \"b\"] where map of string to string is expected",
        ),
        (
            "strings",
            Datum::map([("a", "b")]),
            "{\"a\"=\"b\"} where set of string is expected",
        ),
        (
            "kind",
            Datum::scalar("odd"),
            "the server does not know the value \"odd\"",
        ),
    ];
    for (column, datum, reason) in cases {
        let mut txn = transaction();
        txn.insert("Thing", None, [(column, datum)]);
        let error = client.transact(&txn).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("operation 0: column {column} of table Thing: {reason}")
        );
    }
    let mut txn = transaction();
    txn.update("Thing", Where::All, [("fixed", Datum::scalar("x"))]);
    let error = client.transact(&txn).unwrap_err();
    assert!(
        error.to_string().ends_with("cannot be changed after insertion"),
        "{error}"
    );
}
