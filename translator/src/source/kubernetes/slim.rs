//! [`Slim`]: an object reduced to the model while it is read.
//!
//! A list holds a few words of each object, and one that cannot be read is a value like any other, so that no object can
//! wedge a watch.

use std::fmt;
use std::marker::PhantomData;

use kube::Resource;
use meridian_model::{ClusterPolicyKind, Key, Kind, Object};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::list_watch::Seen;
use crate::source::convert::{self, InvalidObject};

/// Which kind of the model a Kubernetes type becomes.
pub(super) trait Modelled: Resource<DynamicType = ()> + 'static {
    const KIND: Kind;
}

impl Modelled for k8s_openapi::api::core::v1::Node {
    const KIND: Kind = Kind::Node;
}

impl Modelled for k8s_openapi::api::core::v1::Namespace {
    const KIND: Kind = Kind::Namespace;
}

impl Modelled for k8s_openapi::api::core::v1::Pod {
    const KIND: Kind = Kind::Pod;
}

impl Modelled for k8s_openapi::api::core::v1::Service {
    const KIND: Kind = Kind::Service;
}

impl Modelled for k8s_openapi::api::discovery::v1::EndpointSlice {
    const KIND: Kind = Kind::EndpointSlice;
}

impl Modelled for k8s_openapi::api::networking::v1::ServiceCIDR {
    const KIND: Kind = Kind::ServiceCidr;
}

impl Modelled for meridian_api::address_pool::AddressPool {
    const KIND: Kind = Kind::AddressPool;
}

impl Modelled for meridian_api::vpc::Vpc {
    const KIND: Kind = Kind::Vpc;
}

impl Modelled for meridian_api::attachment::NetworkAttachmentDefinition {
    const KIND: Kind = Kind::NetworkAttachment;
}

impl Modelled for meridian_api::subnet::Subnet {
    const KIND: Kind = Kind::Subnet;
}

impl Modelled for meridian_api::vpc_peering::VpcPeering {
    const KIND: Kind = Kind::VpcPeering;
}

impl Modelled for k8s_openapi::api::networking::v1::NetworkPolicy {
    const KIND: Kind = Kind::NetworkPolicy;
}

impl Modelled for meridian_api::cluster_policy::ClusterNetworkPolicy {
    const KIND: Kind = Kind::ClusterPolicy(ClusterPolicyKind::ClusterNetworkPolicy);
}

impl Modelled for meridian_api::cluster_policy::AdminNetworkPolicy {
    const KIND: Kind = Kind::ClusterPolicy(ClusterPolicyKind::AdminNetworkPolicy);
}

impl Modelled for meridian_api::cluster_policy::BaselineAdminNetworkPolicy {
    const KIND: Kind = Kind::ClusterPolicy(ClusterPolicyKind::BaselineAdminNetworkPolicy);
}

/// An object of type `K`, reduced to the model.
pub(super) struct Slim<K> {
    version: Option<String>,
    /// What names the object, if anything does.
    pub(super) key: Option<Key>,
    pub(super) object: Result<Object, InvalidObject>,
    kind: PhantomData<fn() -> K>,
}

impl<'de, K: Modelled> Deserialize<'de> for Slim<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let version = value.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let version = version.map(str::to_owned);
        let key = convert::key_of(K::KIND, &value);
        Ok(Self {
            version,
            key,
            object: convert::from_value_of(K::KIND, value),
            kind: PhantomData,
        })
    }
}

impl<K: Modelled> Seen for Slim<K> {
    type Kind = K;

    fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    fn is(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<K> Clone for Slim<K> {
    fn clone(&self) -> Self {
        Self {
            version: self.version.clone(),
            key: self.key.clone(),
            object: self.object.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Slim<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slim")
            .field("key", &self.key)
            .field("object", &self.object)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    #[test]
    fn an_object_that_cannot_be_read_still_has_its_name() {
        let text = r#"{"metadata":{"namespace":"a","name":"b","resourceVersion":"7"},"spec":{"containers":"no list"}}"#;
        let slim: Slim<Pod> = serde_json::from_str(text).unwrap();
        assert_eq!(slim.key, Some(Key::pod("a", "b")));
        assert_eq!(slim.version(), Some("7"));
        assert_eq!(slim.object.unwrap_err().field, "spec.containers");
    }
}
