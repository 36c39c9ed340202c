//! The node's side of Meridian: the CNI plugin `meridian-cni` and the node agent `meridian-node`.
//!
//! [`plugin`] is a one-shot program without an async runtime, the agent is a daemon. They share the vocabulary in
//! [`cni`], [`name`] and [`netlink`] and the [`protocol`] on the agent's socket, and nothing else: DEL works without
//! the agent, and the agent never needs a pod's network namespace.
//!
//! Must not import anything of the translator, nor, but for `agent/kubernetes.rs`, kube.

#[cfg(feature = "agent")]
pub mod agent;
pub mod cni;
pub mod name;
pub mod netlink;
pub mod netns;
pub mod plugin;
pub mod protocol;
pub mod sysctl;
