//! How fast the translator is, each figure as a ratio to a floor measured in the same run on the same server:
//! absolute times say more about the machine than about us.
//!
//! `cargo bench -p meridian-tests --bench translator [-- cold event restart memory services vpcs policies]`; `make bench` builds what it needs
//! first.

mod cluster;
mod floor;
mod harness;
mod memory;
mod ovn;
mod policies;
mod report;
mod services;
mod vpcs;

use std::process::ExitCode;
use std::time::Duration;

use meridian_compile::Compiler;
use meridian_model::{Event, Object};
use ovsdb_schemas::northbound::logical_switch_port;

use cluster::{LARGE, SMALL};
use harness::Running;
use report::{Report, median, show};

/// Cold syncs that are measured; the median counts.
const COLD_RUNS: usize = 9;
/// Pods that are added one by one at each size.
const EVENTS: usize = 300;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut report = Report::default();
    show(&format!("{} nodes, {} pods; medians", LARGE.nodes, LARGE.pods));
    let asked = |name: &str| {
        let mut names = std::env::args()
            .skip(1)
            .filter(|argument| !argument.starts_with('-'))
            .peekable();
        names.peek().is_none() || names.any(|asked| asked == name)
    };
    if asked("cold") {
        runtime.block_on(cold_sync(&mut report));
    }
    if asked("event") {
        runtime.block_on(one_event(&mut report));
    }
    if asked("restart") {
        runtime.block_on(restart(&mut report));
    }
    if asked("memory") {
        memory::resident(&mut report);
    }
    if asked("services") {
        runtime.block_on(services::services(&mut report));
    }
    if asked("vpcs") {
        runtime.block_on(vpcs::vpcs(&mut report));
    }
    if asked("policies") {
        runtime.block_on(policies::policies(&mut report));
    }
    if report.close() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// From the full lists to a confirmed database, against inserting the same rows.
async fn cold_sync(report: &mut Report) {
    let mut compiler = Compiler::new(harness::config());
    LARGE.events().into_iter().for_each(|event| compiler.apply(event));
    compiler.compile();
    let mut ours = Vec::new();
    let mut floors = Vec::new();
    let mut following = Vec::new();
    for _ in 0..COLD_RUNS {
        floors.push(floor::insert_everything(compiler.desired(), false));
        following.push(floor::insert_everything(compiler.desired(), true).0);
        let server = harness::northbound();
        let mut running = Running::start(&server).await;
        let events = LARGE.events();
        ours.push(running.sync(events).await);
        running.stop().await;
    }
    floors.sort_unstable();
    let (floor, batch) = floors[COLD_RUNS / 2];
    let ours = median(&mut ours);
    let following = median(&mut following);
    let rows = compiler.desired().len();
    let detail = format!("{rows} rows in {ours:.2?}; a raw client {floor:.2?} in its best batches, of {batch}");
    let ratio = ours.div_duration_f64(floor);
    report.at_most("cold sync, to a raw client", ratio, "x", 1.5, &detail);
    // The server tells every row again to whoever keeps a replica, as we must, and that alone takes it half as long again.
    let detail = format!("a raw client that keeps a replica {following:.2?} in its best batches");
    let ratio = ours.div_duration_f64(following);
    report.at_most("cold sync, to one that keeps a replica", ratio, "x", 1.5, &detail);
}

/// From one pod event to its committed port, in a large cluster against a small one.
async fn one_event(report: &mut Report) {
    let clusters = [SMALL, LARGE].map(|size| size.events().to_vec());
    let newcomers = (0..EVENTS).map(|at| Event::Apply(Object::Pod(cluster::newcomer(at))));
    let [small, large] = harness::turn_by_turn(clusters, newcomers, logical_switch_port::TABLE).await;
    let floor = floor_of_one_event();
    let detail = format!(
        "{large:.0?} at {}, {small:.0?} at {}; a raw client {floor:.0?}",
        LARGE.pods, SMALL.pods
    );
    let what = "one pod event, to the same at 1,000 pods";
    report.at_most(what, large.div_duration_f64(small), "x", 1.2, &detail);
}

/// One row at a time in a database of the small size.
fn floor_of_one_event() -> Duration {
    let mut compiler = Compiler::new(harness::config());
    SMALL.events().into_iter().for_each(|event| compiler.apply(event));
    compiler.compile();
    let server = harness::northbound();
    floor::fill(&server, compiler.desired());
    (0..EVENTS).for_each(|at| compiler.apply(Event::Apply(Object::Pod(cluster::newcomer(at)))));
    let delta = compiler.compile();
    let desired = compiler.desired();
    let rows = delta.rows.iter().filter_map(|(table, uuid)| desired.row(table, *uuid));
    median(&mut floor::send_each(&server, &floor::one_by_one(desired, rows)))
}

/// A translator that finds everything as it should be writes nothing.
async fn restart(report: &mut Report) {
    let server = harness::northbound();
    let mut first = Running::start(&server).await;
    first.sync(LARGE.events()).await;
    first.stop().await;
    let mut second = Running::start(&server).await;
    let time = second.sync(LARGE.events()).await;
    #[expect(clippy::cast_precision_loss, reason = "a handful at most")]
    let transactions = second.transactions() as f64;
    let detail = format!("everything read and compared in {time:.0?}");
    report.at_most(
        "restart with nothing changed, transactions",
        transactions,
        "",
        0.0,
        &detail,
    );
    second.stop().await;
}
