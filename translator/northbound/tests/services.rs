//! What a service costs to write: planned on replicas made by hand, and written to a real `ovsdb-server`.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed expectation is a failed test"
)]

mod common;

use common::server::{Running, bystander, names, seen, server, transact};
use common::{compiler, full_plan, node, operations, satisfied};
use meridian_compile::{Compiler, row_uuid};
use meridian_model::{EndpointSlice, Event, Key, Object, Service};
use meridian_northbound::plan::{RowChange, Sides, prepare};
use meridian_northbound::{Ownership, plan};
use ovsdb::{Atom, Datum, Mutation, Operation, Replica, Uuid, Where};

const BALANCER: &str = "Load_Balancer";
const GROUP: &str = "Load_Balancer_Group";
const SWITCH: &str = "Logical_Switch";

fn service() -> Object {
    Service::test("shop", "web")
        .under(["10.96.0.7"])
        .with_port("http", 80)
        .with_port("admin", 81)
        .into()
}

fn slice(endpoints: &[&str]) -> Object {
    EndpointSlice::test("shop", "web", "x")
        .with_port("http", 8080)
        .ready(endpoints.iter().copied())
        .into()
}

fn balancer() -> Uuid {
    row_uuid(None, BALANCER, "shop_web_tcp")
}

fn group() -> Uuid {
    row_uuid(None, GROUP, "vpc-default")
}

fn vips(replica: &Replica) -> Option<Datum> {
    Some(replica.row(BALANCER, balancer())?.get("vips").clone())
}

fn members(replica: &Replica) -> Datum {
    replica.row(GROUP, group()).unwrap().get("load_balancer").clone()
}

/// The operations that write the difference, as they are sent.
fn difference(compiler: &Compiler, replica: &Replica) -> Vec<Operation> {
    let ownership = Ownership::default();
    let sides = Sides {
        desired: compiler.desired(),
        replica,
        ownership: &ownership,
    };
    let groups = plan(sides, &meridian_northbound::Scope::Full).groups();
    prepare(sides, &groups, None).transaction.operations().to_vec()
}

#[test]
fn a_service_is_a_row_and_an_element_of_its_group() {
    let mut compiler = compiler([node(0)]);
    let replica = satisfied(&compiler);
    compiler.apply(Event::Apply(service()));
    compiler.compile();
    let groups = full_plan(&compiler, &replica).groups();
    assert_eq!(groups.len(), 1, "row and membership go together");
    assert_eq!(
        operations(&compiler, &replica, &groups),
        [
            "assert",
            "wait Load_Balancer_Group",
            "insert Load_Balancer",
            "mutate Load_Balancer_Group"
        ]
    );
}

#[test]
fn a_change_of_endpoints_is_one_mutation_of_the_frontends_it_concerns() {
    let mut compiler = compiler([node(0), service(), slice(&["10.244.0.5"])]);
    let replica = satisfied(&compiler);
    compiler.apply(Event::Apply(slice(&["10.244.0.5", "10.244.0.6"])));
    compiler.compile();
    let expected = Operation::Mutate {
        table: BALANCER.into(),
        where_: Where::Uuid(balancer()),
        mutations: vec![
            Mutation::delete("vips", Datum::set([Atom::from("10.96.0.7:80")])),
            Mutation::insert(
                "vips",
                Datum::map([("10.96.0.7:80", "10.244.0.5:8080,10.244.0.6:8080")]),
            ),
        ],
    };
    assert_eq!(difference(&compiler, &replica), [expected]);
}

#[test]
fn a_frontend_that_goes_is_only_deleted_and_one_that_comes_only_inserted() {
    let mut compiler = compiler([node(0), service()]);
    let replica = satisfied(&compiler);
    let other = Service::test("shop", "web")
        .under(["10.96.0.7"])
        .with_port("http", 80)
        .with_port("admin", 82);
    compiler.apply(Event::apply(other));
    compiler.compile();
    let [Operation::Mutate { mutations, .. }] = &difference(&compiler, &replica)[..] else {
        panic!("one operation");
    };
    assert_eq!(
        mutations[..],
        [
            Mutation::delete("vips", Datum::set([Atom::from("10.96.0.7:81")])),
            Mutation::insert("vips", Datum::map([("10.96.0.7:82", "")])),
        ]
    );
}

#[test]
fn other_columns_are_written_whole_beside_it() {
    let mut compiler = compiler([node(0), service()]);
    let replica = satisfied(&compiler);
    let sticky = Service::test("shop", "web").under(["10.96.0.8"]).with_port("http", 80);
    compiler.apply(Event::apply(sticky.with_affinity(60)));
    compiler.compile();
    let groups = full_plan(&compiler, &replica).groups();
    assert_eq!(
        operations(&compiler, &replica, &groups),
        ["assert", "update Load_Balancer", "mutate Load_Balancer"]
    );
}

#[test]
fn a_group_is_ours_by_its_identity_alone() {
    let compiler = compiler([]);
    let mut replica = satisfied(&compiler);
    replica.put(GROUP, Uuid::from_u128(7), [("name", Datum::scalar("somebody's"))]);
    assert!(full_plan(&compiler, &replica).is_empty(), "another's stays");
    let orphan = row_uuid(None, GROUP, "vpc-gone");
    replica.put(GROUP, orphan, [("name", Datum::scalar("vpc-gone"))]);
    let found = full_plan(&compiler, &replica);
    assert_eq!(
        found.rows.into_iter().collect::<Vec<_>>(),
        [((GROUP, orphan), RowChange::Delete)]
    );
    let east = row_uuid(Some("east"), GROUP, "east_vpc-default");
    replica.remove(GROUP, orphan);
    replica.put(GROUP, east, [("name", Datum::scalar("east_vpc-default"))]);
    assert!(full_plan(&compiler, &replica).is_empty(), "another cluster's stays");
}

#[tokio::test]
async fn endpoints_are_written_as_they_come_and_a_restart_writes_nothing() {
    let server = server();
    let mut first = Running::with(&server, [node(0), service(), slice(&["10.244.0.5"])]).await;
    first.confirmed().await;
    let session = bystander(&server).await;
    {
        let replica = session.replica();
        assert_eq!(members(&replica), Datum::scalar(balancer()));
        let switch = row_uuid(None, SWITCH, "vpc-default-node-0");
        let groups = replica.row(SWITCH, switch).unwrap().get("load_balancer_group");
        assert_eq!(*groups, Datum::scalar(group()));
    }
    let before = first.log.written();
    for endpoints in [&["10.244.0.5", "10.244.0.6"][..], &["10.244.0.6"], &[]] {
        let expected: Vec<String> = endpoints.iter().map(|ip| format!("{ip}:8080")).collect();
        let expected = Datum::map([("10.96.0.7:80", expected.join(",").as_str()), ("10.96.0.7:81", "")]);
        first.apply([slice(endpoints)]).await;
        seen(&session, "the endpoints", |replica| {
            vips(replica) == Some(expected.clone())
        })
        .await;
    }
    first.confirmed().await;
    assert_eq!(first.log.written() - before, 3, "a row each, and no link");
    first.stop().await;
    let mut second = Running::with(&server, [node(0), service(), slice(&[])]).await;
    second.confirmed().await;
    assert_eq!(second.log.written(), 0);
}

#[tokio::test]
async fn frontends_changed_behind_our_back_are_put_back() {
    let server = server();
    let mut running = Running::with(&server, [node(0), service(), slice(&["10.244.0.5"])]).await;
    running.confirmed().await;
    let session = bystander(&server).await;
    let before = vips(&session.replica()).unwrap();
    transact(&session, |t| {
        let column = "vips";
        let foreign = Mutation::insert(column, Datum::map([("10.96.0.9:80", "10.244.0.9:80")]));
        let stolen = Mutation::delete(column, Datum::set(["10.96.0.7:80"]));
        t.mutate(BALANCER, Where::Uuid(balancer()), [foreign, stolen]);
    })
    .await;
    seen(&session, "the frontends", |replica| {
        vips(replica) == Some(before.clone())
    })
    .await;
    transact(&session, |t| {
        let out = Mutation::delete("load_balancer", Datum::set([balancer()]));
        t.mutate(GROUP, Where::Uuid(group()), [out]);
    })
    .await;
    seen(&session, "the membership", |replica| {
        members(replica) == Datum::scalar(balancer())
    })
    .await;
}

#[tokio::test]
async fn a_service_that_goes_leaves_its_group_and_nothing_else() {
    let server = server();
    let mut running = Running::with(&server, [node(0), service(), slice(&["10.244.0.5"])]).await;
    running.confirmed().await;
    let session = bystander(&server).await;
    running.event(Event::Delete(Key::service("shop", "web"))).await;
    seen(&session, "no balancer", |replica| names(replica, BALANCER).is_empty()).await;
    assert!(members(&session.replica()).is_empty());
}
