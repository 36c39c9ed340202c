//! Services, the slices of their endpoints, and which slices are whose.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::{Endpoint, EndpointSlice, Interner, Key, Name, Protocol, Service, ServiceKey};

#[derive(Debug, Default)]
pub(super) struct Services {
    by_key: HashMap<ServiceKey, Arc<Service>>,
    /// By namespace and name.
    slices: HashMap<(Name, Name), Arc<EndpointSlice>>,
    /// By service, then by name.
    slices_of: HashMap<ServiceKey, BTreeMap<Name, Arc<EndpointSlice>>>,
}

impl Services {
    pub(super) fn get(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.by_key.get(key)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Service>> {
        self.by_key.values()
    }

    pub(super) fn slices(&self) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.slices.values()
    }

    pub(super) fn slices_of<'a>(
        &'a self,
        service: &ServiceKey,
    ) -> impl Iterator<Item = &'a Arc<EndpointSlice>> + use<'a> {
        self.slices_of.get(service).into_iter().flat_map(BTreeMap::values)
    }

    /// What is different now.
    pub(super) fn put(&mut self, mut service: Service, names: &mut Interner) -> Option<Key> {
        let key = service.key();
        if self.by_key.get(&key).is_some_and(|old| **old == service) {
            return None;
        }
        names.share(&mut service.namespace);
        for port in &mut service.ports {
            share_port(&mut port.name, &mut port.protocol, names);
        }
        self.by_key.insert(service.key(), Arc::new(service));
        Some(key.into())
    }

    /// Whether the service was there.
    pub(super) fn remove(&mut self, key: &ServiceKey) -> bool {
        self.by_key.remove(key).is_some()
    }

    pub(super) fn put_slice(&mut self, mut slice: EndpointSlice, names: &mut Interner, changed: &mut Vec<Key>) {
        let id = (slice.namespace.clone(), slice.name.clone());
        let old = self.slices.get(&id).cloned();
        if old.as_ref().is_some_and(|old| **old == slice) {
            return;
        }
        names.share(&mut slice.namespace);
        if let Some(service) = &mut slice.service {
            names.share(service);
        }
        for port in &mut slice.ports {
            share_port(&mut port.name, &mut port.protocol, names);
        }
        for endpoint in &mut slice.endpoints {
            share_places(endpoint, names);
        }
        let slice = Arc::new(slice);
        changed.push(slice.key());
        let service = slice.service_key();
        if let Some(old) = old
            && old.service != slice.service
        {
            self.leave(&old, changed);
        }
        if let Some(service) = service {
            let slices = self.slices_of.entry(service.clone()).or_default();
            slices.insert(slice.name.clone(), slice.clone());
            changed.push(service.into());
        }
        self.slices.insert(id, slice);
    }

    pub(super) fn remove_slice(&mut self, namespace: &Name, name: &Name, changed: &mut Vec<Key>) {
        if let Some(slice) = self.slices.remove(&(namespace.clone(), name.clone())) {
            changed.push(slice.key());
            self.leave(&slice, changed);
        }
    }

    fn leave(&mut self, slice: &EndpointSlice, changed: &mut Vec<Key>) {
        let Some(service) = slice.service_key() else { return };
        if let Some(slices) = self.slices_of.get_mut(&service) {
            slices.remove(&slice.name);
            if slices.is_empty() {
                self.slices_of.remove(&service);
            }
        }
        changed.push(service.into());
    }
}

/// Endpoints run on the same few nodes, and are meant for the same few zones.
fn share_places(endpoint: &mut Endpoint, names: &mut Interner) {
    if let Some(node) = &mut endpoint.node {
        names.share(node);
    }
    let Some(hints) = &mut endpoint.hints else { return };
    for name in hints.zones.iter_mut().chain(&mut hints.nodes) {
        names.share(name);
    }
}

/// Many services have ports of one name.
fn share_port(name: &mut Name, protocol: &mut Protocol, names: &mut Interner) {
    names.share(name);
    if let Protocol::Other(protocol) = protocol {
        names.share(protocol);
    }
}
