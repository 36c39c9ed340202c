//! `explain`: what becomes of an object or of a packet, and why. One file per subject.

mod path;
mod pod;
mod policy;
mod rows;
mod service;

use std::time::Duration;

use anyhow::{Context as _, bail};
use meridian_compile::{Claim, Compiler, Unit};
use meridian_northbound::read_claims;
use ovsdb::{Session, SessionConfig};
use serde::Serialize;
use tokio::time::timeout;

use self::rows::Rows;
use super::{Outcome, print};
use crate::cli::args::OutputArg;
use crate::cli::explain::{ExplainConfig, Subject};
use crate::problems::Board;
use crate::source::read;

/// Prints the explanation.
pub async fn execute(config: ExplainConfig) -> anyhow::Result<Outcome> {
    let ExplainConfig {
        subject,
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
    let claims: Vec<Claim> = match &session {
        Ok(session) => read_claims(&session.replica(), &ownership),
        Err(_) => Vec::new(),
    };
    compiler.claim(claims.iter().cloned());
    compiler.compile();
    let rows = |unit: &Unit| Rows::of(&compiler, &session, &ownership, unit);
    match subject {
        Subject::Service(key) => {
            let Some(service) = compiler.explain_service(&key) else {
                bail!("{}", service::not_found(&compiler, &key));
            };
            let unit: Unit = key.into();
            let answered = service::Answered {
                rows: rows(&unit),
                problems: problems(&compiler, &board, &unit),
                service,
            };
            show(output, &answered, service::table)?;
        }
        Subject::Pod(key) => {
            let Some(pod) = compiler.explain_pod(&key, &claims) else {
                bail!("{}", pod::not_found(&compiler, &key));
            };
            let unit: Unit = key.into();
            let answered = pod::Answered {
                rows: rows(&unit),
                problems: problems(&compiler, &board, &unit),
                pod,
            };
            show(output, &answered, pod::table)?;
        }
        Subject::Policy(key) => {
            let Some((policy, unit)) = policy::find(&compiler, &key) else {
                bail!("{}", policy::not_found(&compiler, &key));
            };
            let answered = policy::Answered {
                rows: rows(&unit),
                problems: problems(&compiler, &board, &unit),
                policy,
            };
            show(output, &answered, policy::table)?;
        }
        Subject::Path(question) => {
            let answered = path::Answered {
                path: compiler.explain_path(&question)?,
                database: match &session {
                    Ok(_) => String::new(),
                    Err(reason) => format!(
                        "not read from the Northbound database ({reason}): pods without addresses in their status may have others"
                    ),
                },
            };
            show(output, &answered, path::table)?;
        }
    }
    Ok(Outcome::Fine)
}

fn show<A: Serialize>(output: OutputArg, answered: &A, table: impl FnOnce(&A) -> String) -> anyhow::Result<()> {
    match output {
        OutputArg::Table => print(&table(answered)),
        OutputArg::Json => {
            let value = serde_json::to_value(answered).context("explanation as JSON")?;
            print(&format!("{value:#}\n"))
        }
    }
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

/// What is wrong with a unit, and with its object as it was read.
fn problems(compiler: &Compiler, board: &Board, unit: &Unit) -> Vec<String> {
    let found = compiler.problems().filter(|problem| problem.unit == *unit);
    let object = unit.to_string();
    let unread = board.all().into_iter().filter(|(_, problem)| problem.object == object);
    found
        .map(ToString::to_string)
        .chain(unread.map(|(_, problem)| problem.to_string()))
        .collect()
}
