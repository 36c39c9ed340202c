//! `explain`: what becomes of an object, and why.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use meridian_compile::{Answer, Compiler, EndpointExplanation, ServiceExplanation, Unit};
use meridian_model::ServiceKey;
use meridian_northbound::plan::{Description, Sides, plan};
use meridian_northbound::{Ownership, Scope, read_claims};
use ovsdb::{Session, SessionConfig};
use serde::Serialize;
use tokio::time::timeout;

use super::{Outcome, print};
use crate::cli::args::OutputArg;
use crate::cli::config::{ExplainConfig, Subject};
use crate::problems::Board;
use crate::source::read;

/// Everything there is to say of a service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    #[serde(flatten)]
    service: ServiceExplanation,
    /// The rows it should have.
    rows: Vec<Row>,
    /// Whether the database has them so.
    database: Standing,
    /// What is wrong with it.
    problems: Vec<String>,
}

/// A row that the service owns.
#[derive(Debug, Serialize)]
struct Row {
    table: &'static str,
    name: String,
    uuid: String,
}

/// How the database compares.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
enum Standing {
    /// Every row is as it should be.
    Same,
    /// What `run` would write now.
    Differs { changes: Vec<String> },
    /// It could not be asked, or was not to be.
    Unknown { reason: String },
}

/// Prints the explanation.
pub async fn execute(config: ExplainConfig) -> anyhow::Result<Outcome> {
    let ExplainConfig {
        subject: Subject::Service(key),
        compile,
        source,
        session,
        ownership,
        timeout: patience,
        output,
    } = config;
    let board = Board::default();
    let mut compiler = Compiler::new(compile);
    read::everything(&source, &board, patience, |event| compiler.apply(event)).await?;
    let session = match session {
        Some(session) => connect(session, patience).await,
        None => Err("--offline".to_owned()),
    };
    if let Ok(session) = &session {
        compiler.claim(read_claims(&session.replica(), &ownership));
    }
    compiler.compile();
    let Some(service) = compiler.explain_service(&key) else {
        bail!("{}", not_found(&compiler, &key));
    };
    let answered = Answered {
        rows: rows(&compiler, &key),
        database: standing(&compiler, session, &ownership, &key),
        problems: problems(&compiler, &board, &key),
        service,
    };
    match output {
        OutputArg::Table => print(&table(&answered))?,
        OutputArg::Json => print(&format!(
            "{:#}\n",
            serde_json::to_value(&answered).context("explanation as JSON")?
        ))?,
    }
    Ok(Outcome::Fine)
}

/// The session, or why there is none.
async fn connect(config: SessionConfig, patience: Duration) -> Result<Session, String> {
    let session = Session::spawn(config);
    if timeout(patience, session.ready()).await.is_ok() {
        return Ok(session);
    }
    let state = session.state().borrow().clone();
    Err(format!(
        "the northbound database is not there within {patience:?}: {state}"
    ))
}

fn not_found(compiler: &Compiler, key: &ServiceKey) -> String {
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

fn rows(compiler: &Compiler, key: &ServiceKey) -> Vec<Row> {
    let owner: Unit = key.clone().into();
    let desired = compiler.desired();
    let rows = desired.tables().flat_map(|table| desired.rows(table));
    let mut rows: Vec<Row> = rows
        .filter(|row| row.owner == owner)
        .map(|row| Row {
            table: row.table,
            name: row.key.to_string(),
            uuid: row.uuid.to_string(),
        })
        .collect();
    rows.sort_by(|one, other| (one.table, &one.name).cmp(&(other.table, &other.name)));
    rows
}

fn standing(
    compiler: &Compiler,
    session: Result<Session, String>,
    ownership: &Ownership,
    key: &ServiceKey,
) -> Standing {
    let session = match session {
        Ok(session) => session,
        Err(reason) => return Standing::Unknown { reason },
    };
    let replica = session.replica();
    let sides = Sides {
        desired: compiler.desired(),
        replica: &replica,
        ownership,
    };
    let Description { rows, links, .. } = plan(sides, &Scope::Full).describe(sides);
    let owner = Unit::from(key.clone()).to_string();
    let own: BTreeSet<String> = self::rows(compiler, key).into_iter().map(|row| row.name).collect();
    let rows = rows.iter().filter(|row| row.owner == owner).map(|row| {
        let columns: Vec<&str> = row.columns.keys().copied().collect();
        format!("{} {} {}: {}", row.action, row.table, row.name, columns.join(", "))
    });
    let links = links.iter().filter(|link| own.contains(&link.value)).map(|link| {
        format!(
            "{} {} in {} of {} {}",
            link.action, link.value, link.column, link.table, link.parent
        )
    });
    let changes: Vec<String> = rows.chain(links).collect();
    if changes.is_empty() {
        Standing::Same
    } else {
        Standing::Differs { changes }
    }
}

fn problems(compiler: &Compiler, board: &Board, key: &ServiceKey) -> Vec<String> {
    let unit: Unit = key.clone().into();
    let found = compiler.problems().filter(|problem| problem.unit == unit);
    let object = format!("service/{key}");
    let unread = board.all().into_iter().filter(|(_, problem)| problem.object == object);
    found
        .map(ToString::to_string)
        .chain(unread.map(|(_, problem)| problem.to_string()))
        .collect()
}

fn table(answered: &Answered) -> String {
    let Answered {
        service,
        rows,
        database,
        problems,
    } = answered;
    let vpc = service
        .vpc
        .as_ref()
        .map_or_else(String::new, |vpc| format!("  VPC {vpc}"));
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
    if !rows.is_empty() {
        text.push_str("\nrows\n");
    }
    for row in rows {
        let _ = writeln!(text, "  {} {}  {}", row.table, row.name, row.uuid);
    }
    match database {
        Standing::Same => text.push_str("the Northbound database has them so\n"),
        Standing::Unknown { reason } => {
            let _ = writeln!(text, "not compared with the Northbound database: {reason}");
        }
        Standing::Differs { changes } => {
            text.push_str("the Northbound database differs; run would\n");
            for change in changes {
                let _ = writeln!(text, "  {change}");
            }
        }
    }
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
