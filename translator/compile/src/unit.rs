//! [`Unit`]: the piece of the cluster that compiles by itself and owns rows.

use std::fmt;
use std::str::FromStr;

use meridian_model::{ClusterPolicyKey, ClusterPolicyKind, Name, PodKey, PolicyKey, ServiceKey};

/// What owns rows. Written as `kind/name` in `external_ids:meridian/owner`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A VPC: its router.
    Vpc(Name),
    /// A node: its slice of the default VPC, with switch, router port, management port and routes.
    Node(Name),
    /// What a node has of another VPC. VPC, then node.
    Slice(Name, Name),
    /// A Subnet: its switch.
    Subnet(Name),
    /// What a VPC has at one of its gateways. VPC, then node.
    Gateway(Name, Name),
    /// What policies make of the pods that they select, by the name of the selection.
    Selection(Name),
    /// A policy of the whole cluster: what it decides.
    ClusterPolicy(ClusterPolicyKey),
    /// A policy: what it allows. Namespace, then name.
    Policy(Name, Name),
    /// A pod: its logical port. Namespace, then name.
    Pod(Name, Name),
    /// A service: its load balancers. Namespace, then name.
    Service(Name, Name),
}

/// Why a text names no unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} names no unit: expected vpc/NAME, node/NAME, slice/VPC/NODE, subnet/NAME, gateway/VPC/NODE, selection/PODS, \
     clusternetworkpolicy/NAME, adminnetworkpolicy/NAME, baselineadminnetworkpolicy/NAME, networkpolicy/NAMESPACE/NAME, pod/NAMESPACE/NAME or service/NAMESPACE/NAME"
)]
pub struct UnitParseError {
    text: String,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Unit {
    /// As it is written in `external_ids:meridian/owner`.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Vpc(name) => ["vpc/", name].concat(),
            Self::Node(name) => ["node/", name].concat(),
            Self::Slice(vpc, node) => ["slice/", vpc, "/", node].concat(),
            Self::Subnet(name) => ["subnet/", name].concat(),
            Self::Gateway(vpc, node) => ["gateway/", vpc, "/", node].concat(),
            Self::Selection(name) => ["selection/", name].concat(),
            Self::ClusterPolicy(key) => [key.kind.word(), "/", &key.name].concat(),
            Self::Policy(namespace, name) => ["networkpolicy/", namespace, "/", name].concat(),
            Self::Pod(namespace, name) => ["pod/", namespace, "/", name].concat(),
            Self::Service(namespace, name) => ["service/", namespace, "/", name].concat(),
        }
    }
}

impl FromStr for Unit {
    type Err = UnitParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Labels have slashes.
        if let Some(name) = text.strip_prefix("selection/").filter(|name| !name.is_empty()) {
            return Ok(Self::Selection(name.into()));
        }
        let mut words = text.split('/');
        let of_cluster = |word: &str, name: &str| {
            let mut kinds = ClusterPolicyKind::ALL.into_iter();
            let kind = kinds.find(|kind| kind.word() == word)?;
            let name = name.into();
            (!text.ends_with('/')).then_some(Self::ClusterPolicy(ClusterPolicyKey { kind, name }))
        };
        let unit = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("vpc"), Some(name), None, None) if !name.is_empty() => Self::Vpc(name.into()),
            (Some("node"), Some(name), None, None) if !name.is_empty() => Self::Node(name.into()),
            (Some("subnet"), Some(name), None, None) if !name.is_empty() => Self::Subnet(name.into()),
            (Some("slice"), Some(vpc), Some(node), None) if !vpc.is_empty() && !node.is_empty() => {
                Self::Slice(vpc.into(), node.into())
            }
            (Some("gateway"), Some(vpc), Some(node), None) if !vpc.is_empty() && !node.is_empty() => {
                Self::Gateway(vpc.into(), node.into())
            }
            (Some("networkpolicy"), Some(namespace), Some(name), None) if !namespace.is_empty() && !name.is_empty() => {
                Self::Policy(namespace.into(), name.into())
            }
            (Some("pod"), Some(namespace), Some(name), None) if !namespace.is_empty() && !name.is_empty() => {
                Self::Pod(namespace.into(), name.into())
            }
            (Some("service"), Some(namespace), Some(name), None) if !namespace.is_empty() && !name.is_empty() => {
                Self::Service(namespace.into(), name.into())
            }
            (Some(word), Some(name), None, None) => {
                of_cluster(word, name).ok_or_else(|| UnitParseError { text: text.to_owned() })?
            }
            _ => return Err(UnitParseError { text: text.to_owned() }),
        };
        Ok(unit)
    }
}

impl From<ServiceKey> for Unit {
    fn from(key: ServiceKey) -> Self {
        Self::Service(key.namespace, key.name)
    }
}

impl From<PolicyKey> for Unit {
    fn from(key: PolicyKey) -> Self {
        Self::Policy(key.namespace, key.name)
    }
}

impl From<PodKey> for Unit {
    fn from(key: PodKey) -> Self {
        Self::Pod(key.namespace, key.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_reads_back_what_it_writes() {
        for unit in [
            Unit::Vpc("default".into()),
            Unit::Node("node-a".into()),
            Unit::Slice("blue".into(), "node-a".into()),
            Unit::Subnet("vms".into()),
            Unit::Gateway("blue".into(), "node-a".into()),
            Unit::Selection("default:shop:meridian.dev/app=web".into()),
            Unit::ClusterPolicy(ClusterPolicyKey {
                kind: ClusterPolicyKind::AdminNetworkPolicy,
                name: "web".into(),
            }),
            Unit::Policy("shop".into(), "web".into()),
            Unit::Pod("shop".into(), "web-0".into()),
            Unit::Service("shop".into(), "web".into()),
        ] {
            assert_eq!(unit.to_string().parse(), Ok(unit));
        }
    }

    #[test]
    fn texts_of_another_shape_name_no_unit() {
        for text in [
            "",
            "pod/web-0",
            "node/",
            "slice/blue",
            "pod//web-0",
            "service/shop",
            "selection/",
            "policy/shop/web",
            "adminnetworkpolicy/",
            "adminnetworkpolicy/a/b",
            "node/a/b",
        ] {
            assert!(text.parse::<Unit>().is_err(), "{text:?}");
        }
    }
}
