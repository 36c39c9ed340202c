//! What holds of whatever was compiled, and what it is compared with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnetwork::IpNetwork;
use meridian_api::port::PortFacts;
use meridian_compile::{Compiler, Delta, Desired, DesiredRow, LinkId, Problem, Unit};
use meridian_model::{Event, Object};
use ovsdb::Uuid;

use crate::support::{LSP, balancers, vips_of};

/// What somebody knows who only ever looked at what the deltas named.
#[derive(Default)]
pub(super) struct Mirror {
    pub(super) rows: HashMap<(&'static str, Uuid), DesiredRow>,
    pub(super) links: BTreeSet<LinkId>,
}

impl Mirror {
    pub(super) fn follow(&mut self, delta: &Delta, desired: &Desired) {
        for &(table, uuid) in &delta.rows {
            match desired.row(table, uuid) {
                Some(row) => self.rows.insert((table, uuid), row.clone()),
                None => self.rows.remove(&(table, uuid)),
            };
        }
        for link in &delta.links {
            if desired.has_link(link) {
                self.links.insert(link.clone());
            } else {
                self.links.remove(link);
            }
        }
    }
}

pub(super) fn all_rows(desired: &Desired) -> HashMap<(&'static str, Uuid), DesiredRow> {
    let rows = desired.tables().flat_map(|table| desired.rows(table));
    rows.map(|row| ((row.table, row.uuid), row.clone())).collect()
}

pub(super) fn all_links(desired: &Desired) -> BTreeSet<LinkId> {
    let columns = desired.link_columns();
    columns
        .flat_map(|(table, parent, column)| {
            desired.links(table, parent, column).map(move |(atom, _)| LinkId {
                table,
                parent,
                column,
                value: atom.clone(),
            })
        })
        .collect()
}

pub(super) fn problems(compiler: &Compiler) -> Vec<Problem> {
    compiler.problems().cloned().collect()
}

/// The same cluster and claims, compiled in one go, the objects in the order `by` gives.
pub(super) fn from_scratch<K: Ord>(compiler: &Compiler, by: impl Fn(&Object) -> K) -> Compiler {
    let cluster = compiler.cluster();
    let mut objects: Vec<Object> = (cluster.nodes().map(|node| Object::from((**node).clone())))
        .chain(cluster.pods().map(|pod| (**pod).clone().into()))
        .chain(cluster.services().map(|service| (**service).clone().into()))
        .chain(cluster.endpoint_slices().map(|slice| (**slice).clone().into()))
        .chain(cluster.service_cidrs().map(|cidr| (**cidr).clone().into()))
        .chain(cluster.address_pools().map(|pool| (**pool).clone().into()))
        .chain(cluster.namespaces().map(|namespace| (**namespace).clone().into()))
        .chain(cluster.vpcs().map(|vpc| (**vpc).clone().into()))
        .chain(
            cluster
                .network_attachments()
                .map(|definition| (**definition).clone().into()),
        )
        .chain(cluster.subnets().map(|subnet| (**subnet).clone().into()))
        .chain(cluster.vpc_peerings().map(|peering| (**peering).clone().into()))
        .chain(cluster.policies().map(|policy| (**policy).clone().into()))
        .chain(cluster.cluster_policies().map(|policy| (**policy).clone().into()))
        .collect();
    objects.sort_by_cached_key(by);
    let mut fresh = Compiler::new(compiler.config().clone());
    fresh.claim(compiler.claims());
    for object in objects {
        fresh.apply(Event::Apply(object));
    }
    fresh.compile();
    fresh
}

pub(super) fn check_consistency(desired: &Desired) {
    let rows = all_rows(desired);
    let known: BTreeSet<Uuid> = rows.keys().map(|&(_, uuid)| uuid).collect();
    assert_eq!(known.len(), rows.len(), "a UUID names one row of one table");
    for link in all_links(desired) {
        assert!(
            rows.contains_key(&(link.table, link.parent)),
            "{link:?} is on a row that is not there"
        );
        match link.value.as_uuid() {
            Some(target) => assert!(known.contains(&target), "{link:?} refers to a row that is not there"),
            None => assert_eq!(link.table, "Address_Set", "{link:?} is no reference"),
        }
    }

    for switch in desired.rows("Logical_Switch") {
        let mut known = BTreeSet::new();
        for balancer in balancers(desired, switch.uuid) {
            let protocol = balancer.get("protocol").map(ToString::to_string);
            for frontend in vips_of(balancer).into_keys() {
                let vip = (protocol.clone(), frontend);
                assert!(!known.contains(&vip), "{} has {vip:?} twice", switch.key);
                known.insert(vip);
            }
        }
    }

    // ovn-northd leaves out all but one port of a name, be they of switches or of routers.
    let mut ports = BTreeSet::new();
    for row in ["Logical_Switch_Port", "Logical_Router_Port"]
        .into_iter()
        .flat_map(|table| desired.rows(table))
    {
        assert!(
            ports.insert(row.get("name").unwrap().to_string()),
            "{} is there twice",
            row.key
        );
    }

    check_peers(desired);
    check_attachments(desired);
    check_gateways(desired);

    for route in desired.rows("Logical_Router_Static_Route") {
        // ovn-northd looks for what comes in by a slice in the slice's own table alone.
        let table = route
            .get("route_table")
            .and_then(|table| table.as_str())
            .unwrap_or_default();
        let port = desired.rows("Logical_Router_Port").find(|port| &*port.key == table);
        assert!(port.is_some(), "{} is in a table of no port: {table:?}", route.key);
    }

    let mut holders: BTreeMap<(&str, String), &str> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for row in rows.values() {
        if row.table == "Load_Balancer_Group" {
            assert_eq!(row.get("name").and_then(|name| name.as_str()), Some(&*row.key));
        } else {
            let ids = row.get("external_ids").expect("every other row has external_ids");
            assert_eq!(
                ids.get_str("meridian/owner").map(str::parse::<Unit>),
                Some(Ok(row.owner.clone()))
            );
            assert_eq!(ids.get_str("meridian/key"), Some(&*row.key));
        }
        assert!(
            keys.insert((row.table, &row.key)),
            "{} {} is there twice",
            row.table,
            row.key
        );
        assert!(row.columns.is_sorted_by(|a, b| a.0 < b.0));
        if row.table == LSP {
            let addresses = row
                .get("addresses")
                .and_then(|datum| datum.as_str())
                .unwrap_or_default();
            for ip in addresses.split(' ').skip(1) {
                let vpc = row.get("external_ids").and_then(|ids| ids.get_str("meridian/vpc"));
                let other = holders.insert((vpc.unwrap_or("default"), ip.to_owned()), &row.key);
                assert_eq!(other, None, "{ip} of VPC {vpc:?} is also on {}", row.key);
            }
        }
    }
}

/// Each slot has an address, a MAC address and a chassis of its own, and whatever leads to slots leads to all of its VPC.
fn check_gateways(desired: &Desired) {
    let (mut addresses, mut routes) = (BTreeSet::new(), BTreeMap::<(Unit, bool), usize>::new());
    let mut slots = BTreeMap::<String, usize>::new();
    for port in desired.rows("Logical_Router_Port") {
        let Unit::Gateway(vpc, _) = &port.owner else { continue };
        *slots.entry(vpc.to_string()).or_default() += 1;
        for column in ["mac", "networks"] {
            for value in port.get(column).unwrap().atoms() {
                assert!(
                    addresses.insert(value.clone()),
                    "{value:?} of {} is another's, too",
                    port.key
                );
            }
        }
        let priorities: Vec<_> = desired
            .links("Logical_Router_Port", port.uuid, "gateway_chassis")
            .map(|(chassis, _)| desired.row("Gateway_Chassis", chassis.as_uuid().unwrap()).unwrap())
            .map(|chassis| {
                (
                    chassis.get("priority").unwrap().clone(),
                    chassis.get("chassis_name").unwrap().clone(),
                )
            })
            .collect();
        let distinct = |of: fn(&(ovsdb::Datum, ovsdb::Datum)) -> &ovsdb::Datum| {
            priorities
                .iter()
                .map(of)
                .map(ToString::to_string)
                .collect::<BTreeSet<_>>()
                .len()
        };
        assert!(!priorities.is_empty() && distinct(|(priority, _)| priority) == priorities.len());
        assert_eq!(distinct(|(_, name)| name), priorities.len(), "{}", port.key);
    }
    for route in desired.rows("Logical_Router_Static_Route") {
        let prefix = route.get("ip_prefix").unwrap().as_str().unwrap().to_owned();
        if let Unit::Slice(vpc, _) = &route.owner
            && prefix.ends_with("/0")
        {
            let output = route.get("output_port").and_then(|port| port.as_str());
            let by_slot = output.is_some_and(|port| port.starts_with(&format!("egress-{vpc}.")));
            let way = match output {
                _ if by_slot => 1,
                None => 1000,
                // One of the VPC's own routes.
                Some(_) => 1_000_000,
            };
            *routes.entry((route.owner.clone(), prefix.contains(':'))).or_default() += way;
        }
    }
    for ((unit, _), count) in routes {
        let Unit::Slice(vpc, _) = &unit else { continue };
        let all = slots.get(&**vpc).copied().unwrap_or_default();
        let is_own = count > 0 && count % 1_000_000 == 0;
        assert!(
            is_own || count == 1000 || count == all,
            "{unit}: {count} of {all} ways out"
        );
    }
    for translation in desired.rows("NAT") {
        let port = translation.get("gateway_port").unwrap().atoms()[0].as_uuid().unwrap();
        assert!(
            desired.row("Logical_Router_Port", port).is_some(),
            "{}",
            translation.key
        );
    }
}

/// Every peering has both halves, and no VPC has two ways to an address: its own routes are for what no other is for.
fn check_peers(desired: &Desired) {
    let text = |row: &DesiredRow, column: &str| row.get(column).and_then(|datum| datum.as_str().map(str::to_owned));
    let ports = desired.rows("Logical_Router_Port");
    let peers = ports.filter_map(|port| Some((text(port, "name")?, text(port, "peer")?)));
    let peers: BTreeMap<String, String> = peers.collect();
    for (port, peer) in &peers {
        assert_eq!(peers.get(peer), Some(port), "{peer} is not the peer of {port}");
    }
    let mut ways: BTreeMap<Unit, Vec<(IpNetwork, bool)>> = BTreeMap::new();
    for route in desired.rows("Logical_Router_Static_Route") {
        let network: IpNetwork = text(route, "ip_prefix").unwrap().parse().unwrap();
        if !matches!(route.owner, Unit::Slice(..) | Unit::Subnet(_)) || network.prefix() == 0 {
            continue;
        }
        let of_vpc =
            text(route, "output_port").is_some_and(|port| port.starts_with("subnet-") || port.starts_with("vpc-"));
        let others = ways.entry(route.owner.clone()).or_default();
        for (other, theirs) in &*others {
            let overlap = other.contains(network.ip()) || network.contains(other.ip());
            let gives_way = match (of_vpc, theirs) {
                (false, false) => false,
                (true, false) => network.prefix() < other.prefix(),
                (false, true) => other.prefix() < network.prefix(),
                (true, true) => true,
            };
            assert!(!overlap || gives_way, "{} overlaps {other}", route.key);
        }
        others.push((network, of_vpc));
    }
}

/// Of a pod's interfaces none has the network of another, nor have two a route to one address. A route may lead to more than another
/// interface's network, which is longer and wins.
fn check_attachments(desired: &Desired) {
    let mut reached: BTreeMap<Unit, Vec<(bool, IpNetwork)>> = BTreeMap::new();
    for port in desired.rows(LSP) {
        if !matches!(port.owner, Unit::Pod(..)) {
            continue;
        }
        let ids = port.get("external_ids").expect("a port has external_ids");
        let facts = PortFacts::from_external_ids(|key| ids.get_str(key)).expect("the facts can be read");
        let is_first = !port.key.contains('@');
        assert_eq!(is_first, !facts.gateways.is_empty(), "{}", port.key);
        let routes = facts.routes.iter().map(|route| (true, route.destination));
        let own = facts.ips.iter().map(|ip| (false, *ip));
        let networks: Vec<(bool, IpNetwork)> = routes.chain(own).collect();
        let others = reached.entry(port.owner.clone()).or_default();
        for &(is_route, network) in &networks {
            let clashes = |&&(other_is_route, other): &&(bool, IpNetwork)| {
                let overlaps = other.contains(network.ip()) || network.contains(other.ip());
                let wins = |route: IpNetwork, own: IpNetwork| route.prefix() < own.prefix();
                overlaps
                    && match (is_route, other_is_route) {
                        (true, false) => !wins(network, other),
                        (false, true) => !wins(other, network),
                        _ => true,
                    }
            };
            let other = others.iter().find(clashes);
            assert_eq!(other, None, "{network} of {} is another interface's, too", port.key);
        }
        others.extend(networks);
    }
}

pub(super) fn check_equal(compiler: &Compiler, other: &Compiler) {
    let (ours, theirs) = (all_rows(compiler.desired()), all_rows(other.desired()));
    let without = |rows: &HashMap<_, _>, others: &HashMap<_, _>| -> Vec<DesiredRow> {
        let different = rows.iter().filter(|(id, row)| others.get(*id) != Some(*row));
        different.map(|(_, row): (_, &DesiredRow)| row.clone()).collect()
    };
    assert_eq!(without(&ours, &theirs), without(&theirs, &ours));
    assert_eq!(compiler.desired(), other.desired());
    assert_eq!(problems(compiler), problems(other));
    assert_eq!(compiler.claims(), other.claims());
    assert_eq!(compiler.vpcs(), other.vpcs());
    assert_eq!(compiler.subnets(), other.subnets());
    assert_eq!(compiler.vpc_peerings(), other.vpc_peerings());
}

/// A cheap stand-in for a random order that proptest can still shrink.
pub(super) fn scramble(salt: u64) -> impl Fn(&Object) -> u64 {
    move |object| {
        let text = object.key().to_string();
        text.bytes().fold(salt, |hash, byte| {
            (hash ^ u64::from(byte))
                .wrapping_mul(0x0000_0100_0000_01b3)
                .rotate_left(17)
        })
    }
}
