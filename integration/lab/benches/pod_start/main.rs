//! How long a pod's network takes on a real Kubernetes, and where the time goes: 100 pods at once on three hosts.
//!
//! Times are what containerd and the plugin log, on one clock: from kubelet's wish for a sandbox, through the steps of CNI
//! ADD, to the sandbox. Printed as p50 and p99; nothing is bounded, because two cores run three hosts here.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../common/mod.rs"]
mod common;
mod logs;

use std::path::Path;
use std::time::{Duration, Instant};

use meridian_lab::kubernetes::{Distribution, chart};
use meridian_lab::lab::Lab;
use meridian_lab::plan::{Families, Options};

use crate::logs::{Call, Sandbox};

const PODS: usize = 100;
const HOSTS: u8 = 3;
const NAME: &str = "podstart";
const PATIENCE: Duration = Duration::from_mins(5);

/// Pods that do nothing, so that nothing but their start is seen.
const DEPLOYMENT: &str = r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many"},
 "spec": {"replicas": REPLICAS, "selector": {"matchLabels": {"app": "many"}}, "template": {
  "metadata": {"labels": {"app": "many"}}, "spec": {"automountServiceAccountToken": false, "containers": [
   {"name": "c", "image": "IMAGE", "imagePullPolicy": "Never"}]}}}}"#;

fn main() {
    let options = Options {
        name: NAME.into(),
        hosts: HOSTS,
        families: Families::Dual,
        bare: false,
        kubernetes: Some(Distribution::find().unwrap_or_else(|e| panic!("{e}"))),
    };
    common::in_lab(options, measure);
}

fn measure(lab: &Lab) -> meridian_lab::Result<()> {
    lab.await_dns()?;
    let image = lab.distribution()?.image("registry.k8s.io/pause")?;
    let start = Instant::now();
    lab.kubectl_apply(
        &DEPLOYMENT
            .replace("IMAGE", &image)
            .replace("REPLICAS", &PODS.to_string()),
    )?;
    let timeout = format!("--timeout={}s", PATIENCE.as_secs());
    lab.kubectl(["rollout", "status", "deployment/many", &timeout])?;
    println!(
        "\n{PODS} pods on {HOSTS} hosts are Ready in {:.1} s",
        start.elapsed().as_secs_f64()
    );

    let (mut sandboxes, mut calls) = (Vec::new(), Vec::new());
    for host in lab.plan().hosts() {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        sandboxes.extend(logs::sandboxes(&read(
            &lab.plan().log(&format!("{}/containerd", host.name)),
        )));
        calls.extend(logs::calls(&read(&chart::plugin_log(lab.plan(), &host))));
    }
    sandboxes.retain(|sandbox: &Sandbox| sandbox.pod.starts_with("default/many-"));
    calls.retain(|call: &Call| call.pod.starts_with("default/many-"));
    report(&sandboxes, &calls);
    Ok(())
}

fn report(sandboxes: &[Sandbox], calls: &[Call]) {
    println!("\n{:<58} {:>9} {:>9}", "milliseconds", "p50", "p99");
    let until_result = calls.iter().filter_map(|call| {
        let sandbox = sandboxes.iter().find(|sandbox| sandbox.id == call.sandbox)?;
        Some((call.ended - sandbox.asked) * 1000.0)
    });
    line("sandbox asked for -> CNI result", until_result.collect());
    let all = sandboxes.iter().map(|sandbox| (sandbox.made - sandbox.asked) * 1000.0);
    line("sandbox asked for -> sandbox made", all.collect());
    let before = calls.iter().filter_map(|call| {
        let sandbox = sandboxes.iter().find(|sandbox| sandbox.id == call.sandbox)?;
        Some((call.began() - sandbox.asked) * 1000.0)
    });
    line("  asked for -> ADD begins (containerd, loopback)", before.collect());
    let mut earlier: Option<&str> = None;
    for (step, what) in logs::STEPS {
        let took = calls.iter().filter_map(|call| {
            let began = earlier.map_or(Some(0.0), |earlier| call.step(earlier))?;
            Some(call.step(step)? - began)
        });
        line(&format!("  {what}"), took.collect());
        earlier = Some(step);
    }
    line(
        "  ADD in all",
        calls.iter().filter_map(|call| call.step("done")).collect(),
    );
}

fn line(what: &str, mut took: Vec<f64>) {
    took.sort_by(f64::total_cmp);
    if took.is_empty() {
        println!("{what:<58} {:>9} {:>9}", "-", "-");
        return;
    }
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
    println!("{what:<58} {:>9.1} {:>9.1}   ({})", at(50), at(99), took.len());
}
