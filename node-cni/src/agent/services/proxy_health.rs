//! Says whether this host serves services, where and as kube-proxy says it, for load balancers that ask about nodes and not
//! about services.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;

use super::http;
use crate::protocol::NodeStatus;

/// Between tries to listen: whoever has the address is likely to be kube-proxy, and may be removed.
const RETRY: Duration = Duration::from_mins(1);

#[derive(Debug, Clone)]
struct Health {
    status: watch::Receiver<NodeStatus>,
    /// When the status was last looked at, whether it changed or not.
    updated: Arc<watch::Sender<Timestamp>>,
}

/// Serves for ever.
pub(in crate::agent) async fn serve(address: SocketAddr, status: watch::Receiver<NodeStatus>) {
    let updated = Arc::new(watch::Sender::new(Timestamp::now()));
    let health = Health {
        status: status.clone(),
        updated: Arc::clone(&updated),
    };
    tokio::join!(listen(address, health), follow(status, updated));
}

async fn listen(address: SocketAddr, health: Health) {
    let mut complained = false;
    let listener = loop {
        match http::listen(address) {
            Ok(listener) => break listener,
            Err(error) => {
                if !complained {
                    tracing::warn!(%error, %address, "cannot tell there whether services are served; does kube-proxy run?");
                }
                complained = true;
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    let router = Router::new()
        .route("/healthz", get(answer))
        .route("/livez", get(answer))
        .with_state(health);
    http::serve(listener, router, std::future::pending()).await;
}

async fn follow(mut status: watch::Receiver<NodeStatus>, updated: Arc<watch::Sender<Timestamp>>) {
    while status.changed().await.is_ok() {
        updated.send_replace(Timestamp::now());
    }
}

async fn answer(State(health): State<Health>) -> Response {
    let code = if health.status.borrow().services.served {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let body = json!({
        "lastUpdated": health.updated.borrow().to_string(),
        "currentTime": Timestamp::now().to_string(),
        "nodeEligible": true,
    });
    (code, headers, body.to_string()).into_response()
}
