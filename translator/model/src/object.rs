//! The objects of a cluster, reduced to what compiling needs.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{
    AddressPool, ClusterPolicy, ClusterPolicyKey, ClusterPolicyKind, EndpointSlice, NamedPort, NetworkAttachment,
    NetworkPolicy, NetworkRequest, Networks, Service, ServiceCidr, Subnet, Vpc, VpcPeering,
};

/// A name or another short text, shared rather than copied.
pub type Name = Arc<str>;

/// Seconds since the epoch; Kubernetes keeps no finer creation times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1/Node`.
    Node,
    /// `v1/Namespace`.
    Namespace,
    /// `v1/Pod`.
    Pod,
    /// `v1/Service`.
    Service,
    /// `discovery.k8s.io/v1/EndpointSlice`.
    EndpointSlice,
    /// `networking.k8s.io/v1/ServiceCIDR`.
    ServiceCidr,
    /// `meridian.dev/v1alpha1/AddressPool`.
    AddressPool,
    /// `meridian.dev/v1alpha1/Vpc`.
    Vpc,
    /// `k8s.cni.cncf.io/v1/NetworkAttachmentDefinition`.
    NetworkAttachment,
    /// `meridian.dev/v1alpha1/Subnet`.
    Subnet,
    /// `meridian.dev/v1alpha1/VpcPeering`.
    VpcPeering,
    /// `networking.k8s.io/v1/NetworkPolicy`.
    NetworkPolicy,
    /// One of those of `policy.networking.k8s.io`.
    ClusterPolicy(ClusterPolicyKind),
}

/// Names one object of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A node, by name.
    Node(Name),
    /// A namespace, by name.
    Namespace(Name),
    /// A pod, by namespace and name.
    Pod(Name, Name),
    /// A service, by namespace and name.
    Service(Name, Name),
    /// A slice of a service's endpoints, by namespace and name.
    EndpointSlice(Name, Name),
    /// Networks of ClusterIPs, by name.
    ServiceCidr(Name),
    /// Addresses for services, by name.
    AddressPool(Name),
    /// A network of its own, by name.
    Vpc(Name),
    /// What a further interface of a pod is to be like, by namespace and name.
    NetworkAttachment(Name, Name),
    /// A network of a VPC, by name.
    Subnet(Name),
    /// One side's consent to a peering, by name.
    VpcPeering(Name),
    /// Who may talk to some pods, by namespace and name.
    NetworkPolicy(Name, Name),
    /// What an administrator decides of that.
    ClusterPolicy(ClusterPolicyKey),
}

/// Names a pod where only pods are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodKey {
    /// The pod's namespace.
    pub namespace: Name,
    /// The pod's name in it.
    pub name: Name,
}

/// Any object of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A node.
    Node(Node),
    /// A namespace.
    Namespace(Namespace),
    /// A pod.
    Pod(Pod),
    /// A service.
    Service(Service),
    /// A slice of a service's endpoints.
    EndpointSlice(EndpointSlice),
    /// Networks of ClusterIPs.
    ServiceCidr(ServiceCidr),
    /// Addresses for services.
    AddressPool(AddressPool),
    /// A network of its own.
    Vpc(Vpc),
    /// What a further interface of a pod is to be like.
    NetworkAttachment(NetworkAttachment),
    /// A network of a VPC.
    Subnet(Subnet),
    /// One side's consent to a peering.
    VpcPeering(VpcPeering),
    /// Who may talk to some pods.
    NetworkPolicy(NetworkPolicy),
    /// What an administrator decides of that.
    ClusterPolicy(ClusterPolicy),
}

/// A machine of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: Name,
    /// `metadata.uid`.
    pub uid: Name,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// `spec.podCIDRs` as written, so that one that does not parse can be reported.
    pub pod_cidrs: Box<[Name]>,
    /// `status.addresses` of type `InternalIP`.
    pub internal_ips: Box<[IpAddr]>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// Whether `status.conditions` say `Ready`.
    pub ready: bool,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// `metadata.name`.
    pub name: Name,
    /// `metadata.labels`.
    pub labels: Labels,
    /// The annotation `meridian.dev/subnet`: the Subnet of its pods.
    pub subnet: Option<Name>,
    /// The annotation `meridian.dev/policy-log` as written: which connections of its pods are logged.
    pub policy_log: Option<Name>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: Name,
    /// `metadata.name`.
    pub name: Name,
    /// `metadata.uid`.
    pub uid: Name,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// `spec.nodeName`, once scheduled.
    pub node: Option<Name>,
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// `status.phase`.
    pub phase: Phase,
    /// `status.podIPs`.
    pub ips: Box<[IpAddr]>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `metadata.labels`.
    pub labels: Labels,
    /// The further interfaces that its annotations speak of; none if they speak of none.
    pub networks: Option<Box<Networks>>,
    /// The annotation `meridian.dev/subnet`: the Subnet that it is to be in.
    pub subnet: Option<Name>,
    /// The annotation `meridian.dev/ips` as written: the addresses that it is to have.
    pub fixed_ips: Option<Name>,
    /// The ports of its containers that have names, sorted.
    pub named_ports: Box<[NamedPort]>,
}

/// `status.phase` of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Not all containers run yet.
    #[default]
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well and stay ended.
    Succeeded,
    /// All containers ended, at least one badly.
    Failed,
    /// The node has not been heard of.
    Unknown,
}

/// Labels, sorted by key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Name, Name)]>);

impl Key {
    /// Names a node.
    pub fn node(name: impl Into<Name>) -> Self {
        Self::Node(name.into())
    }

    /// Names a namespace.
    pub fn namespace(name: impl Into<Name>) -> Self {
        Self::Namespace(name.into())
    }

    /// Names a pod.
    pub fn pod(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self::Pod(namespace.into(), name.into())
    }

    /// Names a service.
    pub fn service(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self::Service(namespace.into(), name.into())
    }

    /// Names a slice of endpoints.
    pub fn endpoint_slice(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self::EndpointSlice(namespace.into(), name.into())
    }

    /// Names networks of ClusterIPs.
    pub fn service_cidr(name: impl Into<Name>) -> Self {
        Self::ServiceCidr(name.into())
    }

    /// Names addresses for services.
    pub fn address_pool(name: impl Into<Name>) -> Self {
        Self::AddressPool(name.into())
    }

    /// Names a network of its own.
    pub fn vpc(name: impl Into<Name>) -> Self {
        Self::Vpc(name.into())
    }

    /// Names what a further interface of a pod is to be like.
    pub fn network_attachment(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self::NetworkAttachment(namespace.into(), name.into())
    }

    /// Names a network of a VPC.
    pub fn subnet(name: impl Into<Name>) -> Self {
        Self::Subnet(name.into())
    }

    /// Names one side's consent to a peering.
    pub fn vpc_peering(name: impl Into<Name>) -> Self {
        Self::VpcPeering(name.into())
    }

    /// Names a policy.
    pub fn network_policy(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self::NetworkPolicy(namespace.into(), name.into())
    }

    /// The kind of the object named.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Node(_) => Kind::Node,
            Self::Namespace(_) => Kind::Namespace,
            Self::Pod(..) => Kind::Pod,
            Self::Service(..) => Kind::Service,
            Self::EndpointSlice(..) => Kind::EndpointSlice,
            Self::ServiceCidr(_) => Kind::ServiceCidr,
            Self::AddressPool(_) => Kind::AddressPool,
            Self::Vpc(_) => Kind::Vpc,
            Self::NetworkAttachment(..) => Kind::NetworkAttachment,
            Self::Subnet(_) => Kind::Subnet,
            Self::VpcPeering(_) => Kind::VpcPeering,
            Self::NetworkPolicy(..) => Kind::NetworkPolicy,
            Self::ClusterPolicy(key) => Kind::ClusterPolicy(key.kind),
        }
    }
}

impl Object {
    /// What names this object.
    pub fn key(&self) -> Key {
        match self {
            Self::Node(node) => Key::Node(node.name.clone()),
            Self::Namespace(namespace) => Key::Namespace(namespace.name.clone()),
            Self::Pod(pod) => pod.key().into(),
            Self::Service(service) => service.key().into(),
            Self::EndpointSlice(slice) => slice.key(),
            Self::ServiceCidr(cidr) => Key::ServiceCidr(cidr.name.clone()),
            Self::AddressPool(pool) => Key::AddressPool(pool.name.clone()),
            Self::Vpc(vpc) => Key::Vpc(vpc.name.clone()),
            Self::NetworkAttachment(attachment) => attachment.key.clone().into(),
            Self::Subnet(subnet) => Key::Subnet(subnet.name.clone()),
            Self::VpcPeering(peering) => Key::VpcPeering(peering.name.clone()),
            Self::NetworkPolicy(policy) => policy.key().into(),
            Self::ClusterPolicy(policy) => policy.key.clone().into(),
        }
    }
}

impl Pod {
    /// What names this pod.
    pub fn key(&self) -> PodKey {
        PodKey {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// The further interfaces that it asks for.
    pub fn further(&self) -> &[NetworkRequest] {
        self.networks.as_ref().map_or(&[], |networks| &networks.wanted)
    }

    /// Whether a virtual machine of KubeVirt's runs in the pod, by the label that it gives to such pods.
    pub fn is_virtual_machine(&self) -> bool {
        self.labels
            .get("kubevirt.io")
            .is_some_and(|value| &**value == "virt-launcher")
    }

    /// Whether the pod has run to its end: it will never use its network again.
    pub fn finished(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }
}

impl PodKey {
    /// Names a pod.
    pub fn new(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl Labels {
    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&Name> {
        let at = self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// All labels, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = &(Name, Name)> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (Name, Name)> {
        self.0.iter_mut()
    }
}

impl<K: Into<Name>, V: Into<Name>> FromIterator<(K, V)> for Labels {
    /// The last of several equal keys wins.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        labels
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect::<std::collections::BTreeMap<Name, Name>>()
            .into_iter()
            .collect::<Vec<_>>()
            .into_boxed_slice()
            .into()
    }
}

impl From<Box<[(Name, Name)]>> for Labels {
    fn from(mut labels: Box<[(Name, Name)]>) -> Self {
        labels.sort_unstable();
        Self(labels)
    }
}

impl From<PodKey> for Key {
    fn from(key: PodKey) -> Self {
        Self::Pod(key.namespace, key.name)
    }
}

impl From<Node> for Object {
    fn from(node: Node) -> Self {
        Self::Node(node)
    }
}

impl From<Namespace> for Object {
    fn from(namespace: Namespace) -> Self {
        Self::Namespace(namespace)
    }
}

impl From<Pod> for Object {
    fn from(pod: Pod) -> Self {
        Self::Pod(pod)
    }
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node/{name}"),
            Self::Namespace(name) => write!(f, "namespace/{name}"),
            Self::Pod(namespace, name) => write!(f, "pod/{namespace}/{name}"),
            Self::Service(namespace, name) => write!(f, "service/{namespace}/{name}"),
            Self::EndpointSlice(namespace, name) => write!(f, "endpointslice/{namespace}/{name}"),
            Self::ServiceCidr(name) => write!(f, "servicecidr/{name}"),
            Self::AddressPool(name) => write!(f, "addresspool/{name}"),
            Self::Vpc(name) => write!(f, "vpc/{name}"),
            Self::NetworkAttachment(namespace, name) => write!(f, "networkattachmentdefinition/{namespace}/{name}"),
            Self::Subnet(name) => write!(f, "subnet/{name}"),
            Self::VpcPeering(name) => write!(f, "vpcpeering/{name}"),
            Self::NetworkPolicy(namespace, name) => write!(f, "networkpolicy/{namespace}/{name}"),
            Self::ClusterPolicy(key) => key.fmt(f),
        }
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(k, v)| (k, v))).finish()
    }
}
