//! `explain service`.

use std::fmt::Write as _;

use meridian_compile::{Answer, Compiler, EndpointExplanation, ServiceExplanation};
use meridian_model::ServiceKey;
use serde::Serialize;

use super::rows::Rows;

/// Everything there is to say of a service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered {
    #[serde(flatten)]
    pub(super) service: ServiceExplanation,
    /// The rows it should have, and whether the database has them so.
    #[serde(flatten)]
    pub(super) rows: Rows,
    /// What is wrong with it.
    pub(super) problems: Vec<String>,
}

pub(super) fn not_found(compiler: &Compiler, key: &ServiceKey) -> String {
    let others = compiler.cluster().services().filter(|service| service.name == key.name);
    let mut others: Vec<String> = others.map(|service| service.key().to_string()).collect();
    others.sort_unstable();
    match others.len() {
        0 => format!("there is no service {key}"),
        _ => format!(
            "there is no service {key}; of that name there are {}",
            others.join(", ")
        ),
    }
}

pub(super) fn table(answered: &Answered) -> String {
    let Answered {
        service,
        rows,
        problems,
    } = answered;
    let vpc = service
        .vpc
        .as_ref()
        .map(|vpc| format!("  VPC {vpc}"))
        .unwrap_or_default();
    let mut text = format!("service {}  {}{vpc}\n", service.service, service.r#type);
    if let Some(nothing) = &service.nothing {
        let _ = writeln!(text, "  nothing to balance: {nothing}");
    }
    for problem in problems {
        let _ = writeln!(text, "  problem: {problem}");
    }
    if !service.frontends.is_empty() {
        text.push_str("\nreached in the cluster under\n");
    }
    for frontend in &service.frontends {
        let port = if frontend.port.is_empty() {
            String::new()
        } else {
            format!(", port {}", frontend.port)
        };
        let _ = writeln!(
            text,
            "  {}/{}  {}{port}",
            frontend.address, frontend.protocol, frontend.kind
        );
        for answer in &frontend.answers {
            let _ = writeln!(text, "    at {}: {}  ({})", answer.at, backends(answer), answer.row);
        }
        if frontend.local && frontend.answers.iter().all(|answer| !answer.backends.is_empty()) {
            text.push_str("    at all others: refused, there is no endpoint (internalTrafficPolicy Local)\n");
        }
    }
    hosts(&mut text, service);
    if !service.endpoints.is_empty() {
        text.push_str("\nendpoints\n");
    }
    for endpoint in &service.endpoints {
        let _ = writeln!(text, "  {}", line(endpoint));
    }
    rows.print(&mut text);
    text
}

fn backends(answer: &Answer) -> String {
    if answer.backends.is_empty() {
        return "refused, there is no endpoint".to_owned();
    }
    let backends: Vec<String> = answer.backends.iter().map(ToString::to_string).collect();
    backends.join(" ")
}

/// What comes from beyond the cluster.
fn hosts(text: &mut String, service: &ServiceExplanation) {
    let Some(facts) = &service.hosts else { return };
    text.push_str("\nreached from beyond the cluster at every node under\n");
    for address in &facts.addresses {
        let ports: Vec<String> = facts
            .ports
            .iter()
            .map(|port| format!("{}/{}", port.port, port.protocol))
            .collect();
        let _ = write!(text, "  {}  {}", address.address, ports.join(" "));
        match address.announcers.split_first() {
            Some((first, [])) => {
                let _ = write!(text, "  announced by {first}");
            }
            Some((first, others)) => {
                let _ = write!(text, "  announced by {first}, or in its absence {}", others.join(", "));
            }
            None => {}
        }
        if address.restricted {
            let ranges: Vec<String> = facts.source_ranges.iter().map(ToString::to_string).collect();
            let _ = write!(text, "  only from {}", ranges.join(" "));
        }
        text.push('\n');
    }
    let Some(local) = &facts.local else {
        text.push_str(
            "  answered by any endpoint, which sees the address of the node (externalTrafficPolicy Cluster)\n",
        );
        return;
    };
    text.push_str(
        "  answered by endpoints of the node itself, which see the client's address (externalTrafficPolicy Local)\n",
    );
    for port in &facts.ports {
        if let Some(number) = port.node_port {
            let _ = writeln!(text, "  port {number}/{} of every node", port.protocol);
        }
        for (node, endpoints) in &port.endpoints {
            let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
            let at = if node.is_empty() { "no node, and so never" } else { node };
            let _ = writeln!(text, "    at {at}: {}", endpoints.join(" "));
        }
    }
    if let Some(port) = local.health_check_port {
        let healthy: Vec<&str> = local.ready.keys().map(String::as_str).collect();
        let _ = writeln!(
            text,
            "  health check at port {port}: 200 at {}, 503 elsewhere",
            healthy.join(", ")
        );
    }
}

fn line(endpoint: &EndpointExplanation) -> String {
    let mut text = format!("{}  {}", endpoint.address, endpoint.state);
    if let Some(node) = &endpoint.node {
        let _ = write!(text, "  on {node}");
    }
    if let Some(zone) = &endpoint.zone {
        let _ = write!(text, " in {zone}");
    }
    if !endpoint.meant_for.is_empty() {
        let _ = write!(text, "  meant for {}", endpoint.meant_for.join(", "));
    }
    let _ = write!(text, "  ({})", endpoint.slice);
    if let Some(reason) = &endpoint.left_out {
        let _ = write!(text, "  left out: {reason}");
    }
    text
}
