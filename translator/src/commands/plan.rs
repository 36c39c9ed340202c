//! `plan`: what `run` would write now.

use anyhow::{Context as _, bail};
use meridian_compile::Compiler;
use meridian_northbound::plan::{Plan, Sides, plan};
use meridian_northbound::{Scope, read_claims};
use ovsdb::Session;
use tokio::time::timeout;

use super::{Outcome, post_compile_problems, print};
use crate::cli::args::OutputArg;
use crate::cli::config::PlanConfig;
use crate::problems::Board;
use crate::source::read;

/// Prints the difference.
pub async fn execute(config: PlanConfig) -> anyhow::Result<Outcome> {
    let PlanConfig {
        compile,
        source,
        session,
        ownership,
        timeout: patience,
        output,
    } = config;
    let session = Session::spawn(session);
    let board = Board::default();
    let mut compiler = Compiler::new(compile);
    read::everything(&source, &board, patience, |event| compiler.apply(event)).await?;
    let mut state = session.state();
    if timeout(patience, session.ready()).await.is_err() {
        let state = state.borrow_and_update().clone();
        bail!("the northbound database is not there within {patience:?}: {state}");
    }
    compiler.claim(read_claims(&session.replica(), &ownership));
    compiler.compile();
    post_compile_problems(&board, compiler.problems());
    let replica = session.replica();
    let sides = Sides {
        desired: compiler.desired(),
        replica: &replica,
        ownership: &ownership,
    };
    let found: Plan = plan(sides, &Scope::Full);
    let description = found.describe(sides);
    match output {
        OutputArg::Table => print(&description.to_string())?,
        OutputArg::Json => print(&format!(
            "{:#}\n",
            serde_json::to_value(&description).context("plan as JSON")?
        ))?,
    }
    Ok(if found.is_empty() {
        Outcome::Fine
    } else {
        Outcome::Differences
    })
}
