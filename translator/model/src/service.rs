//! Services and the slices of their endpoints, reduced to what compiling needs.

use std::fmt;
use std::net::IpAddr;

use crate::{Key, Labels, Name, Object, Timestamp};

/// Names a service where only services are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// The service's namespace.
    pub namespace: Name,
    /// The service's name in it.
    pub name: Name,
}

/// Something that is reached under an address of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `metadata.namespace`.
    pub namespace: Name,
    /// `metadata.name`.
    pub name: Name,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// `spec.type`.
    pub r#type: ServiceType,
    /// `spec.clusterIPs` as written, so that one that does not parse can be reported; `None` stands for a headless
    /// service's.
    pub cluster_ips: Box<[Name]>,
    /// `spec.externalIPs` as written.
    pub external_ips: Box<[Name]>,
    /// `ip` of each of `status.loadBalancer.ingress` that hosts are to take for the service's, as written: with an `ipMode`
    /// of `Proxy` they leave it to the load balancer.
    pub ingress_ips: Box<[Name]>,
    /// `spec.loadBalancerSourceRanges` as written; empty where everybody may connect.
    pub source_ranges: Box<[Name]>,
    /// `spec.externalTrafficPolicy`.
    pub external_policy: TrafficPolicy,
    /// `spec.internalTrafficPolicy`.
    pub internal_policy: TrafficPolicy,
    /// `spec.healthCheckNodePort` as written.
    pub health_check_port: Option<i32>,
    /// `spec.ports`.
    pub ports: Box<[ServicePort]>,
    /// Whether it is left to somebody else: labels `service.kubernetes.io/service-proxy-name` and
    /// `service.kubernetes.io/headless`.
    pub left_to_others: bool,
    /// `spec.sessionAffinityConfig.clientIP.timeoutSeconds` where `spec.sessionAffinity` is `ClientIP`.
    pub affinity_seconds: Option<u32>,
    /// Whether pods of every VPC may connect to it: the annotation `meridian.dev/shared`.
    pub shared: bool,
}

/// Which endpoints may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficPolicy {
    /// All.
    #[default]
    Cluster,
    /// Those on the node where the connection comes in.
    Local,
}

/// `spec.type` of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceType {
    /// Reached under its ClusterIPs.
    #[default]
    ClusterIp,
    /// Also reached under a port of every node.
    NodePort,
    /// Also reached under addresses from outside the cluster.
    LoadBalancer,
    /// A name for something elsewhere, which DNS resolves.
    ExternalName,
}

/// One of `spec.ports` of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// `name`, by which slices tell what it is at the endpoints; empty where the service has but one.
    pub name: Name,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`: what the service's addresses are reached under, as written.
    pub port: i32,
    /// `nodePort`: what every node is reached under, as written.
    pub node_port: Option<i32>,
}

/// A transport protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// None of them, as written.
    Other(Name),
}

/// Some of a service's endpoints, all of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// `metadata.namespace`.
    pub namespace: Name,
    /// `metadata.name`.
    pub name: Name,
    /// Label `kubernetes.io/service-name`: the service in the same namespace.
    pub service: Option<Name>,
    /// `addressType`.
    pub address_type: AddressType,
    /// `ports`, which all of its endpoints have.
    pub ports: Box<[EndpointPort]>,
    /// `endpoints`.
    pub endpoints: Box<[Endpoint]>,
    /// Whether somebody wrote it, rather than the controller of slices from the pods there are: label
    /// `endpointslice.kubernetes.io/managed-by`.
    pub by_hand: bool,
}

/// `addressType` of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressType {
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
    /// Names, for others than load balancers.
    Fqdn,
}

/// One of `ports` of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// `name`: that of the service's port.
    pub name: Name,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port` at the endpoints, as written.
    pub port: Option<i32>,
}

/// One of `endpoints` of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The first of `addresses`; no meaning is defined for others.
    pub address: IpAddr,
    /// `conditions`.
    pub state: EndpointState,
    /// `nodeName`: where it runs.
    pub node: Option<Name>,
    /// `hints`, if there are any.
    pub hints: Option<Box<Hints>>,
}

/// For whom an endpoint is meant (`hints` of an endpoint).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// `forZones`.
    pub zones: Box<[Name]>,
    /// `forNodes`.
    pub nodes: Box<[Name]>,
}

/// Networks that ClusterIPs are taken from (`networking.k8s.io` `ServiceCIDR`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCidr {
    /// `metadata.name`.
    pub name: Name,
    /// `spec.cidrs` as written.
    pub cidrs: Box<[Name]>,
}

/// Addresses for services of type `LoadBalancer` (`meridian.dev` `AddressPool`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPool {
    /// `metadata.name`.
    pub name: Name,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// `spec.addresses` as written.
    pub addresses: Box<[Name]>,
    /// `spec.announcement`; none if somebody else routes the addresses to the nodes.
    pub announcement: Option<Announcement>,
}

/// How nodes announce the addresses of a pool to the networks they are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// `interfaces`: on which devices; empty for what each node finds.
    pub interfaces: Box<[Name]>,
    /// `nodeSelector`: the labels of the nodes that may; empty for all.
    pub node_selector: Labels,
}

/// Whether connections may be sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointState {
    /// No.
    Unready,
    /// It is on its way out and still answers: only where nothing is ready.
    Draining,
    /// Yes.
    Ready,
}

impl Service {
    /// What names this service.
    pub fn key(&self) -> ServiceKey {
        ServiceKey::new(self.namespace.clone(), self.name.clone())
    }
}

impl EndpointSlice {
    /// What names this slice.
    pub fn key(&self) -> Key {
        Key::EndpointSlice(self.namespace.clone(), self.name.clone())
    }

    /// The service whose endpoints these are, whether or not it exists.
    pub fn service_key(&self) -> Option<ServiceKey> {
        let service = self.service.clone()?;
        Some(ServiceKey::new(self.namespace.clone(), service))
    }
}

impl ServiceKey {
    /// Names a service.
    pub fn new(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl From<ServiceKey> for Key {
    fn from(key: ServiceKey) -> Self {
        Self::Service(key.namespace, key.name)
    }
}

impl From<ServiceCidr> for Object {
    fn from(cidr: ServiceCidr) -> Self {
        Self::ServiceCidr(cidr)
    }
}

impl From<AddressPool> for Object {
    fn from(pool: AddressPool) -> Self {
        Self::AddressPool(pool)
    }
}

impl From<Service> for Object {
    fn from(service: Service) -> Self {
        Self::Service(service)
    }
}

impl From<EndpointSlice> for Object {
    fn from(slice: EndpointSlice) -> Self {
        Self::EndpointSlice(slice)
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Other(name) => name,
        })
    }
}
