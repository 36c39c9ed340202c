//! Facts about a logical port that the node needs to plug it.
//!
//! The compiler writes them into `Logical_Switch_Port.external_ids`; ovn-northd copies those to
//! `Port_Binding.external_ids` (ovn-architecture(7)), where the node agent reads them. So a pod
//! needs no write to the Kubernetes API, and the node no access to it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

/// The unit of the cluster that owns a row (`pod/ns/name`, `node/name`, `vpc/name`).
pub const OWNER: &str = "meridian/owner";
/// Stable key of a row, unique within its table.
pub const KEY: &str = "meridian/key";
/// The cluster a row belongs to, where several share a Northbound database.
pub const CLUSTER: &str = "meridian/cluster";

/// What the port connects, see [`PortKind`].
pub const KIND: &str = "meridian/kind";
/// See [`PortFacts::mac`].
pub const MAC: &str = "meridian/mac";
/// See [`PortFacts::ips`].
pub const IPS: &str = "meridian/ips";
/// See [`PortFacts::gateways`].
pub const GATEWAYS: &str = "meridian/gateways";
/// See [`PortFacts::routes`].
pub const ROUTES: &str = "meridian/routes";
/// See [`PortFacts::sources`].
pub const SOURCES: &str = "meridian/sources";
/// See [`PortFacts::node_ports`].
pub const NODE_PORTS: &str = "meridian/node-ports";
/// See [`PortFacts::mtu`].
pub const MTU: &str = "meridian/mtu";
/// See [`PortFacts::uid`].
pub const UID: &str = "meridian/uid";
/// The VPC that a port is in, if it is not the default one.
pub const VPC: &str = "meridian/vpc";
/// See [`VpcFacts`]: what pods of the VPC reach beyond it.
pub const REACH: &str = "meridian/reach";

/// See [`VpcFacts::networks`].
pub const VPC_NETWORKS: &str = "meridian/vpc-networks";

/// The word of [`REACH`] for services shared with every VPC.
const SERVICES: &str = "services";
/// The word of [`REACH`] for the world outside the cluster.
const OUTSIDE: &str = "outside";

/// What a logical port connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortKind {
    /// A pod's interface, plugged by the CNI plugin.
    Pod,
    /// A leg of the host's own in a VPC, plugged by the node agent.
    Management,
    /// What a host has as a gateway of VPCs. Not this port is plugged, but the one that all gateways have
    /// ([`crate::name::egress_port`]).
    Egress,
}

/// A route the plugged interface needs beside its default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where to.
    pub destination: IpNetwork,
    /// The next hop, an address of the port's router.
    pub via: IpAddr,
}

/// Under which address the host connects to services.
///
/// The address belongs to the logical port and to no device. So what the host sends to a service whose endpoint is a
/// host is forwarded like anybody's when it comes back by the management port, and not taken for forged, as it were with
/// an address of the host's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where to.
    pub destination: IpNetwork,
    /// The source.
    pub address: IpAddr,
}

/// Where services are that are reached under ports of the node (`spec.ports[].nodePort` of a Service).
///
/// The host translates what comes for such a port of any of its addresses to an address that stands for every node in
/// the VPC, the port unchanged. The services' load balancers know that address, so that neither they nor the host
/// depend on which services, or which nodes, there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePorts {
    /// The ports of the host that belong to services, first and last.
    pub ports: RangeInclusive<u16>,
    /// What stands for the node's address.
    pub address: IpAddr,
}

/// What a host needs to know of a VPC beside the default one: what its pods may reach through the host. Nothing else leads out of
/// it, and nothing into it but the host's own connections and services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcFacts {
    /// The VPC's name.
    pub name: String,
    /// Services that are shared with every VPC, the API server and the cluster's DNS among them.
    #[serde(default)]
    pub services: bool,
    /// The world outside the cluster, under the node's address.
    #[serde(default)]
    pub outside: bool,
    /// All of the VPC's networks: what goes to them and comes to the host is for nobody.
    #[serde(default)]
    pub networks: Vec<IpNetwork>,
}

/// Everything the node needs to know of a logical port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortFacts {
    /// What the port connects.
    pub kind: PortKind,
    /// The interface's MAC address, as in `addresses` (`0a:58:0a:f4:00:05`).
    pub mac: String,
    /// Addresses with the prefix length of their switch.
    pub ips: Vec<IpNetwork>,
    /// Default gateways, at most one per family.
    pub gateways: Vec<IpAddr>,
    /// Routes beside the default route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Source addresses that the host translates to, whatever the source before; only for a port towards services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// Ports of the host that belong to services, at most one range per family; only for a port towards services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_ports: Vec<NodePorts>,
    /// MTU in bytes, when the cluster fixes one; otherwise the node derives it from its uplink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// UID of the pod the port was made for; none for a management port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The VPC, if it is not the default one. What is reached from it is told of management ports alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<VpcFacts>,
}

/// Why `external_ids` do not describe a port of Meridian's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortFactsError {
    /// A key is absent.
    #[error("external_ids has no {0}")]
    Missing(&'static str),
    /// A key is there but does not parse.
    #[error("external_ids:{key} is {value:?}: {reason}")]
    Malformed {
        /// The key.
        key: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl PortFacts {
    /// Facts of a port that has nothing yet but its MAC address.
    pub fn new(kind: PortKind, mac: impl Into<String>) -> Self {
        Self {
            kind,
            mac: mac.into(),
            ips: Vec::new(),
            gateways: Vec::new(),
            routes: Vec::new(),
            sources: Vec::new(),
            node_ports: Vec::new(),
            mtu: None,
            uid: None,
            vpc: None,
        }
    }

    /// Whether it is a host's leg in the VPC that every cluster starts with.
    pub fn is_of_default_vpc(&self) -> bool {
        self.kind == PortKind::Management && self.vpc.is_none()
    }

    /// Whether what comes to the host by it may go to the world outside the cluster.
    pub fn reaches_outside(&self) -> bool {
        self.kind == PortKind::Egress || self.vpc.as_ref().is_some_and(|vpc| vpc.outside)
    }

    /// Whether what comes to the host by it may go to services shared with every VPC.
    pub fn reaches_services(&self) -> bool {
        self.vpc.as_ref().is_some_and(|vpc| vpc.services)
    }

    /// The `external_ids` that carry these facts.
    pub fn to_external_ids(&self) -> BTreeMap<&'static str, String> {
        let mut ids = BTreeMap::new();
        let kind = match self.kind {
            PortKind::Pod => "pod",
            PortKind::Management => "management",
            PortKind::Egress => "egress",
        };
        ids.insert(KIND, kind.to_owned());
        ids.insert(MAC, self.mac.clone());
        ids.insert(IPS, words(&self.ips));
        ids.insert(GATEWAYS, words(&self.gateways));
        if !self.routes.is_empty() {
            ids.insert(ROUTES, words(&self.routes));
        }
        if !self.sources.is_empty() {
            ids.insert(SOURCES, words(&self.sources));
        }
        if !self.node_ports.is_empty() {
            ids.insert(NODE_PORTS, words(&self.node_ports));
        }
        if let Some(mtu) = self.mtu {
            ids.insert(MTU, mtu.to_string());
        }
        if let Some(uid) = &self.uid {
            ids.insert(UID, uid.clone());
        }
        if let Some(vpc) = &self.vpc {
            ids.insert(VPC, vpc.name.clone());
            let reach = [(vpc.services, SERVICES), (vpc.outside, OUTSIDE)];
            let reach: Vec<_> = reach.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
            if !reach.is_empty() {
                ids.insert(REACH, reach.join(" "));
            }
            if !vpc.networks.is_empty() {
                ids.insert(VPC_NETWORKS, words(&vpc.networks));
            }
        }
        ids
    }

    /// Reads the facts back; `get` looks a key up in `external_ids`.
    pub fn from_external_ids<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, PortFactsError> {
        let kind = match get(KIND).ok_or(PortFactsError::Missing(KIND))? {
            "pod" => PortKind::Pod,
            "management" => PortKind::Management,
            "egress" => PortKind::Egress,
            other => return Err(malformed(KIND, other, "none of pod, management, egress")),
        };
        let mac = get(MAC).ok_or(PortFactsError::Missing(MAC))?.to_owned();
        let ips = parse_words(IPS, get(IPS).ok_or(PortFactsError::Missing(IPS))?)?;
        let gateways = parse_words(GATEWAYS, get(GATEWAYS).unwrap_or_default())?;
        let routes = parse_words(ROUTES, get(ROUTES).unwrap_or_default())?;
        let sources = parse_words(SOURCES, get(SOURCES).unwrap_or_default())?;
        let node_ports = parse_words(NODE_PORTS, get(NODE_PORTS).unwrap_or_default())?;
        let mtu = get(MTU)
            .map(|text| text.parse().map_err(|e| malformed(MTU, text, e)))
            .transpose()?;
        Ok(Self {
            kind,
            mac,
            ips,
            gateways,
            routes,
            sources,
            node_ports,
            mtu,
            uid: get(UID).map(str::to_owned),
            vpc: get(VPC).map(|name| vpc(name, &get)).transpose()?,
        })
    }
}

fn vpc<'a>(name: &str, get: &impl Fn(&str) -> Option<&'a str>) -> Result<VpcFacts, PortFactsError> {
    let reach = get(REACH).unwrap_or_default();
    let has = |wanted| reach.split_whitespace().any(|word| word == wanted);
    Ok(VpcFacts {
        name: name.to_owned(),
        services: has(SERVICES),
        outside: has(OUTSIDE),
        networks: parse_words(VPC_NETWORKS, get(VPC_NETWORKS).unwrap_or_default())?,
    })
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.destination, self.via)
    }
}

impl std::str::FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (destination, via) = text.split_once('=').ok_or("a route is written destination=gateway")?;
        Ok(Self {
            destination: destination.parse().map_err(|e| format!("{e}"))?,
            via: via.parse().map_err(|e| format!("{e}"))?,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.destination, self.address)
    }
}

impl std::str::FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (destination, address) = text.split_once('=').ok_or("a source is written destination=address")?;
        Ok(Self {
            destination: destination.parse().map_err(|e| format!("{e}"))?,
            address: address.parse().map_err(|e| format!("{e}"))?,
        })
    }
}

impl fmt::Display for NodePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}={}", self.ports.start(), self.ports.end(), self.address)
    }
}

impl std::str::FromStr for NodePorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let how = "ports of nodes are written first-last=address";
        let (ports, address) = text.split_once('=').ok_or(how)?;
        let (first, last) = ports.split_once('-').ok_or(how)?;
        let port = |text: &str| text.parse().map_err(|e| format!("{text:?} is no port: {e}"));
        Ok(Self {
            ports: port(first)?..=port(last)?,
            address: address.parse().map_err(|e| format!("{e}"))?,
        })
    }
}

fn words<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn parse_words<T: std::str::FromStr<Err: fmt::Display>>(
    key: &'static str,
    text: &str,
) -> Result<Vec<T>, PortFactsError> {
    text.split_whitespace()
        .map(|word| word.parse().map_err(|e| malformed(key, text, e)))
        .collect()
}

fn malformed(key: &'static str, value: &str, reason: impl fmt::Display) -> PortFactsError {
    PortFactsError::Malformed {
        key,
        value: value.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> PortFacts {
        PortFacts {
            kind: PortKind::Pod,
            mac: "0a:58:0a:f4:00:05".into(),
            ips: vec!["10.244.0.5/24".parse().unwrap(), "fd00:10:244::5/64".parse().unwrap()],
            gateways: vec!["10.244.0.1".parse().unwrap(), "fd00:10:244::1".parse().unwrap()],
            routes: vec![Route {
                destination: "10.96.0.0/16".parse().unwrap(),
                via: "10.244.0.1".parse().unwrap(),
            }],
            sources: vec![Source {
                destination: "10.96.0.0/16".parse().unwrap(),
                address: "10.244.0.3".parse().unwrap(),
            }],
            node_ports: vec![NodePorts {
                ports: 30_000..=32_767,
                address: "169.254.77.1".parse().unwrap(),
            }],
            mtu: Some(1400),
            uid: Some("1b4e28ba".into()),
            vpc: Some(VpcFacts {
                name: "blue".into(),
                services: true,
                outside: false,
                networks: vec!["10.8.0.0/16".parse().unwrap()],
            }),
        }
    }

    #[test]
    fn facts_survive_external_ids() {
        let ids = facts().to_external_ids();
        let read = PortFacts::from_external_ids(|key| ids.get(key).map(String::as_str));
        assert_eq!(read, Ok(facts()));
    }

    #[test]
    fn external_ids_are_readable_to_a_person() {
        let ids = facts().to_external_ids();
        assert_eq!(ids["meridian/ips"], "10.244.0.5/24 fd00:10:244::5/64");
        assert_eq!(ids["meridian/routes"], "10.96.0.0/16=10.244.0.1");
        assert_eq!(ids["meridian/sources"], "10.96.0.0/16=10.244.0.3");
        assert_eq!(ids["meridian/node-ports"], "30000-32767=169.254.77.1");
    }

    #[test]
    fn a_malformed_address_names_its_key() {
        let mut ids = facts().to_external_ids();
        ids.insert("meridian/ips", "10.244.0.300/24".into());
        let error = PortFacts::from_external_ids(|key| ids.get(key).map(String::as_str));
        assert!(
            error
                .unwrap_err()
                .to_string()
                .starts_with("external_ids:meridian/ips is")
        );
    }
}
