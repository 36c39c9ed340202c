//! [`Subnet`]: a network of a VPC that pods on any node are in.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Finalizer that keeps a Subnet until no pod is in it.
pub const FINALIZER: &str = "meridian.dev/subnet";

/// Condition of a Subnet: whether pods can be in it.
pub const READY: &str = "Ready";

/// Condition of a Subnet that is to be deleted: which pods keep it.
pub const IN_USE: &str = "InUse";

/// A network of a VPC that pods on any node are in.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "meridian.dev",
    version = "v1alpha1",
    kind = "Subnet",
    plural = "subnets",
    category = "meridian",
    doc = "A network of a VPC that pods on any node are in, so that they keep their addresses wherever they run.",
    status = "SubnetStatus",
    derive = "Default",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')")
        .message("the name of a Subnet has at most 63 characters, of a-z, 0-9 and -"),
    validation = Rule::new(
        "has(self.spec.gateways) == has(oldSelf.spec.gateways) && (!has(self.spec.gateways) || self.spec.gateways == oldSelf.spec.gateways)"
    )
    .message("pods know the gateways: make another Subnet"),
    printcolumn = r#"{"name": "VPC", "type": "string", "jsonPath": ".spec.vpc"}"#,
    printcolumn = r#"{"name": "CIDRs", "type": "string", "jsonPath": ".spec.cidrs"}"#,
    printcolumn = r#"{"name": "DHCP", "type": "boolean", "priority": 1, "jsonPath": ".spec.dhcp.enabled"}"#,
    printcolumn = r#"{"name": "Pods", "type": "integer", "jsonPath": ".status.pods"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "priority": 1, "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct SubnetSpec {
    /// The VPC that it is a network of. There need not be such a VPC yet.
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "pods are in the VPC: make another Subnet"},
        {"rule": "self != 'default'", "message": "the VPC default has no Subnets: name another VPC"},
    ]))]
    pub vpc: String,
    /// One network of IPv4, of IPv6, or one of each, of families that the VPC has. A Subnet of another VPC may have the same.
    #[schemars(
        length(min = 1, max = 2),
        inner(length(max = 43), regex(pattern = r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$"))
    )]
    #[schemars(extend(
        "x-kubernetes-list-type" = "atomic",
        "x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "pods have addresses of the networks: make another Subnet"}],
    ))]
    pub cidrs: Vec<String>,
    /// Addresses of the VPC's router, at most one in each network. By default the first of each network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), inner(length(max = 39), regex(pattern = r"^[0-9A-Fa-f:.]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub gateways: Vec<String>,
    /// Addresses that no pod is given unless it asks for them: NETWORK/LENGTH, FIRST-LAST or one address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 79), regex(pattern = r"^[0-9A-Fa-f:./ -]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub reserved_ranges: Vec<String>,
    /// What whoever asks by DHCP is told.
    #[serde(default)]
    pub dhcp: Dhcp,
}

/// What whoever asks by DHCP is told, beside its addresses and the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dhcp {
    /// Whether anybody answers. Pods need no answer: they have their addresses from the start. Virtual machines do.
    #[serde(default)]
    pub enabled: bool,
    /// Servers of the domain name system, each told to those of its family. By default those of the VPC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 39), regex(pattern = r"^[0-9A-Fa-f:.]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub dns_servers: Vec<String>,
    /// The domain that names are of; IPv4 alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub domain_name: Option<String>,
    /// The domains that names are looked for in. By default those of the VPC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253), regex(pattern = r"^[A-Za-z0-9._-]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub search_domains: Vec<String>,
    /// Servers of the time; IPv4 alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 15), regex(pattern = r"^[0-9.]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub ntp_servers: Vec<String>,
    /// For how many seconds an address is lent; IPv4 alone, because OVN lends those of IPv6 for good.
    #[serde(default = "lease_time")]
    #[schemars(range(min = 60, max = 4_294_967_295_i64))]
    pub lease_time: i64,
    /// The largest packet in bytes; IPv4 alone. By default that of the cluster, if it fixes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 576, max = 65535))]
    pub mtu: Option<u16>,
}

/// What became of a Subnet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubnetStatus {
    /// The generation of `spec` that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many pods are in it.
    #[serde(default)]
    pub pods: i64,
    /// How many nodes have pods of it.
    #[serde(default)]
    pub nodes: i64,
    /// How many addresses of each network pods have, and may still have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["cidr"]))]
    pub addresses: Vec<Usage>,
    /// `Ready`: whether pods can be in it; `InUse`: which pods keep it from being deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// How many addresses of a network there are. What is more than a number can say is as many as it can.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// The network.
    pub cidr: String,
    /// Those that pods have.
    pub used: i64,
    /// Those that pods may be given without asking for them.
    pub free: i64,
}

impl Default for Dhcp {
    fn default() -> Self {
        Self {
            enabled: false,
            dns_servers: Vec::new(),
            domain_name: None,
            search_domains: Vec::new(),
            ntp_servers: Vec::new(),
            lease_time: lease_time(),
            mtu: None,
        }
    }
}

fn lease_time() -> i64 {
    3600
}
