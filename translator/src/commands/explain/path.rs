//! `explain path`.

use std::fmt::Write as _;

use meridian_compile::{PathExplanation, Step, Verdict, Way};
use serde::Serialize;

/// Everything there is to say of a path.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered {
    #[serde(flatten)]
    pub(super) path: PathExplanation,
    /// Whether what pods have is known from the database, or why not.
    pub(super) database: String,
}

pub(super) fn table(answered: &Answered) -> String {
    let Answered { path, database } = answered;
    let vpc = path.vpc.as_ref().map(|vpc| format!("  VPC {vpc}")).unwrap_or_default();
    let mut text = format!("pod {} to {}{vpc}\n", path.from, path.to);
    for note in &path.notes {
        let _ = writeln!(text, "  {note}");
    }
    for way in &path.ways {
        text.push('\n');
        if !way.destination.is_empty() {
            let _ = write!(text, "{}  ", way.destination);
        }
        let _ = writeln!(text, "{}: {}", verdict(way.verdict), way.place);
        steps(&mut text, &way.steps, 1);
        branches(&mut text, way);
    }
    if !database.is_empty() {
        let _ = writeln!(text, "\n{database}");
    }
    text
}

fn branches(text: &mut String, way: &Way) {
    for branch in &way.branches {
        let _ = writeln!(
            text,
            "     {}  {}: {}",
            branch.endpoint,
            verdict(branch.verdict),
            branch.place
        );
        steps(text, &branch.steps, 2);
    }
}

fn steps(text: &mut String, steps: &[Step], depth: usize) {
    let indent = "   ".repeat(depth);
    for (index, step) in steps.iter().enumerate() {
        let _ = writeln!(text, "{indent}{}. {}: {}", index + 1, step.at, step.does);
        let by: Vec<&str> = [&step.object, &step.row, &step.rule]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        if !by.is_empty() {
            let _ = writeln!(text, "{indent}   by {}", by.join("; "));
        }
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reached => "reached",
        Verdict::Another => "somebody else is reached",
        Verdict::Leaves => "leaves the cluster",
        Verdict::Forwarded => "handed on",
        Verdict::Refused => "refused",
        Verdict::Dropped => "dropped",
        Verdict::Depends => "depends on the endpoint",
        Verdict::Unknown => "not known",
    }
}
