//! [`ClusterPolicy`]: what an administrator decides of pods' connections, before policies of namespaces or after them
//! (`policy.networking.k8s.io`).

use std::fmt;

use crate::{Key, Kind, Name, Object, PolicyPort, Selector, Timestamp};

/// The kinds of such policies. They come to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClusterPolicyKind {
    /// `v1alpha2/ClusterNetworkPolicy`.
    ClusterNetworkPolicy,
    /// `v1alpha1/AdminNetworkPolicy`, which came before it.
    AdminNetworkPolicy,
    /// `v1alpha1/BaselineAdminNetworkPolicy`, of which there is one.
    BaselineAdminNetworkPolicy,
}

/// Names such a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterPolicyKey {
    /// Of which kind it is.
    pub kind: ClusterPolicyKind,
    /// Its name.
    pub name: Name,
}

/// A policy of the whole cluster. Rules are asked in order, and the first that matches decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// What names it.
    pub key: ClusterPolicyKey,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// `spec.tier`.
    pub tier: Tier,
    /// `spec.priority`: of policies of a tier the lower is asked first.
    pub priority: u16,
    /// `spec.subject`: the pods that it is about.
    pub subject: PodsOf,
    /// `spec.ingress`: what of what comes to them.
    pub ingress: Box<[TierRule]>,
    /// `spec.egress`: what of what they send.
    pub egress: Box<[TierRule]>,
    /// The annotation `meridian.dev/policy-log` as written: which connections that it decides are logged.
    pub log: Option<Name>,
}

/// Before policies of namespaces, or after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Before.
    Admin,
    /// After, about pods that none of them isolates.
    Baseline,
}

/// Pods, by their namespaces' labels and their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodsOf {
    /// `namespaceSelector`, or `namespaces`.
    pub namespaces: Selector,
    /// `podSelector`; empty for all of them.
    pub pods: Selector,
}

/// What is decided of some connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierRule {
    /// `name`, for people.
    pub name: Option<Name>,
    /// `action`.
    pub action: Action,
    /// `from` or `to`.
    pub peers: TierPeers,
    /// `protocols` or `ports`; none for whatever protocol and port.
    pub ports: Box<[PolicyPort]>,
    /// What of it cannot be used, and so is on the safe side: the field in the rule, and what to know of it.
    pub fault: Option<(Name, Name)>,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It passes, whatever else is said.
    Accept,
    /// It does not.
    Deny,
    /// The next tier decides.
    Pass,
}

/// The other ends of what a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TierPeers {
    /// All there are: so a rule that cannot be read as it is meant is the safe side.
    Everybody,
    /// Any of these.
    Some(Box<[TierPeer]>),
}

/// The other end of what a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TierPeer {
    /// `namespaces` or `pods`.
    Pods(PodsOf),
    /// `nodes`: addresses of nodes with these labels.
    Nodes(Selector),
    /// `networks`, as written.
    Networks(Box<[Name]>),
    /// `domainNames`, as written.
    DomainNames(Box<[Name]>),
}

impl ClusterPolicyKind {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::ClusterNetworkPolicy,
        Self::AdminNetworkPolicy,
        Self::BaselineAdminNetworkPolicy,
    ];

    /// The resource, in lower case and the singular.
    pub fn word(self) -> &'static str {
        match self {
            Self::ClusterNetworkPolicy => "clusternetworkpolicy",
            Self::AdminNetworkPolicy => "adminnetworkpolicy",
            Self::BaselineAdminNetworkPolicy => "baselineadminnetworkpolicy",
        }
    }

    /// The same in a few letters, as kubectl takes it.
    pub fn short(self) -> &'static str {
        match self {
            Self::ClusterNetworkPolicy => "cnp",
            Self::AdminNetworkPolicy => "anp",
            Self::BaselineAdminNetworkPolicy => "banp",
        }
    }
}

impl From<ClusterPolicyKind> for Kind {
    fn from(kind: ClusterPolicyKind) -> Self {
        Self::ClusterPolicy(kind)
    }
}

impl From<ClusterPolicyKey> for Key {
    fn from(key: ClusterPolicyKey) -> Self {
        Self::ClusterPolicy(key)
    }
}

impl From<ClusterPolicy> for Object {
    fn from(policy: ClusterPolicy) -> Self {
        Self::ClusterPolicy(policy)
    }
}

/// As kubectl writes it: `clusternetworkpolicy/name`.
impl fmt::Display for ClusterPolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "Admin",
            Self::Baseline => "Baseline",
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "Accept",
            Self::Deny => "Deny",
            Self::Pass => "Pass",
        })
    }
}
