//! Whose business the addresses of a service are.

use super::pool::Pools;
use super::service::Service;

/// Whose business a service's addresses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Ours.
    Ours,
    /// Ours until now: what it has of us goes.
    Former,
    /// Nobody's, or another provider's.
    Foreign,
}

/// What a service's class says, and where it has none, what its status says: our condition is there wherever we wrote
/// addresses; without it, another provider's addresses are those that are in no pool.
pub(super) fn role(service: &Service, pools: &Pools) -> Role {
    let marked = service.condition.is_some();
    if !service.balanced {
        return if marked { Role::Former } else { Role::Foreign };
    }
    if service.class.is_some() {
        return if service.names_us() { Role::Ours } else { Role::Foreign };
    }
    if service.ingress.iter().any(|ingress| ingress.address.is_none()) {
        return Role::Foreign;
    }
    let given_by_us = service.condition.as_ref().is_some_and(|condition| condition.status);
    let in_pools = service.held().all(|address| pools.of(address).is_some());
    match (given_by_us || in_pools, pools.list.is_empty()) {
        (true, false) => Role::Ours,
        (true, true) if marked => Role::Former,
        _ => Role::Foreign,
    }
}
