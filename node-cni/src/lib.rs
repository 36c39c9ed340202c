//! The node's side of Meridian: the CNI plugin `meridian-cni` and the node agent `meridian-node`.
pub mod netlink;
