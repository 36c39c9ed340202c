//! [`AddressPool`]: addresses for services of type `LoadBalancer`, where nothing else provides them.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Addresses that services of type LoadBalancer get, and how the network learns where they are.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "meridian.dev",
    version = "v1alpha1",
    kind = "AddressPool",
    shortname = "apool",
    category = "meridian",
    status = "AddressPoolStatus",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolSpec {
    /// Addresses, as networks (198.51.100.0/28), ranges (198.51.100.10-198.51.100.50) or single ones, of either family.
    pub addresses: Vec<String>,
    /// How nodes announce the addresses (ARP, neighbour discovery) to the networks they are in. Absent: the network routes
    /// them to the nodes by other means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announcement: Option<Announcement>,
}

/// How nodes announce addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// Devices to announce on. Empty: those in whose networks the address is, or else that of the default route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// Labels of the nodes that may announce. Empty: all nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
}

/// What became of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolStatus {}
