//! The rows of a small cluster, in full.

use meridian_compile::{Config, Settings};
use meridian_model::{Node, Pod};

use crate::support::Lab;

#[test]
fn rows() {
    let lab = Lab::of(&["10.244.0.0/16", "fd00:10:244::/48"])
        .with(Node::test("a"))
        .with(Pod::test("shop", "web").on("a"));
    println!("{}", lab.dump());
}
