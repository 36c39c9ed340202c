//! What policies do to what is sent, as paths tell it. What is let through by OVN itself, `tests/tests/policies` compares.

use meridian_compile::{PathExplanation, PathPort, PathQuestion, PathTarget, Verdict};
use meridian_model::{
    Namespace, NetworkPolicy, Node, Pod, PodKey, PolicyPeer, PolicyPort, PolicyRule, PortMatch, Protocol, Selector,
};

use crate::support::Lab;

fn lab() -> Lab {
    let pod = |name: &str| Pod::test("shop", name).on("a").labelled("name", name);
    let rule = PolicyRule {
        peers: [
            PolicyPeer::Pods {
                namespaces: None,
                pods: Selector::of_label("name", "friend"),
            },
            PolicyPeer::Block {
                cidr: "192.0.2.0/24".into(),
                except: Box::default(),
            },
        ]
        .into(),
        ports: [PolicyPort {
            protocol: Protocol::Tcp,
            port: PortMatch::Named("http".into()),
        }]
        .into(),
    };
    Lab::of(&["10.244.0.0/16"])
        .with(Node::test("a"))
        .with(Namespace::test("shop"))
        .with(pod("server").with_named_port("http", Protocol::Tcp, 8080))
        .with(pod("friend"))
        .with(pod("stranger"))
        .with(
            NetworkPolicy::test("shop", "in")
                .of_pods("name", "server")
                .with_ingress([rule.clone()]),
        )
        .with(
            NetworkPolicy::test("shop", "out")
                .of_pods("name", "stranger")
                .with_egress([rule]),
        )
}

fn ask(lab: &Lab, from: &str, to: PathTarget, port: u16) -> PathExplanation {
    let question = PathQuestion {
        from: PodKey::new("shop", from),
        to,
        protocol: None,
        port: Some(PathPort::Number(port)),
    };
    lab.0.explain_path(&question).unwrap()
}

fn server() -> PathTarget {
    PathTarget::Pod(PodKey::new("shop", "server"))
}

/// The verdict, and who is named for it.
fn told(path: &PathExplanation) -> (Verdict, Vec<String>) {
    let [way] = &*path.ways else {
        panic!("one address was asked for: {path:?}")
    };
    let policies = way.steps.iter().filter_map(|step| step.object.clone());
    let policies = policies.filter(|object| object.starts_with("networkpolicy"));
    (way.verdict, policies.collect())
}

#[test]
fn a_path_names_the_policy_that_lets_through_and_the_one_that_stops() {
    let lab = lab();
    let by_in = vec!["networkpolicy shop/in".to_owned()];
    assert_eq!(
        told(&ask(&lab, "friend", server(), 8080)),
        (Verdict::Reached, by_in.clone())
    );
    assert_eq!(told(&ask(&lab, "friend", server(), 80)), (Verdict::Dropped, by_in));
    let by_out = vec!["networkpolicy shop/out".to_owned()];
    assert_eq!(told(&ask(&lab, "stranger", server(), 8080)), (Verdict::Dropped, by_out));
    let friend = PathTarget::Pod(PodKey::new("shop", "friend"));
    assert_eq!(told(&ask(&lab, "server", friend, 80)), (Verdict::Reached, vec![]));
    let [way] = &*ask(&lab, "friend", server(), 80).ways else {
        unreachable!("asked above")
    };
    let last = way.steps.last().unwrap();
    assert_eq!(last.row.as_deref(), Some("ACL default:shop:name=server:ingress"));
    assert!(lab.row("ACL", "default:shop:name=server:ingress").is_some());
}

#[test]
fn a_name_for_a_port_of_addresses_lets_nothing_out_and_is_reported() {
    let lab = lab();
    let world = PathTarget::Address("192.0.2.9".parse().unwrap());
    let by_out = vec!["networkpolicy shop/out".to_owned()];
    assert_eq!(told(&ask(&lab, "stranger", world, 8080)), (Verdict::Dropped, by_out));
    let problems = lab.problems();
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("networkpolicy/shop/out: spec.egress[0].ports[0].port")),
        "{problems:?}"
    );
}
