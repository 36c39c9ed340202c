//! `run`: keeps the Northbound database as the cluster wants it.

use std::sync::Arc;

use anyhow::Context as _;
use meridian_compile::Compiler;
use meridian_northbound::writer::{Settings, Status};
use meridian_northbound::{Feed, Writer};
use ovsdb::Session;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Outcome, post_compile_problems};
use crate::admin::{self, Admin};
use crate::cli::config::{RunConfig, Source};
use crate::metrics::Metrics;
use crate::problems::{Board, Origin, Problem};
use crate::source::{kubernetes, manifests};

/// A source at work, until this is dropped.
#[derive(Debug)]
pub enum Running {
    /// A folder of manifests.
    Manifests(manifests::Watching),
    /// A live cluster.
    Kubernetes(JoinSet<()>),
}

impl Running {
    /// The names under which it says that it is synced.
    pub fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Manifests(_) => vec![manifests::NAME],
            Self::Kubernetes(_) => kubernetes::NAMES.to_vec(),
        }
    }
}

/// The names under which a source says that it is synced.
fn names(source: &Source) -> Vec<&'static str> {
    match source {
        Source::Manifests(_) => vec![manifests::NAME],
        Source::Kubernetes { .. } => kubernetes::NAMES.to_vec(),
    }
}

/// Starts to follow a source.
pub async fn start_source(source: &Source, feed: Feed, board: &Board) -> anyhow::Result<Running> {
    Ok(match source {
        Source::Manifests(folder) => Running::Manifests(manifests::watch(folder, feed, board.clone())?),
        Source::Kubernetes { kubeconfig, context } => {
            let client = kubernetes::connect(kubeconfig.as_deref(), context.as_deref()).await?;
            Running::Kubernetes(kubernetes::watch(&client, &feed, board))
        }
    })
}

/// Works until SIGTERM or SIGINT.
pub async fn execute(config: RunConfig) -> anyhow::Result<Outcome> {
    let RunConfig {
        compile,
        source,
        session,
        ownership,
        lock,
        budget,
        listen,
    } = config;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let listener = admin::bind(listen).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %listener.local_addr().context("--listen")?,
        "meridian-translator"
    );
    let board = Board::default();
    let metrics = Arc::new(Metrics::default());
    let settings = Settings {
        budget,
        observer: metrics.clone(),
        ..Settings::new(ownership, lock, names(&source))
    };
    let (writer, feed) = Writer::new(Session::spawn(session), Compiler::new(compile), settings);
    let status = writer.status();
    let mut tasks = JoinSet::new();
    tasks.spawn(admin::serve(
        listener,
        Admin {
            status: status.clone(),
            board: board.clone(),
            metrics,
        },
    ));
    let problems = tokio::spawn(post_problems(status, board.clone()));
    let running = start_source(&source, feed, &board).await?;
    writer
        .run(async {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
                _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
            }
        })
        .await;
    drop(running);
    problems.abort();
    tasks.shutdown().await;
    Ok(Outcome::Fine)
}

/// Carries what compiler and writer find to the board, where it is logged once.
async fn post_problems(mut status: watch::Receiver<Status>, board: Board) {
    let mut compile_before = None;
    let mut write_before = None;
    while status.changed().await.is_ok() {
        let (compile, write) = {
            let status = status.borrow_and_update();
            (status.compile_problems.clone(), status.problems.clone())
        };
        if compile_before.as_ref() != Some(&compile) {
            post_compile_problems(&board, compile.iter());
            compile_before = Some(compile);
        }
        if write_before.as_ref() != Some(&write) {
            board.set(
                Origin::Northbound,
                write.iter().map(|problem| Problem {
                    object: problem.owner.clone(),
                    field: None,
                    message: format!("{} {}: {}", problem.table, problem.name, problem.message),
                    place: None,
                }),
            );
            write_before = Some(write);
        }
    }
}
