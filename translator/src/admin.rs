//! Health, metrics and status over HTTP. Every answer is made of the writer's status as of now. Must not: change
//! anything.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

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
use crate::source::kubernetes::{Health, WatchHealth};

/// What is told.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where the writer stands.
    pub status: watch::Receiver<Status>,
    /// What is wrong.
    pub board: Board,
    /// How the watches of a live cluster fare.
    pub health: Health,
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
    let (code, mut text) = match ready {
        Ok(role) => {
            let problems = admin.board.len();
            let note = if problems == 0 {
                String::new()
            } else {
                format!("; {problems} problems, see /status")
            };
            (StatusCode::OK, format!("ready as {role}{note}\n"))
        }
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
    };
    // A watch that fails after it has told everything once is no reason to call a translator that holds what it knows
    // not ready, but whoever asks wants to know.
    for (name, failing) in admin.health.failing() {
        let seconds = failing.since.elapsed().unwrap_or_default().as_secs();
        writeln!(
            text,
            "the watch of {name} fails since {seconds} s ({} attempts): {}",
            failing.attempts, failing.last
        )
        .ok();
    }
    (code, text).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let status = admin.status.borrow().clone();
    match admin.metrics.scrape(&status, &admin.board, &admin.health) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn describe(watch: &WatchHealth) -> serde_json::Value {
    let failure = watch.failure.as_ref().map(|failing| {
        json!({
            "since": seconds(failing.since),
            "attempts": failing.attempts,
            "reason": failing.last.cause.label(),
            "message": failing.last.message,
        })
    });
    json!({
        "synced": watch.synced,
        "objects": watch.objects,
        "unreadable": watch.invalid,
        "lists": watch.lists,
        "resumes": watch.resumes,
        "lastEvent": watch.last_heard.map(seconds),
        "failure": failure,
    })
}

async fn status(State(admin): State<Admin>) -> Response {
    let status = admin.status.borrow().clone();
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
    let watches: serde_json::Map<String, serde_json::Value> = admin
        .health
        .all()
        .into_iter()
        .map(|(name, watch)| (name.to_owned(), describe(&watch)))
        .collect();
    let body = json!({
        "ready": ready.is_ok(),
        "reason": ready.map_or_else(|reason| reason, str::to_owned),
        "state": status.phase,
        "northbound": status.session,
        "lock": status.lock,
        "sources": status.sources,
        "watches": watches,
        "rows": {"desired": status.desired, "dirty": status.dirty},
        "heldDeletions": status.held,
        "lastTransaction": status.last_transaction.map(|last| json!({"at": seconds(last.at), "error": last.error})),
        "lastConfirmed": status.last_confirmed.map(seconds),
        "slices": slices,
        "problems": problems,
    });
    ([(header::CONTENT_TYPE, "application/json")], format!("{body:#}\n")).into_response()
}
