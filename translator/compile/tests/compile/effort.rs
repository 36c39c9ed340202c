//! The cost of an event does not grow with the cluster: what counts is how many units compile.

use meridian_compile::Compiler;
use meridian_model::{
    AddressPool, EndpointSlice, Event, Key, Kind, NetworkPolicy, Node, Object, Phase, Pod, PolicyPeer, PolicyRule,
    Selector, Service,
};

use crate::support::config;

const NODES: usize = 50;
const PODS: usize = 5_000;
const SERVICES: usize = 200;

fn web(n: usize) -> Pod {
    Pod::test("shop", &format!("web-{n}")).on(&format!("node-{}", n % NODES))
}

fn service(n: usize) -> Service {
    Service::test("shop", &format!("s{n}"))
        .under([format!("172.20.{}.{}", n / 250, 1 + n % 250).as_str()])
        .with_port("", 80)
}

fn slice(n: usize, endpoint: &str) -> EndpointSlice {
    EndpointSlice::test("shop", &format!("s{n}"), "x")
        .with_port("", 8080)
        .ready([endpoint])
}

fn large() -> Compiler {
    let mut compiler = Compiler::new(config(&["10.0.0.0/8"], 24, 64));
    for n in 0..NODES {
        compiler.apply(Event::apply(Node::test(&format!("node-{n}"))));
    }
    for n in 0..PODS {
        compiler.apply(Event::apply(web(n)));
    }
    for n in 0..SERVICES {
        compiler.apply(Event::apply(service(n)));
        compiler.apply(Event::apply(slice(n, "10.0.1.9")));
    }
    assert_eq!(compiler.compile().units, 1 + NODES + PODS + SERVICES);
    assert_eq!(compiler.problems().count(), 0);
    compiler
}

#[test]
fn an_event_of_a_pod_compiles_that_pod_only() {
    let mut compiler = large();
    for event in [
        Event::apply(Pod::test("shop", "new").on("node-7")),
        Event::apply(
            Pod::test("shop", "new")
                .on("node-7")
                .in_phase(Phase::Running)
                .with_ips(["10.0.7.200"]),
        ),
        Event::apply(web(3).being_deleted()),
        Event::Delete(Key::pod("shop", "web-4")),
    ] {
        compiler.apply(event);
        assert_eq!(compiler.compile().units, 1);
    }
}

#[test]
fn an_event_of_a_service_or_its_endpoints_compiles_that_service_only() {
    let mut compiler = large();
    for (event, rows) in [
        (Event::apply(slice(7, "10.0.1.10")), 1),
        (Event::apply(service(7).with_affinity(60)), 1),
        (Event::Delete(Key::endpoint_slice("shop", "s7-x")), 1),
        (Event::Delete(Key::service("shop", "s8")), 1),
    ] {
        compiler.apply(event);
        let delta = compiler.compile();
        assert_eq!((delta.units, delta.rows.len()), (1, rows));
    }
}

#[test]
fn a_new_node_compiles_itself_and_the_pods_that_waited_for_it() {
    let mut compiler = large();
    for n in 0..3 {
        compiler.apply(Event::apply(Pod::test("shop", &format!("early-{n}")).on("late")));
    }
    compiler.compile();
    compiler.apply(Event::apply(Node::test("late")));
    assert_eq!(compiler.compile().units, 1 + 3);
}

#[test]
fn a_node_whose_labels_change_compiles_alone() {
    let mut compiler = large();
    let mut node = Node::test("node-7");
    node.labels = [("zone", "east")].into_iter().collect();
    compiler.apply(Event::apply(node));
    let delta = compiler.compile();
    assert_eq!((delta.units, delta.is_empty()), (1, true));
}

#[test]
fn a_node_that_changes_compiles_itself_and_the_services_that_nodes_matter_to() {
    let mut compiler = large();
    let announced = service(3).behind(["198.51.100.7"]);
    compiler.apply(Event::apply(
        AddressPool::test("public", ["198.51.100.0/24"]).announced(),
    ));
    compiler.apply(Event::apply(announced));
    compiler.apply(Event::apply(slice(4, "10.0.1.9").meant_for(&[], &["node-1"])));
    compiler.apply(Event::apply(slice(5, "10.0.1.9").on("node-1")));
    compiler.compile();
    compiler.apply(Event::apply(Node::test("node-7").unready()));
    assert_eq!(compiler.compile().units, 1 + 2);
}

#[test]
fn a_full_list_compiles_only_what_differs_from_before() {
    let mut compiler = large();
    let mut list: Vec<Object> = (1..PODS).map(|n| web(n).into()).collect();
    list[9] = web(10).with_uid("another").into();
    compiler.apply(Event::Replace(Kind::Pod, list));
    assert_eq!(compiler.compile().units, 2, "one is gone, one is another");
}

/// Of a tenth of the pods, from another tenth.
fn policy(n: usize) -> NetworkPolicy {
    let peer = PolicyPeer::Pods {
        namespaces: None,
        pods: Selector::of_label("tenth", &((n + 1) % 10).to_string()),
    };
    let rule = PolicyRule {
        peers: [peer].into(),
        ports: Box::default(),
    };
    NetworkPolicy::test("shop", &format!("policy-{n}"))
        .of_pods("tenth", &(n % 10).to_string())
        .with_ingress([rule])
}

#[test]
fn with_many_policies_a_pod_is_one_element_of_what_it_matches() {
    let mut compiler = large();
    for n in 0..500 {
        compiler.apply(Event::apply(policy(n)));
    }
    for n in 0..PODS {
        compiler.apply(Event::apply(web(n).labelled("tenth", &(n % 10).to_string())));
    }
    compiler.compile();
    let links = |compiler: &mut Compiler, event: Event| {
        compiler.apply(event);
        let delta = compiler.compile();
        let mut links: Vec<_> = delta.links.iter().map(|link| (link.table, link.column)).collect();
        links.sort_unstable();
        (delta.units, delta.rows.len(), links)
    };
    let new = |name: &str| Pod::test("shop", name).on("node-7");
    let port = ("Logical_Switch", "ports");
    assert_eq!(
        links(&mut compiler, Event::apply(new("other"))),
        (1, 1, vec![port]),
        "who matches nothing costs nothing"
    );
    let of_policies = [("Address_Set", "addresses"), port, ("Port_Group", "ports")];
    let matching = new("matching").labelled("tenth", "3");
    assert_eq!(links(&mut compiler, Event::apply(matching)), (1, 1, of_policies.into()));
    let moved = new("matching").labelled("tenth", "4");
    let (units, rows, changed) = links(&mut compiler, Event::apply(moved));
    assert_eq!(
        (units, rows, changed.len()),
        (1, 0, 4),
        "out of one group and set, into another"
    );
    assert_eq!(
        links(&mut compiler, Event::Delete(Key::pod("shop", "matching"))),
        (1, 1, of_policies.into())
    );
}

#[test]
fn a_rule_that_changes_compiles_its_policy_alone() {
    let mut compiler = large();
    for n in 0..PODS {
        compiler.apply(Event::apply(web(n).labelled("tenth", &(n % 10).to_string())));
    }
    compiler.apply(Event::apply(policy(0)));
    compiler.apply(Event::apply(policy(10)));
    compiler.compile();
    let mut changed = policy(0);
    let mut rules = changed.ingress.clone().unwrap_or_default();
    rules[0].peers = [PolicyPeer::Block {
        cidr: "192.0.2.0/24".into(),
        except: Box::default(),
    }]
    .into();
    changed.ingress = Some(rules);
    compiler.apply(Event::apply(changed));
    // Another policy has the pods that this one named before, so that their set stays.
    let delta = compiler.compile();
    assert_eq!(
        (delta.units, delta.rows.len()),
        (2, 3),
        "the policy, and that a set has one user less"
    );
}

#[test]
fn a_repeated_event_compiles_nothing() {
    let mut compiler = large();
    compiler.apply(Event::apply(web(0)));
    assert_eq!(compiler.compile().units, 0);
}

#[test]
fn a_takeover_that_teaches_nothing_compiles_nothing() {
    let mut compiler = large();
    for known in [vec![], compiler.claims()] {
        compiler.claim(known);
        assert_eq!(compiler.compile().units, 0);
    }
}

#[test]
fn of_a_compile_in_pieces_the_first_has_what_the_rest_hangs_on_and_pods_come_node_by_node() {
    let mut compiler = Compiler::new(config(&["10.0.0.0/8"], 24, 64));
    for n in 0..PODS {
        compiler.apply(Event::apply(web(n)));
    }
    for n in 0..NODES {
        compiler.apply(Event::apply(Node::test(&format!("node-{n}"))));
    }
    let structure = compiler.compile_piece(1);
    assert_eq!(structure.units, 1 + NODES);
    let switches = compiler.desired().rows("Logical_Switch").count();
    assert_eq!(
        switches,
        NODES + 1,
        "one of each node and one for what stands for services"
    );
    while compiler.is_pending() {
        let delta = compiler.compile_piece(PODS / NODES);
        assert_eq!(delta.units, PODS / NODES);
        let switches: std::collections::BTreeSet<_> = delta.links.iter().map(|link| link.parent).collect();
        assert_eq!(switches.len(), 1, "a piece of as many pods as a node has is one node's");
    }
}
