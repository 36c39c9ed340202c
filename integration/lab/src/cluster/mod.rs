//! The lab's stand-in for a Kubernetes API: a folder of manifests, and the loops that turn
//! workloads into pods and pods into namespaces with a network.

pub mod nodes;
pub mod object;
pub mod store;
