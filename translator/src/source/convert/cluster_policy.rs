//! Policies of the whole cluster (`policy.networking.k8s.io`), of each kind.
//!
//! A peer of which no field is known comes from a release of the API that is newer than this program. A rule that has one is read as the
//! API asks for, on the safe side: what it would accept is not accepted by it, and what it would deny, or leave to others, is all
//! denied.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use meridian_api::annotation::POLICY_LOG;
use meridian_api::cluster_policy::{
    AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy, Number, Numbers, Peer, Pods, Port, Protocol,
    Range, Rule,
};
use meridian_model::{
    Action, ClusterPolicy, ClusterPolicyKey, ClusterPolicyKind, Name, PodsOf, PolicyPort, PortMatch, Protocol as Of,
    Tier, TierPeer, TierPeers, TierRule,
};

use super::selector::selector;
use super::service::protocol;
use super::{FieldError, Meta};

/// Of policies of the tier Baseline the one of v1alpha1 is asked last.
const LAST: u16 = 1001;

/// A direction: its field, that of its peers, and whether these may be addresses.
type Direction = (&'static str, &'static str);

const INGRESS: Direction = ("spec.ingress", "from");
const EGRESS: Direction = ("spec.egress", "to");

pub(super) fn cluster_network_policy(policy: ClusterNetworkPolicy) -> Result<ClusterPolicy, FieldError> {
    let spec = policy.spec;
    let tier = match &*spec.tier {
        "Admin" => Tier::Admin,
        "Baseline" => Tier::Baseline,
        other => {
            return Err(FieldError::new(
                "spec.tier",
                format_args!("{other:?} is none of Admin, Baseline"),
            ));
        }
    };
    let order = (tier, priority(spec.priority)?);
    let kind = ClusterPolicyKind::ClusterNetworkPolicy;
    policy_of(kind, policy.metadata, order, spec.subject, (spec.ingress, spec.egress))
}

pub(super) fn admin_network_policy(policy: AdminNetworkPolicy) -> Result<ClusterPolicy, FieldError> {
    let spec = policy.spec;
    let order = (Tier::Admin, priority(spec.priority)?);
    let kind = ClusterPolicyKind::AdminNetworkPolicy;
    policy_of(kind, policy.metadata, order, spec.subject, (spec.ingress, spec.egress))
}

pub(super) fn baseline_admin_network_policy(policy: BaselineAdminNetworkPolicy) -> Result<ClusterPolicy, FieldError> {
    let spec = policy.spec;
    let order = (Tier::Baseline, LAST);
    let kind = ClusterPolicyKind::BaselineAdminNetworkPolicy;
    policy_of(kind, policy.metadata, order, spec.subject, (spec.ingress, spec.egress))
}

fn policy_of(
    kind: ClusterPolicyKind,
    metadata: ObjectMeta,
    (tier, priority): (Tier, u16),
    subject: Pods,
    (ingress, egress): (Vec<Rule>, Vec<Rule>),
) -> Result<ClusterPolicy, FieldError> {
    let log = metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(POLICY_LOG))
        .cloned();
    let meta = Meta::read(metadata)?;
    let nobody = || FieldError::new("spec.subject", "says nothing: it has namespaces or pods");
    Ok(ClusterPolicy {
        key: ClusterPolicyKey { kind, name: meta.name },
        created: meta.created,
        tier,
        priority,
        subject: pods("spec.subject", subject)?.ok_or_else(nobody)?,
        ingress: rules(INGRESS, ingress)?,
        egress: rules(EGRESS, egress)?,
        log: log.map(Name::from),
    })
}

fn priority(priority: i32) -> Result<u16, FieldError> {
    let wrong = || FieldError::new("spec.priority", format_args!("{priority} is not 0 to 1000"));
    let priority = u16::try_from(priority).ok().filter(|priority| *priority <= 1000);
    priority.ok_or_else(wrong)
}

fn pods(field: &str, given: Pods) -> Result<Option<PodsOf>, FieldError> {
    match (given.namespaces, given.pods) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(FieldError::new(
            format!("{field}.pods"),
            "stands beside namespaces: only one of the two says which pods",
        )),
        (Some(namespaces), None) => Ok(Some(PodsOf {
            namespaces: selector(&format!("{field}.namespaces"), namespaces)?,
            pods: meridian_model::Selector::default(),
        })),
        (None, Some(pods)) => Ok(Some(PodsOf {
            namespaces: selector(&format!("{field}.pods.namespaceSelector"), pods.namespace_selector)?,
            pods: selector(&format!("{field}.pods.podSelector"), pods.pod_selector)?,
        })),
    }
}

fn rules(direction: Direction, given: Vec<Rule>) -> Result<Box<[TierRule]>, FieldError> {
    let rules = given.into_iter().enumerate();
    rules.map(|(at, given)| rule(direction, at, given)).collect()
}

fn rule((field, of): Direction, at: usize, given: Rule) -> Result<TierRule, FieldError> {
    let field = format!("{field}[{at}]");
    let action = match &*given.action {
        "Accept" | "Allow" => Action::Accept,
        "Deny" => Action::Deny,
        "Pass" => Action::Pass,
        other => {
            let message = format_args!("{other:?} is none of Accept, Deny, Pass");
            return Err(FieldError::new(format!("{field}.action"), message));
        }
    };
    let is_egress = of == EGRESS.1;
    let given_peers = if is_egress { given.to } else { given.from };
    let mut peers = Vec::new();
    let mut fault: Option<(Name, Name)> = None;
    let mut is_unknown = given_peers.is_empty();
    for (n, given) in given_peers.into_iter().enumerate() {
        let (name, whole) = (format!("{of}[{n}]"), format!("{field}.{of}[{n}]"));
        match peer(&whole, given, is_egress)? {
            Some(TierPeer::DomainNames(_)) if action != Action::Accept => {
                let message = format_args!("is for rules that accept alone, and this one is to {action}");
                return Err(FieldError::new(format!("{whole}.domainNames"), message));
            }
            Some(TierPeer::DomainNames(names)) => {
                let message = "names are not looked up: the rule accepts nothing for them; name networks instead";
                fault.get_or_insert((format!("{name}.domainNames").into(), message.into()));
                peers.push(TierPeer::DomainNames(names));
            }
            Some(peer) => peers.push(peer),
            None => is_unknown = true,
        }
    }
    let ports = match (given.protocols, given.ports) {
        (Some(protocols), _) => protocols
            .into_iter()
            .enumerate()
            .map(|(n, given)| of_protocol(&format!("{field}.protocols[{n}]"), given))
            .collect::<Result<Vec<_>, _>>()?,
        (None, ports) => ports
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(n, given)| of_port(&format!("{field}.ports[{n}]"), given))
            .collect::<Result<Vec<_>, _>>()?,
    };
    let mut rule = TierRule {
        name: given.name.map(Name::from),
        action,
        peers: TierPeers::Some(peers.into()),
        ports: ports.concat().into(),
        fault,
    };
    if is_unknown {
        let safe = if action == Action::Accept {
            rule.peers = TierPeers::Some(Box::default());
            "the rule accepts nothing"
        } else {
            (rule.action, rule.peers, rule.ports) = (Action::Deny, TierPeers::Everybody, Box::default());
            "the rule denies everything, as the API asks for"
        };
        let message = format!("names nobody that this release knows of: {safe}");
        rule.fault = Some((of.into(), message.into()));
    }
    Ok(rule)
}

/// What a peer is; none if nothing of it is known.
fn peer(field: &str, given: Peer, is_egress: bool) -> Result<Option<TierPeer>, FieldError> {
    if let Some(of) = pods(field, given.of)? {
        return Ok(Some(TierPeer::Pods(of)));
    }
    if !is_egress {
        return Ok(None);
    }
    if let Some(nodes) = given.nodes {
        return Ok(Some(TierPeer::Nodes(selector(&format!("{field}.nodes"), nodes)?)));
    }
    if let Some(networks) = given.networks {
        for (n, text) in networks.iter().enumerate() {
            if text.parse::<ipnetwork::IpNetwork>().is_err() {
                let message = format_args!("{text:?} is no network as in 10.0.0.0/8 or 2001:db8::/32");
                return Err(FieldError::new(format!("{field}.networks[{n}]"), message));
            }
        }
        return Ok(Some(TierPeer::Networks(networks.into_iter().map(Name::from).collect())));
    }
    let names = given.domain_names;
    Ok(names.map(|names| TierPeer::DomainNames(names.into_iter().map(Name::from).collect())))
}

fn of_protocol(field: &str, given: Protocol) -> Result<Vec<PolicyPort>, FieldError> {
    let all = [
        ("tcp", Of::Tcp, given.tcp),
        ("udp", Of::Udp, given.udp),
        ("sctp", Of::Sctp, given.sctp),
    ];
    for (name, protocol, ports) in all {
        let Some(ports) = ports else { continue };
        let port = match ports.destination_port {
            None => PortMatch::Any,
            Some(Numbers {
                number: Some(number),
                range: None,
            }) => one(&format!("{field}.{name}.destinationPort.number"), number)?,
            Some(Numbers {
                number: None,
                range: Some(range),
            }) => several(&format!("{field}.{name}.destinationPort.range"), &range)?,
            Some(_) => {
                let field = format!("{field}.{name}.destinationPort");
                return Err(FieldError::new(field, "has either a number or a range"));
            }
        };
        return Ok(vec![PolicyPort { protocol, port }]);
    }
    match given.destination_named_port {
        Some(name) => Ok(named(&name)),
        None => Err(FieldError::new(
            field,
            "says nothing: it has tcp, udp, sctp or destinationNamedPort",
        )),
    }
}

fn of_port(field: &str, given: Port) -> Result<Vec<PolicyPort>, FieldError> {
    let (of, port) = match given {
        Port {
            port_number: Some(Number { protocol, port }),
            ..
        } => (protocol, one(&format!("{field}.portNumber.port"), port)?),
        Port {
            port_range: Some(range),
            ..
        } => (range.protocol.clone(), several(&format!("{field}.portRange"), &range)?),
        Port {
            named_port: Some(name), ..
        } => return Ok(named(&name)),
        _ => {
            return Err(FieldError::new(
                field,
                "says nothing: it has a portNumber, a portRange or a namedPort",
            ));
        }
    };
    Ok(vec![PolicyPort {
        protocol: protocol(of.as_deref()),
        port,
    }])
}

/// Whatever protocol the port of that name has.
fn named(name: &str) -> Vec<PolicyPort> {
    let of = |protocol| PolicyPort {
        protocol,
        port: PortMatch::Named(name.into()),
    };
    [Of::Tcp, Of::Udp, Of::Sctp].map(of).into()
}

fn one(field: &str, number: i32) -> Result<PortMatch, FieldError> {
    let number = port_number(field, number)?;
    Ok(PortMatch::Range(number..=number))
}

fn several(field: &str, range: &Range) -> Result<PortMatch, FieldError> {
    let first = port_number(&format!("{field}.start"), range.start)?;
    let last = port_number(&format!("{field}.end"), range.end)?;
    if last < first {
        let message = format_args!("{last} comes before {first}");
        return Err(FieldError::new(format!("{field}.end"), message));
    }
    Ok(PortMatch::Range(first..=last))
}

/// A port's number.
pub(super) fn port_number(field: &str, number: i32) -> Result<u16, FieldError> {
    match u16::try_from(number) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(FieldError::new(
            field,
            format_args!("{number} is no port, which is 1 to 65535"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use meridian_model::{Object, Selector};
    use serde_json::{Value, json};

    use super::*;
    use crate::source::convert::from_value;

    fn value(kind: &str, spec: &Value) -> Value {
        let version = if kind == "ClusterNetworkPolicy" {
            "v1alpha2"
        } else {
            "v1alpha1"
        };
        json!({"apiVersion": format!("policy.networking.k8s.io/{version}"), "kind": kind, "metadata": {"name": "p"}, "spec": spec})
    }

    fn read(kind: &str, spec: &Value) -> ClusterPolicy {
        match from_value(value(kind, spec)) {
            Ok(Some(Object::ClusterPolicy(policy))) => policy,
            other => panic!("no policy: {other:?}"),
        }
    }

    fn cnp(egress: &Value) -> Value {
        json!({"tier": "Admin", "priority": 7, "subject": {"namespaces": {}}, "egress": [egress]})
    }

    fn range(protocol: Of, first: u16, last: u16) -> PolicyPort {
        PolicyPort {
            protocol,
            port: PortMatch::Range(first..=last),
        }
    }

    #[test]
    fn a_cluster_network_policy_is_read_in_full() {
        let policy = read(
            "ClusterNetworkPolicy",
            &json!({
                "tier": "Baseline", "priority": 1000,
                "subject": {"pods": {"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchLabels": {"app": "web"}}}},
                "ingress": [{"name": "all", "action": "Pass", "from": [{"namespaces": {}}]}],
                "egress": [{
                    "action": "Accept",
                    "to": [{"networks": ["10.0.0.0/8"]}, {"nodes": {"matchLabels": {"edge": "yes"}}}],
                    "protocols": [
                        {"tcp": {"destinationPort": {"number": 80}}}, {"udp": {"destinationPort": {"range": {"start": 1, "end": 9}}}},
                        {"sctp": {}}, {"destinationNamedPort": "http"},
                    ],
                }],
            }),
        );
        assert_eq!(
            (policy.tier, policy.priority, policy.key.to_string()),
            (Tier::Baseline, 1000, "clusternetworkpolicy/p".into())
        );
        assert_eq!(policy.subject.pods, Selector::of_label("app", "web"));
        let all = TierPeers::Some(
            [TierPeer::Pods(PodsOf {
                namespaces: Selector::default(),
                pods: Selector::default(),
            })]
            .into(),
        );
        assert_eq!(
            (policy.ingress[0].action, &policy.ingress[0].peers),
            (Action::Pass, &all)
        );
        let egress = &policy.egress[0];
        assert_eq!(egress.ports[..2], [range(Of::Tcp, 80, 80), range(Of::Udp, 1, 9)]);
        assert_eq!((&egress.ports[2].port, egress.ports.len()), (&PortMatch::Any, 6));
        assert_eq!(egress.fault, None);
    }

    #[test]
    fn both_versions_of_it_are_read() {
        let mut given = value(
            "ClusterNetworkPolicy",
            &cnp(&json!({"action": "Deny", "to": [{"namespaces": {}}]})),
        );
        given["apiVersion"] = json!("policy.networking.k8s.io/v1beta1");
        assert!(matches!(from_value(given), Ok(Some(Object::ClusterPolicy(_)))));
    }

    #[test]
    fn those_of_v1alpha1_come_to_the_same() {
        let rule = json!([{
            "action": "Allow", "from": [{"pods": {"namespaceSelector": {}, "podSelector": {}}}],
            "ports": [{"portNumber": {"protocol": "UDP", "port": 53}}, {"portRange": {"start": 1, "end": 2}}, {"namedPort": "dns"}],
        }]);
        let admin = read(
            "AdminNetworkPolicy",
            &json!({"priority": 3, "subject": {"namespaces": {}}, "ingress": rule}),
        );
        assert_eq!(
            (admin.tier, admin.priority, admin.ingress[0].action),
            (Tier::Admin, 3, Action::Accept)
        );
        assert_eq!(
            admin.ingress[0].ports[..2],
            [range(Of::Udp, 53, 53), range(Of::Tcp, 1, 2)]
        );
        assert_eq!(admin.ingress[0].ports.len(), 5);
        let baseline = read(
            "BaselineAdminNetworkPolicy",
            &json!({"subject": {"namespaces": {}}, "ingress": rule}),
        );
        assert_eq!((baseline.tier, baseline.priority), (Tier::Baseline, 1001));
        assert_eq!(baseline.ingress, admin.ingress);
    }

    #[test]
    fn what_is_not_known_is_on_the_safe_side_and_named() {
        let of = |action: &str, peer: Value| {
            let to = json!([{"namespaces": {}}, peer]);
            let policy = read(
                "ClusterNetworkPolicy",
                &cnp(&json!({"action": action, "to": to, "protocols": [{"tcp": {}}]})),
            );
            policy.egress.into_iter().next().unwrap()
        };
        let accept = of("Accept", json!({"moons": {}}));
        assert_eq!(
            (accept.action, &accept.peers),
            (Action::Accept, &TierPeers::Some(Box::default()))
        );
        assert_eq!(
            &*accept.fault.unwrap().1,
            "names nobody that this release knows of: the rule accepts nothing"
        );
        for action in ["Deny", "Pass"] {
            let rule = of(action, json!({"moons": {}}));
            assert_eq!(
                (rule.action, &rule.peers, rule.ports.len()),
                (Action::Deny, &TierPeers::Everybody, 0)
            );
            assert_eq!(&*rule.fault.unwrap().0, "to");
        }
        let names = of("Accept", json!({"domainNames": ["*.example.org"]}));
        assert_eq!(&*names.fault.unwrap().0, "to[1].domainNames");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let error = |spec: &Value| from_value(value("ClusterNetworkPolicy", spec)).unwrap_err().to_string();
        let with = |field: &str, value: Value| {
            let mut spec = cnp(&json!({"action": "Deny", "to": [{"namespaces": {}}]}));
            spec[field] = value;
            error(&spec)
        };
        let rule = |rule: Value| error(&cnp(&rule));
        for (error, expected) in [
            (
                with("tier", json!("Top")),
                "spec.tier: \"Top\" is none of Admin, Baseline",
            ),
            (with("priority", json!(1001)), "spec.priority: 1001 is not 0 to 1000"),
            (
                with("subject", json!({})),
                "spec.subject: says nothing: it has namespaces or pods",
            ),
            (
                rule(json!({"action": "Drop", "to": []})),
                "spec.egress[0].action: \"Drop\" is none of Accept, Deny, Pass",
            ),
            (
                rule(json!({"action": "Deny", "to": [{"networks": ["x"]}]})),
                "spec.egress[0].to[0].networks[0]: \"x\" is no network",
            ),
            (
                rule(json!({"action": "Deny", "to": [{"domainNames": ["a.b"]}]})),
                "spec.egress[0].to[0].domainNames: is for rules that accept alone",
            ),
            (
                rule(
                    json!({"action": "Deny", "to": [{"namespaces": {}}], "protocols": [{"tcp": {"destinationPort": {"number": 0}}}]}),
                ),
                "spec.egress[0].protocols[0].tcp.destinationPort.number: 0 is no port",
            ),
            (
                rule(json!({"action": "Deny", "to": [{"namespaces": {}}], "protocols": [{}]})),
                "spec.egress[0].protocols[0]: says nothing",
            ),
        ] {
            assert!(
                error.starts_with(&format!("clusternetworkpolicy/p: {expected}")),
                "{error}"
            );
        }
    }
}
