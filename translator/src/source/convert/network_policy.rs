//! Policies: who may talk to some pods, and to whom they may.

use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use meridian_model::{Name, NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule, PortMatch};

use super::cluster_policy::port_number;
use super::selector::selector;
use super::service::protocol;
use super::{FieldError, Meta};

/// Peers and ports of a rule, whichever way it is for.
type Parts = (
    Option<Vec<networking::NetworkPolicyPeer>>,
    Option<Vec<networking::NetworkPolicyPort>>,
);

pub(super) fn network_policy(policy: networking::NetworkPolicy) -> Result<NetworkPolicy, FieldError> {
    let meta = Meta::read(policy.metadata)?;
    let spec = policy.spec.unwrap_or_default();
    let ingress: Vec<Parts> = spec
        .ingress
        .into_iter()
        .flatten()
        .map(|rule| (rule.from, rule.ports))
        .collect();
    let egress: Vec<Parts> = spec
        .egress
        .into_iter()
        .flatten()
        .map(|rule| (rule.to, rule.ports))
        .collect();
    let types = spec.policy_types.filter(|types| !types.is_empty());
    // What the API server fills in: every policy is about what comes in, one with rules for it about what goes out.
    let types = types.unwrap_or_else(|| {
        let egress = (!egress.is_empty()).then(|| "Egress".to_owned());
        ["Ingress".to_owned()].into_iter().chain(egress).collect()
    });
    for (at, r#type) in types.iter().enumerate() {
        if !["Ingress", "Egress"].contains(&&**r#type) {
            let message = format_args!("{type:?} is none of Ingress, Egress");
            return Err(FieldError::new(format!("spec.policyTypes[{at}]"), message));
        }
    }
    let is = |word: &str| types.iter().any(|r#type| r#type == word);
    Ok(NetworkPolicy {
        namespace: meta.namespace_or_default(),
        name: meta.name,
        created: meta.created,
        pods: selector("spec.podSelector", spec.pod_selector.unwrap_or_default())?,
        ingress: is("Ingress")
            .then(|| rules("spec.ingress", "from", ingress))
            .transpose()?,
        egress: is("Egress").then(|| rules("spec.egress", "to", egress)).transpose()?,
    })
}

fn rules(field: &str, peers: &str, given: Vec<Parts>) -> Result<Box<[PolicyRule]>, FieldError> {
    let rule = |(at, (of, ports)): (usize, Parts)| {
        let of = of.unwrap_or_default().into_iter().enumerate();
        let ports = ports.unwrap_or_default().into_iter().enumerate();
        Ok(PolicyRule {
            peers: of
                .map(|(n, of)| peer(&format!("{field}[{at}].{peers}[{n}]"), of))
                .collect::<Result<_, _>>()?,
            ports: ports
                .map(|(n, of)| port(&format!("{field}[{at}].ports[{n}]"), of))
                .collect::<Result<_, _>>()?,
        })
    };
    given.into_iter().enumerate().map(rule).collect()
}

fn peer(field: &str, peer: networking::NetworkPolicyPeer) -> Result<PolicyPeer, FieldError> {
    let networking::NetworkPolicyPeer {
        ip_block,
        namespace_selector,
        pod_selector,
    } = peer;
    match (ip_block, namespace_selector, pod_selector) {
        (Some(block), None, None) => Ok(PolicyPeer::Block {
            cidr: block.cidr.into(),
            except: block.except.unwrap_or_default().into_iter().map(Name::from).collect(),
        }),
        (Some(_), ..) => Err(FieldError::new(
            format!("{field}.ipBlock"),
            "stands beside a selector: a peer is either addresses or pods",
        )),
        (None, None, None) => Err(FieldError::new(
            field,
            "says nothing: a peer has an ipBlock, a podSelector or a namespaceSelector",
        )),
        (None, namespaces, pods) => Ok(PolicyPeer::Pods {
            namespaces: namespaces
                .map(|of| selector(&format!("{field}.namespaceSelector"), of))
                .transpose()?,
            pods: selector(&format!("{field}.podSelector"), pods.unwrap_or_default())?,
        }),
    }
}

fn port(field: &str, port: networking::NetworkPolicyPort) -> Result<PolicyPort, FieldError> {
    let field_of = |name: &str| format!("{field}.{name}");
    let given = match (port.port, port.end_port) {
        (None, None) => PortMatch::Any,
        (Some(IntOrString::String(name)), None) => PortMatch::Named(name.into()),
        (Some(IntOrString::Int(first)), last) => {
            let first = port_number(&field_of("port"), first)?;
            let last = last.map_or(Ok(first), |last| port_number(&field_of("endPort"), last))?;
            if last < first {
                let message = format_args!("{last} comes before port {first}");
                return Err(FieldError::new(field_of("endPort"), message));
            }
            PortMatch::Range(first..=last)
        }
        (_, Some(_)) => return Err(FieldError::new(field_of("endPort"), "needs a port that is a number")),
    };
    Ok(PolicyPort {
        protocol: protocol(port.protocol.as_deref()),
        port: given,
    })
}

#[cfg(test)]
mod tests {
    use meridian_model::{Object, Protocol, Requirement, Selector};
    use serde_json::{Value, json};

    use super::*;
    use crate::source::convert::from_value;

    fn value(spec: &Value) -> Value {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": spec,
        })
    }

    fn read(spec: &Value) -> NetworkPolicy {
        match from_value(value(spec)) {
            Ok(Some(Object::NetworkPolicy(policy))) => policy,
            other => panic!("no policy: {other:?}"),
        }
    }

    fn error(spec: &Value) -> String {
        from_value(value(spec)).unwrap_err().to_string()
    }

    #[test]
    fn directions_are_what_the_types_say_or_else_what_the_api_server_would_fill_in() {
        let of = |spec: Value| {
            let policy = read(&spec);
            (policy.ingress.is_some(), policy.egress.is_some())
        };
        assert_eq!(of(json!({"podSelector": {}})), (true, false));
        assert_eq!(of(json!({"podSelector": {}, "egress": [{}]})), (true, true));
        assert_eq!(of(json!({"podSelector": {}, "egress": []})), (true, false));
        assert_eq!(of(json!({"podSelector": {}, "policyTypes": ["Egress"]})), (false, true));
        assert_eq!(
            of(json!({"podSelector": {}, "ingress": [{}], "policyTypes": ["Egress"]})),
            (false, true)
        );
    }

    #[test]
    fn rules_have_peers_and_ports() {
        let policy = read(&json!({
            "podSelector": {"matchLabels": {"app": "web"}},
            "ingress": [
                {
                    "from": [
                        {"podSelector": {}},
                        {"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchLabels": {"app": "x"}}},
                        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                    ],
                    "ports": [
                        {"port": 80}, {"port": "http", "protocol": "UDP"}, {"protocol": "SCTP"}, {"port": 1000, "endPort": 2000},
                    ],
                },
                {},
            ],
        }));
        let label = |key: &str, value: &str| Selector::from_iter([Requirement::In(key.into(), [value.into()].into())]);
        assert_eq!(policy.pods, label("app", "web"));
        let [first, second] = &*policy.ingress.unwrap() else {
            panic!("two rules were given");
        };
        assert_eq!(*second, PolicyRule::default(), "anybody, on whatever port");
        assert_eq!(
            *first.peers,
            [
                PolicyPeer::Pods {
                    namespaces: None,
                    pods: Selector::default()
                },
                PolicyPeer::Pods {
                    namespaces: Some(label("team", "a")),
                    pods: label("app", "x")
                },
                PolicyPeer::Block {
                    cidr: "10.0.0.0/8".into(),
                    except: ["10.1.0.0/16".into()].into()
                },
            ]
        );
        let ports: Vec<_> = first.ports.iter().map(|port| (&port.protocol, &port.port)).collect();
        assert_eq!(
            ports,
            [
                (&Protocol::Tcp, &PortMatch::Range(80..=80)),
                (&Protocol::Udp, &PortMatch::Named("http".into())),
                (&Protocol::Sctp, &PortMatch::Any),
                (&Protocol::Tcp, &PortMatch::Range(1000..=2000)),
            ]
        );
    }

    #[test]
    fn what_the_api_server_would_refuse_is_named() {
        let of_rule = |rule: Value| error(&json!({"podSelector": {}, "ingress": [{}, rule]}));
        assert_eq!(
            of_rule(json!({"from": [{}]})),
            "networkpolicy/shop/web: spec.ingress[1].from[0]: says nothing: a peer has an ipBlock, a podSelector or a \
             namespaceSelector"
        );
        assert_eq!(
            of_rule(json!({"ports": [{"port": 0}]})),
            "networkpolicy/shop/web: spec.ingress[1].ports[0].port: 0 is no port, which is 1 to 65535"
        );
        assert_eq!(
            of_rule(json!({"ports": [{"port": 80, "endPort": 79}]})),
            "networkpolicy/shop/web: spec.ingress[1].ports[0].endPort: 79 comes before port 80"
        );
        assert_eq!(
            of_rule(json!({"ports": [{"port": "http", "endPort": 79}]})),
            "networkpolicy/shop/web: spec.ingress[1].ports[0].endPort: needs a port that is a number"
        );
        assert_eq!(
            error(&json!({"podSelector": {"matchLabels": {"a": "b:c"}}})),
            "networkpolicy/shop/web: spec.podSelector.matchLabels[\"a\"]: \"b:c\" is in no label: labels have letters, digits and -_./"
        );
        assert!(error(&json!({"podSelector": {}, "policyTypes": ["Both"]})).contains("spec.policyTypes[0]"));
    }
}
