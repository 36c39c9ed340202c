//! Policies: what many of them cost, beside none.
//!
//! What northd and a host do with the rows is shown and not judged; that a pod costs what it matches is.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_model::{
    Event, Kind, Labels, Namespace, NetworkPolicy, Node, Object, Phase, Pod, PolicyPeer, PolicyPort, PolicyRule,
    PortMatch, Protocol, Selector,
};
use meridian_tests::{Central, dump_rows};
use ovsdb_schemas::northbound::{acl, address_set, logical_switch_port, port_group};
use ovsdb_schemas::southbound;

use crate::cluster::{node, node_name};
use crate::harness::{Running, turn_by_turn};
use crate::ovn::chassis::Port;
use crate::ovn::northd::{self, Northd};
use crate::ovn::{Work, cold, on_a_host};
use crate::report::{Report, show};

const POLICIES: usize = 500;
/// Each has as many policies, and every fifth of its pods is of one application.
const NAMESPACES: usize = 50;
const APPS: usize = 5;
/// Pods that are added one by one at each size.
const EVENTS: usize = 200;

/// So many policies, nodes and pods.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    policies: usize,
    nodes: usize,
    pods: usize,
}

impl Cluster {
    fn events(self) -> Vec<Event> {
        let all = |kind, objects: &mut dyn Iterator<Item = Object>| Event::Replace(kind, objects.collect());
        vec![
            all(
                Kind::Node,
                &mut (0..self.nodes).map(|at| Object::from(Node::clone(&node(at)))),
            ),
            all(
                Kind::Namespace,
                &mut (0..NAMESPACES).map(|at| Namespace::test(&namespace(at)).labelled("name", &namespace(at)).into()),
            ),
            all(Kind::NetworkPolicy, &mut (0..self.policies).map(|at| policy(at).into())),
            all(Kind::Pod, &mut (0..self.pods).map(|at| self.pod(at).into())),
        ]
    }

    /// Namespaces and applications by turns, so that every node has pods of all.
    fn pod(self, at: usize) -> Pod {
        let mut pod = Pod::test(&namespace(at % NAMESPACES), &format!("pod-{at}"));
        pod.uid = format!("uid-{at}").into();
        pod.node = Some(node_name(at / NAMESPACES % self.nodes).into());
        pod.phase = Phase::Pending;
        pod.labels = Labels::from_iter([("app", ((at + at / NAMESPACES) % APPS).to_string())]);
        pod
    }
}

fn namespace(at: usize) -> String {
    format!("ns-{at}")
}

/// Half of them isolate an application from all but another of the next namespace, on a port; half from all but its own namespace
/// and a block.
fn policy(at: usize) -> NetworkPolicy {
    let (of, app) = (at % NAMESPACES, at / NAMESPACES % APPS);
    let neighbour = PolicyPeer::Pods {
        namespaces: Some(Selector::of_label("name", &namespace((of + 1) % NAMESPACES))),
        pods: Selector::of_label("app", &((app + 1) % APPS).to_string()),
    };
    let own = PolicyPeer::Pods {
        namespaces: None,
        pods: Selector::default(),
    };
    let block = PolicyPeer::Block {
        cidr: "192.0.2.0/24".into(),
        except: ["192.0.2.64/26".into()].into(),
    };
    let peers: Box<[PolicyPeer]> = if at.is_multiple_of(2) {
        [neighbour].into()
    } else {
        [own, block].into()
    };
    let port = PolicyPort {
        protocol: Protocol::Tcp,
        port: PortMatch::Range(8080..=8080),
    };
    let rule = PolicyRule {
        peers,
        ports: [port].into(),
    };
    NetworkPolicy::test(&namespace(of), &format!("policy-{at}"))
        .of_pods("app", &app.to_string())
        .with_ingress([rule])
}

pub(crate) async fn policies(report: &mut Report) {
    one_pod(report).await;
    let of = |policies| Cluster {
        policies,
        nodes: 50,
        pods: 5_000,
    };
    show(&format!("50 nodes, 5,000 pods; {POLICIES} policies, and none"));
    for cluster in [of(0), of(POLICIES)] {
        through_ovn(cluster).await;
    }
}

/// From one pod more to its committed row, among many policies against none.
async fn one_pod(report: &mut Report) {
    let large = |policies| Cluster {
        policies,
        nodes: 500,
        pods: 20_000,
    };
    show(&format!("500 nodes, 20,000 pods; {POLICIES} policies, and none"));
    let [none, many] = [large(0), large(POLICIES)];
    let more = (0..EVENTS).map(|turn| {
        let mut pod = many.pod(turn);
        pod.name = format!("more-{turn}").into();
        pod.uid = pod.name.clone();
        Event::apply(pod)
    });
    let [none, many] = turn_by_turn([none, many].map(Cluster::events), more, logical_switch_port::TABLE).await;
    let detail = format!("{many:.0?} among {POLICIES} policies, in a group and two sets; {none:.0?} without");
    report.at_most(
        "one pod more, to the same without policies",
        many.div_duration_f64(none),
        "x",
        2.0,
        &detail,
    );
}

async fn through_ovn(cluster: Cluster) {
    let mut central = Central::start();
    let northd = Northd::of(&mut central);
    northd::sync(&central, "sb");
    northd.pause();
    let mut running = Running::start(central.server_mut()).await;
    let written = running.sync(cluster.events()).await;
    let Work {
        until_there,
        cpu,
        loops: [longest, _],
    } = cold(&central, &northd);
    let logical_flows = northd::southbound(&central, southbound::logical_flow::TABLE);
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for row in dump_rows(&central.remote()) {
        *rows.entry(row.table).or_default() += 1;
    }
    let changed = change(&mut running, &central, cluster).await;
    running.stop().await;
    let pods = (0..cluster.pods).filter(|at| (at / NAMESPACES).is_multiple_of(cluster.nodes));
    let pods = pods.map(|at| Port::of(&cluster.pod(at)));
    let all: Vec<Port> = [Port::of_host(&node_name(0))].into_iter().chain(pods).collect();
    let (flows, host) = on_a_host(&central, &node_name(0), &all);
    let label = format!("{} policies", cluster.policies);
    let count = |table: &str| rows.get(table).copied().unwrap_or_default();
    Report::note(
        &format!("rows of {label}"),
        &format!(
            "ACL {}, Port_Group {}, Address_Set {}; {logical_flows} Logical_Flow",
            count(acl::TABLE),
            count(port_group::TABLE),
            count(address_set::TABLE)
        ),
    );
    Report::note(
        &format!("cold with {label}"),
        &format!(
            "written in {written:.1?}; ovn-northd then {until_there:.1?} ({cpu:.1?} of a processor, longest loop {longest} ms)"
        ),
    );
    Report::note(
        &format!("a host of {} pods, {label}", cluster.pods / cluster.nodes),
        &format!(
            "{flows} flows in br-int after {:.1?}; ovn-controller {:.1?} of a processor",
            host.until_there, host.cpu
        ),
    );
    if let Some(changed) = changed {
        Report::note(
            &format!("a policy more, {label}"),
            &format!("{changed:.1?} from the event to its flows in the Southbound database"),
        );
    }
}

/// A policy more, of pods that no other isolates.
async fn change(running: &mut Running, central: &Central, cluster: Cluster) -> Option<Duration> {
    if cluster.policies == 0 {
        return None;
    }
    let more = policy(1);
    let mut more = NetworkPolicy {
        name: "more".into(),
        ..more
    };
    more.pods = Selector::default();
    let start = std::time::Instant::now();
    running.until_row(acl::TABLE, Event::apply(more)).await;
    northd::sync(central, "sb");
    Some(start.elapsed())
}
