//! The objects of the cluster and the joins between them, folded from events.

mod services;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use self::services::Services;
use crate::{
    AddressPool, ClusterPolicy, ClusterPolicyKey, DefinitionKey, EndpointSlice, Interner, Key, Kind, Name, Namespace,
    NetworkAttachment, NetworkPolicy, Node, Object, Pod, PodKey, PolicyKey, Service, ServiceCidr, ServiceKey, Subnet,
    Vpc, VpcPeering,
};

/// Something that was seen to happen to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The object is now like this.
    Apply(Object),
    /// The object is gone.
    Delete(Key),
    /// A full list: everything of the kind that is not in it is gone.
    Replace(Kind, Vec<Object>),
}

/// The current objects, with joins kept incrementally.
#[derive(Debug, Default)]
pub struct Cluster {
    nodes: BTreeMap<Name, Arc<Node>>,
    namespaces: BTreeMap<Name, Arc<Namespace>>,
    pods: HashMap<PodKey, Arc<Pod>>,
    pods_on: HashMap<Name, BTreeSet<PodKey>>,
    pods_in: HashMap<Name, BTreeSet<Name>>,
    services: Services,
    service_cidrs: BTreeMap<Name, Arc<ServiceCidr>>,
    address_pools: BTreeMap<Name, Arc<AddressPool>>,
    vpcs: BTreeMap<Name, Arc<Vpc>>,
    attachments: BTreeMap<DefinitionKey, Arc<NetworkAttachment>>,
    /// The pods that ask for each definition, whether or not it exists.
    attached: HashMap<DefinitionKey, BTreeSet<PodKey>>,
    subnets: BTreeMap<Name, Arc<Subnet>>,
    vpc_peerings: BTreeMap<Name, Arc<VpcPeering>>,
    policies: BTreeMap<PolicyKey, Arc<NetworkPolicy>>,
    admin_policies: BTreeMap<ClusterPolicyKey, Arc<ClusterPolicy>>,
    names: Interner,
}

impl Cluster {
    /// Folds an event in and returns the objects that are different now; a service is, when its endpoints are. Out of
    /// order, repeated and contradictory events are fine: the last word on an object counts.
    pub fn apply(&mut self, event: Event) -> Vec<Key> {
        let mut changed = Vec::new();
        match event {
            Event::Apply(object) => self.put(object, &mut changed),
            Event::Delete(key) => self.remove(key, &mut changed),
            Event::Replace(kind, objects) => self.replace(kind, objects, &mut changed),
        }
        changed
    }

    /// A node.
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.get(name)
    }

    /// A namespace.
    pub fn namespace(&self, name: &str) -> Option<&Arc<Namespace>> {
        self.namespaces.get(name)
    }

    /// A pod.
    pub fn pod(&self, key: &PodKey) -> Option<&Arc<Pod>> {
        self.pods.get(key)
    }

    /// All nodes by name.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// All namespaces by name.
    pub fn namespaces(&self) -> impl ExactSizeIterator<Item = &Arc<Namespace>> {
        self.namespaces.values()
    }

    /// All pods, in no particular order.
    pub fn pods(&self) -> impl ExactSizeIterator<Item = &Arc<Pod>> {
        self.pods.values()
    }

    /// The pods that name a node, whether or not that node exists, sorted.
    pub fn pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a PodKey> + use<'a> {
        self.pods_on.get(node).into_iter().flatten()
    }

    /// The pods of a namespace, sorted.
    pub fn pods_in<'a>(&'a self, namespace: &Name) -> impl Iterator<Item = &'a Arc<Pod>> + use<'a> {
        let namespace = namespace.clone();
        let names = self.pods_in.get(&namespace).into_iter().flatten();
        names.filter_map(move |name| self.pods.get(&PodKey::new(namespace.clone(), name.clone())))
    }

    /// A service.
    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    /// All services, in no particular order.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Arc<Service>> {
        self.services.iter()
    }

    /// The slices of a service's endpoints, whether or not that service exists, sorted by name.
    pub fn slices_of<'a>(&'a self, service: &ServiceKey) -> impl Iterator<Item = &'a Arc<EndpointSlice>> + use<'a> {
        self.services.slices_of(service)
    }

    /// All slices of endpoints, in no particular order.
    pub fn endpoint_slices(&self) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.services.slices()
    }

    /// All networks of ClusterIPs that objects speak of, by name.
    pub fn service_cidrs(&self) -> impl ExactSizeIterator<Item = &Arc<ServiceCidr>> {
        self.service_cidrs.values()
    }

    /// All pools of addresses for services, by name.
    pub fn address_pools(&self) -> impl ExactSizeIterator<Item = &Arc<AddressPool>> {
        self.address_pools.values()
    }

    /// A policy.
    pub fn policy(&self, key: &PolicyKey) -> Option<&Arc<NetworkPolicy>> {
        self.policies.get(key)
    }

    /// All policies, by namespace and name.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &Arc<NetworkPolicy>> {
        self.policies.values()
    }

    /// A policy of the whole cluster.
    pub fn cluster_policy(&self, key: &ClusterPolicyKey) -> Option<&Arc<ClusterPolicy>> {
        self.admin_policies.get(key)
    }

    /// All policies of the whole cluster, by kind and name.
    pub fn cluster_policies(&self) -> impl ExactSizeIterator<Item = &Arc<ClusterPolicy>> {
        self.admin_policies.values()
    }

    /// All VPCs beside the default one, by name.
    pub fn vpcs(&self) -> impl ExactSizeIterator<Item = &Arc<Vpc>> {
        self.vpcs.values()
    }

    /// What a further interface of a pod is to be like.
    pub fn network_attachment(&self, key: &DefinitionKey) -> Option<&Arc<NetworkAttachment>> {
        self.attachments.get(key)
    }

    /// All definitions of further interfaces, by namespace and name.
    pub fn network_attachments(&self) -> impl ExactSizeIterator<Item = &Arc<NetworkAttachment>> {
        self.attachments.values()
    }

    /// The pods that ask for a definition, whether or not it exists, sorted.
    pub fn pods_attached<'a>(&'a self, definition: &DefinitionKey) -> impl Iterator<Item = &'a PodKey> + use<'a> {
        self.attached.get(definition).into_iter().flatten()
    }

    /// The pods that ask for further interfaces, some of them several times.
    pub fn attached_pods(&self) -> impl Iterator<Item = &PodKey> {
        self.attached.values().flatten()
    }

    /// All Subnets, by name.
    pub fn subnets(&self) -> impl ExactSizeIterator<Item = &Arc<Subnet>> {
        self.subnets.values()
    }

    /// A consent to a peering.
    pub fn vpc_peering(&self, name: &str) -> Option<&Arc<VpcPeering>> {
        self.vpc_peerings.get(name)
    }

    /// All consents to peerings, by name.
    pub fn vpc_peerings(&self) -> impl ExactSizeIterator<Item = &Arc<VpcPeering>> {
        self.vpc_peerings.values()
    }

    fn put(&mut self, object: Object, changed: &mut Vec<Key>) {
        match object {
            Object::Node(node) => changed.extend(self.put_node(node)),
            Object::Namespace(namespace) => changed.extend(self.put_namespace(namespace)),
            Object::Pod(pod) => changed.extend(self.put_pod(pod)),
            Object::Service(service) => changed.extend(self.services.put(service, &mut self.names)),
            Object::EndpointSlice(slice) => self.services.put_slice(slice, &mut self.names, changed),
            Object::ServiceCidr(cidr) => {
                let name = cidr.name.clone();
                changed.extend(put(&mut self.service_cidrs, name, cidr).map(Key::ServiceCidr));
            }
            Object::AddressPool(pool) => {
                let name = pool.name.clone();
                changed.extend(put(&mut self.address_pools, name, pool).map(Key::AddressPool));
            }
            Object::Vpc(vpc) => {
                let name = vpc.name.clone();
                changed.extend(put(&mut self.vpcs, name, vpc).map(Key::Vpc));
            }
            Object::NetworkAttachment(attachment) => {
                let key = attachment.key.clone();
                changed.extend(put(&mut self.attachments, key, attachment).map(Key::from));
            }
            Object::Subnet(subnet) => {
                let name = subnet.name.clone();
                changed.extend(put(&mut self.subnets, name, subnet).map(Key::Subnet));
            }
            Object::VpcPeering(peering) => {
                let name = peering.name.clone();
                changed.extend(put(&mut self.vpc_peerings, name, peering).map(Key::VpcPeering));
            }
            Object::NetworkPolicy(policy) => {
                let key = policy.key();
                changed.extend(put(&mut self.policies, key, policy).map(Key::from));
            }
            Object::ClusterPolicy(policy) => {
                let key = policy.key.clone();
                changed.extend(put(&mut self.admin_policies, key, policy).map(Key::from));
            }
        }
    }

    fn put_node(&mut self, mut node: Node) -> Option<Key> {
        if self.nodes.get(&node.name).is_some_and(|old| **old == node) {
            return None;
        }
        self.names.share(&mut node.name);
        for (key, value) in node.labels.iter_mut() {
            self.names.share(key);
            self.names.share(value);
        }
        let name = node.name.clone();
        self.nodes.insert(name.clone(), Arc::new(node));
        Some(Key::Node(name))
    }

    fn put_namespace(&mut self, mut namespace: Namespace) -> Option<Key> {
        let old = self.namespaces.get(&namespace.name);
        if old.is_some_and(|old| **old == namespace) {
            return None;
        }
        self.names.share(&mut namespace.name);
        let name = namespace.name.clone();
        self.namespaces.insert(name.clone(), Arc::new(namespace));
        Some(Key::Namespace(name))
    }

    fn put_pod(&mut self, mut pod: Pod) -> Option<Key> {
        let old = self.pods.get(&pod.key()).cloned();
        if old.as_ref().is_some_and(|old| **old == pod) {
            return None;
        }
        self.names.share(&mut pod.namespace);
        if let Some(old) = &old {
            pod.name = old.name.clone();
        }
        if let Some(node) = &mut pod.node {
            self.names.share(node);
        }
        if let Some(subnet) = &mut pod.subnet {
            self.names.share(subnet);
        }
        // Pods of one workload repeat each other's labels.
        for (key, value) in pod.labels.iter_mut() {
            self.names.share(key);
            self.names.share(value);
        }
        for port in &mut pod.named_ports {
            self.names.share(&mut port.name);
        }
        let key = pod.key();
        if let Some(old) = &old {
            if old.node != pod.node {
                self.leave_node(old);
            }
            if old.networks != pod.networks {
                self.detach(old);
            }
        }
        for request in pod.further() {
            let pods = self.attached.entry(request.definition.clone()).or_default();
            pods.insert(key.clone());
        }
        let namespace = self.pods_in.entry(key.namespace.clone()).or_default();
        namespace.insert(key.name.clone());
        if let Some(node) = &pod.node {
            self.pods_on.entry(node.clone()).or_default().insert(key.clone());
        }
        self.pods.insert(key.clone(), Arc::new(pod));
        Some(key.into())
    }

    fn remove(&mut self, key: Key, changed: &mut Vec<Key>) {
        let was_there = match &key {
            Key::Node(name) => self.nodes.remove(name).is_some(),
            Key::Namespace(name) => self.namespaces.remove(name).is_some(),
            Key::Pod(namespace, name) => {
                let pod = self.pods.remove(&PodKey::new(namespace.clone(), name.clone()));
                pod.inspect(|pod| {
                    self.leave(pod);
                    self.detach(pod);
                })
                .is_some()
            }
            Key::Service(namespace, name) => self.services.remove(&ServiceKey::new(namespace.clone(), name.clone())),
            Key::EndpointSlice(namespace, name) => return self.services.remove_slice(namespace, name, changed),
            Key::ServiceCidr(name) => self.service_cidrs.remove(name).is_some(),
            Key::AddressPool(name) => self.address_pools.remove(name).is_some(),
            Key::Vpc(name) => self.vpcs.remove(name).is_some(),
            Key::NetworkAttachment(namespace, name) => {
                let key = DefinitionKey::new(namespace.clone(), name.clone());
                self.attachments.remove(&key).is_some()
            }
            Key::Subnet(name) => self.subnets.remove(name).is_some(),
            Key::VpcPeering(name) => self.vpc_peerings.remove(name).is_some(),
            Key::NetworkPolicy(namespace, name) => {
                let key = PolicyKey::new(namespace.clone(), name.clone());
                self.policies.remove(&key).is_some()
            }
            Key::ClusterPolicy(key) => self.admin_policies.remove(key).is_some(),
        };
        if was_there {
            changed.push(key);
        }
    }

    fn leave(&mut self, pod: &Pod) {
        self.leave_node(pod);
        if let Some(pods) = self.pods_in.get_mut(&pod.namespace) {
            pods.remove(&pod.name);
            if pods.is_empty() {
                self.pods_in.remove(&pod.namespace);
            }
        }
    }

    fn leave_node(&mut self, pod: &Pod) {
        let Some(node) = &pod.node else { return };
        if let Some(pods) = self.pods_on.get_mut(node) {
            pods.remove(&pod.key());
            if pods.is_empty() {
                self.pods_on.remove(node);
            }
        }
    }

    fn detach(&mut self, pod: &Pod) {
        for request in pod.further() {
            if let Some(pods) = self.attached.get_mut(&request.definition) {
                pods.remove(&pod.key());
                if pods.is_empty() {
                    self.attached.remove(&request.definition);
                }
            }
        }
    }

    fn replace(&mut self, kind: Kind, objects: Vec<Object>, changed: &mut Vec<Key>) {
        // A list of another kind than announced must not wipe what it does not speak of.
        let listed: BTreeSet<Key> = objects
            .iter()
            .map(Object::key)
            .filter(|key| key.kind() == kind)
            .collect();
        let gone: Vec<Key> = self.keys(kind).filter(|key| !listed.contains(key)).collect();
        for key in gone {
            self.remove(key, changed);
        }
        for object in objects {
            self.put(object, changed);
        }
    }

    fn keys(&self, kind: Kind) -> Box<dyn Iterator<Item = Key> + '_> {
        match kind {
            Kind::Node => Box::new(self.nodes.keys().cloned().map(Key::Node)),
            Kind::Namespace => Box::new(self.namespaces.keys().cloned().map(Key::Namespace)),
            Kind::Pod => Box::new(self.pods.keys().cloned().map(Key::from)),
            Kind::Service => Box::new(self.services.iter().map(|service| service.key().into())),
            Kind::EndpointSlice => Box::new(self.services.slices().map(|slice| slice.key())),
            Kind::ServiceCidr => Box::new(self.service_cidrs.keys().cloned().map(Key::ServiceCidr)),
            Kind::AddressPool => Box::new(self.address_pools.keys().cloned().map(Key::AddressPool)),
            Kind::Vpc => Box::new(self.vpcs.keys().cloned().map(Key::Vpc)),
            Kind::NetworkAttachment => Box::new(self.attachments.keys().cloned().map(Key::from)),
            Kind::Subnet => Box::new(self.subnets.keys().cloned().map(Key::Subnet)),
            Kind::VpcPeering => Box::new(self.vpc_peerings.keys().cloned().map(Key::VpcPeering)),
            Kind::NetworkPolicy => Box::new(self.policies.keys().cloned().map(Key::from)),
            Kind::ClusterPolicy(kind) => {
                let of_kind = self.admin_policies.keys().filter(move |key| key.kind == kind);
                Box::new(of_kind.cloned().map(Key::from))
            }
        }
    }
}

/// The key if the object is different now.
fn put<K: Ord + Clone, T: PartialEq>(objects: &mut BTreeMap<K, Arc<T>>, key: K, object: T) -> Option<K> {
    if objects.get(&key).is_some_and(|old| **old == object) {
        return None;
    }
    objects.insert(key.clone(), Arc::new(object));
    Some(key)
}
