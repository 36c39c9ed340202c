//! A VPC: its router and the groups of its load balancers; the default one's has the switch, too, whose ports stand for services
//! of all VPCs. What hangs off the router is linked to it by the units of nodes and slices, what is in the groups and on the switch
//! by those of the services.

use meridian_api::hosts::{HOSTS, HostFacts};
use meridian_model::{Key, Name};
use ovsdb::Datum;
use ovsdb_schemas::northbound::{load_balancer_group, logical_router};

use crate::context::Context;
use crate::names::{DEFAULT_VPC, default_vpc};
use crate::vpcs::State;
use crate::{Peering, egress, gateway, ip, peers, policy, port, switch};

/// How long the router remembers a neighbour that does not talk, in seconds.
const MAC_BINDING_AGE: &str = "300";

pub(crate) fn compile(ctx: &mut Context<'_>, vpc: &Name) {
    let state = if &**vpc == DEFAULT_VPC {
        None
    } else {
        let Some(state) = ctx.vpc(vpc) else { return };
        report_vpc(ctx, state);
        if !state.is_usable() {
            return;
        }
        Some(state)
    };
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
        .chain(ctx.zones_of(vpc).into_iter().map(of_zone))
    {
        let columns = [(load_balancer_group::NAME, Datum::scalar(&group))];
        ctx.row(load_balancer_group::TABLE, group, columns, []);
    }
    if let Some(state) = state {
        peers::ports(ctx, vpc, state);
        egress::inside(ctx, vpc, state);
    } else {
        switch::add(ctx, names.service_switch());
        gateway::egress_switch(ctx);
        if ctx.has_vpcs() {
            hosts(ctx);
        }
        if ctx.has_policies() {
            policy::host_rows(ctx);
            policy::add_meter(ctx);
        }
        report(ctx);
    }
}

/// Tells hosts of each other: they keep VPCs from reaching hosts, and let hosts reach services of VPCs.
fn hosts(ctx: &mut Context<'_>) {
    let default = default_vpc();
    let nodes = || ctx.nodes();
    let facts = HostFacts {
        addresses: nodes().flat_map(|node| node.internal_ips.iter().copied()).collect(),
        sources: nodes()
            .flat_map(|node| ctx.slice_of(&default, &node.name))
            .map(|slice| ip::service_source(*slice))
            .collect(),
    };
    port::tell_hosts(ctx, ctx.names().hosts(), HOSTS, facts.to_json());
}

/// Reports what keeps a VPC from being used, and what is wrong because of it.
fn report_vpc(ctx: &mut Context<'_>, state: &State) {
    let object = || Key::Vpc(state.object.name.clone());
    for (field, message) in &state.faults {
        ctx.problem(object(), &**field, &**message);
    }
    for (object, field, message) in &state.clashes {
        ctx.problem(object.clone(), &**field, &**message);
    }
    let own = state.peers.iter().take(state.object.peers.len());
    for (index, (_, peering)) in own.enumerate() {
        if let Peering::Refused(why) = peering {
            ctx.problem(object(), format!("spec.peers[{index}]"), &**why);
        }
    }
    for fault in &state.route_faults {
        ctx.problem(object(), &*fault.field, &*fault.message);
    }
    gateway::report(ctx, state);
    for (consent, peering) in &state.consents {
        if let Peering::Refused(why) = peering {
            ctx.problem(Key::VpcPeering(consent.clone()), "spec.peer", &**why);
        }
    }
    for (namespace, winner) in &state.lost {
        let message = format!("namespace {namespace} is selected by VPC {winner}, too, which is older and has it");
        ctx.problem(object(), "spec.namespaceSelector", message);
    }
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
