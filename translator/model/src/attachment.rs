//! Further interfaces of pods: what their annotations ask for, and the definitions that these name.

use std::fmt;
use std::net::IpAddr;

use crate::{Key, Name, Object, PodKey};

/// What a further interface of a pod is to be like (`k8s.cni.cncf.io/v1` `NetworkAttachmentDefinition`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkAttachment {
    /// What names it.
    pub key: DefinitionKey,
    /// What `spec.config` says.
    pub config: AttachmentConfig,
}

/// Names a definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DefinitionKey {
    /// `metadata.namespace`.
    pub namespace: Name,
    /// `metadata.name`.
    pub name: Name,
}

/// Names one of a pod's interfaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey {
    /// The pod.
    pub pod: PodKey,
    /// The interface's name in it; none for the first, which every pod has.
    pub interface: Option<Name>,
}

/// What `spec.config` of a definition says, as far as it concerns Meridian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachmentConfig {
    /// The interface is in a network of Meridian's.
    Ours {
        /// `vpc` of the plugin's configuration.
        vpc: Option<Name>,
        /// `subnet` of the plugin's configuration.
        subnet: Option<Name>,
    },
    /// Another plugin makes the interface.
    Foreign,
    /// It cannot be read; why.
    Unreadable(Name),
}

/// The further interfaces that a pod's annotations speak of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// Those that `k8s.v1.cni.cncf.io/networks` asks for, in its order.
    pub wanted: Box<[NetworkRequest]>,
    /// Entries of it that make no sense, by number, counted from 1; 0 is the annotation as a whole.
    pub faults: Box<[(usize, Name)]>,
    /// What `k8s.v1.cni.cncf.io/network-status` says that those interfaces have, by their names.
    pub had: Box<[(Name, Box<[IpAddr]>)]>,
}

/// An interface that a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRequest {
    /// Which entry of the annotation it is, counted from 1.
    pub entry: usize,
    /// What it is to be like.
    pub definition: DefinitionKey,
    /// Its name in the pod: the one asked for, or `net` and the number of the entry.
    pub interface: Name,
    /// The addresses asked for.
    pub ips: Box<[IpAddr]>,
    /// The MAC address asked for, six octets in lower case.
    pub mac: Option<Name>,
    /// Fields of the entry that Meridian passes over.
    pub ignored: Box<[&'static str]>,
}

impl DefinitionKey {
    /// Names a definition.
    pub fn new(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl PortKey {
    /// Names a further interface of a pod.
    pub fn further(pod: PodKey, interface: Name) -> Self {
        Self {
            pod,
            interface: Some(interface),
        }
    }

    /// Whether it is the pod's first interface.
    pub fn is_first(&self) -> bool {
        self.interface.is_none()
    }
}

impl NetworkRequest {
    /// Names the interface.
    pub fn port(&self, pod: PodKey) -> PortKey {
        PortKey::further(pod, self.interface.clone())
    }
}

impl Networks {
    /// What an interface had, if that is known.
    pub fn had(&self, interface: &str) -> &[IpAddr] {
        let known = self.had.iter().find(|(name, _)| **name == *interface);
        known.map_or(&[], |(_, ips)| ips)
    }

    /// Whether they say nothing.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.faults.is_empty()
    }
}

impl From<DefinitionKey> for Key {
    fn from(key: DefinitionKey) -> Self {
        Self::NetworkAttachment(key.namespace, key.name)
    }
}

impl From<NetworkAttachment> for Object {
    fn from(attachment: NetworkAttachment) -> Self {
        Self::NetworkAttachment(attachment)
    }
}

impl From<PodKey> for PortKey {
    fn from(pod: PodKey) -> Self {
        Self { pod, interface: None }
    }
}

/// `shop/web-0`, or `shop/web-0 (net1)`.
impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            None => write!(f, "{}", self.pod),
            Some(interface) => write!(f, "{} ({interface})", self.pod),
        }
    }
}

impl fmt::Display for DefinitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
