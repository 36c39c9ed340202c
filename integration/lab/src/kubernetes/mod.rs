//! A real Kubernetes on the lab's hosts: what a container runtime, kubelets and the control plane
//! need beyond the hosts themselves, and Meridian on it as it is installed anywhere.
//!
//! ```text
//!  mlab-central   etcd, kube-apiserver, -controller-manager, -scheduler; OVN central; translator
//!  mlab-node-N    containerd, kubelet, pods; Open vSwitch, ovn-controller, meridian-node
//!  the machine    one process that forwards a port of its loopback to the API
//! ```
//!
//! Each of these hosts has namespaces of all kinds ([`crate::host`]). There is no kube-proxy. What
//! Meridian's programs are told, and what they may do, comes from its Helm chart.

mod access;
mod addons;
mod build;
pub mod chart;
pub(crate) mod control_plane;
mod distribution;
pub mod forward;
pub(crate) mod identity;
mod kubeconfig;
pub(crate) mod layout;
mod members;
pub(crate) mod node;
mod pki;
mod routes;

pub use distribution::Distribution;
