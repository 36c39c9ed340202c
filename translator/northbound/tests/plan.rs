//! Plans on replicas made by hand: what is written, and what is left alone.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed expectation is a failed test"
)]

mod common;

use common::{bare_compiler, compiler, full_plan, node, operations, pod, satisfied, write};
use meridian_api::port::{CLUSTER, OWNER};
use meridian_model::{Event, Key, Pod};
use meridian_northbound::plan::{Plan, RowChange, Sides, prepare};
use meridian_northbound::{Ownership, Scope, empty_replica, plan};
use ovsdb::{Atom, Datum, Replica, Uuid};

const SWITCH: &str = "Logical_Switch";
const PORT: &str = "Logical_Switch_Port";

/// The row of a table with a name.
fn named(replica: &Replica, table: &str, name: &str) -> Uuid {
    let found = replica
        .table(table)
        .unwrap()
        .rows()
        .find(|row| row.get("name").as_str() == Some(name));
    found.unwrap_or_else(|| panic!("no {table} {name}")).uuid()
}

/// Adds a column's value to a row of a replica.
fn set(replica: &mut Replica, table: &str, uuid: Uuid, column: &str, value: Datum) {
    let row = replica.row(table, uuid).unwrap();
    let mut columns: Vec<_> = row.iter().map(|(c, d)| (c.to_string(), d.clone())).collect();
    columns.retain(|(name, _)| name != column);
    columns.push((column.to_owned(), value));
    replica.put(table, uuid, columns);
}

fn owned_ids(owner: &str) -> Datum {
    Datum::map([(OWNER, owner)])
}

#[test]
fn what_is_there_already_is_not_written() {
    let compiler = compiler([node(0), pod("a", 0)]);
    let replica = satisfied(&compiler);
    assert!(full_plan(&compiler, &replica).is_empty());
}

#[test]
fn only_the_columns_that_differ_are_written() {
    let compiler = compiler([node(0), pod("a", 0)]);
    let mut replica = satisfied(&compiler);
    let port = named(&replica, PORT, "ns_a");
    set(&mut replica, PORT, port, "addresses", Datum::set(["unknown"]));
    let plan = full_plan(&compiler, &replica);
    assert_eq!(plan.rows[&(PORT, port)], RowChange::Update(["addresses"].into()));
    assert_eq!(plan.counts().total(), 1);
}

#[test]
fn columns_that_are_not_managed_may_hold_anything() {
    let compiler = compiler([node(0), pod("a", 0)]);
    let mut replica = satisfied(&compiler);
    let switch = named(&replica, SWITCH, "vpc-default-node-0");
    set(&mut replica, SWITCH, switch, "copp", Datum::scalar(Uuid::from_u128(9)));
    assert!(full_plan(&compiler, &replica).is_empty());
}

#[test]
fn rows_of_others_are_never_touched() {
    let compiler = compiler([node(0)]);
    let mut replica = satisfied(&compiler);
    replica.put(SWITCH, Uuid::from_u128(1), [("name", Datum::scalar("somebody's"))]);
    let ids = Datum::map([(OWNER, "node/x"), (CLUSTER, "other")]);
    replica.put(
        SWITCH,
        Uuid::from_u128(2),
        [("name", Datum::scalar("another cluster's")), ("external_ids", ids)],
    );
    assert!(full_plan(&compiler, &replica).is_empty());
}

#[test]
fn rows_of_a_cluster_with_an_id_are_not_those_of_one_without() {
    let mut east = bare_compiler(Some("east"));
    east.apply(Event::Apply(node(0)));
    east.compile();
    let mut replica = satisfied(&compiler([node(0)]));
    let before = replica.len();
    let ownership = Ownership::new(Some("east"));
    let sides = Sides {
        desired: east.desired(),
        replica: &replica,
        ownership: &ownership,
    };
    let counts = plan(sides, &Scope::Full).counts();
    assert_eq!((counts.inserts, counts.updates, counts.deletes), (before, 0, 0));
    replica.put(
        SWITCH,
        Uuid::from_u128(1),
        [("external_ids", Datum::map([(OWNER, "node/x"), (CLUSTER, "east")]))],
    );
    let sides = Sides {
        desired: east.desired(),
        replica: &replica,
        ownership: &ownership,
    };
    assert_eq!(plan(sides, &Scope::Full).counts().deletes, 1);
}

#[test]
fn foreign_ports_stay_on_our_switches_and_ours_leave_foreign_ones() {
    let compiler = compiler([node(0), pod("a", 0)]);
    let mut replica = satisfied(&compiler);
    let (foreign_port, foreign_switch) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let ours = named(&replica, PORT, "ns_a");
    let switch = named(&replica, SWITCH, "vpc-default-node-0");
    let ports = replica.row(SWITCH, switch).unwrap().get("ports").atoms().to_vec();
    replica.put(PORT, foreign_port, [("name", Datum::scalar("vm"))]);
    set(
        &mut replica,
        SWITCH,
        switch,
        "ports",
        Datum::set(ports.into_iter().chain([Atom::from(foreign_port)])),
    );
    replica.put(SWITCH, foreign_switch, [("ports", Datum::set([ours]))]);
    let plan = full_plan(&compiler, &replica);
    assert!(plan.rows.is_empty());
    let links: Vec<_> = plan
        .links
        .keys()
        .map(|link| (link.parent, link.value.clone()))
        .collect();
    assert_eq!(links, [(foreign_switch, Atom::from(ours))]);
}

#[test]
fn a_port_nobody_wants_any_more_leaves_its_switch_and_is_gone() {
    let mut compiler = compiler([node(0), pod("a", 0)]);
    let mut replica = satisfied(&compiler);
    compiler.apply(Event::Delete(Key::pod("ns", "a")));
    let delta = compiler.compile();
    let full = full_plan(&compiler, &replica);
    assert_eq!((full.counts().deletes, full.counts().links), (1, 1));
    let mut scope = Scope::default();
    scope.add_delta(delta);
    let ownership = Ownership::default();
    let part = plan(
        Sides {
            desired: compiler.desired(),
            replica: &replica,
            ownership: &ownership,
        },
        &scope,
    );
    assert_eq!(part, full);
    // Rows that something must hold go with their last holder: no delete operation.
    let groups = full.groups();
    assert_eq!(
        operations(&compiler, &replica, &groups),
        ["assert", "mutate Logical_Switch"]
    );
    write(&compiler, &mut replica);
    assert!(full_plan(&compiler, &replica).is_empty());
}

#[test]
fn a_wiped_database_is_one_transaction_with_parents_first() {
    let compiler = compiler([node(0), pod("a", 0)]);
    let replica = empty_replica();
    let operations = operations(&compiler, &replica, &full_plan(&compiler, &replica).groups());
    assert_eq!(operations[0], "assert");
    let position = |wanted: &str| operations.iter().position(|operation| operation == wanted).unwrap();
    assert!(position("insert Logical_Switch") < position("insert Logical_Switch_Port"));
    assert!(position("insert Logical_Switch_Port") < position("mutate Logical_Switch"));
}

#[test]
fn an_added_link_requires_its_parent_to_be_the_same_still() {
    let mut compiler = compiler([node(0)]);
    let replica = satisfied(&compiler);
    compiler.apply(Event::Apply(pod("a", 0)));
    compiler.compile();
    let groups = full_plan(&compiler, &replica).groups();
    assert_eq!(
        operations(&compiler, &replica, &groups),
        [
            "assert",
            "wait Logical_Switch",
            "insert Logical_Switch_Port",
            "mutate Logical_Switch"
        ]
    );
}

#[test]
fn a_port_waits_for_its_switch() {
    let mut compiler = compiler([node(0)]);
    let replica = satisfied(&compiler);
    compiler.apply(Event::Apply(node(1)));
    compiler.apply(Event::Apply(pod("a", 1)));
    compiler.apply(Event::Apply(pod("b", 0)));
    compiler.compile();
    let without_switches: Vec<_> = full_plan(&compiler, &replica)
        .groups()
        .into_iter()
        .filter(|group| group.row.as_ref().is_some_and(|(table, _, _)| *table == PORT))
        .collect();
    let ownership = Ownership::default();
    let sides = Sides {
        desired: compiler.desired(),
        replica: &replica,
        ownership: &ownership,
    };
    let prepared = prepare(sides, &without_switches, None);
    assert_eq!(prepared.counts.inserts, 1, "only the pod on node-0");
    assert_eq!(
        prepared.waiting.len(),
        3,
        "router port, management port and pod of node-1"
    );
}

#[test]
fn an_address_is_free_before_it_is_used_again() {
    let mut compiler = compiler([
        node(0),
        Pod::test("ns", "a").on("node-0").with_ips(["10.244.0.7"]).into(),
    ]);
    let replica = satisfied(&compiler);
    compiler.apply(Event::Delete(Key::pod("ns", "a")));
    for n in 0..300 {
        compiler.apply(Event::Apply(pod(&format!("x{n}"), 0)));
    }
    compiler.apply(Event::Apply(
        Pod::test("ns", "b").on("node-0").with_ips(["10.244.0.7"]).into(),
    ));
    compiler.compile();
    let old = named(&replica, PORT, "ns_a");
    let groups = full_plan(&compiler, &replica).groups();
    let first = groups[0].row.as_ref().unwrap();
    assert_eq!((first.1, &first.2), (old, &RowChange::Delete));
}

#[test]
fn a_missing_port_is_found_from_its_switch_alone() {
    let compiler = compiler([node(0), pod("a", 0)]);
    let mut replica = satisfied(&compiler);
    let (port, switch) = (
        named(&replica, PORT, "ns_a"),
        named(&replica, SWITCH, "vpc-default-node-0"),
    );
    let ports = replica.row(SWITCH, switch).unwrap().get("ports").atoms().to_vec();
    replica.remove(PORT, port);
    let rest = ports.into_iter().filter(|atom| *atom != Atom::from(port));
    set(&mut replica, SWITCH, switch, "ports", Datum::set(rest));
    let ownership = Ownership::default();
    let sides = Sides {
        desired: compiler.desired(),
        replica: &replica,
        ownership: &ownership,
    };
    for (table, uuid) in [(SWITCH, switch), (PORT, port)] {
        let mut scope = Scope::default();
        scope.add_row(table, uuid);
        assert_eq!(plan(sides, &scope), full_plan(&compiler, &replica), "{table}");
    }
}

#[test]
fn rows_deleted_are_deleted_only_while_they_are_ours() {
    let compiler = compiler([node(0)]);
    let mut replica = satisfied(&compiler);
    let stale = Uuid::from_u128(5);
    replica.put(
        SWITCH,
        stale,
        [("name", Datum::scalar("old")), ("external_ids", owned_ids("node/old"))],
    );
    let found = full_plan(&compiler, &replica);
    assert_eq!(found.rows, [((SWITCH, stale), RowChange::Delete)].into());
    let ownership = Ownership::default();
    let sides = Sides {
        desired: compiler.desired(),
        replica: &replica,
        ownership: &ownership,
    };
    let transaction = prepare(sides, &found.groups(), None).transaction;
    let text = format!("{:?}", transaction.operations()[0]);
    assert!(text.contains("node/old"), "{text}");
}

#[test]
fn a_plan_without_removals_removes_nothing() {
    let mut compiler = compiler([node(0), pod("a", 0)]);
    let replica = satisfied(&compiler);
    compiler.apply(Event::Delete(Key::pod("ns", "a")));
    compiler.apply(Event::Apply(pod("b", 0)));
    compiler.compile();
    let plan = full_plan(&compiler, &replica).without_removals();
    assert_eq!(plan.counts().deletes, 0);
    assert_eq!(plan.counts().inserts, 1);
    assert_ne!(plan, Plan::default());
}

#[test]
fn a_plan_reads_as_names_and_values() {
    let compiler = compiler([node(0), pod("a", 0)]);
    let mut replica = satisfied(&compiler);
    let port = named(&replica, PORT, "ns_a");
    set(&mut replica, PORT, port, "type", Datum::scalar("vtep"));
    let ownership = Ownership::default();
    let sides = Sides {
        desired: compiler.desired(),
        replica: &replica,
        ownership: &ownership,
    };
    let description = full_plan(&compiler, &replica).describe(sides);
    assert_eq!(
        description.to_string(),
        "~ Logical_Switch_Port ns_a (pod/ns/a)\n    type: \"vtep\" -> \"\"\n\
         0 to insert, 1 to update, 0 to delete, 0 links to change.\n"
    );
    let json = serde_json::to_value(&description).unwrap();
    assert_eq!(
        json["rows"][0]["columns"]["type"],
        serde_json::json!({"from": "vtep", "to": ""})
    );
}

#[test]
fn from_half_a_compile_rows_are_added_and_the_rest_is_left_for_later() {
    let before = compiler([node(0), pod("a", 0), pod("gone", 0)]);
    let mut replica = satisfied(&before);
    let now = compiler([node(0), pod("a", 0), pod("new", 0)]);
    let (changed, gone) = (named(&replica, PORT, "ns_a"), named(&replica, PORT, "ns_gone"));
    set(&mut replica, PORT, changed, "addresses", Datum::set(["unknown"]));
    let mut left = Scope::default();
    let additions = full_plan(&now, &replica).additions(Scope::Full, &mut left);
    let counts = additions.counts();
    assert_eq!(
        (counts.inserts, counts.updates, counts.deletes, counts.links),
        (1, 0, 0, 1)
    );
    let Scope::Part(left) = left else {
        panic!("not everything is left")
    };
    assert_eq!(left.rows, [(PORT, changed), (PORT, gone)].into());
    assert_eq!(left.links.len(), 1, "the port that goes is on its switch still");
}
