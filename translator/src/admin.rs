//! Health, metrics and status over HTTP. Every answer is made of the writer's status as of now. Must not: change
//! anything.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use meridian_northbound::writer::Status;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::problems::Board;

/// What is told.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where the writer stands.
    pub status: watch::Receiver<Status>,
    /// What is wrong.
    pub board: Board,
    /// What has happened.
    pub metrics: Arc<Metrics>,
}

/// Listens, so that an address in use is known before anything else starts.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("--listen {address}"))
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, admin: Admin) -> std::io::Result<()> {
    axum::serve(listener, router(admin)).await
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(admin)
}

/// That this answers is the proof: the runtime makes progress. What waits for others must not be restarted for it.
async fn live() -> &'static str {
    "alive\n"
}

async fn ready(State(admin): State<Admin>) -> Response {
    let ready = admin.status.borrow().ready();
    match ready {
        Ok(role) => {
            let problems = admin.board.len();
            let note = if problems == 0 {
                String::new()
            } else {
                format!("; {problems} problems, see /status")
            };
            format!("ready as {role}{note}\n").into_response()
        }
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let status = admin.status.borrow().clone();
    match admin.metrics.scrape(&status, &admin.board) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status(State(admin): State<Admin>) -> Response {
    let status = admin.status.borrow().clone();
    let seconds = |at: std::time::SystemTime| at.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let ready = status.ready();
    let problems: Vec<_> = admin
        .board
        .all()
        .into_iter()
        .map(|(origin, problem)| {
            let mut value = json!(problem);
            value["origin"] = json!(origin);
            value
        })
        .collect();
    // A JSON number holds no more; an IPv6 slice that full has other troubles.
    let number = |count: u128| u64::try_from(count).unwrap_or(u64::MAX);
    let slices: Vec<_> = status
        .usage
        .iter()
        .map(|slice| {
            json!({
                "node": &*slice.node,
                "network": slice.network,
                "used": number(slice.used),
                "capacity": number(slice.capacity),
            })
        })
        .collect();
    let body = json!({
        "ready": ready.is_ok(),
        "reason": ready.map_or_else(|reason| reason, str::to_owned),
        "state": status.phase,
        "northbound": status.session,
        "lock": status.lock,
        "sources": status.sources,
        "rows": {"desired": status.desired, "dirty": status.dirty},
        "heldDeletions": status.held,
        "lastTransaction": status.last_transaction.map(|last| json!({"at": seconds(last.at), "error": last.error})),
        "lastConfirmed": status.last_confirmed.map(seconds),
        "slices": slices,
        "problems": problems,
    });
    ([(header::CONTENT_TYPE, "application/json")], format!("{body:#}\n")).into_response()
}
