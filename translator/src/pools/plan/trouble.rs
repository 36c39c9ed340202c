//! [`Trouble`]: why a service does not have the addresses it wants, and what to do.

use std::net::IpAddr;

use meridian_api::address_pool::POOL;
use meridian_model::ServiceKey;

use crate::pools::family::Family;
use crate::pools::pool::{Pool, Pools};

/// Why a service does not have what it wants. The text stays the same as long as the reason does: it has no numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pools) struct Trouble {
    /// In one word: the reason of events and of the condition.
    pub(in crate::pools) reason: &'static str,
    /// What is wrong, and what to do.
    pub(in crate::pools) message: String,
}

fn trouble(reason: &'static str, message: String) -> Trouble {
    Trouble { reason, message }
}

impl Trouble {
    /// Whether there just is no address.
    pub(super) fn is_lack(&self) -> bool {
        matches!(self.reason, "NoAddressPool" | "AddressPoolExhausted")
    }

    pub(super) fn nonsense(what: &str) -> Self {
        trouble("InvalidAddressRequest", what.to_owned())
    }

    pub(super) fn in_no_pool(asked: IpAddr) -> Self {
        trouble(
            "AddressNotInPool",
            format!("{asked} is in no address pool: ask for one that is, or add it to a pool"),
        )
    }

    pub(super) fn in_another_pool(asked: IpAddr, pool: &Pool) -> Self {
        trouble(
            "AddressNotInPool",
            format!(
                "{asked} is of address pool {}, and annotation {POOL} names another: change either",
                pool.name
            ),
        )
    }

    pub(super) fn closed(pool: &Pool) -> Self {
        let fault = pool.fault.as_ref().map_or("", |fault| &*fault.message);
        trouble(
            "AddressPoolNotReady",
            format!("address pool {} gives no addresses: {fault}", pool.name),
        )
    }

    pub(super) fn not_for_it(pool: &Pool) -> Self {
        trouble(
            "AddressPoolNotAllowed",
            format!(
                "address pool {} is not for this service: its serviceSelector or namespaceSelector does not match the labels",
                pool.name
            ),
        )
    }

    pub(super) fn taken(asked: IpAddr, holder: &ServiceKey) -> Self {
        trouble(
            "AddressInUse",
            format!("{asked} is that of service {holder}: ask for another, or free it there"),
        )
    }

    pub(super) fn no_such_pool(name: &str, pools: &Pools) -> Self {
        let names: Vec<&str> = pools.list.iter().map(|pool| &*pool.name).collect();
        let names = if names.is_empty() {
            "there is none".to_owned()
        } else {
            format!("there are {}", names.join(", "))
        };
        trouble(
            "NoSuchAddressPool",
            format!("annotation {POOL} names {name:?}, which is no AddressPool: {names}"),
        )
    }

    pub(super) fn no_pool(family: Family, pools: &Pools) -> Self {
        let why = if pools.list.is_empty() {
            "there is no AddressPool: create one".to_owned()
        } else {
            format!(
                "no AddressPool offers {} addresses to this service: add one, let its selectors match and autoAssign be true, or \
                 name one by annotation {POOL}",
                family.name()
            )
        };
        trouble("NoAddressPool", why)
    }

    pub(super) fn exhausted<'p>(family: Family, pools: impl Iterator<Item = &'p str>) -> Self {
        let names: Vec<&str> = pools.collect();
        trouble(
            "AddressPoolExhausted",
            format!(
                "no {} address is free in {}: add addresses to a pool, or delete a service that needs its own no more",
                family.name(),
                names.join(", ")
            ),
        )
    }
}
