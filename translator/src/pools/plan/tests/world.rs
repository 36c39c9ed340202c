//! [`World`]: pools and services in a test.

use meridian_api::address_pool::{ALLOCATED, AddressPool};
use serde_json::{Value, json};

use crate::pools::plan::*;
use crate::pools::pool::Reserved;
use crate::pools::service::Entry;

/// Pools and services, and what happens to them.
#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) pools: Vec<AddressPool>,
    pub(super) services: BTreeMap<ServiceKey, Value>,
    pub(super) namespaces: Namespaces,
    pub(super) reserved: Reserved,
    pub(super) recent: Recent,
    pub(super) clock: u32,
}

pub(super) fn key(name: &str) -> ServiceKey {
    ServiceKey::new("shop", name)
}

impl World {
    pub(super) fn with(pools: &[(&str, &[&str])]) -> Self {
        let mut world = Self::default();
        for (name, addresses) in pools {
            world.pool(name, &json!({"addresses": addresses}));
        }
        world
    }

    /// Creates or replaces a pool.
    pub(super) fn pool(&mut self, name: &str, spec: &Value) {
        self.clock += 1;
        let known = self
            .pools
            .iter()
            .position(|pool| pool.metadata.name.as_deref() == Some(name));
        let created = match known {
            Some(at) => json!(self.pools[at].metadata.creation_timestamp),
            None => json!(format!(
                "2026-01-01T00:{:02}:{:02}Z",
                self.clock / 60 % 60,
                self.clock % 60
            )),
        };
        let pool = json!({"metadata": {"name": name, "creationTimestamp": created}, "spec": spec});
        let pool = serde_json::from_value(pool).unwrap();
        match known {
            Some(at) => self.pools[at] = pool,
            None => self.pools.push(pool),
        }
    }

    /// A service of type LoadBalancer with more fields; of IPv4 unless they say otherwise.
    pub(super) fn service(&mut self, name: &str, more: &Value) {
        self.clock += 1;
        let created = format!("2026-01-02T00:{:02}:{:02}Z", self.clock / 60 % 60, self.clock % 60);
        let mut service = json!({
            "metadata": {"namespace": "shop", "name": name, "creationTimestamp": created},
            "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"},
        });
        merge(&mut service, more);
        self.services.insert(key(name), service);
    }

    pub(super) fn change(&mut self, name: &str, change: &Value) {
        merge(self.services.get_mut(&key(name)).unwrap(), change);
    }

    pub(super) fn read(&self) -> Services {
        let read = |(key, value): (&ServiceKey, &Value)| Some((key.clone(), Entry::read(value).service?));
        self.services.iter().filter_map(read).collect()
    }

    pub(super) fn pools(&self) -> Pools {
        let pools = self.pools.iter();
        Pools::new(
            pools.map(|pool| (pool.metadata.name.as_deref().unwrap(), Ok(pool))),
            &self.reserved,
        )
    }

    pub(super) fn plan(&self) -> Plan {
        plan(&self.pools(), &self.read(), &self.namespaces, &self.recent)
    }

    /// Writes what was decided of one service.
    pub(super) fn write(&mut self, key: &ServiceKey, decision: &Decision) {
        let ingress: Vec<Value> = decision.addresses.iter().map(|ip| json!({"ip": ip})).collect();
        let status = match &decision.verdict {
            Verdict::Served(_) => json!([{"type": ALLOCATED, "status": "True"}]),
            Verdict::Waits(_) => json!([{"type": ALLOCATED, "status": "False"}]),
            Verdict::Released => Value::Null,
        };
        let service = self.services.get_mut(key).unwrap();
        service["status"] = json!({"loadBalancer": {"ingress": ingress}, "conditions": status});
    }

    /// Decides and writes until nothing is to be written any more.
    pub(super) fn settle(&mut self) -> Plan {
        for _ in 0..10 {
            let (plan, before) = (self.plan(), self.services.clone());
            for (key, decision) in &plan.decisions {
                self.write(key, decision);
            }
            if self.services == before {
                return plan;
            }
        }
        panic!("it never settles: {:?}", self.plan());
    }

    pub(super) fn held(&self, name: &str) -> Vec<String> {
        let service = Entry::read(&self.services[&key(name)]).service;
        let service = service.iter();
        service.flat_map(Service::held).map(|ip| ip.to_string()).collect()
    }
}

pub(super) fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

pub(super) fn reason(plan: &Plan, name: &str) -> &'static str {
    match &plan.decisions[&key(name)].verdict {
        Verdict::Served(_) => "served",
        Verdict::Waits(trouble) => trouble.reason,
        Verdict::Released => "released",
    }
}

pub(super) fn having(addresses: &[&str]) -> Value {
    let ingress: Vec<_> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    json!({"status": {"loadBalancer": {"ingress": ingress}}})
}

pub(super) fn dual(policy: &str) -> Value {
    json!({"spec": {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": policy}})
}

pub(super) fn merged(one: &Value, other: &Value) -> Value {
    let mut both = one.clone();
    merge(&mut both, other);
    both
}

pub(super) fn asking(name: &str, value: &str) -> Value {
    json!({"metadata": {"annotations": {name: value}}})
}
