//! Ways out of a VPC for what comes from a slice or a Subnet: its own routes (`spec.routes`), its gateways, or the sender's own host.
//!
//! ```text
//! table of a slice or Subnet:   services, pods of the default VPC ─> the sender's own host
//!                               10.0.0.0/8 (spec.routes)          ─> [ LRP subnet-edge ] ─> the pod 10.20.0.5
//!                               everything else                   ─> gateways, or the sender's own host
//! ```
//!
//! Of these the longest prefix counts, and those of slices, Subnets and peers are longer, or come before as policies.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_model::Name;
use ovsdb::Uuid;

use crate::context::Context;
use crate::names::Names;
use crate::router::Route;
use crate::{egress, gateway, ip, router};

/// Nobody has it: 169.254.77.0/24 is of those addresses that Meridian itself uses.
const NOBODY: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 9);

/// Where ways out are looked for, in one family.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    pub(crate) vpc: &'a Name,
    /// The Subnet that it is for, if not a slice.
    pub(crate) subnet: Option<&'a Name>,
    /// Which is also the name of the router's port there.
    pub(crate) name: Arc<str>,
    /// Of the route for everything else; names of the others begin with it.
    pub(crate) default: Arc<str>,
    /// By what address the sender's own host is reached, if there is one for all that comes from here.
    pub(crate) host: Option<IpAddr>,
    pub(crate) v4: bool,
    pub(crate) router: Uuid,
}

/// Adds them.
pub(crate) fn outward(ctx: &mut Context<'_>, table: &Table<'_>) {
    let everything = ip::everything(table.v4);
    let own = own(ctx, table);
    let by_gateways = !own.contains(&everything)
        && gateway::default_routes(ctx, table.vpc, &table.name, &table.default, table.v4, table.router);
    if !by_gateways && !own.contains(&everything) {
        to_host(ctx, table, table.default.clone(), everything);
    }
    if !by_gateways && own.is_empty() {
        return;
    }
    // What no slice has, and what the own host is for in any case.
    let of_vpc = ctx.vpc(table.vpc).map(|state| state.network.cidrs());
    let of_vpc = of_vpc.unwrap_or_default().iter().copied();
    let mut others: Vec<IpNetwork> = of_vpc.filter(|cidr| cidr.is_ipv4() == table.v4).collect();
    if table.subnet.is_none() {
        others.extend(egress::own(ctx, table.v4));
    }
    for network in others {
        to_host(ctx, table, Names::own_route(&table.default, network), network);
    }
}

/// Adds the VPC's own routes, and yields for what networks they are.
fn own(ctx: &mut Context<'_>, table: &Table<'_>) -> Vec<IpNetwork> {
    let Some(state) = ctx.vpc(table.vpc) else {
        return Vec::new();
    };
    let mut networks = Vec::new();
    for route in state.routes_for(table.subnet, table.v4) {
        networks.push(route.destination);
        if route.hops.is_empty() {
            let name = Names::own_route(&table.default, route.destination);
            to_nobody(ctx, table, name, route.destination);
        }
        for (hop, subnet) in &route.hops {
            let way = Route {
                table: &table.name,
                prefix: route.destination,
                nexthop: *hop,
                output: Some(ctx.names().subnet_router_port(subnet)),
            };
            let name = Names::hop_route(&table.default, route.destination, *hop);
            router::add_route(ctx, table.router, name, way);
        }
    }
    networks
}

/// To the sender's own host; where a route cannot tell which that is, to nobody, to be overruled ([`egress`]).
fn to_host(ctx: &mut Context<'_>, table: &Table<'_>, name: Arc<str>, prefix: IpNetwork) {
    let Some(host) = table.host else {
        return to_nobody(ctx, table, name, prefix);
    };
    let route = Route {
        table: &table.name,
        prefix,
        nexthop: host,
        output: None,
    };
    router::add_route(ctx, table.router, name, route);
}

fn to_nobody(ctx: &mut Context<'_>, table: &Table<'_>, name: Arc<str>, prefix: IpNetwork) {
    let nobody: IpAddr = NOBODY.into();
    let nexthop = if prefix.is_ipv4() {
        nobody
    } else {
        ip::link_local([nobody]).into()
    };
    let route = Route {
        table: &table.name,
        prefix,
        nexthop,
        // No network of the port's has the next hop.
        output: Some(table.name.clone()),
    };
    router::add_route(ctx, table.router, name, route);
}
