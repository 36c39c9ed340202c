//! Whatever happens, in whatever order.

use meridian_api::address_pool::ADDRESSES;
use proptest::prelude::*;
use serde_json::json;

use super::world::{World, asking, dual, key};
use crate::pools::plan::*;

/// What may happen.
#[derive(Clone, Debug)]
enum Happening {
    Add(u8),
    Remove(u8),
    Ask(u8, u8),
    Unbalance(u8),
    Dual(u8),
    Pool(u8, u8, u8),
    NoPool(u8),
    /// Writes only some of what was decided, as an allocator does that is interrupted.
    Write(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    let n = 0..6_u8;
    prop_oneof![
        4 => n.clone().prop_map(Happening::Add),
        1 => n.clone().prop_map(Happening::Remove),
        2 => (n.clone(), 0..12_u8).prop_map(|(a, b)| Happening::Ask(a, b)),
        1 => n.clone().prop_map(Happening::Unbalance),
        1 => n.clone().prop_map(Happening::Dual),
        2 => (0..3_u8, 0..10_u8, 0..4_u8).prop_map(|(a, b, c)| Happening::Pool(a, b, c)),
        1 => (0..3_u8).prop_map(Happening::NoPool),
        6 => (0..4_u8).prop_map(Happening::Write),
    ]
}

impl World {
    fn happens(&mut self, happening: &Happening) {
        let name = |n: u8| format!("s{n}");
        let known = |w: &Self, n: u8| w.services.contains_key(&key(&name(n)));
        match *happening {
            Happening::Add(n) if !known(self, n) => self.service(&name(n), &json!({})),
            Happening::Remove(n) => drop(self.services.remove(&key(&name(n)))),
            Happening::Ask(n, at) if known(self, n) => {
                self.change(&name(n), &asking(ADDRESSES, &format!("198.51.100.{at}")));
            }
            Happening::Unbalance(n) if known(self, n) => self.change(&name(n), &json!({"spec": {"type": "NodePort"}})),
            Happening::Dual(n) if known(self, n) => self.change(&name(n), &dual("PreferDualStack")),
            Happening::Pool(n, from, more) => {
                let v4 = format!("198.51.100.{from}-198.51.100.{}", from + more);
                let v6 = format!("2001:db8::{from:x}-2001:db8::{:x}", from + more);
                self.pool(&format!("p{n}"), &json!({"addresses": [v4, v6]}));
            }
            Happening::NoPool(n) => {
                let name = format!("p{n}");
                self.pools.retain(|pool| pool.metadata.name.as_ref() != Some(&name));
            }
            Happening::Write(most) => {
                for (key, decision) in self.plan().decisions.iter().take(most.into()) {
                    self.write(key, decision);
                }
            }
            _ => {}
        }
    }

    /// Every address with the services that have it.
    fn holders(&self) -> BTreeMap<IpAddr, Vec<ServiceKey>> {
        let mut holders: BTreeMap<IpAddr, Vec<ServiceKey>> = BTreeMap::new();
        for (key, service) in self.read() {
            for address in service.held() {
                holders.entry(address).or_default().push(key.clone());
            }
        }
        holders
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_address_is_ever_in_two_services_and_none_is_taken_without_reason(
        happenings in proptest::collection::vec(happening(), 1..60)
    ) {
        let mut world = World::with(&[("p0", &["198.51.100.0-198.51.100.3"])]);
        for happening in &happenings {
            let before = world.holders();
            world.happens(happening);
            for (address, holders) in world.holders() {
                prop_assert!(holders.len() == 1, "{address} is that of {holders:?} after {happening:?}");
            }
            // Nobody loses what a pool has, but for what it asks.
            let (pools, services) = (world.pools(), world.read());
            let plan = world.plan();
            prop_assert_eq!(&plan.decisions, &world.plan().decisions);
            for (address, holders) in before {
                let key = &holders[0];
                let Some(service) = services.get(key).filter(|service| service.balanced) else { continue };
                let asks = service.wish.addresses != [None; 2];
                let wanted = service.wish.families[Family::of(address).index()];
                let kept = plan.decisions.get(key).is_some_and(|decision| decision.addresses.contains(&address));
                let held = service.held().any(|held| held == address);
                prop_assert!(kept || !held || asks || !wanted || pools.of(address).is_none(), "{key} loses {address}");
            }
        }
        world.settle();
        let settled = world.clone();
        world.settle();
        prop_assert_eq!(settled.services, world.services);
    }
}
