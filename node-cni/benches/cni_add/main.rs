//! How long a pod waits for ADD, as a ratio to the same work done by hand: absolute times say more about the machine,
//! Open vSwitch and ovn-controller than about us.
//!
//! `cargo bench -p meridian-node-cni --bench cni_add [-- tools in-process]`, as root. Real Open vSwitch, ovn-controller
//! and northd in a network namespace; all sides take turns on it, each time with a fresh network namespace for a pod
//! whose logical port is in the Southbound database already, and all in the same order of steps:
//!
//! - `meridian-cni`: the program as a runtime starts it, from `exec` to its exit, configured as the agent does it.
//! - `with log`: the same with a debug log, which tells when each step was done and takes some time itself.
//! - `tools`: `ip`, `ethtool`, `ovs-vsctl`, as a person would do it; without the settings and the shield of the host's
//!   end. The bound holds against this floor.
//! - `in-process`: the plugin's netlink requests, one transaction, and one wait for `ovn-installed`, in this process,
//!   which knows the facts and is connected to Open vSwitch's database already. No CNI plugin can reach this floor:
//!   it is a program that has to be started, asked and ended. So it has no bound; the difference, which the table
//!   splits into steps, is what the plugin costs.

mod by_plugin;
mod by_tools;
mod in_process;
#[path = "../../../tests/benches/translator/report.rs"]
#[allow(dead_code)] // not all of it is for this benchmark
mod report;
mod steps;
#[allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "what the tests share; they need more of it, and may unwrap"
)]
#[path = "../../tests/node/support/mod.rs"]
mod support;

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use by_plugin::ByPlugin;
use by_tools::ByTools;
use in_process::InProcess;
use report::{Report, median, show};
use steps::Timed;
use support::{Host, Pod, del, ready_host};

/// How often each side takes its turn.
const TURNS: usize = 60;
/// To the tools.
const BOUND: f64 = 1.3;

/// A way to attach a pod.
trait Side {
    /// What it is called on the screen.
    fn name(&self) -> &'static str;
    /// Anything that is not to be measured.
    fn prepare(&mut self);
    /// Attaches a pod; returns when its flows are in place.
    fn attach(&mut self, host: &Host, pod: &Pod) -> Timed;
}

fn main() -> ExitCode {
    let asked = |name: &str| {
        let mut names = std::env::args()
            .skip(1)
            .filter(|argument| !argument.starts_with('-'))
            .peekable();
        names.peek().is_none() || names.any(|asked| asked == name)
    };
    ahead_of_neighbours();
    let (host, _agent) = ready_host();
    let mut report = Report::default();
    // Like a runtime, this thread is in the host's network namespace, and so is every program it starts.
    let measured = host.netns().run(|| {
        let mut sides: Vec<Box<dyn Side>> = vec![Box::new(ByPlugin::Plain), Box::new(ByPlugin::Logging)];
        if asked("tools") {
            sides.push(Box::new(ByTools));
        }
        if asked("in-process") {
            sides.push(Box::new(InProcess::connect(&host)));
        }
        measure(&host, &mut sides)
    });
    compare(measured.expect("the host's network namespace"), &mut report);
    if report.close() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Gives this process, and so all that it starts, precedence over whatever else runs here. On a busy machine a program
/// that is started waits for the end of a neighbour's time slice, some 3 ms, where one that wakes up does not: that
/// would be the largest figure of all.
fn ahead_of_neighbours() {
    let own = std::process::id().to_string();
    // Where that is not allowed, the figures are the worse for it, and still true.
    let _ = Command::new("chrt")
        .args(["--rr", "--pid", "1", &own])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Every side's times, in the order of the sides.
fn measure(host: &Host, sides: &mut [Box<dyn Side>]) -> Vec<(&'static str, Vec<Timed>)> {
    // All network namespaces are made before and removed after: the kernel takes its time over both. Each port serves
    // a few of them, with as many others as possible in between.
    let ports: Vec<Pod> = (0..=TURNS).map(|_| Pod::with_port(host)).collect();
    let sandboxes = (0..(TURNS + 1) * sides.len()).map(|at| ports[at % ports.len()].resandboxed(host));
    let pods: Vec<Pod> = sandboxes.collect();
    host.await_forwarding();
    let mut pods = pods.iter();
    let mut next = || pods.next().expect("there is a pod for every turn");

    // The first turn does not count, and shows that pods work whichever side attached them.
    let first: Vec<&Pod> = sides
        .iter_mut()
        .map(|side| {
            let pod = next();
            side.prepare();
            side.attach(host, pod);
            pod
        })
        .collect();
    host.await_forwarding();
    for pair in first.windows(2) {
        pair[0].exchange(pair[1], true);
        pair[1].exchange(pair[0], false);
    }
    for pod in first {
        del(host, pod);
    }

    let mut times: Vec<(&'static str, Vec<Timed>)> = sides.iter().map(|side| (side.name(), Vec::new())).collect();
    for turn in 0..TURNS {
        let mut order: Vec<usize> = (0..sides.len()).collect();
        // Nobody always comes first, or after the same one.
        order.rotate_left(turn % sides.len());
        if turn % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let pod = next();
            host.await_forwarding();
            // Of all sides, so that the same quiet comes before each.
            for side in sides.iter_mut() {
                side.prepare();
            }
            times[at].1.push(sides[at].attach(host, pod));
            del(host, pod);
        }
    }
    times
}

fn compare(measured: Vec<(&'static str, Vec<Timed>)>, report: &mut Report) {
    show(&format!(
        "ADD of one pod, {TURNS} turns each, turn by turn; medians in ms"
    ));
    steps::table(&measured);
    let medians: Vec<(&str, Duration)> = measured
        .into_iter()
        .map(|(name, times)| {
            let mut totals: Vec<Duration> = times.iter().map(Timed::total).collect();
            (name, median(&mut totals))
        })
        .collect();
    let (_, ours) = medians[0];
    for (name, floor) in &medians[2..] {
        let what = format!("ADD, to the same by hand ({name})");
        let ratio = ours.div_duration_f64(*floor);
        let detail = format!("{ours:.1?}; {name} {floor:.1?}");
        if *name == "tools" {
            report.at_most(&what, ratio, "x", BOUND, &detail);
        } else {
            show(&format!("{what:<44} {ratio:>8.2}x   (no bound)               {detail}"));
        }
    }
}
