//! VPCs: networks that know nothing of each other.

use crate::{Name, Object, Selector, Timestamp};

/// A network of its own for the pods of some namespaces (`meridian.dev` `Vpc`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    /// `metadata.name`.
    pub name: Name,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// Whether `metadata.deletionTimestamp` is set: what is in it stays, and nothing new comes in.
    pub deleting: bool,
    /// `spec.namespaceSelector`; none for no namespace.
    pub namespaces: Option<Selector>,
    /// `spec.attachments.namespaceSelector`: namespaces beside its own whose pods may have further interfaces in it; none for no
    /// namespace.
    pub attachments: Option<Selector>,
    /// `spec.scope`: which workloads may be in it.
    pub scope: Scope,
    /// `spec.podNetwork.cidrs` as written.
    pub cidrs: Box<[Name]>,
    /// `spec.podNetwork.hostSlice`: the prefix length of what each node has of an IPv4 network.
    pub host_slice_v4: u8,
    /// `spec.podNetwork.hostSliceIPv6`.
    pub host_slice_v6: u8,
    /// `spec.egress.mode`.
    pub egress: Egress,
    /// `spec.services.shared`: whether pods reach the services that are shared with every VPC.
    pub shared_services: bool,
    /// `spec.peers` as written: the VPCs that it is to be connected to.
    pub peers: Box<[Name]>,
    /// `spec.routes`.
    pub routes: Box<[Route]>,
    /// `spec.defaultSubnet`: the Subnet of pods that name none.
    pub default_subnet: Option<Name>,
    /// `spec.dns.servers` as written.
    pub dns_servers: Box<[Name]>,
    /// `spec.dns.searchDomains` as written.
    pub search_domains: Box<[Name]>,
}

/// Where what is for a network beyond a VPC goes first (`spec.routes` of a `Vpc`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `destination` as written.
    pub destination: Name,
    /// `nexthops` as written: addresses of those that forward it.
    pub nexthops: Box<[Name]>,
}

/// What one side of a peering says (`meridian.dev` `VpcPeering`): the same as if the VPC named the peer itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcPeering {
    /// `metadata.name`.
    pub name: Name,
    /// Whether `metadata.deletionTimestamp` is set: it says nothing any more.
    pub deleting: bool,
    /// `spec.vpc`: the VPC that it speaks for.
    pub vpc: Name,
    /// `spec.peer`: the VPC that the other is to be connected to.
    pub peer: Name,
}

/// Which workloads may be in a VPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Pods that are no virtual machines.
    Pods,
    /// Virtual machines.
    VirtualMachines,
    /// Both.
    #[default]
    All,
}

/// How pods of a VPC reach the world outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Egress {
    /// Through their own node, under its address.
    #[default]
    Node,
    /// Through the nodes that `spec.egress.gatewayNodeSelector` selects, under their addresses.
    Gateway(Selector),
    /// Not at all.
    None,
}

impl From<Vpc> for Object {
    fn from(vpc: Vpc) -> Self {
        Self::Vpc(vpc)
    }
}

impl From<VpcPeering> for Object {
    fn from(peering: VpcPeering) -> Self {
        Self::VpcPeering(peering)
    }
}
