//! Services: which rows they are, what OVN makes of them, and what one endpoint more costs.
//!
//! Ours is measured on a server of its own, where nobody but us works. What northd and a host do with the rows is shown
//! and not judged: how they grow is OVN's, which rows they get is ours.

mod objects;
mod wire;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meridian_tests::{Central, dump_rows};
use ovsdb::{Session, SessionConfig, TableMonitor};
use ovsdb_schemas::northbound::{chassis_template_var, load_balancer, logical_router_policy};
use ovsdb_schemas::southbound;

use crate::cluster::Size;
use crate::harness::{Running, seen, turn_by_turn};
use crate::memory;
use crate::ovn::chassis::Port;
use crate::ovn::northd::{self, Northd};
use crate::ovn::{Work, cold, on_a_host, work};
use crate::report::{Report, median, show};
use objects::Services;

/// All sides have it, so that they differ in services only. A pod is an endpoint of four services where there are many.
const SIZE: Size = Size { nodes: 50, pods: 5_000 };
const MANY: Services = Services {
    size: SIZE,
    count: 2_000,
    mixed: false,
};
const FEW: Services = Services { count: 20, ..MANY };
const MIXED: Services = Services { mixed: true, ..MANY };
/// A service under one address and port whose endpoints are for everybody, mixed or not, as are the next few.
const PLAIN: usize = 4;
/// Endpoints that are added one by one at each size.
const EVENTS: usize = 300;
/// The same with northd looking.
const SEEN_EVENTS: usize = 3;

pub(crate) async fn services(report: &mut Report) {
    show(&format!(
        "{} nodes in 3 zones, {} pods; {} services with {} endpoints",
        SIZE.nodes,
        SIZE.pods,
        MANY.count,
        MANY.endpoints()
    ));
    one_endpoint(report).await;
    let few = through_ovn(FEW, report).await;
    let many = through_ovn(MANY, report).await;
    let mixed = through_ovn(MIXED, report).await;
    show_rows([&few, &many, &mixed], report);
    for through in [few, many, mixed] {
        through.show();
    }
    let [now, peak] = memory::of(MANY.manifests());
    let what = format!("resident memory at {} services", MANY.count);
    Report::note(&what, &format!("{now:.0} MB; {peak:.0} MB at its peak"));
}

/// From one endpoint more to its committed row, among many services against few.
async fn one_endpoint(report: &mut Report) {
    let more = (0..EVENTS).map(|turn| MANY.one_more(turn, FEW.count));
    let [few, many] = turn_by_turn([FEW, MANY].map(Services::events), more, load_balancer::TABLE).await;
    let detail = format!("{many:.0?} at {}, {few:.0?} at {}", MANY.count, FEW.count);
    let what = format!("one endpoint more, to the same at {} services", FEW.count);
    report.at_most(&what, many.div_duration_f64(few), "x", 1.2, &detail);
}

/// What became of services in both databases and on a host.
struct Through {
    services: Services,
    /// Rows by table.
    northbound: BTreeMap<String, usize>,
    southbound: [usize; 2],
    written: Duration,
    cold: Work,
    /// For one endpoint more.
    more: Work,
    host: Option<(usize, Work)>,
}

async fn through_ovn(services: Services, report: &mut Report) -> Through {
    let mut central = Central::start();
    let northd = Northd::of(&mut central);
    // It has made what an empty database gives.
    northd::sync(&central, "sb");
    northd.pause();
    let mut running = Running::start(central.server_mut()).await;
    let written = running.sync(services.events()).await;

    let cold = cold(&central, &northd);
    one_operation(&mut central, &mut running, services, report).await;
    let more = one_more(&central, &northd, &mut running, services).await;
    let mut northbound = BTreeMap::new();
    for row in dump_rows(&central.remote()) {
        *northbound.entry(row.table).or_default() += 1;
    }
    let tables = [southbound::logical_flow::TABLE, southbound::load_balancer::TABLE];
    let southbound = tables.map(|table| northd::southbound(&central, table));
    running.stop().await;
    Through {
        services,
        northbound,
        southbound,
        written,
        cold,
        more,
        host: (!services.mixed).then(|| on_a_host(&central, "node-0", &[Port::of_host("node-0")])),
    }
}

/// One endpoint more is one operation, on `vips`, of one key.
async fn one_operation(central: &mut Central, running: &mut Running, services: Services, report: &mut Report) {
    wire::listen(central.server_mut());
    let more = services.one_more(PLAIN, FEW.count);
    running.until_row(load_balancer::TABLE, more).await;
    let operations = wire::heard(central.server_mut());
    let what = format!("operations for it at {}", services.label());
    let texts: Vec<String> = operations.iter().map(wire::text).collect();
    let operations = operations.len();
    report.at_most(&what, count(operations), "", 1.0, &texts.join("; "));
}

/// One endpoint more, from the event until the Southbound database has it.
async fn one_more(central: &Central, northd: &Northd, running: &mut Running, services: Services) -> Work {
    let remote = central.remote().parse().expect("a remote");
    let config = SessionConfig::new(southbound::DATABASE, vec![remote])
        .with_monitor(TableMonitor::new(southbound::load_balancer::TABLE));
    let session = Session::spawn(config);
    session.ready().await.expect("the server is there");
    let mut changes = session.subscribe();
    drop(changes.try_take());
    northd.reset();
    let before = northd.cpu();
    let mut times = Vec::new();
    for turn in (PLAIN + 1..).take(SEEN_EVENTS) {
        let start = Instant::now();
        let event = services.one_more(turn, FEW.count);
        running.until_row(load_balancer::TABLE, event).await;
        seen(&mut changes, southbound::load_balancer::TABLE).await;
        times.push(start.elapsed());
    }
    let mut work = work(northd, median(&mut times), before);
    work.cpu /= u32::try_from(SEEN_EVENTS).expect("a handful");
    session.close().await;
    work
}

fn show_rows([few, many, mixed]: [&Through; 3], report: &mut Report) {
    for through in [few, many, mixed] {
        let rows = through.northbound.iter().map(|(table, rows)| format!("{table} {rows}"));
        let rows = rows.collect::<Vec<_>>().join(", ");
        Report::note(&format!("rows at {}", through.services.label()), &rows);
    }
    let of = |through: &Through, table: &str| through.northbound.get(table).copied().unwrap_or(0);
    let [plain, local] = [many, mixed].map(|through| of(through, load_balancer::TABLE));
    let what = "load balancers per service of one protocol";
    let detail = format!(
        "{plain} for {}; {local} if of 100 services 10 answer on their nodes only, 10 are hinted to zones, 1 to nodes",
        many.services.count
    );
    report.at_most(what, count(plain) / count(many.services.count), "", 1.0, &detail);
    let dear = [logical_router_policy::TABLE, chassis_template_var::TABLE];
    let rows = [few, many, mixed].map(|through| dear.map(|table| of(through, table)));
    let what = "router policies and template variables";
    report.at_most(what, count(rows.iter().flatten().sum()), "", 0.0, "");
}

impl Through {
    fn show(&self) {
        let label = self.services.label();
        let Work {
            until_there,
            cpu,
            loops: [longest, flows],
        } = self.cold;
        let [logical_flows, balancers] = self.southbound;
        let detail = format!(
            "written in {:.1?}; ovn-northd then {until_there:.1?} ({cpu:.1?} of a processor, longest loop {longest} ms, \
             longest build of flows {flows} ms): {logical_flows} Logical_Flow, {balancers} Load_Balancer",
            self.written
        );
        Report::note(&format!("cold at {label}"), &detail);
        let Work {
            until_there,
            cpu,
            loops: [longest, flows],
        } = self.more;
        let detail = format!(
            "in the Southbound database after {until_there:.1?} ({cpu:.1?} of a processor, longest loop {longest} ms, \
             longest build of flows {flows} ms)"
        );
        Report::note(&format!("one endpoint more at {label}"), &detail);
        if let Some((flows, Work { until_there, cpu, .. })) = &self.host {
            let detail =
                format!("{flows} flows in br-int after {until_there:.1?}; ovn-controller {cpu:.1?} of a processor");
            Report::note(&format!("a host at {label}"), &detail);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(things: usize) -> f64 {
    things as f64
}
