//! What policies do to what is sent, as paths tell it. What is let through by OVN itself, `tests/tests/policies` compares.

use meridian_compile::{DesiredRow, PathExplanation, PathPort, PathQuestion, PathTarget, Verdict};
use meridian_model::{
    Action, ClusterPolicy, Key, Namespace, NetworkPolicy, Node, Pod, PodKey, PodsOf, PolicyPeer, PolicyPort,
    PolicyRule, PortMatch, Protocol, Selector, Tier, TierPeer, TierRule,
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

/// An administrator denies strangers what comes from `friend` and leaves the rest of it to others, and before all denies an address.
fn guarded() -> Lab {
    let pods = |name: &str| TierPeer::Pods(PodsOf::labelled(None, Some(("name", name))));
    let network = TierPeer::Networks(["192.0.2.7/32".into()].into());
    let to_http = |action, peer| TierRule::test(action, [peer]).to_port(Protocol::Tcp, PortMatch::Range(80..=80));
    lab()
        .with(ClusterPolicy::test("late", Tier::Admin, 20).on_ingress(TierRule::test(Action::Deny, [pods("friend")])))
        .with(
            ClusterPolicy::test("early", Tier::Admin, 10)
                .on_ingress(to_http(Action::Accept, pods("friend")))
                .on_ingress(
                    TierRule::test(Action::Pass, [pods("friend")])
                        .to_port(Protocol::Tcp, PortMatch::Range(8080..=8080)),
                )
                .on_egress(TierRule::test(Action::Deny, [network])),
        )
        .with(ClusterPolicy::test("last", Tier::Baseline, 0).on_ingress(TierRule::test(Action::Deny, [pods("server")])))
}

/// How it ends, and the policy of whichever kind that decides last.
fn decided(lab: &Lab, from: &str, to: &str, port: u16) -> (Verdict, Option<String>) {
    let path = ask(lab, from, PathTarget::Pod(PodKey::new("shop", to)), port);
    let steps = path.ways[0].steps.iter().filter_map(|step| step.object.clone());
    let policy = steps.rev().find(|object| object.contains("policy "));
    (path.ways[0].verdict, policy)
}

#[test]
fn tiers_decide_in_order_and_what_is_passed_on_is_others_to_decide() {
    let lab = guarded();
    let of = |name: &str| Some(format!("clusternetworkpolicy {name}"));
    for (from, to, port, expected) in [
        ("friend", "server", 80, (Verdict::Reached, of("early"))),
        (
            "friend",
            "server",
            8080,
            (Verdict::Reached, Some("networkpolicy shop/in".to_owned())),
        ),
        ("friend", "server", 81, (Verdict::Dropped, of("late"))),
        ("friend", "stranger", 8080, (Verdict::Reached, None)),
        ("server", "friend", 80, (Verdict::Dropped, of("last"))),
        // Whom a policy of a namespace isolates, the tier Baseline has nothing to say of.
        ("server", "server", 80, (Verdict::Reached, None)),
    ] {
        assert_eq!(decided(&lab, from, to, port), expected, "{from} to {to}:{port}");
    }
    let world = ask(&lab, "friend", PathTarget::Address("192.0.2.7".parse().unwrap()), 80);
    assert_eq!(world.ways[0].verdict, Verdict::Dropped);
}

#[test]
fn a_policy_says_which_pods_it_is_about_and_what_its_rules_come_to() {
    let lab = guarded();
    let told = lab.0.explain_policy(&Key::network_policy("shop", "in")).unwrap();
    let [in_vpc] = &*told.vpcs else { panic!("{told:?}") };
    assert_eq!(
        (&*in_vpc.pods, &*in_vpc.isolated),
        (&["shop/server".to_owned()][..], &["ingress"][..])
    );
    let [about] = &*in_vpc.rules[0].about else {
        panic!("{told:?}")
    };
    assert_eq!(about.pods.as_deref().unwrap(), ["shop/friend"]);
    assert_eq!(about.networks, ["192.0.2.0/24".parse().unwrap()]);
    assert_eq!(about.ports.as_deref(), Some("TCP 8080"));
    let late = ClusterPolicy::test("late", Tier::Admin, 20).key;
    let told = lab.0.explain_policy(&late.into()).unwrap();
    let order = told.order.unwrap();
    assert_eq!(
        (&*order.tier, order.priority, &*order.after),
        ("Admin", 20, &["clusternetworkpolicy/early".to_owned()][..])
    );
    assert_eq!(told.vpcs[0].pods.len(), 3);
    assert_eq!((&*told.vpcs[0].rules[0].action, told.acls), ("Deny", 1));
    assert_eq!(lab.0.explain_policy(&Key::network_policy("shop", "none")), None);
}

/// The names of ACLs that are logged.
fn logged(lab: &Lab) -> Vec<String> {
    let rows = lab.0.desired().rows("ACL");
    let is_logged = |row: &&DesiredRow| row.get("log").is_some_and(|log| log.to_string() == "true");
    let mut names: Vec<String> = rows
        .filter(is_logged)
        .map(|row| {
            let text = |column: &str| row.get(column).and_then(|datum| datum.as_str().map(str::to_owned));
            assert_eq!(
                (text("meter").as_deref(), text("severity").as_deref()),
                (Some("policy-log"), Some("info"))
            );
            text("name").unwrap()
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn what_a_namespace_asks_for_is_logged_and_no_more_than_a_meter_lets() {
    let mut lab = lab();
    assert_eq!(logged(&lab), [""; 0]);
    let (denied, allowed) = (
        [
            "shop:name=server:ingress:isolated",
            "shop:name=stranger:egress:isolated",
        ],
        ["shop/in:ingress[0]"],
    );
    lab.apply(Namespace::test("shop").logging("denied"));
    assert_eq!(logged(&lab), denied);
    lab.apply(Namespace::test("shop").logging("allowed"));
    assert_eq!(logged(&lab), allowed);
    lab.apply(Namespace::test("shop").logging("all"));
    assert_eq!(logged(&lab).len(), 3);
    assert!(lab.row("Meter", "policy-log").is_some() && lab.row("Meter_Band", "policy-log").is_some());
    lab.apply(Namespace::test("shop").logging("everything"));
    assert_eq!(logged(&lab), [""; 0]);
    let problem = "namespace/shop: metadata.annotations[meridian.dev/policy-log]: \"everything\" is none of denied, allowed, all, none: \
                   nothing is logged";
    assert!(lab.problems().contains(&problem.to_owned()), "{:?}", lab.problems());
    lab.apply(Namespace::test("shop"));
    let guard = TierRule::test(Action::Deny, [TierPeer::Pods(PodsOf::labelled(None, None))]);
    lab.apply(
        ClusterPolicy::test("guard", Tier::Admin, 1)
            .on_ingress(guard)
            .logging("denied"),
    );
    assert_eq!(logged(&lab), ["cnp:guard:ingress[0]"]);
}
