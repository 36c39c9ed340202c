//! What holds of whatever was compiled, and what it is compared with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnetwork::IpNetwork;
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
        .chain(cluster.policies().map(|policy| (**policy).clone().into()))
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
        let Some(target) = link.value.as_uuid() else {
            assert_eq!(link.table, "Address_Set", "every other link is a reference");
            continue;
        };
        assert!(known.contains(&target), "{link:?} refers to a row that is not there");
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

    check_peers(desired);

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

/// Every peering has both halves, and no VPC has two ways to an address.
fn check_peers(desired: &Desired) {
    let text = |row: &DesiredRow, column: &str| row.get(column).and_then(|datum| datum.as_str().map(str::to_owned));
    let ports = desired.rows("Logical_Router_Port");
    let peers = ports.filter_map(|port| Some((text(port, "name")?, text(port, "peer")?)));
    let peers: BTreeMap<String, String> = peers.collect();
    for (port, peer) in &peers {
        assert_eq!(peers.get(peer), Some(port), "{peer} is not the peer of {port}");
    }
    let mut ways: BTreeMap<Unit, Vec<IpNetwork>> = BTreeMap::new();
    for route in desired.rows("Logical_Router_Static_Route") {
        let network: IpNetwork = text(route, "ip_prefix").unwrap().parse().unwrap();
        if !matches!(route.owner, Unit::Slice(..)) || network.prefix() == 0 {
            continue;
        }
        let others = ways.entry(route.owner.clone()).or_default();
        for other in &*others {
            let overlap = other.contains(network.ip()) || network.contains(other.ip());
            assert!(!overlap, "{} overlaps {other}", route.key);
        }
        others.push(network);
    }
}

pub(super) fn check_equal(compiler: &Compiler, other: &Compiler) {
    assert_eq!(all_rows(compiler.desired()), all_rows(other.desired()));
    assert_eq!(compiler.desired(), other.desired());
    assert_eq!(problems(compiler), problems(other));
    assert_eq!(compiler.claims(), other.claims());
    assert_eq!(compiler.vpcs(), other.vpcs());
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
