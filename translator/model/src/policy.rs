//! [`NetworkPolicy`]: who may talk to some pods, and to whom they may (`networking.k8s.io/v1`).

use std::fmt;
use std::ops::RangeInclusive;

use crate::{Key, Name, Object, Protocol, Selector, Timestamp};

/// Names a policy where only policies are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// The policy's namespace.
    pub namespace: Name,
    /// The policy's name in it.
    pub name: Name,
}

/// A `NetworkPolicy`: pods that it selects are isolated in the directions it speaks of, but for what its rules allow. What several
/// policies allow adds up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// `metadata.namespace`.
    pub namespace: Name,
    /// `metadata.name`.
    pub name: Name,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// `spec.podSelector`: pods of its namespace.
    pub pods: Selector,
    /// `spec.ingress` if it is of type `Ingress`: who may connect to the pods.
    pub ingress: Option<Box<[PolicyRule]>>,
    /// `spec.egress` if it is of type `Egress`: what the pods may connect to.
    pub egress: Option<Box<[PolicyRule]>>,
}

/// What is allowed: these peers on these ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRule {
    /// `from` or `to`; none for anybody.
    pub peers: Box<[PolicyPeer]>,
    /// `ports`; none for whatever protocol and port.
    pub ports: Box<[PolicyPort]>,
}

/// The other end of what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyPeer {
    /// Pods.
    Pods {
        /// `namespaceSelector`; none for the policy's own namespace.
        namespaces: Option<Selector>,
        /// `podSelector`; absent for all of them.
        pods: Selector,
    },
    /// `ipBlock`: addresses, as written.
    Block {
        /// `cidr`.
        cidr: Name,
        /// `except`.
        except: Box<[Name]>,
    },
}

/// A port that is allowed: that of the pod that is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyPort {
    /// `protocol`.
    pub protocol: Protocol,
    /// `port` and `endPort`.
    pub port: PortMatch,
}

/// Which ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortMatch {
    /// All of them.
    Any,
    /// From the first to the last.
    Range(RangeInclusive<u16>),
    /// Whatever number a pod's container port of that name has.
    Named(Name),
}

/// A container port that has a name (`spec.containers[].ports[]` of a pod).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// `name`.
    pub name: Name,
    /// `protocol`.
    pub protocol: Protocol,
    /// `containerPort`.
    pub number: u16,
}

impl NetworkPolicy {
    /// What names this policy.
    pub fn key(&self) -> PolicyKey {
        PolicyKey {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

impl PolicyKey {
    /// Names a policy.
    pub fn new(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl From<PolicyKey> for Key {
    fn from(key: PolicyKey) -> Self {
        Self::NetworkPolicy(key.namespace, key.name)
    }
}

impl From<NetworkPolicy> for Object {
    fn from(policy: NetworkPolicy) -> Self {
        Self::NetworkPolicy(policy)
    }
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for NamedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}/{}", self.name, self.protocol, self.number)
    }
}
