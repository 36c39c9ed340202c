//! [`AddressPool`]: addresses for services of type `LoadBalancer`, where nothing else provides them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `spec.loadBalancerClass` of services that want addresses of pools and of nothing else.
pub const CLASS: &str = "meridian.dev/address-pool";

/// Annotation of a service: the pool its addresses are to be of.
pub const POOL: &str = "meridian.dev/address-pool";

/// Annotation of a service: the addresses it wants, separated by commas, at most one per family.
pub const ADDRESSES: &str = "meridian.dev/load-balancer-ips";

/// Condition of a service: whether it has the addresses it wants out of pools. Only services that pools are for have it.
pub const ALLOCATED: &str = "meridian.dev/AddressesAllocated";

/// Condition of a pool: whether services may get addresses out of it.
pub const READY: &str = "Ready";

/// Addresses that services of type LoadBalancer get, and how the network learns where they are.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "meridian.dev",
    version = "v1alpha1",
    kind = "AddressPool",
    shortname = "apool",
    category = "meridian",
    doc = "Addresses for services of type LoadBalancer.",
    status = "AddressPoolStatus",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Addresses", "type": "string", "jsonPath": ".spec.addresses"}"#,
    printcolumn = r#"{"name": "Free IPv4", "type": "integer", "jsonPath": ".status.ipv4.free"}"#,
    printcolumn = r#"{"name": "Free IPv6", "type": "integer", "jsonPath": ".status.ipv6.free"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "priority": 1, "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolSpec {
    /// Addresses, as networks (198.51.100.0/28), ranges (198.51.100.10-198.51.100.50) or single ones, of either family.
    #[schemars(
        length(min = 1),
        inner(regex(pattern = r"^[0-9A-Fa-f:.]+(/[0-9]{1,3}| *- *[0-9A-Fa-f:.]+)?$"))
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<String>,
    /// Whether services that name no pool may get addresses out of this one.
    #[serde(default = "yes")]
    pub auto_assign: bool,
    /// Labels of the services that may get addresses. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_selector: Option<LabelSelector>,
    /// Labels of the namespaces whose services may get addresses. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
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
    #[schemars(inner(regex(pattern = r"^[^/\s]{1,15}$")))]
    pub interfaces: Vec<String>,
    /// Labels of the nodes that may announce. Empty: all nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
}

/// What became of a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolStatus {
    /// Its IPv4 addresses. Absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Usage>,
    /// Its IPv6 addresses. Absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Usage>,
    /// `Ready`: whether services may get addresses out of it, and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// How many addresses there are. What is more than a number can say is as many as it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// All of them.
    pub total: i64,
    /// Those that services have.
    pub allocated: i64,
    /// Those that services may still get.
    pub free: i64,
}

fn yes() -> bool {
    true
}
