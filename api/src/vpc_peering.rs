//! [`VpcPeering`]: what one side of a peering says, for those who may not change its VPC.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Condition of a peering: whether pods of the one VPC reach pods of the other.
pub const CONNECTED: &str = "Connected";

/// One side's consent to a peering of two VPCs.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "meridian.dev",
    version = "v1alpha1",
    kind = "VpcPeering",
    plural = "vpcpeerings",
    shortname = "vpcpeer",
    category = "meridian",
    doc = "One side's consent to a peering of two VPCs: the same as if the VPC named the other among its peers.",
    status = "VpcPeeringStatus",
    derive = "Default",
    derive = "PartialEq",
    validation = Rule::new("self.spec.vpc != self.spec.peer").message("a VPC is no peer of itself"),
    printcolumn = r#"{"name": "VPC", "type": "string", "jsonPath": ".spec.vpc"}"#,
    printcolumn = r#"{"name": "Peer", "type": "string", "jsonPath": ".spec.peer"}"#,
    printcolumn = r#"{"name": "Connected", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Connected\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Connected\")].reason"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct VpcPeeringSpec {
    /// The VPC that this speaks for. There need not be such a VPC yet.
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self != 'default'", "message": "the VPC default is no peer of others"},
        {"rule": "self == oldSelf", "message": "a peering is of two VPCs for good: make another one"},
    ]))]
    pub vpc: String,
    /// The VPC whose pods its own are to reach, and be reached by. It has to agree: by its spec.peers, or by a VpcPeering the other
    /// way around.
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self != 'default'", "message": "the VPC default is no peer of others"},
        {"rule": "self == oldSelf", "message": "a peering is of two VPCs for good: make another one"},
    ]))]
    pub peer: String,
}

/// What became of a peering.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VpcPeeringStatus {
    /// The generation of `spec` that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Connected`: whether pods of the one VPC reach pods of the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
