//! [`Statement`]: what policies of all kinds say of pods, in the same words; and [`PolicyId`], which names them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use meridian_model::{
    Cluster, ClusterPolicy, ClusterPolicyKey, NetworkPolicy, PodsOf, PolicyKey, PolicyPeer, PolicyPort, PolicyRule,
    TierPeer, TierPeers, TierRule,
};

use super::Direction;
use super::selection::{Selection, Within};
use crate::Unit;

/// Names a policy of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PolicyId {
    /// A `NetworkPolicy`.
    Namespaced(PolicyKey),
    /// One of the whole cluster.
    Cluster(ClusterPolicyKey),
}

/// What a policy says of pods.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    /// The pods that it is about.
    pub(crate) subject: Selection,
    /// Whether what no rule is about is stopped.
    pub(crate) isolates: bool,
    /// What of what comes to them; none if it is not about that.
    pub(crate) ingress: Option<Vec<Rule<'a>>>,
    /// What of what they send.
    pub(crate) egress: Option<Vec<Rule<'a>>>,
}

/// What a rule is about.
#[derive(Debug)]
pub(crate) struct Rule<'a> {
    /// Whoever the other end is; otherwise these pods, and blocks of addresses.
    pub(crate) anybody: bool,
    pub(crate) selections: BTreeSet<Selection>,
    pub(crate) blocks: bool,
    /// None for whatever protocol and port.
    pub(crate) ports: Cow<'a, [PolicyPort]>,
}

impl<'a> Statement<'a> {
    /// What a policy says, if there is such.
    pub(crate) fn of(id: &PolicyId, cluster: &'a Cluster) -> Option<Self> {
        Some(match id {
            PolicyId::Namespaced(key) => Self::of_namespaced(cluster.policy(key)?),
            PolicyId::Cluster(key) => Self::of_cluster(cluster.cluster_policy(key)?),
        })
    }

    fn of_namespaced(policy: &'a NetworkPolicy) -> Self {
        let within = || Within::Namespace(policy.namespace.clone());
        let pods = |peer: &PolicyPeer| match peer {
            PolicyPeer::Pods { namespaces, pods } => {
                let within = namespaces.clone().map_or_else(within, Within::Labelled);
                Some(Selection::new(within, pods.clone()))
            }
            PolicyPeer::Block { .. } => None,
        };
        let rule = |rule: &'a PolicyRule| Rule {
            anybody: rule.peers.is_empty(),
            selections: rule.peers.iter().filter_map(pods).collect(),
            blocks: rule.peers.iter().any(|peer| matches!(peer, PolicyPeer::Block { .. })),
            ports: Cow::Borrowed(&rule.ports),
        };
        Self {
            subject: Selection::new(within(), policy.pods.clone()),
            isolates: true,
            ingress: policy.ingress.as_ref().map(|rules| rules.iter().map(rule).collect()),
            egress: policy.egress.as_ref().map(|rules| rules.iter().map(rule).collect()),
        }
    }

    fn of_cluster(policy: &'a ClusterPolicy) -> Self {
        let rules = |rules: &'a [TierRule]| (!rules.is_empty()).then(|| rules.iter().map(Rule::of_tier).collect());
        Self {
            subject: selection(&policy.subject),
            isolates: false,
            ingress: rules(&policy.ingress),
            egress: rules(&policy.egress),
        }
    }

    /// The rules of a direction, if it is about that.
    pub(crate) fn rules(&self, direction: Direction) -> Option<&[Rule<'a>]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }
}

impl<'a> Rule<'a> {
    fn of_tier(rule: &'a TierRule) -> Self {
        let peers = match &rule.peers {
            TierPeers::Everybody => &[][..],
            TierPeers::Some(peers) => peers,
        };
        let pods = |peer: &TierPeer| match peer {
            TierPeer::Pods(pods) => Some(selection(pods)),
            _ => None,
        };
        Self {
            anybody: rule.peers == TierPeers::Everybody,
            selections: peers.iter().filter_map(pods).collect(),
            blocks: peers
                .iter()
                .any(|peer| matches!(peer, TierPeer::Nodes(_) | TierPeer::Networks(_))),
            ports: Cow::Borrowed(&rule.ports),
        }
    }
}

fn selection(pods: &PodsOf) -> Selection {
    Selection::new(Within::Labelled(pods.namespaces.clone()), pods.pods.clone())
}

impl PolicyId {
    /// As people read it.
    pub(crate) fn for_people(&self) -> String {
        match self {
            Self::Namespaced(key) => format!("networkpolicy {key}"),
            Self::Cluster(key) => format!("{} {}", key.kind.word(), key.name),
        }
    }
}

/// As it is in keys and names of ACLs. No name has a colon.
impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespaced(key) => key.fmt(f),
            Self::Cluster(key) => write!(f, "{}:{}", key.kind.short(), key.name),
        }
    }
}

impl From<PolicyId> for Unit {
    fn from(id: PolicyId) -> Self {
        match id {
            PolicyId::Namespaced(key) => key.into(),
            PolicyId::Cluster(key) => Self::ClusterPolicy(key),
        }
    }
}

impl From<PolicyKey> for PolicyId {
    fn from(key: PolicyKey) -> Self {
        Self::Namespaced(key)
    }
}

impl From<ClusterPolicyKey> for PolicyId {
    fn from(key: ClusterPolicyKey) -> Self {
        Self::Cluster(key)
    }
}
