//! What a large cluster costs: `cargo run --release -p meridian-compile --example scale -- [pods] [nodes]`.

#![allow(clippy::print_stdout)] // a report for a person

use std::time::Duration;

use meridian_compile::{Compiler, Config, Settings};
use meridian_model::{Event, Key, Kind, Node, Object, Phase, Pod};

/// Events measured one by one.
const CHURN: usize = 20_000;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default()
}

fn pod(n: usize, nodes: usize) -> Pod {
    let mut pod = Pod::test(&format!("team-{}", n % 200), &format!("web-{n}-5d8f7c9b6d-x7k2p"))
        .on(&format!("worker-{}.example.net", n % nodes))
        .with_uid(&format!("5f0c{n:08x}-8d3c-4a43-9b25-0d4a6d6f2f11"));
    pod.labels = [
        ("app", format!("web-{}", n % 500)),
        ("pod-template-hash", format!("5d8f7c9b{}", n % 500)),
    ]
    .into_iter()
    .collect();
    pod
}

/// Processor time so far: unlike the wall clock it does not depend on who else uses the machine.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    Duration::from_nanos(
        stat.split(' ')
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or_default(),
    )
}

fn rate(what: &str, count: usize, since: Duration) {
    let took = cpu().saturating_sub(since);
    #[allow(clippy::cast_precision_loss)]
    let per_second = count as f64 / took.as_secs_f64();
    println!("{what:<34} {count:>7} in {took:>10.1?} of processor time  {per_second:>10.0}/s");
}

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .map(|arg| arg.parse::<usize>().expect("a number"));
    let pods = args.next().unwrap_or(20_000);
    let nodes = args.next().unwrap_or(200);
    let settings = Settings {
        cluster_cidrs: ["10.0.0.0/8", "fd00::/48"]
            .map(|cidr| cidr.parse().expect("a network"))
            .into(),
        host_slice_v4: 20,
        ..Settings::default()
    };
    let mut compiler = Compiler::new(Config::new(settings).expect("sensible settings"));
    let before = resident_kib();

    for n in 0..nodes {
        compiler.apply(Event::apply(Node::test(&format!("worker-{n}.example.net"))));
    }
    let list: Vec<Object> = (0..pods).map(|n| pod(n, nodes).into()).collect();
    let start = cpu();
    compiler.apply(Event::Replace(Kind::Pod, list));
    let model = resident_kib();
    compiler.compile();
    rate("full compile, dual stack, pods", pods, start);
    let after = resident_kib();
    println!(
        "resident: {} KiB for the model, {} KiB in all",
        model - before,
        after - before
    );
    println!("resident per pod: {} bytes", (after - before) * 1024 / pods as u64);

    let list: Vec<Object> = (0..pods).map(|n| pod(n, nodes).into()).collect();
    let start = cpu();
    compiler.apply(Event::Replace(Kind::Pod, list));
    let delta = compiler.compile();
    rate("the same full list again, pods", pods, start);
    assert!(delta.is_empty());

    let start = cpu();
    for n in 0..CHURN {
        compiler.apply(Event::apply(pod(n % pods, nodes).in_phase(Phase::Running)));
        compiler.compile();
    }
    rate("one by one: status changes", CHURN, start);

    let start = cpu();
    for n in 0..CHURN {
        let new = pod(pods + n, nodes);
        let key: Key = new.key().into();
        compiler.apply(Event::apply(new));
        compiler.compile();
        compiler.apply(Event::Delete(key));
        compiler.compile();
    }
    rate("one by one: pod comes, pod goes", 2 * CHURN, start);
    println!(
        "resident at the end: {} KiB more than at the start",
        resident_kib() - before
    );
}
