//! A VPC: its router, and the group of its load balancers. What hangs off the router is linked to it by the units of the
//! nodes, what is in the group by the units of the services.

use ovsdb::Datum;
use ovsdb_schemas::northbound::{load_balancer_group, logical_router};

use crate::context::Context;

/// How long the router remembers a neighbour that does not talk, in seconds.
const MAC_BINDING_AGE: &str = "300";

pub(crate) fn compile(ctx: &mut Context<'_>, vpc: &str) {
    let name = ctx.names().router(vpc);
    let columns = [
        (logical_router::NAME, Datum::scalar(&name)),
        // Changing any of these makes ovn-northd compute everything anew: they are the same for good.
        (
            logical_router::OPTIONS,
            ctx.map([
                // The router resolves an address when it first sends to it and learns nothing unasked: without this
                // every port would hold a binding for every other it ever heard.
                ("always_learn_from_arp_request", "false"),
                ("dynamic_neigh_routers", "true"),
                ("mac_binding_age_threshold", MAC_BINDING_AGE),
            ]),
        ),
    ];
    ctx.row(logical_router::TABLE, name, columns, []);
    let group = ctx.names().load_balancers(vpc);
    let columns = [(load_balancer_group::NAME, Datum::scalar(&group))];
    ctx.row(load_balancer_group::TABLE, group, columns, []);
}
