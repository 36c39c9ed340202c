//! The matrix on a screen.

use std::fmt::Write as _;
use std::time::Duration;

use super::matrix::{Endpoint, Kind, Matrix, Method, Outcome, Probe};
use crate::ui::Ui;

/// With more pods the table tells no times any more, only whether.
const PODS_WITH_TIMES: usize = 10;
/// Failures that are told one by one.
const FAILURES_TOLD: usize = 20;

/// Lays the matrix out, a row per sender, then the failures, then a summary.
pub fn render(matrix: &Matrix, ui: Ui) -> String {
    let mut out = String::new();
    let width = matrix.endpoints.iter().map(|e| label(e).len()).max().unwrap_or(0);
    let times = count(matrix, Kind::Pod) <= PODS_WITH_TIMES;
    let cell = if times { 9 } else { 4 };
    write!(out, "{:>3} {:width$} ", "", "from \\ to").ok();
    for (number, endpoint) in (1..).zip(&matrix.endpoints) {
        match endpoint.kind {
            Kind::Outside => write!(out, "{:>cell$}", "out").ok(),
            _ => write!(out, "{number:>cell$}").ok(),
        };
    }
    out.push('\n');
    for (from, endpoint) in matrix.endpoints.iter().enumerate() {
        if endpoint.kind == Kind::Outside {
            continue;
        }
        write!(out, "{:>3} {:width$} ", from + 1, label(endpoint)).ok();
        for to in 0..matrix.endpoints.len() {
            let probes: Vec<_> = matrix.probes.iter().filter(|p| (p.from, p.to) == (from, to)).collect();
            let text = describe(&probes, times);
            let padded = format!("{text:>cell$}");
            out.push_str(&match text.as_str() {
                "FAIL" => ui.paint(&padded, "31"),
                "·" => ui.paint(&padded, "2"),
                _ => padded,
            });
        }
        out.push('\n');
    }
    if times {
        out.push_str("    milliseconds, ICMP/HTTP, the slowest address of each\n");
    }
    failures(&mut out, matrix);
    summary(&mut out, matrix);
    out
}

fn count(matrix: &Matrix, kind: Kind) -> usize {
    matrix.endpoints.iter().filter(|e| e.kind == kind).count()
}

fn label(endpoint: &Endpoint) -> String {
    match endpoint.kind {
        Kind::Pod => match &endpoint.vpc {
            None => format!("{} ({})", endpoint.name, endpoint.host),
            Some(vpc) => format!("{} ({}, VPC {vpc})", endpoint.name, endpoint.host),
        },
        Kind::Host => format!("{} (host)", endpoint.name),
        Kind::Outside => endpoint.name.clone(),
    }
}

fn describe(probes: &[&Probe], times: bool) -> String {
    if probes.is_empty() {
        return "·".into();
    }
    let slowest = |icmp: bool| {
        probes
            .iter()
            .filter(|p| (p.method == Method::Icmp) == icmp)
            .map(|p| match p.outcome {
                Outcome::Time(time) => Some(time),
                Outcome::Error(_) => None,
            })
            .collect::<Option<Vec<Duration>>>()
            .map(|times| times.into_iter().max())
    };
    match (slowest(true), slowest(false)) {
        (Some(_), Some(_)) if !times => "ok".into(),
        (Some(icmp), Some(http)) => {
            let text = |time: Option<Duration>| time.map_or("-".into(), milliseconds);
            format!("{}/{}", text(icmp), text(http))
        }
        _ => "FAIL".into(),
    }
}

fn milliseconds(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

fn failures(out: &mut String, matrix: &Matrix) {
    let failures: Vec<_> = matrix.failures().collect();
    for probe in failures.iter().take(FAILURES_TOLD) {
        let Outcome::Error(reason) = &probe.outcome else {
            continue;
        };
        let name = |index: usize| label(&matrix.endpoints[index]);
        writeln!(out, "failed: {} to {}: {reason}", name(probe.from), name(probe.to)).ok();
    }
    if failures.len() > FAILURES_TOLD {
        writeln!(out, "failed: {} more", failures.len() - FAILURES_TOLD).ok();
    }
}

fn summary(out: &mut String, matrix: &Matrix) {
    let failed = matrix.failures().count();
    let pods = count(matrix, Kind::Pod);
    write!(
        out,
        "{} probes between {pods} pods on {} hosts in {:.1}s: ",
        matrix.probes.len(),
        count(matrix, Kind::Host),
        matrix.time.as_secs_f64()
    )
    .ok();
    if failed == 0 {
        out.push_str("every one answered");
    } else {
        write!(out, "{failed} FAILED").ok();
    }
    for (name, icmp) in [("ICMP", true), ("HTTP", false)] {
        let times = matrix.times(icmp);
        if let (Some(median), Some(max)) = (times.get(times.len() / 2), times.last()) {
            write!(
                out,
                "; {name} median {} ms, slowest {} ms",
                milliseconds(*median),
                milliseconds(*max)
            )
            .ok();
        }
    }
    out.push('\n');
}
