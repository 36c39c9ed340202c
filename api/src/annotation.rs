//! Annotations by which pods and namespaces ask for a place in the network.

/// Of a pod or a namespace: the Subnet that the pod, or pods of the namespace, are to be in.
pub const SUBNET: &str = "meridian.dev/subnet";

/// Of a pod: the addresses that it is to have, at most one per family.
pub const FIXED_IPS: &str = "meridian.dev/ips";

/// Of a namespace, or of a policy of the whole cluster: which connections of its pods ovn-controller logs, as policies decide.
pub const POLICY_LOG: &str = "meridian.dev/policy-log";
