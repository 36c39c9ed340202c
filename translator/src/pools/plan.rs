//! Which service has which addresses: a function of pools and services, whose status is the record.
//!
//! What a service has it keeps as long as a pool has it; of two that have the same, the older one. What is free is given in
//! order: the services that ask for an address by name first, then the oldest, each the lowest address of the oldest
//! pool that it may use. An address that somebody still has in its status is not free, whatever is planned, so that no
//! address is ever in two.
//!
//! Must not: know kube, do I/O, or look at a clock.

mod free;
mod trouble;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use meridian_model::ServiceKey;

use super::family::{Family, PerFamily};
use super::pool::{Labels, Pool, Pools};
use super::role::{Role, role};
use super::service::{Service, Wish};
use free::Free;
pub(super) use free::Recent;
pub(super) use trouble::Trouble;

/// What is to become of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// What its status is to have.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) verdict: Verdict,
    /// What it loses without having asked for it, and why.
    pub(super) lost: Vec<(IpAddr, String)>,
}

/// How it is with a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has what it wants, of these pools.
    Served(Vec<String>),
    /// It does not.
    Waits(Trouble),
    /// It wants nothing of us.
    Released,
}

/// Everything decided.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) decisions: BTreeMap<ServiceKey, Decision>,
    /// How many addresses of each pool are given, in the order of the pools.
    pub(super) given: Vec<PerFamily<u128>>,
    /// How many are neither free nor given by us.
    pub(super) blocked: Vec<PerFamily<u128>>,
}

/// Labels of namespaces.
pub(super) type Namespaces = BTreeMap<String, Labels>;

/// What is known of services.
pub(super) type Services = BTreeMap<ServiceKey, Service>;

/// A service that is ours, while it is decided about.
struct Claimant<'a> {
    key: &'a ServiceKey,
    service: &'a Service,
    namespace: Option<&'a Labels>,
    /// What it has and keeps, or gets.
    has: PerFamily<Option<IpAddr>>,
    trouble: Option<Trouble>,
    lost: Vec<(IpAddr, String)>,
}

pub(super) fn plan(pools: &Pools, services: &Services, namespaces: &Namespaces, recent: &Recent) -> Plan {
    let mut plan = Plan::default();
    let mut claimants = Vec::new();
    let mut free = Free::new(pools, recent);
    for (key, service) in services {
        for address in &service.external {
            free.take(*address, key);
        }
        match role(service, pools) {
            Role::Ours => claimants.push(Claimant {
                key,
                service,
                namespace: namespaces.get(&*key.namespace),
                has: [None; 2],
                trouble: None,
                lost: Vec::new(),
            }),
            Role::Former => {
                // One that is balanced no more has asked for it.
                let lost = service.held().filter(|_| service.balanced);
                let decision = Decision {
                    addresses: Vec::new(),
                    verdict: Verdict::Released,
                    lost: lost
                        .map(|address| (address, "there is no address pool any more".into()))
                        .collect(),
                };
                plan.decisions.insert(key.clone(), decision);
                service.held().for_each(|address| free.take(address, key));
            }
            Role::Foreign => service.held().for_each(|address| free.take(address, key)),
        }
    }
    claimants.sort_by_key(|claimant| (&claimant.service.created, claimant.key));
    let mut kept: HashMap<IpAddr, &ServiceKey> = HashMap::new();
    for claimant in &mut claimants {
        claimant.keep(pools, &mut kept);
    }
    for claimant in &claimants {
        // Also what it is to lose: somebody may have it only when that is written.
        claimant
            .service
            .held()
            .for_each(|address| free.take(address, claimant.key));
    }
    for (address, key) in kept {
        free.take(address, key);
    }
    let (asking, content): (Vec<_>, Vec<_>) = claimants
        .iter_mut()
        .partition(|claimant| claimant.service.wish.addresses != [None; 2]);
    for claimant in asking.into_iter().chain(content) {
        claimant.settle(pools, &mut free);
    }
    plan.given = vec![[0; 2]; pools.list.len()];
    for claimant in claimants {
        for address in claimant.has.iter().flatten() {
            if let Some(pool) = pools.of(*address) {
                plan.given[pool][Family::of(*address).index()] += 1;
            }
            free.give(*address);
        }
        plan.decisions.insert(claimant.key.clone(), claimant.decide(pools));
    }
    plan.blocked = free.blocked();
    plan
}

impl<'a> Claimant<'a> {
    /// Settles what it keeps of what it has.
    fn keep(&mut self, pools: &Pools, kept: &mut HashMap<IpAddr, &'a ServiceKey>) {
        for address in self.service.held() {
            let family = Family::of(address).index();
            if !self.service.wish.families[family] || self.has[family].is_some() {
                // It does not want it (any more).
                continue;
            }
            if pools.of(address).is_none() && !pools.doubt {
                self.lost.push((address, "it is in no address pool any more".into()));
            } else if let Some(owner) = kept.get(&address) {
                self.lost.push((address, format!("service {owner} had it before")));
            } else {
                kept.insert(address, self.key);
                self.has[family] = Some(address);
            }
        }
    }

    /// Settles what it gets.
    fn settle(&mut self, pools: &Pools, free: &mut Free<'a>) {
        let wish = &self.service.wish;
        if let Some(nonsense) = &wish.nonsense {
            self.trouble = Some(Trouble::nonsense(nonsense));
            return;
        }
        let mut gets = [None; 2];
        let mut troubles = Vec::new();
        let mut served = false;
        for family in Family::BOTH.into_iter().filter(|family| wish.families[family.index()]) {
            let has = self.has[family.index()];
            let found = match wish.addresses[family.index()] {
                Some(asked) if has == Some(asked) => Ok(None),
                Some(asked) => self.named(asked, pools, free).map(Some),
                None if self.is_content(has, pools) => Ok(None),
                None => self.lowest(family, pools, free).map(Some),
            };
            match found {
                Ok(address) => {
                    served = true;
                    gets[family.index()] = address;
                }
                Err(trouble) => troubles.push(trouble),
            }
        }
        if served && !wish.all {
            // Of two families that it would like to have one will do.
            troubles.retain(|trouble| !trouble.is_lack());
        }
        self.trouble = troubles.into_iter().next();
        // What cannot be had in full is not begun; but nothing is taken away for that.
        let starts = self.has == [None; 2];
        if self.service.deleting || (starts && wish.all && self.trouble.is_some()) {
            return;
        }
        for address in gets.into_iter().flatten() {
            free.take(address, self.key);
            self.has[Family::of(address).index()] = Some(address);
        }
    }

    /// Whether an address is what it wants, as far as it says.
    fn is_content(&self, has: Option<IpAddr>, pools: &Pools) -> bool {
        let Some(address) = has else { return false };
        let asked = self.service.wish.pool.as_deref();
        asked.is_none_or(|name| pools.of(address).is_some_and(|at| pools.list[at].name == name))
    }

    /// The address it asks for.
    fn named(&self, asked: IpAddr, pools: &Pools, free: &Free<'_>) -> Result<IpAddr, Trouble> {
        let wish = &self.service.wish;
        self.pool_asked(pools)?;
        let Some(pool) = pools.of(asked).map(|at| &pools.list[at]) else {
            return Err(Trouble::in_no_pool(asked));
        };
        if wish.pool.as_ref().is_some_and(|name| *name != pool.name) {
            return Err(Trouble::in_another_pool(asked, pool));
        }
        if !pool.open {
            return Err(Trouble::closed(pool));
        }
        if !self.may_use(pool) {
            return Err(Trouble::not_for_it(pool));
        }
        match free.holder(asked) {
            Some(holder) if holder != self.key => Err(Trouble::taken(asked, holder)),
            _ => Ok(asked),
        }
    }

    fn pool_asked<'p>(&self, pools: &'p Pools) -> Result<Option<&'p Pool>, Trouble> {
        let Some(name) = &self.service.wish.pool else {
            return Ok(None);
        };
        match pools.named(name) {
            Some(at) => Ok(Some(&pools.list[at])),
            None => Err(Trouble::no_such_pool(name, pools)),
        }
    }

    /// The lowest address that is free.
    fn lowest(&self, family: Family, pools: &Pools, free: &mut Free<'_>) -> Result<IpAddr, Trouble> {
        if let Some(pool) = self.pool_asked(pools)? {
            if !pool.open {
                return Err(Trouble::closed(pool));
            }
            if !self.may_use(pool) {
                return Err(Trouble::not_for_it(pool));
            }
        }
        let wish: &Wish = &self.service.wish;
        let usable: Vec<usize> = (0..pools.list.len())
            .filter(|at| {
                let pool = &pools.list[*at];
                let meant = wish.pool.as_ref().map_or(pool.auto_assign, |name| *name == pool.name);
                meant && pool.open && pool.has_family(family) && self.may_use(pool)
            })
            .collect();
        let found = free.lowest(&usable, family);
        found.ok_or_else(|| {
            if usable.is_empty() {
                Trouble::no_pool(family, pools)
            } else {
                Trouble::exhausted(family, usable.iter().map(|at| &*pools.list[*at].name))
            }
        })
    }

    fn may_use(&self, pool: &Pool) -> bool {
        pool.is_for(&self.service.labels, self.namespace)
    }

    fn decide(self, pools: &Pools) -> Decision {
        let addresses: Vec<IpAddr> = self.in_order().collect();
        let mut names: Vec<String> = Vec::new();
        for address in &addresses {
            let name = pools.of(*address).map_or("?", |at| &pools.list[at].name);
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        Decision {
            addresses,
            verdict: self.trouble.map_or(Verdict::Served(names), Verdict::Waits),
            lost: self.lost,
        }
    }

    /// What it has in the order it has it now, so that nothing is written for the order alone.
    fn in_order(&self) -> impl Iterator<Item = IpAddr> {
        let had = self.service.held().filter(|address| self.has.contains(&Some(*address)));
        let new = self.has.iter().flatten().copied();
        let mut seen = Vec::new();
        had.chain(new).filter(move |address| {
            let is_new = !seen.contains(address);
            seen.push(*address);
            is_new
        })
    }
}

#[cfg(test)]
mod tests;
