//! A VPC: its router, the groups of its load balancers, and the switch whose ports stand for its services. What hangs off
//! the router is linked to it by the units of the nodes, what is in the groups and on the switch by those of the services.

use meridian_model::Name;
use ovsdb::Datum;
use ovsdb_schemas::northbound::{load_balancer_group, logical_router, logical_switch};

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
    let names = ctx.names();
    let of_zone = |zone: Option<&Name>| names.load_balancers_of(vpc, zone.map(|zone| &**zone));
    for group in [names.load_balancers(vpc)]
        .into_iter()
        .chain(ctx.places().iter().map(of_zone))
    {
        let columns = [(load_balancer_group::NAME, Datum::scalar(&group))];
        ctx.row(load_balancer_group::TABLE, group, columns, []);
    }
    let switch = names.service_switch(vpc);
    let columns = [
        (logical_switch::NAME, Datum::scalar(&switch)),
        (logical_switch::OTHER_CONFIG, Datum::empty()),
    ];
    ctx.row(logical_switch::TABLE, switch, columns, []);
    report(ctx);
}

/// Reports what objects that services draw on say and makes no sense.
fn report(ctx: &mut Context<'_>) {
    for fault in ctx.service_cidrs().faults() {
        ctx.problem(fault.object.clone(), &*fault.field, &*fault.message);
    }
    for (pool, field, message) in ctx.pools().faults() {
        ctx.problem(pool.clone(), &**field, &**message);
    }
}
