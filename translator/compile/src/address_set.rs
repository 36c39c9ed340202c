//! Address sets: addresses that matches name together. An element more or less is what ovn-northd and ovn-controller handle
//! incrementally.

use std::sync::Arc;

use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::address_set;

use crate::context::Context;
use crate::names::of_row;

/// Adds a set, and yields its name in OVN.
pub(crate) fn add(ctx: &mut Context<'_>, key: Arc<str>) -> (Uuid, Arc<str>) {
    let name = name(ctx, &key);
    let columns = [(address_set::NAME, Datum::scalar(&name))];
    (ctx.row(address_set::TABLE, key, columns, []), name)
}

/// A set, whoever adds it.
pub(crate) fn of(ctx: &Context<'_>, key: &str) -> Uuid {
    ctx.uuid(address_set::TABLE, key)
}

/// The name in OVN of a set, whoever adds it.
pub(crate) fn name(ctx: &Context<'_>, key: &str) -> Arc<str> {
    of_row(of(ctx, key))
}

/// Adds an address or a network to a set.
pub(crate) fn put(ctx: &mut Context<'_>, set: Uuid, element: String) {
    ctx.link(address_set::TABLE, set, address_set::ADDRESSES, element);
}
