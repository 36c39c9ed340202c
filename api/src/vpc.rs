//! [`Vpc`]: a network of its own for the pods of some namespaces.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Annotation of a service: `true` if pods of every VPC may connect to it.
pub const SHARED: &str = "meridian.dev/shared";

/// Finalizer that keeps a VPC until no pod is in it.
pub const FINALIZER: &str = "meridian.dev/vpc";

/// Condition of a VPC: whether pods can be in it.
pub const READY: &str = "Ready";

/// Condition of a VPC: whether it has every namespace that it selects.
pub const NAMESPACES: &str = "NamespacesSelected";

/// Condition of a VPC that is to be deleted: which pods keep it.
pub const IN_USE: &str = "InUse";

/// Condition of a VPC that names peers: whether it is connected to all of them.
pub const PEERS: &str = "PeersConnected";

/// Condition of a VPC whose pods reach the world through gateways: whether there are any.
pub const GATEWAYS: &str = "GatewaysReady";

/// Condition of a VPC with routes of its own: whether all of them lead somewhere.
pub const ROUTES: &str = "RoutesReady";

/// Reason of [`READY`], [`NAMESPACES`], [`PEERS`] and [`ROUTES`]: it clashes with something else.
pub const CONFLICT: &str = "Conflict";

/// A network of its own for the pods of some namespaces.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "meridian.dev",
    version = "v1alpha1",
    kind = "Vpc",
    plural = "vpcs",
    category = "meridian",
    doc = "A network of its own for the pods of some namespaces, which knows nothing of other such networks.",
    status = "VpcStatus",
    derive = "Default",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')")
        .message("the name of a VPC has at most 63 characters, of a-z, 0-9 and -"),
    validation = Rule::new("self.metadata.name != 'default' && !self.metadata.name.startsWith('default-')")
        .message("default is the VPC of namespaces that no other selects; names that begin with default- are its, too"),
    validation = Rule::new("!has(self.spec.peers) || self.spec.peers.all(peer, peer.name != self.metadata.name)")
        .message("a VPC is no peer of itself"),
    printcolumn = r#"{"name": "CIDRs", "type": "string", "jsonPath": ".spec.podNetwork.cidrs"}"#,
    printcolumn = r#"{"name": "Egress", "type": "string", "jsonPath": ".spec.egress.mode"}"#,
    printcolumn = r#"{"name": "Gateways", "type": "string", "priority": 1, "jsonPath": ".status.gateways"}"#,
    printcolumn = r#"{"name": "Pods", "type": "integer", "jsonPath": ".status.pods"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "priority": 1, "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct VpcSpec {
    /// Labels of the namespaces whose pods are in this VPC. Absent: none. A namespace that several VPCs select is the oldest one's.
    #[schemars(transform = checked_selector)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Which workloads may be in it. Pods that have addresses of it stay, whatever this says.
    #[serde(default)]
    pub scope: Scope,
    /// Where pods have their addresses.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "pods have addresses of the network: make another VPC, and move the namespaces"}]))]
    pub pod_network: PodNetwork,
    /// How pods reach the world outside the cluster.
    #[serde(default)]
    pub egress: Egress,
    /// Which services of other VPCs pods reach.
    #[serde(default)]
    pub services: Services,
    /// VPCs whose pods it reaches, and whose pods reach its own: each of the two has to name the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub peers: Vec<Peer>,
    /// Where what pods send goes first, if not out of the VPC by the way that egress says: to pods or virtual machines of the VPC
    /// that forward it. Of several that match the one with the longest prefix counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["destination"]))]
    pub routes: Vec<Route>,
    /// Whose pods may have further interfaces in this VPC, by a NetworkAttachmentDefinition that names it.
    #[serde(default)]
    pub attachments: Attachments,
    /// The Subnet of this VPC that pods are in which name none, nor does their namespace. Absent: they have addresses of the pod
    /// network, of the part that their node has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub default_subnet: Option<String>,
    /// What its Subnets tell by DHCP of the domain name system, unless they say otherwise.
    #[serde(default)]
    pub dns: Dns,
}

/// What makes no sense would select nobody knows what: it is refused as it is of selectors in Kubernetes' own objects.
fn checked_selector(schema: &mut Schema) {
    let rules = json!([
        {
            "rule": "!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator == 'In' || e.operator == 'NotIn' \
                     || e.operator == 'Exists' || e.operator == 'DoesNotExist')",
            "message": "operators are In, NotIn, Exists and DoesNotExist",
        },
        {
            "rule": "!has(self.matchExpressions) || self.matchExpressions.all(e, (e.operator == 'In' || e.operator == 'NotIn') \
                     == (has(e.values) && e.values.size() > 0))",
            "message": "In and NotIn need values, and Exists and DoesNotExist take none",
        },
    ]);
    schema.insert("x-kubernetes-validations".to_owned(), rules);
}

/// Whose pods may have further interfaces in a VPC, beside its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attachments {
    /// Labels of the namespaces whose pods may have further interfaces in this VPC, beside the namespaces that are in it. Absent:
    /// no others.
    #[schemars(transform = checked_selector)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
}

/// What is told of the domain name system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dns {
    /// Its servers, each told to those of its family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 39), regex(pattern = r"^[0-9A-Fa-f:.]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub servers: Vec<String>,
    /// The domains that names are looked for in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253), regex(pattern = r"^[A-Za-z0-9._-]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub search_domains: Vec<String>,
}

/// Which workloads may be in a VPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scope {
    /// Pods that are no virtual machines.
    Pods,
    /// Virtual machines of KubeVirt's: pods with the label kubevirt.io=virt-launcher.
    VirtualMachines,
    /// Both.
    #[default]
    All,
}

/// A VPC that another is to be connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Its name. There need not be such a VPC yet.
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self != 'default'", "message": "the VPC default is no peer of others"}]))]
    pub name: String,
}

/// Where what is for a network beyond a VPC goes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The network: 0.0.0.0/0 or ::/0 for all that is beyond the VPC, its peers and the cluster's services and pods.
    #[schemars(length(max = 43), regex(pattern = r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$"))]
    pub destination: String,
    /// Addresses of Subnets of this VPC, whose pods or virtual machines forward it: of several each has a share of the connections.
    #[schemars(
        length(min = 1, max = 8),
        inner(length(max = 39), regex(pattern = r"^[0-9A-Fa-f:.]+$"))
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub nexthops: Vec<String>,
}

/// Where pods have their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodNetwork {
    /// One network of IPv4, of IPv6, or one of each. Another VPC may have the same.
    #[schemars(
        length(min = 1, max = 2),
        inner(length(max = 43), regex(pattern = r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$"))
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub cidrs: Vec<String>,
    /// Prefix length of the part of an IPv4 network that each node with pods of this VPC has.
    #[serde(default = "host_slice")]
    #[schemars(range(min = 8, max = 29))]
    pub host_slice: u8,
    /// The same of an IPv6 network.
    #[serde(default = "host_slice_ipv6", rename = "hostSliceIPv6")]
    #[schemars(range(min = 16, max = 126))]
    pub host_slice_ipv6: u8,
}

/// How pods reach the world outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(self.mode == 'Gateway') == has(self.gatewayNodeSelector)",
    "message": "gatewayNodeSelector says which nodes are gateways: mode Gateway needs it, and no other mode takes it",
}]))]
pub struct Egress {
    /// By which way.
    #[serde(default)]
    pub mode: EgressMode,
    /// Labels of the nodes that are gateways, in mode Gateway. All of them at once: connections spread over them.
    #[schemars(transform = checked_selector)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_node_selector: Option<LabelSelector>,
}

/// By which way pods reach the world outside the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EgressMode {
    /// Through their own node, under its address.
    #[default]
    Node,
    /// Through the nodes that gatewayNodeSelector selects, under their addresses.
    Gateway,
    /// Not at all.
    None,
}

/// Which services of other VPCs pods reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Services {
    /// Whether pods reach those that are shared with every VPC: the Kubernetes API, the cluster's DNS, and services with the
    /// annotation meridian.dev/shared.
    #[serde(default = "yes")]
    pub shared: bool,
}

/// What became of a VPC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VpcStatus {
    /// The generation of `spec` that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The namespaces whose new pods are in it, the first hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub namespaces: Vec<String>,
    /// How many namespaces that is in all.
    #[serde(default)]
    pub namespace_count: i64,
    /// How many pods are in it.
    #[serde(default)]
    pub pods: i64,
    /// How many nodes have pods of it.
    #[serde(default)]
    pub nodes: i64,
    /// The nodes through which pods reach the world, in mode Gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub gateways: Vec<String>,
    /// Pods that are in it although their namespace is in another VPC by now, the first hundred, as namespace/name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub remaining_pods: Vec<String>,
    /// `Ready`: whether pods can be in it; `NamespacesSelected`: whether it has every namespace that it selects; `PeersConnected`:
    /// whether it is connected to every peer that it names; `GatewaysReady`: whether it has gateways; `RoutesReady`: whether its
    /// routes lead somewhere; `InUse`: which pods keep it from being deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl Default for Services {
    fn default() -> Self {
        Self { shared: yes() }
    }
}

fn host_slice() -> u8 {
    24
}

fn host_slice_ipv6() -> u8 {
    64
}

fn yes() -> bool {
    true
}
