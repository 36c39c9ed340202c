//! `run`: keeps the Northbound database as the cluster wants it.

use std::sync::Arc;

use anyhow::Context as _;
use meridian_compile::Compiler;
use meridian_northbound::Writer;
use meridian_northbound::writer::{Settings, Status};
use ovsdb::Session;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Outcome, post_compile_problems};
use crate::admin::{self, Admin};
use crate::chassis::{self, Janitor, Surroundings};
use crate::cli::config::RunConfig;
use crate::events;
use crate::metrics::Metrics;
use crate::pools;
use crate::problems::{Board, Origin, Problem};
use crate::source::Running;
use crate::source::kubernetes::Health;
use crate::vpcs;

/// Works until SIGTERM or SIGINT.
pub async fn execute(config: RunConfig) -> anyhow::Result<Outcome> {
    let RunConfig {
        compile,
        source,
        session,
        ownership,
        lock,
        budget,
        southbound,
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
    let health = Health::default();
    let metrics = Arc::new(Metrics::default());
    let networks = pools::Networks::new(compile.cluster_cidrs(), compile.service_cidrs());
    let settings = Settings {
        budget,
        observer: metrics.clone(),
        ..Settings::new(ownership, lock, source.names())
    };
    let (writer, mut feed) = Writer::new(Session::spawn(session), Compiler::new(compile), settings);
    let status = writer.status();
    let mut tasks = JoinSet::new();
    tasks.spawn(admin::serve(
        listener,
        Admin {
            status: status.clone(),
            board: board.clone(),
            health: health.clone(),
            metrics: metrics.clone(),
        },
    ));
    let mut tellers = JoinSet::new();
    tellers.spawn(post_problems(status.clone(), board.clone()));
    if let Some((session, settings)) = southbound {
        let (tapped, nodes, tap) = chassis::tap(feed);
        feed = tapped;
        tellers.spawn(tap.run());
        let around = Surroundings {
            nodes,
            status: status.clone(),
            health: health.clone(),
            board: board.clone(),
            metrics: metrics.clone(),
        };
        tellers.spawn(Janitor::new(Session::spawn(session), settings, around).run());
    }
    let running = source.start(feed, &board, &health).await?;
    if let Running::Kubernetes { cluster, .. } = &running {
        tellers.spawn(events::tell(cluster.clone(), board.clone(), status.clone()));
        tellers.spawn(vpcs::keep(cluster.clone(), board.clone(), status.clone()));
        tellers.spawn(pools::allocate(cluster.clone(), networks, board, metrics, status));
    }
    writer
        .run(async {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
                _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
            }
        })
        .await;
    drop(running);
    tellers.shutdown().await;
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
                    reason: None,
                    message: format!("{} {}: {}", problem.table, problem.name, problem.message),
                    place: None,
                }),
            );
            write_before = Some(write);
        }
    }
}
