//! What OVN makes of the rows: its daemons, real ones, and what they take.

pub(crate) mod chassis;
pub(crate) mod northd;

use std::time::{Duration, Instant};

use meridian_tests::{Central, eventually};

use chassis::{Chassis, Port};
use northd::Northd;

/// What a daemon of OVN takes for something.
pub(crate) struct Work {
    pub(crate) until_there: Duration,
    pub(crate) cpu: Duration,
    /// The longest loop and the longest build of flows, in milliseconds; for northd.
    pub(crate) loops: [u64; 2],
}

/// What northd has taken since it had taken `before`.
pub(crate) fn work(northd: &Northd, until_there: Duration, before: Duration) -> Work {
    Work {
        until_there,
        cpu: northd.cpu().saturating_sub(before),
        loops: [northd.longest("ovn-northd-loop"), northd.longest("build_flows_ctx")],
    }
}

/// What everything that northd finds new costs it, from when it looks.
pub(crate) fn cold(central: &Central, northd: &Northd) -> Work {
    northd.reset();
    let before = northd.cpu();
    let start = Instant::now();
    northd.resume();
    northd::sync(central, "sb");
    work(northd, start.elapsed(), before)
}

/// How many flows a host has through these ports, and what that costs it.
pub(crate) fn on_a_host(central: &Central, name: &str, ports: &[Port]) -> (usize, Work) {
    let start = Instant::now();
    let chassis = Chassis::start(central, name, ports);
    // What follows from a port there is only once it is bound, which a host is not asked about.
    eventually("the ports are bound", || {
        let bound = northd::bound(central);
        match ports.iter().find(|port| !bound.contains(&port.name)) {
            None => Ok(()),
            Some(port) => Err(format!("{} is not, of {}", port.name, ports.len())),
        }
    });
    northd::sync(central, "hv");
    let work = Work {
        until_there: start.elapsed(),
        cpu: chassis.cpu(),
        loops: [0; 2],
    };
    let flows = chassis.flows();
    drop(chassis);
    northd::forget(central, name);
    (flows, work)
}
