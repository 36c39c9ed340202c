//! VPCs: what many of them cost, beside one with as many pods.
//!
//! What northd and a host do with the rows is shown and not judged; that rows and flows follow use is.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_model::{Event, Kind, Namespace, Node, Object, Phase, Pod, Vpc};
use meridian_tests::{Central, dump_rows};
use ovsdb_schemas::northbound::{logical_router, logical_switch, logical_switch_port};
use ovsdb_schemas::southbound;

use crate::cluster::{node, node_name};
use crate::harness::{Running, turn_by_turn};
use crate::ovn::chassis::Port;
use crate::ovn::northd::{self, Northd};
use crate::ovn::{Work, cold, on_a_host};
use crate::report::{Report, show};

/// The last of them has no pods.
const NODES: usize = 51;
const BUSY: usize = NODES - 1;
const PODS: usize = 5_000;
/// All have the same.
const NETWORK: &str = "10.64.0.0/16";
/// Pods that are added one by one at each size.
const EVENTS: usize = 200;

/// So many VPCs with equally many pods each, each pod on the node after that of the one before.
#[derive(Clone, Copy, Debug)]
struct Vpcs {
    count: usize,
}

const MANY: Vpcs = Vpcs { count: 1_000 };
const ONE: Vpcs = Vpcs { count: 1 };

impl Vpcs {
    fn events(self) -> Vec<Event> {
        let all = |kind, objects: &mut dyn Iterator<Item = Object>| Event::Replace(kind, objects.collect());
        let name = |vpc: usize| format!("vpc-{vpc}");
        vec![
            all(
                Kind::Node,
                &mut (0..NODES).map(|at| Object::from(Node::clone(&node(at)))),
            ),
            all(
                Kind::Namespace,
                &mut (0..self.count).map(|vpc| Namespace::test(&name(vpc)).in_vpc(&name(vpc)).into()),
            ),
            all(
                Kind::Vpc,
                &mut (0..self.count).map(|vpc| Vpc::test(&name(vpc), [NETWORK]).into()),
            ),
            all(Kind::Pod, &mut (0..PODS).map(|at| self.pod(at).into())),
        ]
    }

    /// VPC by VPC, so that those of one are on nodes side by side.
    fn pod(self, at: usize) -> Pod {
        let vpc = at / (PODS / self.count);
        let mut pod = Pod::test(&format!("vpc-{vpc}"), &format!("pod-{at}"));
        pod.uid = format!("uid-{at}").into();
        pod.node = Some(node_name(at % BUSY).into());
        pod.phase = Phase::Pending;
        pod
    }

    fn label(self) -> String {
        match self.count {
            1 => format!("one VPC of {PODS} pods"),
            many => format!("{many} VPCs of {} pods", PODS / many),
        }
    }
}

/// One pod more of the first VPC, on the first nodes.
fn one_more(turn: usize, nodes: usize) -> Event {
    let mut pod = MANY.pod(turn % nodes);
    pod.name = format!("more-{turn}").into();
    pod.uid = pod.name.clone();
    Event::apply(pod)
}

pub(crate) async fn vpcs(report: &mut Report) {
    show(&format!(
        "{NODES} nodes; {} and {}, all of {NETWORK}",
        MANY.label(),
        ONE.label()
    ));
    one_pod(report).await;
    let one = through_ovn(ONE).await;
    let many = through_ovn(MANY).await;
    for through in [&one, &many] {
        through.show();
    }
    let of = |table: &str| many.northbound.get(table).copied().unwrap_or(0);
    let slices = of(logical_switch::TABLE) - NODES - 1;
    let what = "slices, to pairs of VPC and node with pods";
    report.at_most(
        what,
        ratio(slices, PODS),
        "x",
        1.0,
        &format!("{slices} for {PODS} pairs"),
    );
    report.at_most(
        "routers per VPC",
        ratio(of(logical_router::TABLE) - 1, MANY.count),
        "",
        1.0,
        "",
    );
    let [without, with] = [0, 1].map(|at: usize| many.host[at].0);
    let (bare, _) = one.host[0];
    let what = "flows of a host without pods of any VPC, to the same with one VPC";
    report.at_most(
        what,
        ratio(without, bare),
        "x",
        1.05,
        &format!("{without}, {bare}; {with} on one with pods"),
    );
}

/// From one pod more to its committed row, among many VPCs against one.
async fn one_pod(report: &mut Report) {
    // Of the first VPC, on nodes that have pods of it, however many VPCs there are.
    let more = (0..EVENTS).map(|turn| one_more(turn, PODS / MANY.count));
    let [one, many] = turn_by_turn([ONE, MANY].map(Vpcs::events), more, logical_switch_port::TABLE).await;
    let detail = format!("{many:.0?} among {} VPCs, {one:.0?} in one", MANY.count);
    report.at_most(
        "one pod more, to the same in one VPC",
        many.div_duration_f64(one),
        "x",
        1.3,
        &detail,
    );
}

/// What became of VPCs in both databases and on a host.
struct Through {
    vpcs: Vpcs,
    northbound: BTreeMap<String, usize>,
    logical_flows: usize,
    written: Duration,
    northd: Work,
    /// One without pods, and one with.
    host: [(usize, Work); 2],
}

async fn through_ovn(vpcs: Vpcs) -> Through {
    let mut central = Central::start();
    let northd = Northd::of(&mut central);
    northd::sync(&central, "sb");
    northd.pause();
    let mut running = Running::start(central.server_mut()).await;
    let written = running.sync(vpcs.events()).await;
    let cold = cold(&central, &northd);
    let mut northbound = BTreeMap::new();
    for row in dump_rows(&central.remote()) {
        *northbound.entry(row.table).or_default() += 1;
    }
    let logical_flows = northd::southbound(&central, southbound::logical_flow::TABLE);
    running.stop().await;
    let own = |node: usize| Port::of_host(&node_name(node));
    let pods = (0..PODS).filter(|at| at % BUSY == 0).map(|at| Port::of(&vpcs.pod(at)));
    let all: Vec<Port> = [own(0)].into_iter().chain(pods).collect();
    let without = on_a_host(&central, &node_name(BUSY), &[own(BUSY)]);
    let with = on_a_host(&central, &node_name(0), &all);
    Through {
        vpcs,
        northbound,
        logical_flows,
        written,
        northd: cold,
        host: [without, with],
    }
}

impl Through {
    fn show(&self) {
        let label = self.vpcs.label();
        let rows = self.northbound.iter().map(|(table, rows)| format!("{table} {rows}"));
        Report::note(&format!("rows of {label}"), &rows.collect::<Vec<_>>().join(", "));
        let Work {
            until_there,
            cpu,
            loops: [longest, flows],
        } = self.northd;
        let detail = format!(
            "written in {:.1?}; ovn-northd then {until_there:.1?} ({cpu:.1?} of a processor, longest loop {longest} ms, \
             longest build of flows {flows} ms): {} Logical_Flow",
            self.written, self.logical_flows
        );
        Report::note(&format!("cold with {label}"), &detail);
        for (what, (flows, Work { until_there, cpu, .. })) in ["without pods", "with pods"].iter().zip(&self.host) {
            let detail =
                format!("{flows} flows in br-int after {until_there:.1?}; ovn-controller {cpu:.1?} of a processor");
            Report::note(&format!("a host {what}, {label}"), &detail);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ratio(things: usize, others: usize) -> f64 {
    things as f64 / others as f64
}
