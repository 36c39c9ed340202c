//! Facts about a service that every node needs: under what it is reached from beyond the cluster, and by what the host
//! hands that on.
//!
//! The compiler writes them as JSON into `external_ids` of a logical port that stands for the service, on a switch that
//! no host has a port of; ovn-northd copies them to `Port_Binding` (ovn-sb(5)), where every node agent reads them.
//! Services that hosts need to know nothing of (those with nothing but ClusterIPs and ports of nodes that any endpoint
//! may answer) have no such port.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

/// The key of `external_ids` that holds [`ServiceFacts`] as JSON.
pub const SERVICE: &str = "meridian/service";

/// What [`crate::port::KIND`] says of a port that stands for a service.
pub const KIND: &str = "service";

/// Everything a host needs to know of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceFacts {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// The VPC of the service's namespace, if it is not the default one. Only a host with endpoints of its own can reach them;
    /// what others send to `clusterIps`, the default VPC carries to one that has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    /// `spec.clusterIPs`, told of services that are `shared` or of another VPC than the default one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_ips: Vec<IpAddr>,
    /// Whether pods of every VPC may connect to `clusterIps`, through their hosts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// `spec.ports`, as far as hosts have to do with them.
    pub ports: Vec<Port>,
    /// Addresses beside ClusterIPs and the hosts' own, each reached by every one of `ports`: `spec.externalIPs` and
    /// `status.loadBalancer.ingress`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Who may connect to addresses that are `restricted` (`spec.loadBalancerSourceRanges`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_ranges: Vec<IpNetwork>,
    /// With `spec.externalTrafficPolicy: Local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Local>,
    /// For how many seconds after its last connection a client is sent to the same endpoint, with
    /// `spec.sessionAffinity: ClientIP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity_seconds: Option<u32>,
}

/// One of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`, under which `addresses` are reached.
    pub port: u16,
    /// `nodePort`, under which every address of the host is reached. Told only with a `local` policy, and of services of
    /// another VPC than the default one: the ports of all other services are handed on without being known
    /// ([`crate::port::NodePorts`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_port: Option<u16>,
    /// Where to the host sends what any endpoint of the service may answer, at most one per family: an address and port
    /// of the VPC that the service's load balancers know.
    pub targets: Vec<SocketAddr>,
    /// With a `local` policy, and of services of another VPC than the default one, the endpoints that answer on each node, by the node's name, of both families: those that are
    /// ready, or where none is, those that are on their way out and still serve. Under the empty name, those of no node;
    /// where there are none at all, the service refuses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, Vec<SocketAddr>>,
}

/// An address of a service from beyond the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// Whether only `sourceRanges` may connect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restricted: bool,
    /// The nodes that may announce the address to the networks they are in, the first that is there before the others. Empty
    /// if announcing it is somebody else's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub announcers: Vec<String>,
    /// Devices to announce it on; empty for those in whose networks the address is, or else that of the default route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
}

/// What comes from beyond the cluster is answered by endpoints of the node it comes to, which see where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Local {
    /// `spec.healthCheckNodePort`, under which load balancers ask a node whether it has endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_port: Option<u16>,
    /// How many endpoints are ready on each node, by the node's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ready: BTreeMap<String, usize>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// Why `external_ids` do not describe a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceFactsError {
    /// The key is absent.
    #[error("external_ids has no {SERVICE}")]
    Missing,
    /// The key is there but does not parse.
    #[error("external_ids:{SERVICE} is {value:?}: {reason}")]
    Malformed {
        /// What it holds.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ServiceFacts {
    /// The value of [`SERVICE`].
    ///
    /// # Panics
    ///
    /// Never: all keys of maps are texts.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("maps have texts as keys, and nothing else can fail")
    }

    /// Reads the facts back; `get` looks a key up in `external_ids`.
    ///
    /// # Errors
    ///
    /// If they are not there or cannot be read.
    pub fn from_external_ids<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, ServiceFactsError> {
        let text = get(SERVICE).ok_or(ServiceFactsError::Missing)?;
        serde_json::from_str(text).map_err(|error| ServiceFactsError::Malformed {
            value: text.to_owned(),
            reason: error.to_string(),
        })
    }
}

impl Protocol {
    /// As OVN and nftables write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ServiceFacts {
        ServiceFacts {
            namespace: "shop".into(),
            name: "web".into(),
            ports: vec![Port {
                protocol: Protocol::Tcp,
                port: 80,
                node_port: Some(30080),
                targets: vec!["10.96.0.7:80".parse().unwrap()],
                endpoints: [("node-1".to_owned(), vec!["10.244.0.4:8080".parse().unwrap()])].into(),
            }],
            addresses: vec![Address {
                address: "198.51.100.7".parse().unwrap(),
                restricted: true,
                announcers: vec!["node-1".into()],
                interfaces: vec![],
            }],
            source_ranges: vec!["192.0.2.0/24".parse().unwrap()],
            local: Some(Local {
                health_check_port: Some(31000),
                ready: [("node-1".to_owned(), 1)].into(),
            }),
            affinity_seconds: None,
            ..ServiceFacts::default()
        }
    }

    #[test]
    fn facts_survive_external_ids() {
        let text = facts().to_json();
        let read = ServiceFacts::from_external_ids(|key| (key == SERVICE).then_some(&*text));
        assert_eq!(read, Ok(facts()));
    }

    #[test]
    fn what_is_usual_is_not_written() {
        let plain = ServiceFacts {
            namespace: "shop".into(),
            name: "web".into(),
            ..ServiceFacts::default()
        };
        assert_eq!(plain.to_json(), r#"{"namespace":"shop","name":"web","ports":[]}"#);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = ServiceFacts::from_external_ids(|_| Some("{}")).unwrap_err();
        assert!(
            error.to_string().starts_with("external_ids:meridian/service is \"{}\""),
            "{error}"
        );
        assert_eq!(
            ServiceFacts::from_external_ids(|_| None),
            Err(ServiceFactsError::Missing)
        );
    }
}
