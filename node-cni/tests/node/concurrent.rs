//! Many pods at once, and how long one takes.

#![allow(clippy::print_stderr, reason = "figures for whoever runs this with --nocapture")]

use std::time::Duration;

use crate::support::{ADD_STEPS, Call, Pod, del, ready_host};

#[test]
fn twenty_pods_start_and_stop_at_once() {
    let (host, _agent) = ready_host();
    // ovn-controller has connected to the bridge, which it tries once a second.
    host.await_forwarding();
    let before = host.leftovers();
    let pods: Vec<Pod> = (0..20).map(|_| Pod::with_port(&host)).collect();
    let calls: Vec<_> = pods.iter().map(|pod| Call::on(&host, "ADD", pod).start()).collect();
    let replies: Vec<_> = calls.into_iter().map(crate::support::Running::finish).collect();
    for reply in &replies {
        assert!(reply.success, "{}", reply.json);
    }
    for pair in pods.windows(2) {
        pair[0].exchange(&pair[1], true);
    }
    let calls: Vec<_> = pods.iter().map(|pod| Call::on(&host, "DEL", pod).start()).collect();
    for call in calls {
        let reply = call.finish();
        assert!(reply.success, "{}", reply.json);
    }
    host.await_leftovers(&before);
    report("20 concurrent ADDs", replies.iter().map(|reply| reply.took).collect());
}

#[test]
fn pods_one_after_another() {
    let (host, _agent) = ready_host();
    host.await_forwarding();
    let mut took = Vec::new();
    for _ in 0..20 {
        let pod = Pod::with_port(&host);
        // The port is there before the sandbox, as when the translator is faster than the image.
        host.nbctl(&["--wait=sb", "sync"]);
        let reply = Call::on(&host, "ADD", &pod).run();
        assert!(reply.success, "{}", reply.json);
        took.push(reply.took);
        del(&host, &pod);
    }
    report("20 ADDs one after another", took);
    report_steps(&std::fs::read_to_string(host.path("plugin.log")).unwrap());
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let (p50, p90, max) = (took[took.len() / 2], took[took.len() * 9 / 10], took[took.len() - 1]);
    eprintln!("{what}: p50 {p50:.1?}, p90 {p90:.1?}, max {max:.1?}");
}

/// When each step was reached, in the middle of all calls.
fn report_steps(log: &str) {
    for step in ADD_STEPS {
        let mut at: Vec<f64> = log
            .lines()
            .filter(|line| line.ends_with(step))
            .filter_map(|line| line.split(" +").nth(1)?.split("ms").next()?.parse().ok())
            .collect();
        at.sort_by(f64::total_cmp);
        if let Some(middle) = at.get(at.len() / 2) {
            eprintln!("  {step}: {middle:.1} ms");
        }
    }
}
