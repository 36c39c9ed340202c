//! The cluster as the compiler sees it: slim, typed, with the joins it needs kept up to date.
//!
//! Whoever watches Kubernetes (or a folder of manifests) turns what it sees into [`Event`]s;
//! [`Cluster::apply`] folds them in and says which objects really changed.
//!
//! This crate does no I/O, knows neither kube nor OVSDB, and judges nothing: an object that makes
//! no sense is stored as it came, and the compiler reports it.

mod attachment;
mod cluster;
mod cluster_policy;
mod intern;
mod object;
mod policy;
mod selector;
mod service;
mod subnet;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
mod vpc;

pub use attachment::{AttachmentConfig, DefinitionKey, NetworkAttachment, NetworkRequest, Networks, PortKey};
pub use cluster::{Cluster, Event};
pub use cluster_policy::{
    Action, ClusterPolicy, ClusterPolicyKey, ClusterPolicyKind, PodsOf, Tier, TierPeer, TierPeers, TierRule,
};
pub use intern::Interner;
pub use object::{Key, Kind, Labels, Name, Namespace, Node, Object, Phase, Pod, PodKey, Timestamp};
pub use policy::{NamedPort, NetworkPolicy, PolicyKey, PolicyPeer, PolicyPort, PolicyRule, PortMatch};
pub use selector::{Requirement, Selector};
pub use service::{
    AddressPool, AddressType, Announcement, Endpoint, EndpointPort, EndpointSlice, EndpointState, Hints, Protocol,
    Service, ServiceCidr, ServiceKey, ServicePort, ServiceType, TrafficPolicy,
};
pub use subnet::{Dhcp, Subnet};
pub use vpc::{Egress, Route, Scope, Vpc, VpcPeering};
