//! Hosts: a pod's own host reaches it, whatever policies say, because the kubelet has to.
//!
//! A host's own connections come by its management port, which is on the switch of its pods and on no other, under its address there. To
//! pods in Subnets, which are on no one node, they come by the router, so that there all hosts of the VPC are let in.
//! What the host hands on, as from a client beyond the cluster, comes by that port, too, but under the client's address, and is judged
//! by it.

use ipnetwork::IpNetwork;
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::port_group;

use crate::context::Context;
use crate::names::of_row;
use crate::{address_set, ip};

/// What stands for the hosts' ports and addresses, in all VPCs.
const HOSTS: &str = "hosts";

/// Adds the group of all hosts' ports, and the sets of their addresses.
pub(crate) fn rows(ctx: &mut Context<'_>) {
    let name = of_row(group(ctx));
    let columns = [(port_group::NAME, Datum::scalar(name))];
    ctx.row(port_group::TABLE, HOSTS.into(), columns, []);
    for v4 in [true, false] {
        address_set::add(ctx, set_key(v4).into());
    }
}

/// Has a port by which hosts come be in that, and their addresses.
pub(crate) fn join(ctx: &mut Context<'_>, port: Uuid, networks: &[IpNetwork]) {
    if !ctx.has_policies() {
        return;
    }
    let group = group(ctx);
    ctx.link(port_group::TABLE, group, port_group::PORTS, port);
    for &network in networks {
        let set = address_set::of(ctx, set_key(network.is_ipv4()));
        address_set::put(ctx, set, ip::management(network).to_string());
    }
}

/// What a host sends to a pod of its own.
pub(super) fn matches(ctx: &Context<'_>) -> String {
    let group = of_row(group(ctx));
    let [v4, v6] = [true, false].map(|v4| address_set::name(ctx, set_key(v4)));
    format!("inport == @{group} && (ip4.src == ${v4} || ip6.src == ${v6})")
}

fn group(ctx: &Context<'_>) -> Uuid {
    ctx.uuid(port_group::TABLE, HOSTS)
}

fn set_key(v4: bool) -> &'static str {
    if v4 { "hosts:v4" } else { "hosts:v6" }
}
