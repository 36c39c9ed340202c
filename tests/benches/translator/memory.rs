//! What the whole program takes.

use std::fs;

use meridian_tests::{Manifests, Translator};
use serde_json::Value;

use crate::cluster::LARGE;
use crate::harness;
use crate::report::Report;

/// Resident memory of `meridian-translator run` once everything is written.
pub(crate) fn resident(report: &mut Report) {
    let [now, peak] = of(LARGE.manifests());
    let what = format!("resident memory at {} pods", LARGE.pods);
    report.at_most(&what, now, "MB", 150.0, &format!("{peak:.0} MB at its peak"));
}

/// The same for any objects, in megabytes: once everything is written, and at the peak.
pub(crate) fn of(objects: impl Iterator<Item = Value>) -> [f64; 2] {
    let server = harness::northbound();
    let manifests = Manifests::default();
    for object in objects {
        manifests.put(&object);
    }
    let arguments = ["--cluster-cidr", "10.128.0.0/9"];
    let translator = Translator::start(&server.unix().to_string(), manifests.path(), &arguments).ready();
    let status = fs::read_to_string(format!("/proc/{}/status", translator.pid())).expect("it runs");
    ["VmRSS:", "VmHWM:"].map(|key| megabytes(&status, key))
}

/// A line of `/proc/PID/status`, which counts in kibibytes.
fn megabytes(status: &str, key: &str) -> f64 {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .expect("the kernel tells");
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes * 1024.0 / 1e6
}
