//! [`Free`]: which addresses are still to be had.

use std::collections::{HashMap, HashSet};
use std::iter::Peekable;
use std::net::IpAddr;

use meridian_model::ServiceKey;

use crate::pools::family::{Family, PerFamily};
use crate::pools::pool::Pools;

/// Addresses that were free only a short time ago, the longest free first: whoever had one may still be asked under it.
pub(in crate::pools) type Recent = Vec<IpAddr>;

type Addresses = Peekable<Box<dyn Iterator<Item = IpAddr>>>;

/// Addresses that are given only ever become more while one of these lives, and so no address is looked at twice.
pub(super) struct Free<'a> {
    pools: &'a Pools,
    recent: &'a Recent,
    avoided: HashSet<IpAddr>,
    taken: HashMap<IpAddr, &'a ServiceKey>,
    given: HashSet<IpAddr>,
    rest: Vec<PerFamily<Addresses>>,
}

impl<'a> Free<'a> {
    pub(super) fn new(pools: &'a Pools, recent: &'a Recent) -> Self {
        let rest = pools.list.iter().map(|pool| {
            Family::BOTH.map(|family| {
                let all: Box<dyn Iterator<Item = IpAddr>> = Box::new(pool.addresses(family));
                all.peekable()
            })
        });
        Self {
            pools,
            recent,
            avoided: recent.iter().copied().collect(),
            taken: HashMap::new(),
            given: HashSet::new(),
            rest: rest.collect(),
        }
    }

    pub(super) fn take(&mut self, address: IpAddr, by: &'a ServiceKey) {
        self.taken.insert(address, by);
    }

    /// Notes that a service of ours has it.
    pub(super) fn give(&mut self, address: IpAddr) {
        self.given.insert(address);
    }

    pub(super) fn holder(&self, address: IpAddr) -> Option<&'a ServiceKey> {
        self.taken.get(&address).copied()
    }

    /// The lowest free address of the first of some pools that has any; where nothing else is left, the one that has
    /// been free for the longest time.
    pub(super) fn lowest(&mut self, pools: &[usize], family: Family) -> Option<IpAddr> {
        for &at in pools {
            let rest = &mut self.rest[at][family.index()];
            while rest
                .next_if(|address| self.taken.contains_key(address) || self.avoided.contains(address))
                .is_some()
            {}
            if let Some(address) = rest.peek() {
                return Some(*address);
            }
        }
        let mut recent = self.recent.iter().copied();
        recent.find(|address| {
            let usable = || pools.iter().any(|&at| self.pools.list[at].has(*address));
            Family::of(*address) == family && !self.taken.contains_key(address) && usable()
        })
    }

    /// How many addresses of each pool are taken and not given.
    pub(super) fn blocked(&self) -> Vec<PerFamily<u128>> {
        let mut blocked = vec![[0; 2]; self.pools.list.len()];
        for address in self.taken.keys().filter(|address| !self.given.contains(*address)) {
            if let Some(pool) = self.pools.of(*address) {
                blocked[pool][Family::of(*address).index()] += 1;
            }
        }
        blocked
    }
}
