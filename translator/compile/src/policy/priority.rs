//! The priorities of ACLs, one beside the other.

/// What hosts may, which no `NetworkPolicy` takes away.
pub(super) const HOST: i64 = 10_002;
/// What a `NetworkPolicy` allows.
pub(super) const ALLOWED: i64 = 10_001;
/// That pods are isolated.
pub(super) const ISOLATED: i64 = 10_000;
