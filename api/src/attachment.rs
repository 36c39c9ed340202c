//! Further interfaces of pods, as the Kubernetes Network Plumbing Working Group defines them (Multi-Network Specification 1.3).
//!
//! The resource and the annotations are not ours: a meta-plugin such as Multus brings the one, and reads and writes the others.

/// Annotation of a pod: the further interfaces that it is to have.
pub const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";

/// Annotation of a pod: the interfaces that it has, written by the meta-plugin.
pub const NETWORK_STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

/// `type` of a configuration that is for our plugin.
pub const PLUGIN: &str = "meridian-cni";

#[cfg(feature = "crd")]
pub use self::definition::{NetworkAttachmentDefinition, NetworkAttachmentDefinitionSpec};

#[cfg(feature = "crd")]
mod definition {
    use kube::CustomResource;
    use serde::{Deserialize, Serialize};

    /// What a further interface of a pod is to be like.
    #[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[kube(
        group = "k8s.cni.cncf.io",
        version = "v1",
        kind = "NetworkAttachmentDefinition",
        plural = "network-attachment-definitions",
        namespaced,
        schema = "disabled"
    )]
    #[serde(rename_all = "camelCase")]
    pub struct NetworkAttachmentDefinitionSpec {
        /// The configuration of a CNI plugin, or a list of several, as JSON. Without one it is a file on the node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub config: Option<String>,
    }
}
