//! Subnets: networks of a VPC that pods on any node are in.

use crate::{Name, Object, Timestamp};

/// A network of a VPC that pods on any node are in (`meridian.dev` `Subnet`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// `metadata.name`.
    pub name: Name,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// Whether `metadata.deletionTimestamp` is set: what is in it stays, and nothing new comes in.
    pub deleting: bool,
    /// `spec.vpc`.
    pub vpc: Name,
    /// `spec.cidrs` as written.
    pub cidrs: Box<[Name]>,
    /// `spec.gateways` as written.
    pub gateways: Box<[Name]>,
    /// `spec.reservedRanges` as written.
    pub reserved: Box<[Name]>,
    /// `spec.dhcp`, if it is enabled.
    pub dhcp: Option<Dhcp>,
}

/// What whoever asks by DHCP is told, all as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dhcp {
    /// `dnsServers`.
    pub dns_servers: Box<[Name]>,
    /// `domainName`.
    pub domain_name: Option<Name>,
    /// `searchDomains`.
    pub search_domains: Box<[Name]>,
    /// `ntpServers`.
    pub ntp_servers: Box<[Name]>,
    /// `leaseTime`, in seconds.
    pub lease_time: i64,
    /// `mtu`, in bytes.
    pub mtu: Option<u16>,
}

impl From<Subnet> for Object {
    fn from(subnet: Subnet) -> Self {
        Self::Subnet(subnet)
    }
}
