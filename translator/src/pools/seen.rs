//! What is kept of pools, nodes, namespaces and networks of ClusterIPs.

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as networking;
use meridian_api::address_pool::AddressPool;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::pool::Labels;
use crate::source::kubernetes::Seen;
use crate::upkeep::InFull;

/// A pool.
pub(super) type SeenPool = InFull<AddressPool>;

/// The addresses of a node.
#[derive(Clone, Debug)]
pub(super) struct SeenNode {
    version: String,
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
}

/// The labels of a namespace.
#[derive(Clone, Debug)]
pub(super) struct SeenNamespace {
    version: String,
    pub(super) name: String,
    pub(super) labels: Labels,
}

/// Networks of ClusterIPs.
#[derive(Clone, Debug)]
pub(super) struct SeenCidrs {
    version: String,
    pub(super) name: String,
    pub(super) cidrs: Vec<String>,
}

fn text(object: &Value, path: &str) -> String {
    let text = object.pointer(path).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

impl<'de> Deserialize<'de> for SeenNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let addresses = object.pointer("/status/addresses").and_then(Value::as_array);
        let addresses = addresses.into_iter().flatten();
        // Hostnames are among them.
        let addresses = addresses.filter_map(|address| address.get("address")?.as_str()?.parse().ok());
        Ok(Self {
            version: text(&object, "/metadata/resourceVersion"),
            name: text(&object, "/metadata/name"),
            addresses: addresses.collect(),
        })
    }
}

impl<'de> Deserialize<'de> for SeenNamespace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
        let label = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        Ok(Self {
            version: text(&object, "/metadata/resourceVersion"),
            name: text(&object, "/metadata/name"),
            labels: labels.into_iter().flatten().filter_map(label).collect(),
        })
    }
}

impl<'de> Deserialize<'de> for SeenCidrs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let cidrs = object.pointer("/spec/cidrs").and_then(Value::as_array);
        let cidrs = cidrs.into_iter().flatten().filter_map(Value::as_str);
        Ok(Self {
            version: text(&object, "/metadata/resourceVersion"),
            name: text(&object, "/metadata/name"),
            cidrs: cidrs.map(str::to_owned).collect(),
        })
    }
}

macro_rules! seen {
    ($seen:ty, $kind:ty) => {
        impl Seen for $seen {
            type Kind = $kind;

            fn version(&self) -> Option<&str> {
                Some(&self.version)
            }

            fn is(&self, other: &Self) -> bool {
                self.name == other.name
            }
        }
    };
}

seen!(SeenNode, core::Node);
seen!(SeenNamespace, core::Namespace);
seen!(SeenCidrs, networking::ServiceCIDR);
