//! The priorities of ACLs, one beside the other. There are those from 0 to 32,767.

/// The first of the tier Admin: what an administrator decides before policies of namespaces ([`super::ladder`]).
pub(super) const ADMIN: i64 = 32_000;
/// What no `NetworkPolicy` takes away: what a pod's host sends, and the pod itself.
pub(super) const ALWAYS: i64 = 10_002;
/// What a `NetworkPolicy` allows.
pub(super) const ALLOWED: i64 = 10_001;
/// That pods are isolated.
pub(super) const ISOLATED: i64 = 10_000;
/// The first of the tier Baseline.
pub(super) const BASELINE: i64 = 9_999;
/// The last of it.
pub(super) const LAST: i64 = 1;
