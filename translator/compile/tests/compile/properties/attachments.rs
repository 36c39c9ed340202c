//! Further interfaces: what asks for them, and clusters in which most get one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use meridian_compile::{Claim, Compiler};
use meridian_model::{
    AttachmentConfig, Event, Key, Name, Namespace, NetworkAttachment, Networks, Node, Object, Pod, PortKey, Subnet, Vpc,
};
use proptest::prelude::*;

use super::checks::{check_consistency, check_equal, from_scratch, problems, scramble};
use super::generators::{Step, vpc_names};
use crate::support::{LSP, config};

pub(super) fn definitions() -> impl Strategy<Value = NetworkAttachment> {
    let ours = |vpc: Option<&'static str>| AttachmentConfig::Ours {
        vpc: vpc.map(Name::from),
        subnet: None,
    };
    let config = prop_oneof![
        10 => vpc_names().prop_map(move |vpc| ours(Some(vpc))),
        4 => Just(AttachmentConfig::Ours { vpc: None, subnet: Some("s".into()) }),
        3 => Just(AttachmentConfig::Ours { vpc: Some("blue".into()), subnet: Some("s".into()) }),
        1 => Just(ours(Some("unheard"))),
        1 => Just(ours(None)),
        1 => Just(AttachmentConfig::Foreign),
        1 => Just(AttachmentConfig::Unreadable("spec.config is not JSON".into())),
    ];
    let name = prop::sample::select(vec!["one", "two"]);
    (prop::sample::select(vec!["x", "y"]), name, config)
        .prop_map(|(namespace, name, config)| NetworkAttachment::test(namespace, name, "").with_config(config))
}

/// What the slices of VPCs are of.
pub(super) fn further_ips() -> impl Strategy<Value = Vec<IpAddr>> {
    let network = prop::sample::select(vec![1u8, 1, 1, 1, 1, 2]);
    let ip = (network, 4u8..8).prop_map(|(network, n)| vec![IpAddr::from([10, network, 0, n])]);
    prop_oneof![3 => Just(Vec::new()), 2 => ip]
}

pub(super) fn networks() -> impl Strategy<Value = Option<Box<Networks>>> {
    let definition = (
        prop::sample::select(vec!["x", "y"]),
        prop::sample::select(vec!["one", "one", "two"]),
    );
    let mac = prop::option::weighted(
        0.2,
        prop::sample::select(vec!["02:00:00:00:00:01", "0a:58:00:00:00:01"]),
    );
    let one = (definition, further_ips(), further_ips(), mac);
    let some = prop::collection::vec(one, 1..3).prop_map(|all| {
        let mut pod = Pod::test("x", "x");
        for ((namespace, definition), ips, had, mac) in all {
            pod = pod.attached(namespace, definition).asking(|request| {
                request.ips = ips.into();
                request.mac = mac.map(Name::from);
            });
            let networks = pod.networks.as_mut().unwrap();
            let interface = networks.wanted.last().unwrap().interface.clone();
            let before = networks.had.iter().cloned();
            networks.had = before.chain([(interface, had.into())]).collect();
        }
        pod.networks
    });
    let wrong = Just(Some(Box::new(Networks {
        faults: [(1, "makes no sense".into())].into(),
        ..Networks::default()
    })));
    prop_oneof![10 => Just(None), 8 => some, 1 => wrong]
}

/// A cluster whose VPCs let in whom it has.
fn world() -> Vec<Object> {
    let vpc = |name: &str, cidr: &str| {
        let mut vpc = Vpc::test(name, [cidr]).open_to(["blue", ""]);
        vpc.host_slice_v4 = 29;
        Object::from(vpc)
    };
    let mut world = vec![
        vpc("blue", "10.1.0.0/28"),
        vpc("green", "10.1.0.0/27"),
        vpc("red", "10.2.0.0/29"),
        Subnet::test("s", "green", ["10.1.3.0/29"]).into(),
        Namespace::test("x").in_vpc("blue").into(),
        Namespace::test("y").in_vpc("").into(),
    ];
    world.extend(["a", "b"].map(|name| Node::test(name).into()));
    let definitions = [
        ("x", "one", "red"),
        ("x", "two", "green"),
        ("y", "one", "blue"),
        ("y", "two", "red"),
    ];
    world.extend(definitions.map(|(namespace, name, vpc)| NetworkAttachment::test(namespace, name, vpc).into()));
    world
}

fn pods() -> impl Strategy<Value = Pod> {
    let names = (
        prop::sample::select(vec!["x", "y"]),
        prop::sample::select(vec!["p", "q", "r", "s"]),
        prop::sample::select(vec!["a", "a", "a", "b"]),
    );
    (names, 0i64..3, networks()).prop_map(|((namespace, name, node), created, networks)| {
        let mut pod = Pod::test(namespace, name).on(node).created_at(created);
        pod.networks = networks;
        pod
    })
}

/// What happens to that cluster.
fn happenings() -> BoxedStrategy<Event> {
    let vpc = (vpc_names(), any::<bool>(), any::<bool>()).prop_map(|(name, deleting, open)| {
        let cidr = if name == "red" { "10.2.0.0/29" } else { "10.1.0.0/28" };
        let mut vpc = Vpc::test(name, [cidr]);
        vpc.host_slice_v4 = 29;
        vpc.deleting = deleting;
        if open { vpc.open_to(["blue", ""]) } else { vpc }
    });
    let subnet = (vpc_names(), any::<bool>()).prop_map(|(vpc, moved)| {
        let cidr = if moved { "10.2.0.0/29" } else { "10.1.3.0/29" };
        Subnet::test("s", vpc, [cidr])
    });
    let label = prop::sample::select(vec!["blue", "", "red"]);
    let namespace = (prop::sample::select(vec!["x", "y"]), label);
    prop_oneof![
        12 => pods().prop_map(Event::apply).boxed(),
        3 => pods().prop_map(|pod| Event::Delete(pod.key().into())).boxed(),
        2 => definitions().prop_map(Event::apply).boxed(),
        1 => definitions().prop_map(|of| Event::Delete(of.key.into())).boxed(),
        1 => vpc.prop_map(Event::apply).boxed(),
        1 => vpc_names().prop_map(|name| Event::Delete(Key::vpc(name))).boxed(),
        1 => subnet.prop_map(Event::apply).boxed(),
        1 => Just(Event::Delete(Key::subnet("s"))).boxed(),
        1 => namespace.prop_map(|(name, vpc)| Event::apply(Namespace::test(name).in_vpc(vpc))).boxed(),
    ]
    .boxed()
}

fn claims() -> impl Strategy<Value = Vec<Claim>> {
    let one = (pods(), further_ips(), vpc_names()).prop_map(|(pod, ips, vpc)| Claim::Pod {
        port: PortKey::further(pod.key(), "net1".into()),
        uid: pod.uid,
        vpc: vpc.into(),
        ips: ips.into(),
    });
    prop::collection::vec(one, 0..4)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => happenings().prop_map(Step::Event),
        4 => Just(Step::Compile),
        1 => claims().prop_map(Step::Claim),
    ];
    prop::collection::vec(step, 0..40)
}

fn start() -> Compiler {
    let mut compiler = Compiler::new(config(&["10.0.0.0/24"], 26, 64));
    for object in world() {
        compiler.apply(Event::Apply(object));
    }
    compiler
}

fn further(compiler: &Compiler) -> usize {
    let rows = compiler.desired().rows(LSP);
    rows.filter(|row| row.key.contains('@')).count()
}

proptest! {
    #[test]
    fn incremental_equals_full_where_most_pods_have_further_interfaces(steps in steps(), salt in any::<u64>()) {
        let mut compiler = start();
        for step in steps.into_iter().chain([Step::Compile]) {
            match step {
                Step::Event(event) => compiler.apply(event),
                Step::Claim(claims) => compiler.claim(claims),
                Step::Compile | Step::Piece(_) => {
                    compiler.compile();
                    check_consistency(compiler.desired());
                    check_equal(&compiler, &from_scratch(&compiler, scramble(salt)));
                }
            }
        }
        let claims = compiler.claims();
        compiler.claim(claims);
        prop_assert!(compiler.compile().is_empty(), "what is so already can be claimed without effect");
    }
}

#[test]
fn most_pods_have_further_interfaces_and_the_rest_has_every_reason() {
    use proptest::strategy::ValueTree as _;
    let telling = [
        "there is no NetworkAttachmentDefinition",
        "does not let pods of namespace",
        "there is no VPC unheard",
        "there is no Subnet s",
        "names neither",
        "spec.config is not JSON",
        "makes no sense",
        "is that of pod",
        "of VPC blue already",
        "the pod could not tell which of them",
        "begins as those do that follow",
        "is being deleted",
        "no free address of VPC",
        "would not overlap what the node has",
    ];
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut seen, mut ports) = (BTreeSet::<&&str>::new(), 0);
    for _ in 0..100 {
        let mut compiler = start();
        for step in steps().new_tree(&mut runner).unwrap().current() {
            match step {
                Step::Event(event) => compiler.apply(event),
                Step::Claim(claims) => compiler.claim(claims),
                Step::Compile | Step::Piece(_) => {
                    compiler.compile();
                    ports += further(&compiler);
                    let problems = problems(&compiler);
                    let found = |text: &&&str| problems.iter().any(|problem| problem.message.contains(**text));
                    seen.extend(telling.iter().filter(found));
                }
            }
        }
    }
    let missed: Vec<_> = telling.iter().filter(|text| !seen.contains(*text)).collect();
    assert!(missed.is_empty(), "never generated: {missed:?}");
    assert!(ports > 200, "only {ports} further interfaces");
}
