//! [`Pools`]: what the pools of a cluster offer, and which of them are good for what.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use kube::core::{Selector, SelectorExt as _};
use meridian_api::address_pool::AddressPool;
use meridian_api::range::AddressRange;

use super::family::Family;

/// Addresses that no client can reach a service under.
const UNUSABLE: [(&str, &str); 7] = [
    ("0.0.0.0/8", "of this network (0.0.0.0/8)"),
    ("127.0.0.0/8", "of a host itself (127.0.0.0/8)"),
    ("169.254.0.0/16", "link-local (169.254.0.0/16)"),
    ("224.0.0.0/3", "for groups or reserved (224.0.0.0/3)"),
    ("::/127", "of a host itself (::/127)"),
    ("fe80::/10", "link-local (fe80::/10)"),
    ("ff00::/8", "for groups (ff00::/8)"),
];

/// Labels of an object.
pub(super) type Labels = BTreeMap<String, String>;

/// Networks that are something else than addresses of pools, and what.
#[derive(Clone, Debug, Default)]
pub(super) struct Reserved(Vec<(AddressRange, String)>);

/// Why a pool is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// In one word.
    pub(super) reason: &'static str,
    /// What is wrong, and what to do.
    pub(super) message: String,
}

/// A pool as far as it can be read.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) name: String,
    /// Sorted, without overlaps.
    pub(super) ranges: Vec<AddressRange>,
    pub(super) auto_assign: bool,
    pub(super) fault: Option<Fault>,
    /// Whether services may get addresses: what they have they keep either way.
    pub(super) open: bool,
    services: Option<Selector>,
    namespaces: Option<Selector>,
}

/// All pools, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Pools {
    pub(super) list: Vec<Pool>,
    /// Whether there may be addresses that cannot be read: then none is taken from a service for being in no pool.
    pub(super) doubt: bool,
}

impl Reserved {
    pub(super) fn add(&mut self, network: IpNetwork, what: impl Into<String>) {
        self.0.push((span(network.network(), network.broadcast()), what.into()));
    }
}

impl Pools {
    /// What the pools offer. Those that cannot be read at all are given by name with the reason.
    pub(super) fn new<'a>(
        pools: impl IntoIterator<Item = (&'a str, Result<&'a AddressPool, &'a str>)>,
        reserved: &Reserved,
    ) -> Self {
        let mut read: Vec<(i64, Pool)> = Vec::new();
        let mut doubt = false;
        for (name, pool) in pools {
            let (created, pool) = match pool {
                Ok(pool) => {
                    let created = pool.metadata.creation_timestamp.as_ref();
                    (created.map_or(0, |time| time.0.as_second()), Pool::read(name, pool))
                }
                Err(message) => (i64::MAX, Pool::unreadable(name, message)),
            };
            doubt |= pool.fault.as_ref().is_some_and(|fault| fault.reason == BAD_RANGE);
            read.push((created, pool));
        }
        read.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
        let mut list: Vec<Pool> = Vec::new();
        for (_, mut pool) in read {
            if let Some(message) = pool.conflict(reserved, &list) {
                pool.open = false;
                pool.fault = Some(Fault {
                    reason: "Conflict",
                    message,
                });
            }
            list.push(pool);
        }
        Self { list, doubt }
    }

    /// The pool that has an address: of several the oldest.
    pub(super) fn of(&self, address: IpAddr) -> Option<usize> {
        self.list.iter().position(|pool| pool.has(address))
    }

    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|pool| pool.name == name)
    }
}

const BAD_RANGE: &str = "BadRange";

impl Pool {
    fn read(name: &str, pool: &AddressPool) -> Self {
        let spec = &pool.spec;
        let mut ranges = Vec::new();
        let mut bad = Vec::new();
        for (at, text) in spec.addresses.iter().enumerate() {
            let read = text.parse::<AddressRange>().map_err(|error| error.to_string());
            match read.and_then(usable) {
                Ok(range) => ranges.push(range),
                Err(error) => bad.push(format!("spec.addresses[{at}]: {error}")),
            }
        }
        let mut faults = Vec::new();
        let mut selector = |field: &str, given: &Option<_>| {
            let given: Option<Selector> = given
                .clone()
                .map(|given| Selector::try_from(given).map_err(|error| format!("{field}: {error}")))
                .transpose()
                .unwrap_or_else(|error| {
                    faults.push(error);
                    None
                });
            given
        };
        let services = selector("spec.serviceSelector", &spec.service_selector);
        let namespaces = selector("spec.namespaceSelector", &spec.namespace_selector);
        let open = faults.is_empty();
        let fault = if !bad.is_empty() {
            Some(Fault {
                reason: BAD_RANGE,
                message: format!("{}; the other addresses are given out", bad.join("; ")),
            })
        } else if !open {
            Some(Fault {
                reason: "BadSelector",
                message: format!("{}; no address is given out until that is put right", faults.join("; ")),
            })
        } else {
            None
        };
        Self {
            name: name.to_owned(),
            ranges: merged(ranges),
            auto_assign: spec.auto_assign,
            fault,
            open,
            services,
            namespaces,
        }
    }

    fn unreadable(name: &str, message: &str) -> Self {
        Self {
            name: name.to_owned(),
            ranges: Vec::new(),
            auto_assign: false,
            fault: Some(Fault {
                reason: BAD_RANGE,
                message: message.to_owned(),
            }),
            open: false,
            services: None,
            namespaces: None,
        }
    }

    /// What some of its addresses are already.
    fn conflict(&self, reserved: &Reserved, older: &[Self]) -> Option<String> {
        let overlap = |range: &AddressRange, what: &str| {
            format!(
                "{range} overlaps {what}: no address is given out until one of them is changed; what services have already \
                 they keep"
            )
        };
        for range in &self.ranges {
            if let Some((_, what)) = reserved.0.iter().find(|(taken, _)| taken.overlaps(range)) {
                return Some(overlap(range, what));
            }
            if let Some(pool) = older
                .iter()
                .find(|pool| pool.ranges.iter().any(|taken| taken.overlaps(range)))
            {
                return Some(overlap(range, &format!("the older pool {}", pool.name)));
            }
        }
        None
    }

    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address))
    }

    pub(super) fn has_family(&self, family: Family) -> bool {
        self.of_family(family).next().is_some()
    }

    fn of_family(&self, family: Family) -> impl Iterator<Item = &AddressRange> {
        self.ranges
            .iter()
            .filter(move |range| Family::of(range.first()) == family)
    }

    /// Its addresses of a family, in order.
    pub(super) fn addresses(&self, family: Family) -> impl Iterator<Item = IpAddr> + use<> {
        let ranges: Vec<AddressRange> = self.of_family(family).copied().collect();
        ranges.into_iter().flat_map(|range| range.iter())
    }

    /// How many there are.
    pub(super) fn size(&self, family: Family) -> u128 {
        self.of_family(family)
            .fold(0, |sum: u128, range| sum.saturating_add(range.len()))
    }

    /// Whether a service with such labels, in a namespace with such labels, may get addresses.
    pub(super) fn is_for(&self, service: &Labels, namespace: Option<&Labels>) -> bool {
        let none = Labels::new();
        let of_service = self.services.as_ref().is_none_or(|selector| selector.matches(service));
        let of_namespace = |selector: &Selector| selector.matches(namespace.unwrap_or(&none));
        of_service && self.namespaces.as_ref().is_none_or(of_namespace)
    }
}

fn usable(range: AddressRange) -> Result<AddressRange, String> {
    for (network, what) in UNUSABLE {
        let overlaps = network.parse::<AddressRange>().is_ok_and(|bad| bad.overlaps(&range));
        if overlaps {
            return Err(format!("{range} has addresses that are {what}"));
        }
    }
    Ok(range)
}

/// From one address to another of the same family, which is not before it.
fn span(first: IpAddr, last: IpAddr) -> AddressRange {
    format!("{first}-{last}").parse().expect("in order and of one family")
}

/// Sorted, and every address once.
fn merged(mut ranges: Vec<AddressRange>) -> Vec<AddressRange> {
    ranges.sort_unstable();
    let mut merged: Vec<AddressRange> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.overlaps(&range) => {
                *last = span(last.first(), range.last().max(last.last()));
            }
            _ => merged.push(range),
        }
    }
    merged
}
