//! What OVN does with a packet, by the rows that are desired: load balancers first, then slices, then the router's routes, the longest
//! prefix first.

use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;
use meridian_model::{Name, PodKey, PortKey};
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::{
    load_balancer, load_balancer_group, logical_router, logical_router_policy, logical_router_static_route,
    logical_switch,
};

use super::Map;
use super::destination::Destination;
use super::exit::Exit;
use super::trail::Step;
use crate::addresses::Fare;
use crate::identity::row_uuid;
use crate::segment::{Segment, Spot};
use crate::slices::{SliceKey, Standing};
use crate::vpcs::{State, SubnetState};
use crate::{DesiredRow, Unit, gateway, ip, service};

/// Where something enters OVN, and from whom.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) spot: Spot,
    /// The logical port.
    pub(super) port: String,
    pub(super) sources: Vec<IpAddr>,
    /// Whether it has the source that hosts have towards services.
    pub(super) of_host: bool,
    /// The pod that sends, by its first interface, if one does.
    pub(super) pod: Option<PodKey>,
}

/// What a load balancer has for an address and port.
#[derive(Clone, Debug)]
pub(super) struct Balanced {
    pub(super) row: String,
    pub(super) service: String,
    pub(super) backends: Vec<SocketAddr>,
}

/// The load balancer of a segment's switch that knows an address and port.
pub(super) fn balance(map: Map<'_>, segment: &Segment, to: &Destination) -> Option<Balanced> {
    let (protocol, address) = (to.protocol, SocketAddr::new(to.address, to.port?));
    let switch = uuid(map, logical_switch::TABLE, &map.world.names.switch_of(segment));
    let groups = links(map, logical_switch::TABLE, switch, logical_switch::LOAD_BALANCER_GROUP);
    let of_groups = groups.into_iter().flat_map(|group| {
        links(
            map,
            load_balancer_group::TABLE,
            group,
            load_balancer_group::LOAD_BALANCER,
        )
    });
    let own = links(map, logical_switch::TABLE, switch, logical_switch::LOAD_BALANCER);
    let vip = address.to_string();
    let found = of_groups.chain(own).find_map(|balancer| {
        let row = map.desired.row(load_balancer::TABLE, balancer)?;
        if row.get(load_balancer::PROTOCOL)?.as_str() != Some(protocol.name()) {
            return None;
        }
        let backends = row.get(load_balancer::VIPS)?.get_str(&vip)?;
        Some((row, backends))
    });
    let (row, backends) = found?;
    Some(Balanced {
        row: row.key.to_string(),
        service: match &row.owner {
            Unit::Service(namespace, name) => format!("service {namespace}/{name}"),
            other => other.to_string(),
        },
        backends: backends.split(',').filter_map(|backend| backend.parse().ok()).collect(),
    })
}

/// Where OVN carries what enters in a segment, past its load balancers.
pub(super) fn carry(map: Map<'_>, spot: &Spot, to: IpAddr) -> (Vec<Step>, Exit) {
    let names = map.world.names;
    let from = &spot.slice();
    if let Some((slice, network)) = slice_with(map, &from.vpc, to) {
        let steps = if spot.segment == Segment::Slice(slice.clone()) {
            vec![row(
                from,
                format!("{to} is in this node's slice {network}"),
                format!("Logical_Switch {}", names.switch_of(&spot.segment)),
            )]
        } else {
            vec![row(
                from,
                format!("{to} is in slice {network} of node {}: tunnelled there", slice.node),
                format!("Logical_Router_Port {}", names.router_port(&slice.vpc, &slice.node)),
            )]
        };
        return deliver(map, steps, &slice, network, to);
    }
    if let Some(subnet) = usable_subnet(map, &from.vpc, to) {
        let name = &subnet.object.name;
        let step = if spot.segment.subnet() == Some(&subnet.key()) {
            let does = format!("{to} is in the same Subnet {name}");
            row(from, does, format!("Logical_Switch {}", names.subnet(name)))
        } else {
            let does = format!("{to} is in Subnet {name}");
            row(
                from,
                does,
                format!("Logical_Router_Port {}", names.subnet_router_port(name)),
            )
        };
        return deliver_in_subnet(map, vec![step], from, subnet, to);
    }
    if let Some((peer, slice, network)) = peer_with(map, &from.vpc, to) {
        let step = row(
            from,
            format!(
                "{to} is in slice {network} of peer {peer} at node {}: tunnelled there",
                slice.node
            ),
            format!("Logical_Router_Port {}", names.peer_port(&from.vpc, &peer)),
        );
        return deliver(map, vec![step], &slice, network, to);
    }
    if let Some((peer, subnet)) = peer_subnet(map, &from.vpc, to) {
        let step = row(
            from,
            format!("{to} is in Subnet {} of peer {peer}", subnet.object.name),
            format!("Logical_Router_Port {}", names.peer_port(&from.vpc, &peer)),
        );
        return deliver_in_subnet(map, vec![step], from, subnet, to);
    }
    if let Some(subnet) = spot.segment.subnet() {
        return leave_subnet(map, from, &subnet.name, to);
    }
    if let Some((policy, service, slice)) = policy(map, from, to) {
        let does = format!(
            "{to} is a ClusterIP of {service} of another VPC: to node {}, which has endpoints",
            slice.node
        );
        let step = row(from, does, format!("Logical_Router_Policy {policy}"));
        return (vec![step], Exit::Host { slice });
    }
    by_routes(map, from, &names.router_port(&from.vpc, &from.node), to)
}

/// Where the router's routes carry what comes in from a slice or Subnet, by the table that it has.
fn by_routes(map: Map<'_>, from: &SliceKey, table: &str, to: IpAddr) -> (Vec<Step>, Exit) {
    let router = map.world.names.router(&from.vpc);
    let ways = routes(map, from, table, to);
    let Some(route) = ways.first() else {
        let step = row(
            from,
            format!("no route leads to {to}: dropped"),
            format!("Logical_Router {router}"),
        );
        return (vec![step], Exit::Nowhere(format!("router {router}")));
    };
    let step = |does: String| row(from, does, format!("Logical_Router_Static_Route {}", route.key));
    let gateways: Vec<Name> = ways
        .iter()
        .filter_map(|route| gateway_of(map, &from.vpc, route))
        .collect();
    if !gateways.is_empty() {
        let does = format!(
            "no network of VPC {} has {to}: out of it by {}, under an address of its own; if it is dead, by another in its place",
            from.vpc,
            match &*gateways {
                [only] => format!("gateway {only}"),
                _ => format!("one of the gateways {}, which a hash tells", list(&gateways)),
            }
        );
        return (vec![step(does)], Exit::Gateways(gateways));
    }
    let hops: Vec<IpAddr> = ways.iter().filter_map(|route| hop_of(route)).collect();
    let forwards = hops.iter().filter_map(|hop| {
        let subnet = usable_subnet(map, &from.vpc, *hop)?;
        Some((*hop, pod_within(map, &Segment::Subnet(subnet.key()), *hop)))
    });
    let forwards: Vec<_> = forwards.collect();
    if !forwards.is_empty() {
        let who = forwards.iter().map(|(hop, port)| match port {
            Some(port) => format!("pod {port} ({hop})"),
            None => format!("{hop}, which nobody has"),
        });
        let does = match &*who.collect::<Vec<_>>() {
            [only] => format!("a route of VPC {} leads {to} to {only}", from.vpc),
            all => format!(
                "a route of VPC {} leads {to} to one of these, which a hash tells: {}",
                from.vpc,
                all.join(", ")
            ),
        };
        let step = Step {
            object: Some(format!("vpc {}", from.vpc)),
            ..step(does)
        };
        return (vec![step], Exit::Forwarded(forwards));
    }
    if let Some((slice, _)) = hops.first().and_then(|hop| slice_with(map, &from.vpc, *hop)) {
        let does = format!(
            "no slice of VPC {} has {to}: out of it by the sender's own host",
            from.vpc
        );
        return (vec![step(does)], Exit::Host { slice });
    }
    let does = format!("nobody has the next hop by which {to} would be reached: dropped");
    (vec![step(does)], Exit::Nowhere(format!("router {router}")))
}

/// The next hop of a route.
fn hop_of(route: &DesiredRow) -> Option<IpAddr> {
    let hop = route.get(logical_router_static_route::NEXTHOP)?;
    hop.as_str()?.parse().ok()
}

/// Out of a Subnet: its VPC's policies go before its routes.
fn leave_subnet(map: Map<'_>, from: &SliceKey, subnet: &Name, to: IpAddr) -> (Vec<Step>, Exit) {
    let names = map.world.names;
    let inside = |vpc: &Name| {
        let networks = map.world.vpcs.get(vpc).map(State::networks).unwrap_or_default();
        networks.iter().any(|(network, _)| network.contains(to))
    };
    let peers = map.world.vpcs.get(&from.vpc).into_iter().flat_map(State::connected);
    if inside(&from.vpc) || peers.into_iter().any(inside) {
        let does = format!("{to} is of the VPC's networks, and nobody has it: dropped");
        let step = row(
            from,
            does,
            format!("Logical_Router_Policy {}", names.inside(&from.vpc, to.is_ipv4())),
        );
        return (vec![step], Exit::Nowhere(format!("router {}", names.router(&from.vpc))));
    }
    let (config, v4) = (map.world.config, to.is_ipv4());
    let by_gateways = map.world.gateways.of_vpc(&from.vpc).next().is_some() && gateway::host(config, v4).is_some();
    let state = map.world.vpcs.get(&from.vpc);
    let is_routed = state.is_some_and(|state| state.routes.iter().any(|route| route.destination.is_ipv4() == v4));
    let services = map.world.service_cidrs.networks();
    let mut own = services.iter().chain(config.cluster_cidrs());
    let of_host = (by_gateways || is_routed) && own.any(|cidr| cidr.contains(to));
    let mut routes = state.into_iter().flat_map(|state| state.routes_for(Some(subnet), v4));
    if !of_host && (by_gateways || routes.any(|route| route.destination.contains(to))) {
        return by_routes(map, from, &names.subnet_router_port(subnet), to);
    }
    let does = format!(
        "no network of VPC {} has {to}: out of it by the sender's own host",
        from.vpc
    );
    let policy = if of_host {
        names.beside_own(&from.vpc, &from.node, v4)
    } else {
        names.beside(&from.vpc, &from.node, v4)
    };
    let step = row(from, does, format!("Logical_Router_Policy {policy}"));
    (vec![step], Exit::Host { slice: from.clone() })
}

/// In a Subnet, to the port that has the address.
fn deliver_in_subnet(
    map: Map<'_>,
    mut steps: Vec<Step>,
    from: &SliceKey,
    subnet: &SubnetState,
    to: IpAddr,
) -> (Vec<Step>, Exit) {
    let names = map.world.names;
    let name = &subnet.object.name;
    if subnet.layouts.iter().any(|layout| layout.gateway == to) {
        let does = format!("{to} is the gateway of the Subnet: the router itself");
        steps.push(row(
            from,
            does,
            format!("Logical_Switch_Port {}", names.subnet_uplink(name)),
        ));
        return (steps, Exit::Router(names.router(&subnet.object.vpc).to_string()));
    }
    let segment = Segment::Subnet(subnet.key());
    let Some(pod) = pod_within(map, &segment, to) else {
        let switch = names.subnet(name);
        let does = format!("no port has {to}: nobody answers who is asked for it, and it is dropped");
        steps.push(row(from, does, format!("Logical_Switch {switch}")));
        return (steps, Exit::Nobody(format!("switch {switch}")));
    };
    let at = map.world.placements.of(&pod).map_or(&from.node, |spot| &spot.node);
    steps.push(Step {
        at: format!("node {at}"),
        does: "delivered".to_owned(),
        object: Some(format!("pod {pod}")),
        row: Some(format!("Logical_Switch_Port {}", names.port(&pod))),
        rule: None,
    });
    (steps, Exit::Pod(pod))
}

/// The Subnet of a VPC that an address is of, if it can be used.
fn usable_subnet<'a>(map: Map<'a>, vpc: &Name, address: IpAddr) -> Option<&'a SubnetState> {
    let subnet = map.world.vpcs.subnet_with(vpc, address)?;
    subnet.is_usable().then_some(subnet)
}

/// The same of a peer.
fn peer_subnet<'a>(map: Map<'a>, vpc: &Name, address: IpAddr) -> Option<(Name, &'a SubnetState)> {
    map.world.vpcs.get(vpc)?.connected().find_map(|peer| {
        let subnet = usable_subnet(map, peer, address)?;
        Some((peer.clone(), subnet))
    })
}

/// In a slice, to the port that has the address.
fn deliver(map: Map<'_>, mut steps: Vec<Step>, slice: &SliceKey, network: IpNetwork, to: IpAddr) -> (Vec<Step>, Exit) {
    let names = map.world.names;
    let mut port = |does: String, name: &str, object: Option<String>| {
        steps.push(Step {
            at: format!("node {}", slice.node),
            does,
            object,
            row: Some(format!("Logical_Switch_Port {name}")),
            rule: None,
        });
    };
    let exit = if to == ip::gateway(network) {
        let router = names.router(&slice.vpc);
        port(
            format!("{to} is the gateway of the slice: the router itself"),
            &names.uplink(&slice.vpc, &slice.node),
            None,
        );
        Exit::Router(router.to_string())
    } else if to == ip::management(network) {
        let name = names.management(&slice.vpc, &slice.node);
        port(
            format!("{to} is the host's own address in VPC {}", slice.vpc),
            &name,
            None,
        );
        Exit::Host { slice: slice.clone() }
    } else if to == ip::service_source(network) && slice.is_default() {
        let name = names.services(&slice.vpc, &slice.node);
        port(format!("{to} is the host's address towards services"), &name, None);
        Exit::Services(slice.clone())
    } else if let Some(pod) = pod_with(map, slice, to) {
        port("delivered".to_owned(), &names.port(&pod), Some(format!("pod {pod}")));
        Exit::Pod(pod)
    } else {
        let switch = names.switch(&slice.vpc, &slice.node);
        steps.push(row(
            slice,
            format!("no port has {to}: nobody answers who is asked for it, and it is dropped"),
            format!("Logical_Switch {switch}"),
        ));
        Exit::Nobody(format!("switch {switch}"))
    };
    (steps, exit)
}

/// The peer of a VPC that has a slice with an address, the slice, and its network.
fn peer_with(map: Map<'_>, vpc: &Name, address: IpAddr) -> Option<(Name, SliceKey, IpNetwork)> {
    map.world.vpcs.get(vpc)?.connected().find_map(|peer| {
        let (slice, network) = slice_with(map, peer, address)?;
        Some((peer.clone(), slice, network))
    })
}

/// The slice of a VPC that an address is in, and its network.
fn slice_with(map: Map<'_>, vpc: &Name, address: IpAddr) -> Option<(SliceKey, IpNetwork)> {
    map.world.cluster.nodes().find_map(|node| {
        let slice = SliceKey::new(vpc.clone(), node.name.clone());
        let network = networks(map, &slice)
            .iter()
            .find(|network| network.contains(address))
            .copied()?;
        Some((slice, network))
    })
}

/// The networks of a slice, none if there is no such slice.
pub(super) fn networks<'a>(map: Map<'a>, slice: &SliceKey) -> &'a [IpNetwork] {
    match map.world.slices.standing(slice) {
        Some(Standing::Slice(networks)) => networks,
        _ => &[],
    }
}

/// The interface of a pod that has an address of a slice.
fn pod_with(map: Map<'_>, slice: &SliceKey, address: IpAddr) -> Option<PortKey> {
    let has =
        |port: &PortKey| matches!(map.world.addresses.fare(port), Some(Fare::Granted(ips)) if ips.contains(&address));
    if slice.is_default() {
        let pods = map
            .world
            .cluster
            .pods_on(&slice.node)
            .map(|pod| PortKey::from(pod.clone()));
        let mut in_default = pods.filter(|port| map.world.placements.of(port).is_none());
        in_default.find(has)
    } else {
        pod_within(map, &slice.clone().into(), address)
    }
}

/// The pod of a segment beside the default VPC's that has an address.
fn pod_within(map: Map<'_>, segment: &Segment, address: IpAddr) -> Option<PortKey> {
    let has =
        |port: &&PortKey| matches!(map.world.addresses.fare(port), Some(Fare::Granted(ips)) if ips.contains(&address));
    map.world.placements.within(segment).find(has).cloned()
}

/// The policy by which the router sends an address to a host, whatever its routes say: its name, for whom, and where to.
fn policy(map: Map<'_>, from: &SliceKey, to: IpAddr) -> Option<(String, String, SliceKey)> {
    let router = uuid(map, logical_router::TABLE, &map.world.names.router(&from.vpc));
    let wanted = service::matches(to);
    let policies = links(map, logical_router::TABLE, router, logical_router::POLICIES);
    let mut rows = policies
        .into_iter()
        .filter_map(|policy| map.desired.row(logical_router_policy::TABLE, policy));
    let row = rows.find(|row| row.get(logical_router_policy::MATCH).and_then(Datum::as_str) == Some(&wanted))?;
    let hop: IpAddr = row.get(logical_router_policy::NEXTHOPS)?.as_str()?.parse().ok()?;
    let service = match &row.owner {
        Unit::Service(namespace, name) => format!("service {namespace}/{name}"),
        other => other.to_string(),
    };
    Some((row.key.to_string(), service, slice_with(map, &from.vpc, hop)?.0))
}

/// The gateway that a route leads to.
fn gateway_of(map: Map<'_>, vpc: &Name, route: &DesiredRow) -> Option<Name> {
    let output = route.get(logical_router_static_route::OUTPUT_PORT)?.as_str()?;
    let mut gateways = map.world.gateways.of_vpc(vpc);
    gateways
        .find(|node| *map.world.names.slot(vpc, node) == *output)
        .cloned()
}

/// Names as a person lists them.
pub(super) fn list(names: &[Name]) -> String {
    names.iter().map(|name| &**name).collect::<Vec<_>>().join(", ")
}

/// The routes that the router takes for what comes in from a slice or Subnet, sorted by key: of several one for each connection. Its port
/// has a table of its own, and ovn-northd looks in no other, whatever ovn-nb(5) says of routes without one.
fn routes<'a>(map: Map<'a>, from: &SliceKey, table: &str, to: IpAddr) -> Vec<&'a DesiredRow> {
    let router = uuid(map, logical_router::TABLE, &map.world.names.router(&from.vpc));
    let all = links(map, logical_router::TABLE, router, logical_router::STATIC_ROUTES);
    let matching = all.into_iter().filter_map(|route| {
        let row = map.desired.row(logical_router_static_route::TABLE, route)?;
        let of = row
            .get(logical_router_static_route::ROUTE_TABLE)?
            .as_str()
            .unwrap_or_default();
        let prefix: IpNetwork = row
            .get(logical_router_static_route::IP_PREFIX)?
            .as_str()?
            .parse()
            .ok()?;
        let applies = *of == *table && prefix.contains(to);
        applies.then_some((prefix.prefix(), row))
    });
    let matching: Vec<_> = matching.collect();
    let longest = matching.iter().map(|(length, _)| *length).max();
    let longest = matching.into_iter().filter(|(length, _)| Some(*length) == longest);
    let mut ways: Vec<_> = longest.map(|(_, row)| row).collect();
    ways.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    ways
}

fn uuid(map: Map<'_>, table: &str, key: &str) -> Uuid {
    row_uuid(map.world.config.cluster_id().map(|id| &**id), table, key)
}

fn links(map: Map<'_>, table: &'static str, parent: Uuid, column: &'static str) -> Vec<Uuid> {
    let links = map.desired.links(table, parent, column);
    links.filter_map(|(atom, _)| atom.as_uuid()).collect()
}

fn row(slice: &SliceKey, does: String, row: String) -> Step {
    Step {
        at: format!("node {}", slice.node),
        does,
        object: None,
        row: Some(row),
        rule: None,
    }
}
