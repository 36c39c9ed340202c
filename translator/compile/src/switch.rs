//! What switches of all units have in common.

use std::sync::Arc;

use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::{load_balancer_group, logical_switch};

use crate::context::Context;

/// Adds a switch. It has no `subnet`: OVN's own address management stays off, addresses are ours to give.
pub(crate) fn add(ctx: &mut Context<'_>, name: Arc<str>) -> Uuid {
    let columns = [
        (logical_switch::NAME, Datum::scalar(&name)),
        (logical_switch::OTHER_CONFIG, Datum::empty()),
    ];
    ctx.row(logical_switch::TABLE, name, columns, [])
}

/// Has a switch have the load balancers of a group.
pub(crate) fn join_group(ctx: &mut Context<'_>, switch: Uuid, group: &str) {
    let group = ctx.uuid(load_balancer_group::TABLE, group);
    ctx.link(
        logical_switch::TABLE,
        switch,
        logical_switch::LOAD_BALANCER_GROUP,
        group,
    );
}
