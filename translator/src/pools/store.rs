//! [`Store`]: what the watches have said, and what we have written since.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_api::address_pool::AddressPool;
use meridian_model::ServiceKey;

use super::plan::{Namespaces, Services};
use super::pool::{Pools, Reserved};
use super::service::{Entry, Service};
use super::watch::Message;
use crate::source::kubernetes::News;
use crate::upkeep::fold;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Store {
    pools: Option<BTreeMap<String, Result<AddressPool, String>>>,
    services: Option<Services>,
    nodes: Option<BTreeMap<String, Vec<IpAddr>>>,
    namespaces: Option<Namespaces>,
    cidrs: Option<BTreeMap<String, Vec<String>>>,
    /// Versions of services that we have written and the watch has not yet told us of: what it says meanwhile is older.
    written: HashMap<ServiceKey, u64>,
}

/// What a message means for the allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// There may be something to decide.
    Changed,
    /// The server has pools.
    PoolsAppear,
}

impl Store {
    /// Takes in what a watch says.
    pub(super) fn take(&mut self, message: Message) -> Effect {
        let changed = match message {
            Message::Pools(news) => {
                let appear = matches!(*news, News::Listed(_));
                let changed = fold(&mut self.pools, *news, |seen| (seen.name, seen.object));
                if appear {
                    return Effect::PoolsAppear;
                }
                changed
            }
            Message::Nodes(news) => fold(&mut self.nodes, news, |seen| (seen.name, seen.addresses)),
            Message::Namespaces(news) => fold(&mut self.namespaces, news, |seen| (seen.name, seen.labels)),
            Message::Cidrs(news) => fold(&mut self.cidrs, news, |seen| (seen.name, seen.cidrs)),
            Message::Services(news) => return self.take_services(*news),
        };
        if changed { Effect::Changed } else { Effect::None }
    }

    fn take_services(&mut self, news: News<Entry>) -> Effect {
        match news {
            News::Listed(entries) => {
                let mut before = self.services.replace(Services::new()).unwrap_or_default();
                for entry in entries {
                    match before.remove(&entry.key) {
                        // The list is older than what we have written.
                        Some(service) if self.is_older(&entry) => {
                            self.known().insert(entry.key, service);
                        }
                        _ => drop(self.apply(entry)),
                    }
                }
                self.written.clear();
            }
            News::Absent => {
                self.services = Some(Services::new());
                self.written.clear();
            }
            News::Applied(entry) if self.is_older(&entry) => return Effect::None,
            News::Applied(entry) => return self.apply(entry),
            News::Deleted(entry) => {
                self.written.remove(&entry.key);
                if self.known().remove(&entry.key).is_none() {
                    return Effect::None;
                }
            }
            News::Alive => return Effect::None,
        }
        Effect::Changed
    }

    fn is_older(&self, entry: &Entry) -> bool {
        let written = self.written.get(&entry.key);
        written.is_some_and(|written| entry.version.parse::<u64>().is_ok_and(|version| version < *written))
    }

    fn known(&mut self) -> &mut Services {
        self.services.get_or_insert_default()
    }

    fn apply(&mut self, entry: Entry) -> Effect {
        let Entry { key, service, .. } = entry;
        self.written.remove(&key);
        let before = match service.clone() {
            Some(service) => self.known().insert(key, service),
            None => self.known().remove(&key),
        };
        let same = match (&before, &service) {
            (None, None) => true,
            (Some(before), Some(now)) => {
                // A new version alone says that something changed which is no business of ours.
                let before = Service {
                    version: now.version.clone(),
                    ..before.clone()
                };
                before == *now
            }
            _ => false,
        };
        if same { Effect::None } else { Effect::Changed }
    }

    /// Takes in what a service is like after we have written, or read it ourselves.
    pub(super) fn wrote(&mut self, entry: Entry) {
        let version = entry.version.parse::<u64>().ok();
        let key = entry.key.clone();
        self.apply(entry);
        if let Some(version) = version {
            self.written.insert(key, version);
        }
    }

    /// Takes in that a service is gone.
    pub(super) fn gone(&mut self, key: &ServiceKey) {
        self.known().remove(key);
    }

    /// Everything, once there is everything.
    pub(super) fn whole(&self) -> Option<Whole<'_>> {
        Some(Whole {
            pools: self.pools.as_ref()?,
            services: self.services.as_ref()?,
            nodes: self.nodes.as_ref()?,
            namespaces: self.namespaces.as_ref()?,
            cidrs: self.cidrs.as_ref()?,
        })
    }

    /// A service.
    pub(super) fn service(&self, key: &ServiceKey) -> Option<&Service> {
        self.services.as_ref()?.get(key)
    }

    /// The pools that can be read.
    pub(super) fn pool(&self, name: &str) -> Option<&AddressPool> {
        self.pools.as_ref()?.get(name)?.as_ref().ok()
    }
}

/// Everything that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole<'a> {
    pools: &'a BTreeMap<String, Result<AddressPool, String>>,
    pub(super) services: &'a Services,
    nodes: &'a BTreeMap<String, Vec<IpAddr>>,
    pub(super) namespaces: &'a Namespaces,
    cidrs: &'a BTreeMap<String, Vec<String>>,
}

impl Whole<'_> {
    /// What the pools offer beside these networks.
    pub(super) fn pools(&self, mut reserved: Reserved) -> Pools {
        for (name, cidrs) in self.cidrs {
            for cidr in cidrs.iter().filter_map(|cidr| cidr.parse::<IpNetwork>().ok()) {
                reserved.add(cidr, format!("{cidr} of ServiceCIDR {name}"));
            }
        }
        for (name, addresses) in self.nodes {
            for address in addresses {
                reserved.add(IpNetwork::from(*address), format!("{address} of node {name}"));
            }
        }
        let pools = self.pools.iter();
        let pools = pools.map(|(name, pool)| (name.as_str(), pool.as_ref().map_err(String::as_str)));
        Pools::new(pools, &reserved)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(version: u32, address: Option<&str>) -> Entry {
        let ingress: Vec<Value> = address.iter().map(|ip| json!({"ip": ip})).collect();
        Entry::read(&json!({
            "metadata": {"namespace": "shop", "name": "web", "resourceVersion": version.to_string()},
            "spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": ingress}},
        }))
    }

    fn take(store: &mut Store, news: News<Entry>) -> Effect {
        store.take(Message::Services(Box::new(news)))
    }

    fn held(store: &Store) -> Vec<String> {
        let service = store.service(&ServiceKey::new("shop", "web")).into_iter();
        service.flat_map(Service::held).map(|ip| ip.to_string()).collect()
    }

    #[test]
    fn what_the_watch_says_of_a_time_before_a_write_is_not_believed() {
        let mut store = Store::default();
        take(&mut store, News::Listed(vec![entry(10, None)]));
        store.wrote(entry(12, Some("198.51.100.1")));
        assert_eq!(take(&mut store, News::Applied(entry(11, None))), Effect::None);
        assert_eq!(held(&store), ["198.51.100.1"]);
        // Neither is a list, but what comes later is, and also a list of a server whose history begins anew.
        take(&mut store, News::Listed(vec![entry(11, None)]));
        assert_eq!(held(&store), ["198.51.100.1"]);
        assert_eq!(
            take(&mut store, News::Applied(entry(12, Some("198.51.100.1")))),
            Effect::None
        );
        take(&mut store, News::Listed(vec![entry(3, None)]));
        assert!(held(&store).is_empty());
    }

    #[test]
    fn a_pool_with_the_address_of_a_node_is_in_conflict_as_soon_as_everything_is_known() {
        let mut store = Store::default();
        let read = |value: Value| serde_json::from_value(value);
        let pool = json!({"metadata": {"name": "public"}, "spec": {"addresses": ["198.51.100.0/28"]}});
        let pool = News::Listed(vec![read(pool).unwrap()]);
        assert_eq!(store.take(Message::Pools(Box::new(pool))), Effect::PoolsAppear);
        take(&mut store, News::Listed(Vec::new()));
        store.take(Message::Namespaces(News::Listed(Vec::new())));
        store.take(Message::Cidrs(News::Absent));
        assert!(store.whole().is_none());
        let node = |status: &str| {
            let addresses =
                json!([{"type": "Hostname", "address": "a"}, {"type": "InternalIP", "address": "198.51.100.7"}]);
            let node = json!({"metadata": {"name": "a"}, "status": {"addresses": addresses, "phase": status}});
            serde_json::from_value(node).unwrap()
        };
        assert_eq!(
            store.take(Message::Nodes(News::Listed(vec![node("x")]))),
            Effect::Changed
        );
        assert_eq!(store.take(Message::Nodes(News::Applied(node("y")))), Effect::None);
        let pools = store.whole().unwrap().pools(Reserved::default());
        let fault = pools.list[0].fault.clone().unwrap();
        assert!(fault.message.contains("overlaps 198.51.100.7 of node a"), "{fault:?}");
    }

    #[test]
    fn what_is_no_business_of_ours_changes_nothing() {
        let mut store = Store::default();
        take(&mut store, News::Listed(vec![entry(10, None)]));
        assert_eq!(take(&mut store, News::Applied(entry(11, None))), Effect::None);
        let other = json!({"metadata": {"namespace": "shop", "name": "api"}, "spec": {"type": "ClusterIP"}});
        assert_eq!(take(&mut store, News::Applied(Entry::read(&other))), Effect::None);
        assert_eq!(
            take(&mut store, News::Applied(entry(12, Some("198.51.100.1")))),
            Effect::Changed
        );
        assert_eq!(take(&mut store, News::Deleted(entry(13, None))), Effect::Changed);
    }
}
