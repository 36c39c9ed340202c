//! [`Claim`]: what was handed out before and is not recorded in the cluster itself.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_api::port::{self, PortFacts, PortKind};
use meridian_model::{Name, PodKey, PortKey};
use ovsdb::Datum;
use ovsdb_schemas::northbound::{logical_router_port, logical_switch_port};

use crate::{Unit, ip, names};

/// Something a former compile handed out. The cluster's own record (`status.podIPs`, `spec.podCIDRs`) goes before it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// Addresses of a pod's interface.
    Pod {
        /// The interface.
        port: PortKey,
        /// The pod's UID then: a pod of the same name with another UID has no right to them.
        uid: Name,
        /// The VPC it was in.
        vpc: Name,
        /// The addresses.
        ips: Box<[IpAddr]>,
    },
    /// What a node has of a VPC.
    Slice {
        /// The VPC.
        vpc: Name,
        /// The node.
        node: Name,
        /// Its networks, at most one per family.
        networks: Box<[IpNetwork]>,
    },
    /// What a VPC has at one of its gateways.
    Gateway {
        /// The VPC.
        vpc: Name,
        /// The node.
        node: Name,
        /// Its addresses, at most one per family.
        addresses: Box<[IpAddr]>,
    },
}

impl Claim {
    /// Reads a claim from a Northbound row, if it carries one: logical ports of pods, and the router ports of slices and gateways.
    /// Whose cluster the row is of, the caller has to see to.
    pub fn from_row<'a>(table: &str, get: impl Fn(&str) -> &'a Datum) -> Option<Self> {
        match table {
            logical_switch_port::TABLE => {
                let ids = get(logical_switch_port::EXTERNAL_IDS);
                let Unit::Pod(namespace, name) = ids.get_str(port::OWNER)?.parse().ok()? else {
                    return None;
                };
                let facts = PortFacts::from_external_ids(|key| ids.get_str(key)).ok()?;
                if facts.kind != PortKind::Pod {
                    return None;
                }
                Some(Self::Pod {
                    port: PortKey {
                        pod: PodKey { namespace, name },
                        // Nothing else in a key has the sign.
                        interface: ids.get_str(port::KEY)?.split_once('@').map(|(_, name)| name.into()),
                    },
                    uid: facts.uid?.into(),
                    vpc: facts.vpc.map_or_else(names::default_vpc, |vpc| vpc.name.into()),
                    ips: facts.ips.iter().map(IpNetwork::ip).collect(),
                })
            }
            logical_router_port::TABLE => {
                let owner = get(logical_router_port::EXTERNAL_IDS).get_str(port::OWNER)?;
                let networks = get(logical_router_port::NETWORKS).atoms().iter();
                let networks = networks.map(|atom| atom.as_str()?.parse::<IpNetwork>().ok());
                let networks: Vec<_> = networks.collect::<Option<_>>()?;
                let (vpc, node) = match owner.parse().ok()? {
                    Unit::Node(node) => (names::default_vpc(), node),
                    Unit::Slice(vpc, node) => (vpc, node),
                    Unit::Gateway(vpc, node) => {
                        let addresses = networks.iter().map(IpNetwork::ip).collect();
                        return Some(Self::Gateway { vpc, node, addresses });
                    }
                    _ => return None,
                };
                let networks = networks.into_iter().map(ip::canonical).collect();
                Some(Self::Slice { vpc, node, networks })
            }
            _ => None,
        }
    }
}

/// The claims among `ours` that speak of neither a party nor a thing that `theirs` speak of.
pub(crate) fn uncontradicted(mut ours: Vec<Claim>, theirs: &[Claim]) -> Vec<Claim> {
    let (mut ports, mut nodes, mut addresses) = (HashSet::new(), HashSet::new(), HashSet::<(&Name, IpAddr)>::new());
    let mut slices = Vec::new();
    let (mut slots, mut slot_addresses) = (HashSet::new(), HashSet::<IpAddr>::new());
    for claim in theirs {
        match claim {
            Claim::Pod { port, vpc, ips, .. } => {
                ports.insert(port);
                addresses.extend(ips.iter().map(|&ip| (vpc, ip)));
            }
            Claim::Slice { vpc, node, networks } => {
                nodes.insert((vpc, node));
                slices.extend(networks.iter().map(|&network| (vpc, network)));
            }
            Claim::Gateway { vpc, node, addresses } => {
                slots.insert((vpc, node));
                slot_addresses.extend(addresses.iter().copied());
            }
        }
    }
    ours.retain(|claim| match claim {
        Claim::Pod { port, vpc, ips, .. } => {
            !ports.contains(port) && !ips.iter().any(|&ip| addresses.contains(&(vpc, ip)))
        }
        Claim::Slice { vpc, node, networks } => {
            let taken = |network: &IpNetwork| {
                let mut others = slices.iter().filter(|(theirs, _)| *theirs == vpc);
                others.any(|&(_, other)| ip::overlap(*network, other))
            };
            !nodes.contains(&(vpc, node)) && !networks.iter().any(taken)
        }
        Claim::Gateway { vpc, node, addresses } => {
            !slots.contains(&(vpc, node)) && !addresses.iter().any(|address| slot_addresses.contains(address))
        }
    });
    ours
}
