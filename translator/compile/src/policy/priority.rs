//! The priorities of ACLs, one beside the other.

/// What no `NetworkPolicy` takes away: what a pod's host sends, and the pod itself.
pub(super) const ALWAYS: i64 = 10_002;
/// What a `NetworkPolicy` allows.
pub(super) const ALLOWED: i64 = 10_001;
/// That pods are isolated.
pub(super) const ISOLATED: i64 = 10_000;
