//! What real servers were seen to send, applied to a replica: the corner cases of RFC 7047 and `ovsdb-server(7)`.
#![allow(clippy::unwrap_used, reason = "these are tests, and so are their helpers")]

use ovsdb::{
    Condition, DatabaseSchema, Datum, IndexSpec, Replica, ReplicaError, TableMonitor, TransactError, Transaction,
    UpdateFormat, Uuid, Where,
};
use serde_json::{Value, json};

const ROW: &str = "00000000-0000-0000-0000-000000000001";
const OTHER: &str = "00000000-0000-0000-0000-000000000002";

fn schema() -> DatabaseSchema {
    let json = json!({"name": "D", "version": "1.0.0", "tables": {"T": {"isRoot": true, "columns": {
        "name": {"type": "string"},
        "tag": {"type": {"key": "integer", "min": 0, "max": 1}},
        "members": {"type": {"key": "string", "min": 0, "max": "unlimited"}},
        "ids": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
        "pair": {"type": {"key": "string", "value": "string", "min": 0, "max": 1}},
        "two": {"type": {"key": "string", "min": 0, "max": 2}},
        "load": {"type": "real"},
    }}}});
    DatabaseSchema::parse(&json.to_string()).unwrap()
}

fn row_uuid() -> Uuid {
    ROW.parse().unwrap()
}

fn empty() -> Replica {
    Replica::new(&schema(), &[TableMonitor::new("T").index(IndexSpec::column("name"))])
}

/// A replica with one row.
fn holding(row: &Value) -> Replica {
    let mut replica = empty();
    update2(&mut replica, &json!({"initial": row})).unwrap();
    replica
}

fn update2(replica: &mut Replica, change: &Value) -> Result<usize, ReplicaError> {
    replica
        .apply(UpdateFormat::Update2, &json!({"T": {ROW: change}}).to_string())
        .map(|changed| changed.len())
}

fn column<'a>(replica: &'a Replica, column: &str) -> &'a Datum {
    replica.row("T", row_uuid()).unwrap().get(column)
}

#[test]
fn an_initial_row_omits_what_is_at_its_default() {
    let replica = holding(&json!({"name": "p"}));
    assert_eq!(column(&replica, "name"), &Datum::scalar("p"));
    assert_eq!(column(&replica, "members"), &Datum::empty());
    assert_eq!(column(&replica, "load").to_string(), "0.0");
    assert_eq!(column(&replica, "not monitored"), &Datum::empty());
}

#[test]
fn a_difference_of_sets_toggles_its_members() {
    let mut replica = holding(&json!({"members": ["set", ["m1", "m2"]]}));
    update2(&mut replica, &json!({"modify": {"members": ["set", ["m1", "m3"]]}})).unwrap();
    assert_eq!(column(&replica, "members"), &Datum::set(["m2", "m3"]));
}

#[test]
fn a_difference_of_one_member_is_a_bare_atom() {
    let mut replica = holding(&json!({"members": "m1"}));
    update2(&mut replica, &json!({"modify": {"members": "m3"}})).unwrap();
    assert_eq!(column(&replica, "members"), &Datum::set(["m1", "m3"]));
    update2(&mut replica, &json!({"modify": {"members": "m1"}})).unwrap();
    assert_eq!(column(&replica, "members"), &Datum::scalar("m3"));
}

#[test]
fn a_difference_of_maps_adds_changes_and_deletes() {
    let mut replica = holding(&json!({"ids": ["map", [["kept", "1"], ["changed", "2"], ["gone", "3"]]]}));
    let diff = json!(["map", [["changed", "new"], ["gone", "3"], ["added", "4"]]]);
    update2(&mut replica, &json!({"modify": {"ids": diff}})).unwrap();
    assert_eq!(
        column(&replica, "ids"),
        &Datum::map([("kept", "1"), ("changed", "new"), ("added", "4")])
    );
}

#[test]
fn columns_of_at_most_one_element_are_sent_whole() {
    let mut replica = holding(&json!({"tag": 7, "pair": ["map", [["k", "v"]]]}));
    update2(
        &mut replica,
        &json!({"modify": {"tag": 7, "pair": ["map", [["k", "w"]]]}}),
    )
    .unwrap();
    assert_eq!(column(&replica, "tag"), &Datum::scalar(7_i64));
    assert_eq!(column(&replica, "pair"), &Datum::map([("k", "w")]));
    update2(
        &mut replica,
        &json!({"modify": {"tag": ["set", []], "pair": ["map", []]}}),
    )
    .unwrap();
    assert_eq!(column(&replica, "tag"), &Datum::empty());
    assert_eq!(column(&replica, "pair"), &Datum::empty());
}

#[test]
fn a_whole_number_in_a_real_column_is_a_real() {
    let replica = holding(&json!({"load": 2}));
    assert_eq!(column(&replica, "load").to_string(), "2.0");
}

#[test]
fn rows_that_change_nothing_are_not_told() {
    let mut replica = holding(&json!({"name": "p"}));
    assert_eq!(update2(&mut replica, &json!({"modify": {"name": "p"}})).unwrap(), 0);
    assert_eq!(update2(&mut replica, &json!({"modify": {}})).unwrap(), 0);
}

#[test]
fn plain_updates_carry_old_and_new() {
    let mut replica = empty();
    let mut update = |change: Value| replica.apply(UpdateFormat::Update, &json!({"T": {ROW: change}}).to_string());
    let full = |name: &str| json!({"name": name, "tag": ["set", []], "members": ["set", []], "ids": ["map", []]});
    assert_eq!(update(json!({"new": full("a")})).unwrap().len(), 1);
    assert_eq!(
        update(json!({"old": {"name": "a"}, "new": full("b")})).unwrap().len(),
        1
    );
    update(json!({"new": full("again")})).unwrap_err();
    assert_eq!(update(json!({"old": full("b")})).unwrap().len(), 1);
    update(json!({"old": full("b")})).unwrap_err();
    assert!(replica.is_empty());
}

#[test]
fn what_does_not_fit_is_an_error_and_changes_nothing() {
    let mut replica = holding(&json!({"name": "p", "two": ["set", ["a", "b"]]}));
    let before = format!("{replica:?}");
    for change in [
        json!({"insert": {"name": "q"}}),
        json!({"modify": {"two": "c"}}),
        json!({"modify": {"name": 7}}),
        json!({}),
    ] {
        let error = update2(&mut replica, &change).unwrap_err();
        assert!(
            matches!(error, ReplicaError::Inconsistent { .. } | ReplicaError::Malformed(_)),
            "{change}"
        );
    }
    for change in [json!({"modify": {"name": "q"}}), json!({"delete": null})] {
        // The first row alone would fit.
        let updates = json!({"T": {ROW: {"modify": {"name": "new"}}, OTHER: change}});
        let error = replica.apply(UpdateFormat::Update2, &updates.to_string()).unwrap_err();
        assert!(error.to_string().contains(OTHER), "{error}");
    }
    assert_eq!(format!("{replica:?}"), before);
}

#[test]
fn tables_and_columns_nobody_asked_for_are_ignored() {
    let mut replica = empty();
    let updates =
        json!({"New": {ROW: {"insert": {"x": [[]]}}}, "T": {ROW: {"insert": {"future": {"a": 1}, "name": "p"}}}});
    assert_eq!(
        replica
            .apply(UpdateFormat::Update2, &updates.to_string())
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn an_index_follows_its_rows() {
    let mut replica = holding(&json!({"name": "a"}));
    let find = |replica: &Replica, name: &str| {
        replica
            .table("T")
            .unwrap()
            .find("name", &name.into())
            .collect::<Vec<_>>()
    };
    replica.put("T", OTHER.parse().unwrap(), [("name", Datum::scalar("a"))]);
    assert_eq!(find(&replica, "a").len(), 2);
    update2(&mut replica, &json!({"modify": {"name": "b"}})).unwrap();
    assert_eq!((find(&replica, "a").len(), find(&replica, "b")), (1, vec![row_uuid()]));
    update2(&mut replica, &json!({"delete": null})).unwrap();
    assert_eq!((find(&replica, "a").len(), find(&replica, "b").len()), (1, 0));
}

#[test]
fn a_table_of_more_than_64_columns_works_like_any_other() {
    let columns: serde_json::Map<_, _> = (0..70)
        .map(|n| (format!("c{n:02}"), json!({"type": "integer"})))
        .collect();
    let json = json!({"name": "D", "tables": {"T": {"columns": columns}}});
    let mut replica = Replica::new(
        &DatabaseSchema::parse(&json.to_string()).unwrap(),
        &[TableMonitor::new("T")],
    );
    update2(&mut replica, &json!({"insert": {"c00": 1, "c69": 2}})).unwrap();
    update2(&mut replica, &json!({"modify": {"c00": 0, "c42": 3}})).unwrap();
    let row = replica.row("T", row_uuid()).unwrap();
    let set: Vec<_> = row
        .iter_set()
        .map(|(column, datum)| format!("{column}={datum}"))
        .collect();
    assert_eq!(set, ["c42=3", "c69=2"]);
}

#[test]
fn the_json_of_a_transaction_is_what_the_protocol_wants() {
    let mut txn = Transaction::new("D");
    txn.insert(
        "T",
        Some(row_uuid()),
        [
            ("name", Datum::scalar("a")),
            ("ids", Datum::empty()),
            ("members", Datum::empty()),
        ],
    );
    txn.delete("T", Where::Uuid(row_uuid()));
    txn.delete("T", Condition::eq("ids", "x").into())
        .assert_lock("l")
        .comment("c");
    assert_eq!(
        serde_json::to_value(txn.params(Some(&schema()))).unwrap(),
        json!(["D",
            {"op": "insert", "table": "T", "uuid": ROW, "row": {"name": "a", "ids": ["map", []], "members": ["set", []]}},
            {"op": "delete", "table": "T", "where": [["_uuid", "==", ["uuid", ROW]]]},
            {"op": "delete", "table": "T", "where": [["ids", "==", "x"]]},
            {"op": "assert", "lock": "l"},
            {"op": "comment", "comment": "c"},
        ])
    );
}

#[test]
fn an_error_behind_the_results_of_all_operations_fails_the_transaction() {
    let mut txn = Transaction::new("D");
    txn.insert("T", None, [("name", Datum::scalar("a"))]);
    let failed = json!([{"uuid": ["uuid", ROW]}, {"error": "constraint violation", "details": "why"}]).to_string();
    let error = txn.outcome(&failed, None).unwrap_err();
    assert!(
        matches!(&error, TransactError::Rejected { operation: None, .. }),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "transaction rejected: constraint violation: why");

    let made = json!([{"uuid": ["uuid", ROW]}]).to_string();
    assert_eq!(txn.outcome(&made, None).unwrap().results[0].uuid, Some(row_uuid()));
}

#[test]
fn answers_that_make_no_sense_leave_the_outcome_unknown() {
    let mut txn = Transaction::new("D");
    txn.comment("c").comment("d");
    for answer in ["null", "[]", "[{}]", "[null]", "{", "[{\"count\":-1},{}]"] {
        let error = txn.outcome(answer, None).unwrap_err();
        assert!(error.is_outcome_unknown(), "{answer}: {error:?}");
    }
}

#[test]
fn a_refusal_is_readable_whatever_its_form() {
    let txn = Transaction::new("D");
    let text = |error: &str| txn.refusal(error).to_string();
    assert_eq!(
        text(r#"{"error":"unknown database","details":"no D"}"#),
        "transaction rejected: unknown database: no D"
    );
    assert_eq!(text(r#""canceled""#), "transaction rejected: canceled");
    assert_eq!(text("[1]"), "transaction rejected: [1]");
}
