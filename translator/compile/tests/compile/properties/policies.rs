//! Policies, and what holds of whatever becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use meridian_compile::{Compiler, Desired, DesiredRow};
use meridian_model::{
    Action, ClusterPolicy, ClusterPolicyKind, NamedPort, NetworkPolicy, PodKey, PodsOf, PolicyPeer, PolicyPort,
    PolicyRule, PortMatch, Protocol, Requirement, Selector, Tier, TierPeer, TierRule,
};
use proptest::prelude::*;

use crate::support::LSP;

const ACL: &str = "ACL";
const GROUP: &str = "Port_Group";
const SET: &str = "Address_Set";

/// Labels that pods have, of the keys that selectors ask for.
pub(super) fn pod_labels() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let app = prop::option::of(prop::sample::select(vec![("app", "web"), ("app", "db")]));
    let tier = prop::option::weighted(0.3, Just(("tier", "1")));
    (app, tier).prop_map(|(app, tier)| app.into_iter().chain(tier).collect())
}

pub(super) fn named_ports() -> impl Strategy<Value = Box<[NamedPort]>> {
    let number = prop::option::of(prop::sample::select(vec![80, 8080]));
    number.prop_map(|number| {
        let port = |number| NamedPort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            number,
        };
        number.map(port).into_iter().collect()
    })
}

fn selector(key: &'static str, values: Vec<&'static str>) -> impl Strategy<Value = Selector> {
    let value = prop::sample::select(values);
    prop_oneof![
        2 => Just(Selector::default()),
        3 => value.clone().prop_map(move |value| Selector::of_label(key, value)),
        1 => value.prop_map(move |value| Selector::from_iter([Requirement::NotIn(key.into(), [value.into()].into())])),
    ]
}

fn peer() -> impl Strategy<Value = PolicyPeer> {
    let namespaces = prop::option::of(selector("vpc", vec!["blue", "green"]));
    let pods = (namespaces, selector("app", vec!["web", "db"]))
        .prop_map(|(namespaces, pods)| PolicyPeer::Pods { namespaces, pods });
    let cidr = prop::sample::select(vec!["10.0.0.0/8", "0.0.0.0/0", "fd00::/64", "nonsense"]);
    let except = prop::sample::select(vec![vec![], vec!["10.0.0.4/30"], vec!["10.0.0.0/8"], vec!["what"]]);
    let block = (cidr, except).prop_map(|(cidr, except)| PolicyPeer::Block {
        cidr: cidr.into(),
        except: except.into_iter().map(Into::into).collect(),
    });
    prop_oneof![4 => pods.boxed(), 1 => block.boxed()]
}

fn port() -> impl Strategy<Value = PolicyPort> {
    let port = prop_oneof![
        1 => Just(PortMatch::Any),
        1 => Just(PortMatch::Range(80..=90)),
        2 => Just(PortMatch::Named("http".into())),
    ];
    let protocol = prop_oneof![8 => Just(Protocol::Tcp), 1 => Just(Protocol::Other("IGMP".into()))];
    (protocol, port).prop_map(|(protocol, port)| PolicyPort { protocol, port })
}

fn rules() -> impl Strategy<Value = Option<Vec<PolicyRule>>> {
    // Boxed: what proptest keeps of all of them side by side is more than a stack holds.
    let rule = (
        prop::collection::vec(peer().boxed(), 0..3),
        prop::collection::vec(port().boxed(), 0..3),
    );
    let rule = rule.prop_map(|(peers, ports)| PolicyRule {
        peers: peers.into(),
        ports: ports.into(),
    });
    prop::option::of(prop::collection::vec(rule, 0..3))
}

prop_compose! {
    pub(super) fn policies()(
        namespace in prop::sample::select(vec!["x", "y"]),
        name in prop::sample::select(vec!["n", "m"]),
        pods in selector("app", vec!["web", "db"]).boxed(),
        ingress in rules().boxed(),
        egress in rules().boxed(),
    ) -> NetworkPolicy {
        let mut policy = NetworkPolicy::test(namespace, name);
        policy.pods = pods;
        policy.ingress = ingress.map(Into::into);
        policy.egress = egress.map(Into::into);
        policy
    }
}

fn tier_peer() -> impl Strategy<Value = TierPeer> {
    let pods = (
        selector("vpc", vec!["blue", "green"]),
        selector("app", vec!["web", "db"]),
    )
        .prop_map(|(namespaces, pods)| TierPeer::Pods(PodsOf { namespaces, pods }));
    let network = prop::sample::select(vec!["10.0.0.0/8", "0.0.0.0/0", "fd00::/64"]);
    let networks = network.prop_map(|network| TierPeer::Networks([network.into()].into()));
    let nodes = selector("edge", vec![""]).prop_map(TierPeer::Nodes);
    prop_oneof![4 => pods.boxed(), 1 => networks.boxed(), 1 => nodes.boxed()]
}

fn tier_rules() -> impl Strategy<Value = Vec<TierRule>> {
    let action = prop::sample::select(vec![Action::Accept, Action::Deny, Action::Pass]);
    let rule = (
        action,
        prop::collection::vec(tier_peer().boxed(), 0..3),
        prop::collection::vec(port().boxed(), 0..2),
    );
    let rule = rule.prop_map(|(action, peers, ports)| TierRule {
        ports: ports.into(),
        ..TierRule::test(action, peers)
    });
    prop::collection::vec(rule, 0..4)
}

prop_compose! {
    pub(super) fn cluster_policies()(
        kind in prop::sample::select(ClusterPolicyKind::ALL.to_vec()),
        name in prop::sample::select(vec!["n", "m"]),
        tier in prop::sample::select(vec![Tier::Admin, Tier::Baseline]),
        priority in 0u16..3,
        namespaces in selector("vpc", vec!["blue", "green"]).boxed(),
        pods in selector("app", vec!["web", "db"]).boxed(),
        ingress in tier_rules().boxed(),
        egress in tier_rules().boxed(),
    ) -> ClusterPolicy {
        let mut policy = ClusterPolicy::test(name, tier, priority).about(PodsOf { namespaces, pods });
        policy.key.kind = kind;
        policy.ingress = ingress.into();
        policy.egress = egress.into();
        policy
    }
}

/// Whom policies isolate, and whose addresses they know, told from the objects.
pub(super) fn check_policies(compiler: &Compiler) {
    let desired = compiler.desired();
    check_names(desired);
    let mut isolated: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    // What an administrator denies isolates nobody.
    let is_isolation = |acl: &&DesiredRow| acl.owner.to_string().starts_with("selection/") && !acl.key.contains('@');
    for acl in desired
        .rows(ACL)
        .filter(|acl| text(acl, "action") == "drop")
        .filter(is_isolation)
    {
        let direction = if text(acl, "direction") == "to-lport" {
            "ingress"
        } else {
            "egress"
        };
        for group in desired.rows(GROUP).filter(|group| has(desired, group, "acls", acl)) {
            isolated.entry(direction).or_default().extend(ports(desired, group));
        }
    }
    let cluster = compiler.cluster();
    for port in desired.rows(LSP) {
        let Some((namespace, name)) = port.key.split_once('_') else {
            continue;
        };
        let Some(pod) = cluster.pod(&PodKey::new(namespace, name)) else {
            continue;
        };
        let selecting: Vec<_> = cluster
            .policies()
            .filter(|policy| policy.namespace == pod.namespace && policy.pods.matches(&pod.labels))
            .collect();
        for (direction, expected) in [
            ("ingress", selecting.iter().any(|policy| policy.ingress.is_some())),
            ("egress", selecting.iter().any(|policy| policy.egress.is_some())),
        ] {
            let is = isolated.get(direction).is_some_and(|ports| ports.contains(&*port.key));
            assert_eq!(is, expected, "{direction} of {}", port.key);
        }
    }
    check_sets(desired);
}

/// What an ACL speaks of is there: of what is not, ovn-controller can make nothing.
fn check_names(desired: &Desired) {
    let names = |table| -> BTreeSet<String> { desired.rows(table).map(|row| text(row, "name")).collect() };
    let (groups, sets) = (names(GROUP), names(SET));
    for acl in desired.rows(ACL) {
        let matches = text(acl, "match");
        for (sign, known) in [('@', &groups), ('$', &sets)] {
            for rest in matches.split(sign).skip(1) {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                assert!(
                    known.contains(&name),
                    "{}: {sign}{name} of {matches} is not there",
                    acl.key
                );
            }
        }
    }
}

/// A set has addresses of the VPC that it is for, and no others.
fn check_sets(desired: &Desired) {
    let mut addresses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for port in desired.rows(LSP) {
        let ids = port.get("external_ids").unwrap();
        let vpc = ids.get_str("meridian/vpc").unwrap_or("default").to_owned();
        let all = text(port, "addresses");
        let all = all.split(' ').skip(1).map(str::to_owned);
        addresses.entry(vpc).or_default().extend(all);
    }
    for set in desired
        .rows(SET)
        .filter(|set| set.owner.to_string().starts_with("selection/"))
    {
        let vpc = set.key.split(':').next().unwrap();
        for (address, _) in desired.links(SET, set.uuid, "addresses") {
            let address = address.as_str().unwrap();
            let known = addresses.get(vpc).is_some_and(|all| all.contains(address));
            assert!(known, "{address} of {} is nobody's in VPC {vpc}", set.key);
        }
    }
}

fn text(row: &DesiredRow, column: &str) -> String {
    let text = row.get(column).and_then(|datum| datum.as_str());
    text.unwrap_or_default().to_owned()
}

fn has(desired: &Desired, row: &DesiredRow, column: &'static str, other: &DesiredRow) -> bool {
    let mut links = desired.links(row.table, row.uuid, column);
    links.any(|(atom, _)| atom.as_uuid() == Some(other.uuid))
}

fn ports(desired: &Desired, group: &DesiredRow) -> Vec<String> {
    let links = desired.links(GROUP, group.uuid, "ports");
    let ports = links.filter_map(|(atom, _)| desired.row(LSP, atom.as_uuid()?));
    ports.map(|port| port.key.to_string()).collect()
}
