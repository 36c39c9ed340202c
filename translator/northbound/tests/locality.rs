//! Load balancers that only some switches have, written to a real `ovsdb-server`.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed expectation is a failed test"
)]

mod common;

use common::server::{Running, bystander, names, seen, server, transact};
use common::{compiler, full_plan, node, operations, satisfied};
use meridian_compile::row_uuid;
use meridian_model::{EndpointSlice, Event, Key, Node, Object, Service, TrafficPolicy};
use meridian_northbound::plan::{Group, RowChange};
use ovsdb::{Datum, Mutation, Replica, Uuid, Where};

const BALANCER: &str = "Load_Balancer";
const SWITCH: &str = "Logical_Switch";
const LINKS: &str = "load_balancer";

/// Answered on each node by endpoints of that node.
fn service() -> Object {
    let service = Service::test("shop", "web").under(["10.96.0.7"]).with_port("http", 80);
    service
        .with_policies(TrafficPolicy::Local, TrafficPolicy::Cluster)
        .into()
}

/// With an endpoint on each of these nodes.
fn slice(nodes: &[usize]) -> Object {
    let slice = EndpointSlice::test("shop", "web", "x").with_port("http", 8080);
    let endpoint = |slice: EndpointSlice, n: &usize| {
        let slice = slice.ready([format!("10.244.{n}.9").as_str()]);
        slice.on(&format!("node-{n}"))
    };
    nodes.iter().fold(slice, endpoint).into()
}

fn switch(n: usize) -> Uuid {
    row_uuid(None, SWITCH, &format!("vpc-default-node-{n}"))
}

fn balancer(n: usize) -> Uuid {
    row_uuid(None, BALANCER, &format!("shop_web_tcp@node/node-{n}"))
}

fn links(replica: &Replica, n: usize) -> Datum {
    let row = replica.row(SWITCH, switch(n));
    row.map_or_else(Datum::empty, |row| row.get(LINKS).clone())
}

#[test]
fn a_load_balancer_of_one_node_is_a_row_and_an_element_of_its_switch() {
    let mut compiler = compiler([node(0), node(1), service(), slice(&[0])]);
    let replica = satisfied(&compiler);
    compiler.apply(Event::Apply(slice(&[0, 1])));
    compiler.compile();
    let groups = full_plan(&compiler, &replica).groups();
    assert_eq!(groups.len(), 1, "row and link go together");
    assert_eq!(
        operations(&compiler, &replica, &groups),
        [
            "assert",
            "wait Logical_Switch",
            "insert Load_Balancer",
            "mutate Logical_Switch"
        ]
    );
}

/// A service with two ports, on nodes of two zones, one port of which has endpoints that are meant for zones or not.
fn zoned(meant: bool) -> Vec<Object> {
    let nodes = [("node-0", "east"), ("node-1", "west")];
    let nodes = nodes.map(|(name, zone)| Object::from(Node::test(name).in_zone(zone)));
    let service = Service::test("shop", "web").under(["10.96.0.7"]);
    let service = service.with_port("http", 80).with_port("https", 443);
    let plain = EndpointSlice::test("shop", "web", "x").with_port("http", 8080);
    let secure = EndpointSlice::test("shop", "web", "y").with_port("https", 8443);
    let zones: &[&str] = if meant { &["east"] } else { &[] };
    let secure = secure.ready(["10.244.0.9"]).meant_for(zones, &[]);
    let slices = [plain.ready(["10.244.0.9"]), secure];
    let slices = slices.map(Object::from);
    nodes.into_iter().chain([service.into()]).chain(slices).collect()
}

#[test]
fn a_frontend_that_moves_is_nowhere_for_no_moment_however_much_is_written() {
    let mut compiler = compiler(zoned(false));
    let replica = satisfied(&compiler);
    for object in zoned(true) {
        compiler.apply(Event::Apply(object));
    }
    compiler.compile();
    let groups = full_plan(&compiler, &replica).groups();
    let changes: Vec<_> = groups
        .iter()
        .filter_map(|group| group.row.as_ref().map(|(_, _, change)| change))
        .collect();
    assert!(
        matches!(
            changes[..],
            [RowChange::Insert, RowChange::Insert, RowChange::Update(_)]
        ),
        "the zones have it before the others lose it: {changes:?}"
    );
    // And back: where all have it first.
    let replica = satisfied(&compiler);
    for object in zoned(false) {
        compiler.apply(Event::Apply(object));
    }
    compiler.compile();
    let groups = full_plan(&compiler, &replica).groups();
    assert!(
        !groups[0].deletes() && groups[1..].iter().all(Group::deletes),
        "{groups:?}"
    );
}

#[tokio::test]
async fn load_balancers_come_to_switches_and_go_with_the_endpoints_and_others_stay() {
    let server = server();
    let foreign = Uuid::from_u128(0x0f0e);
    let mut running = Running::with(&server, [node(0), node(1), service(), slice(&[0])]).await;
    running.confirmed().await;
    let session = bystander(&server).await;
    assert_eq!(links(&session.replica(), 0), Datum::scalar(balancer(0)));
    transact(&session, |t| {
        let columns = [("name", Datum::scalar("somebody's"))];
        t.insert(BALANCER, Some(foreign), columns);
        for n in 0..2 {
            let foreign = Mutation::insert(LINKS, Datum::set([foreign]));
            t.mutate(SWITCH, Where::Uuid(switch(n)), [foreign]);
        }
    })
    .await;
    running.apply([slice(&[1])]).await;
    seen(&session, "another node's", |replica| {
        links(replica, 0) == Datum::scalar(foreign) && links(replica, 1) == Datum::set([foreign, balancer(1)])
    })
    .await;
    running.event(Event::Delete(Key::service("shop", "web"))).await;
    seen(&session, "no service", |replica| {
        names(replica, BALANCER) == ["somebody's"]
    })
    .await;
    for n in 0..2 {
        assert_eq!(links(&session.replica(), n), Datum::scalar(foreign));
    }
    running.confirmed().await;
}

#[tokio::test]
async fn links_changed_behind_our_back_are_put_back() {
    let server = server();
    let mut running = Running::with(&server, [node(0), node(1), service(), slice(&[0])]).await;
    running.confirmed().await;
    let session = bystander(&server).await;
    transact(&session, |t| {
        let ours = || Datum::set([balancer(0)]);
        t.mutate(SWITCH, Where::Uuid(switch(0)), [Mutation::delete(LINKS, ours())]);
        t.mutate(SWITCH, Where::Uuid(switch(1)), [Mutation::insert(LINKS, ours())]);
    })
    .await;
    seen(&session, "the links", |replica| {
        links(replica, 0) == Datum::scalar(balancer(0)) && links(replica, 1).is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_restart_removes_what_is_no_longer_meant_for_a_node() {
    let server = server();
    let mut first = Running::with(&server, [node(0), node(1), service(), slice(&[0, 1])]).await;
    first.confirmed().await;
    first.stop().await;
    let mut second = Running::with(&server, [node(0), node(1), service(), slice(&[1])]).await;
    second.confirmed().await;
    let session = bystander(&server).await;
    assert!(links(&session.replica(), 0).is_empty());
    assert_eq!(links(&session.replica(), 1), Datum::scalar(balancer(1)));
    assert_eq!(names(&session.replica(), BALANCER), ["shop_web_tcp@node/node-1"]);
}
