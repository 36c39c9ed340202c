//! `explain policy`.

use std::fmt::Write as _;

use meridian_compile::{Compiler, PolicyExplanation, PolicyMatch, PolicyRuleExplanation, Unit};
use meridian_model::{Key, PolicyKey};
use serde::Serialize;

use super::rows::Rows;

/// As many pods are named in a line; JSON has all.
const NAMED: usize = 12;

/// Everything there is to say of a policy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered {
    #[serde(flatten)]
    pub(super) policy: PolicyExplanation,
    /// The rows it should have, and whether the database has them so.
    #[serde(flatten)]
    pub(super) rows: Rows,
    /// What is wrong with it.
    pub(super) problems: Vec<String>,
}

pub(super) fn find(compiler: &Compiler, key: &Key) -> Option<(PolicyExplanation, Unit)> {
    let unit = match key {
        Key::NetworkPolicy(namespace, name) => PolicyKey::new(namespace.clone(), name.clone()).into(),
        Key::ClusterPolicy(key) => Unit::ClusterPolicy(key.clone()),
        _ => return None,
    };
    Some((compiler.explain_policy(key)?, unit))
}

pub(super) fn not_found(compiler: &Compiler, key: &Key) -> String {
    let cluster = compiler.cluster();
    let others: Vec<String> = match key {
        Key::NetworkPolicy(_, name) => {
            let others = cluster.policies().filter(|policy| policy.name == *name);
            others.map(|policy| policy.key().to_string()).collect()
        }
        _ => cluster
            .cluster_policies()
            .map(|policy| policy.key.to_string())
            .collect(),
    };
    match others.len() {
        0 => format!("there is no {key}"),
        _ => format!("there is no {key}; there are {}", others.join(", ")),
    }
}

pub(super) fn table(answered: &Answered) -> String {
    let Answered { policy, rows, problems } = answered;
    let mut text = format!("{}\n", policy.policy);
    for problem in problems {
        let _ = writeln!(text, "  problem: {problem}");
    }
    if let Some(order) = &policy.order {
        let after = match &*order.after {
            [] => "before all others of it".to_owned(),
            after => format!("after {}", after.join(", ")),
        };
        let _ = writeln!(
            text,
            "\ntier       {}  priority {}, {after}",
            order.tier, order.priority
        );
    }
    if policy.vpcs.is_empty() {
        text.push_str("\nit selects no pod\n");
    }
    for in_vpc in &policy.vpcs {
        let _ = writeln!(text, "\nVPC        {}", in_vpc.vpc);
        let _ = writeln!(text, "pods       {}", list(&in_vpc.pods, "none"));
        if !in_vpc.isolated.is_empty() {
            let _ = writeln!(
                text,
                "isolated   in {}, but for what its rules allow",
                in_vpc.isolated.join(" and ")
            );
        }
        for rule in &in_vpc.rules {
            rule_lines(&mut text, rule);
        }
    }
    let _ = writeln!(text, "\nACLs       {}", policy.acls);
    rows.print(&mut text);
    text
}

fn rule_lines(text: &mut String, rule: &PolicyRuleExplanation) {
    let name = rule.name.as_ref().map(|name| format!("  {name:?}")).unwrap_or_default();
    let _ = writeln!(text, "{:<10} {}{name}", rule.rule, rule.action);
    let way = if rule.rule.starts_with("ingress") { "from" } else { "to" };
    if rule.about.is_empty() {
        text.push_str("             nothing: no pod, address or port is meant\n");
    }
    for about in &rule.about {
        let _ = writeln!(text, "             {way} {}", peers(about));
        let ports = about.ports.as_deref().unwrap_or("every protocol and port");
        let only = about
            .only
            .as_ref()
            .map(|only| format!(", of {}", list(only, "nobody")))
            .unwrap_or_default();
        let _ = writeln!(text, "               {ports}{only}");
    }
}

fn peers(about: &PolicyMatch) -> String {
    let Some(pods) = &about.pods else {
        return "anybody".to_owned();
    };
    let networks: Vec<String> = about.networks.iter().map(ToString::to_string).collect();
    match (pods.is_empty(), networks.is_empty()) {
        (_, true) => list(pods, "no pod"),
        (true, false) => list(&networks, ""),
        (false, false) => format!("{}; {}", list(pods, ""), list(&networks, "")),
    }
}

fn list(names: &[String], none: &str) -> String {
    match names.len() {
        0 => none.to_owned(),
        count if count > NAMED => format!("{} and {} more", names[..NAMED].join(", "), count - NAMED),
        _ => names.join(", "),
    }
}
