//! What the tests of this crate share.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod server;

use meridian_compile::{Compiler, Config, Settings};
use meridian_model::{Event, Node, Object, Pod};
use meridian_northbound::plan::{Group, LinkChange, Plan, RowChange, Sides, prepare};
use meridian_northbound::{Ownership, Scope, empty_replica, plan};
use ovsdb::{Datum, Operation, Replica};

/// A compiler with these objects.
pub fn compiler(objects: impl IntoIterator<Item = Object>) -> Compiler {
    let mut compiler = bare_compiler(None);
    for object in objects {
        compiler.apply(Event::Apply(object));
    }
    compiler.compile();
    compiler
}

/// A compiler without objects.
pub fn bare_compiler(cluster_id: Option<&str>) -> Compiler {
    let settings = Settings {
        cluster_id: cluster_id.map(str::to_owned),
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        ..Settings::default()
    };
    Compiler::new(Config::new(settings).unwrap())
}

/// A node with a slice of its own.
pub fn node(n: usize) -> Object {
    Node::test(&format!("node-{n}"))
        .with_cidrs([format!("10.244.{n}.0/24").as_str()])
        .into()
}

/// A pod on a node.
pub fn pod(name: &str, n: usize) -> Object {
    Pod::test("ns", name).on(&format!("node-{n}")).into()
}

/// The compiler's rows against a replica.
pub fn full_plan(compiler: &Compiler, replica: &Replica) -> Plan {
    let ownership = Ownership::default();
    plan(
        Sides {
            desired: compiler.desired(),
            replica,
            ownership: &ownership,
        },
        &Scope::Full,
    )
}

/// A replica that holds everything the compiler wants.
pub fn satisfied(compiler: &Compiler) -> Replica {
    let mut replica = empty_replica();
    write(compiler, &mut replica);
    assert_eq!(full_plan(compiler, &replica), Plan::default());
    replica
}

/// Does to a replica what a server would do for a full plan, and returns the groups in order.
pub fn write(compiler: &Compiler, replica: &mut Replica) -> Vec<Group> {
    let ownership = Ownership::default();
    let found = full_plan(compiler, replica);
    let groups = found.clone().groups();
    let desired = compiler.desired();
    for ((table, uuid), change) in found.rows {
        let now = replica.row(table, uuid).cloned();
        match change {
            RowChange::Insert | RowChange::Update(_) => {
                let row = desired.row(table, uuid).unwrap();
                let old = now
                    .iter()
                    .flat_map(|row| row.iter().map(|(c, d)| (c.to_string(), d.clone())));
                let new = row.columns.iter().map(|(c, d)| ((*c).to_owned(), d.clone()));
                let columns: Vec<_> = old.chain(new).collect();
                replica.put(table, uuid, columns);
            }
            RowChange::Delete => {
                assert!(ownership.owns(&now.unwrap()));
                replica.remove(table, uuid);
            }
        }
    }
    for (link, change) in found.links {
        let Some(row) = replica.row(link.table, link.parent) else {
            continue;
        };
        let mut columns: Vec<(String, Datum)> = row.iter().map(|(c, d)| (c.to_string(), d.clone())).collect();
        let column = columns.iter_mut().find(|(name, _)| name == link.column).unwrap();
        let atoms = column.1.atoms().iter().filter(|atom| **atom != link.value).cloned();
        let added = (change == LinkChange::Add).then_some(link.value.clone());
        column.1 = Datum::set(atoms.chain(added).collect::<Vec<_>>());
        replica.put(link.table, link.parent, columns);
    }
    groups
}

/// The operations of a plan in one transaction, as `operation table`.
pub fn operations(compiler: &Compiler, replica: &Replica, groups: &[Group]) -> Vec<String> {
    let ownership = Ownership::default();
    let sides = Sides {
        desired: compiler.desired(),
        replica,
        ownership: &ownership,
    };
    let prepared = prepare(sides, groups, Some("lock"));
    assert_eq!(prepared.culprits.len(), prepared.transaction.len());
    prepared.transaction.operations().iter().map(describe).collect()
}

fn describe(operation: &Operation) -> String {
    let verb = match operation {
        Operation::Insert { .. } => "insert",
        Operation::Update { .. } => "update",
        Operation::Mutate { .. } => "mutate",
        Operation::Delete { .. } => "delete",
        Operation::Wait { .. } => "wait",
        Operation::Assert { .. } => return "assert".to_owned(),
        other => panic!("unexpected {other:?}"),
    };
    format!("{verb} {}", operation.table().unwrap())
}
