//! Under what a service is reached. Must not do I/O.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use meridian_api::service::Protocol;

/// Under what a service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::agent) struct Frontend {
    pub(in crate::agent) at: At,
    pub(in crate::agent) protocol: Protocol,
    pub(in crate::agent) port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::agent) enum At {
    Address(IpAddr),
    /// A ClusterIP, which is the host's to know where the VPC it comes from does not.
    Cluster(IpAddr),
    /// Any address of the host's own.
    Node {
        v4: bool,
    },
}

impl Frontend {
    pub(in crate::agent) fn is_ipv4(&self) -> bool {
        match self.at {
            At::Address(address) | At::Cluster(address) => address.is_ipv4(),
            At::Node { v4 } => v4,
        }
    }
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            At::Address(address) | At::Cluster(address) => {
                write!(f, "{}/{}", SocketAddr::new(address, self.port), self.protocol)
            }
            At::Node { v4 } => {
                let family = if v4 { "IPv4" } else { "IPv6" };
                write!(f, "port {}/{} of the node by {family}", self.port, self.protocol)
            }
        }
    }
}
