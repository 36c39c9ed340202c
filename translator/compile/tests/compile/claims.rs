//! Claims as they are read back from rows.

use meridian_compile::{Claim, Compiler, DesiredRow};
use meridian_model::{Event, Namespace, Node, Pod, Vpc};
use ovsdb::Datum;

use crate::support::Lab;

fn read(row: &DesiredRow) -> Option<Claim> {
    let none = Datum::empty();
    Claim::from_row(row.table, |column| row.get(column).unwrap_or(&none))
}

fn all(lab: &Lab) -> Vec<Claim> {
    let desired = lab.0.desired();
    let mut claims: Vec<Claim> = desired
        .tables()
        .flat_map(|table| desired.rows(table))
        .filter_map(read)
        .collect();
    claims.sort();
    claims
}

#[test]
fn rows_tell_every_claim() {
    let lab = Lab::of(&["10.244.0.0/16", "fd00::/48"])
        .with(Node::test("a"))
        .with(Node::test("b").with_cidrs(["10.244.9.0/24"]))
        .with(Pod::test("shop", "web-0").on("a"))
        .with(Pod::test("shop", "web-1").on("b").with_ips(["10.244.9.77"]));
    assert_eq!(all(&lab), lab.0.claims());
}

#[test]
fn rows_that_were_tampered_with_tell_none() {
    let lab = Lab::of(&["10.244.0.0/16"])
        .with(Node::test("a"))
        .with(Pod::test("shop", "web-0").on("a"));
    for row in ["vpc-default-a", "shop_web-0"] {
        for table in ["Logical_Router_Port", "Logical_Switch_Port"] {
            let Some(mut row) = lab.row(table, row).cloned() else {
                continue;
            };
            for (_, datum) in &mut row.columns {
                *datum = Datum::scalar("nonsense");
            }
            assert_eq!(read(&row), None);
        }
    }
}

#[test]
fn a_pod_that_comes_between_a_piece_and_a_claim_finds_its_vpc() {
    let mut compiler = Compiler::new(Lab::of(&["10.244.0.0/16"]).0.config().clone());
    compiler.apply(Event::apply(Node::test("a")));
    compiler.apply(Event::apply(Vpc::test("blue", ["10.8.0.0/16"])));
    compiler.apply(Event::apply(Namespace::test("sky").in_vpc("blue")));
    compiler.compile_piece(0);
    compiler.apply(Event::apply(Pod::test("sky", "p").on("a")));
    compiler.claim([]);
    compiler.compile();
    assert_eq!(compiler.vpcs()[0].pods, 1);
}
