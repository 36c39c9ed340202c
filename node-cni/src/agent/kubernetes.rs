//! Writes the node's condition `NetworkUnavailable`, which keeps the scheduler from a node that cannot serve pods.
//!
//! The only file of this crate that knows Kubernetes. Nothing waits for it: without an API the agent does all it does.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;

use super::condition::Verdict;
use super::config::Kubernetes;

const CONDITION: &str = "NetworkUnavailable";
const READY: &str = "MeridianReady";
const NOT_READY: &str = "MeridianNotReady";
/// Recorded by the server as the one who set the fields.
const MANAGER: &str = "meridian-node";

/// A request takes milliseconds; a server that does not answer is asked again.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between tries; doubled from the first to the last.
const RETRIES: Retries = Retries {
    first: Duration::from_secs(1),
    last: Duration::from_mins(1),
};
/// Somebody may have made the node anew, and a cloud's controller may have set the condition on it. Only looks.
const LOOK: Duration = Duration::from_mins(10);

/// Why the condition is not written.
#[derive(Debug, thiserror::Error)]
enum ConditionError {
    #[error("kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("service account: {0}")]
    ServiceAccount(#[from] kube::config::InClusterError),
    #[error("{0}")]
    Api(#[from] kube::Error),
    #[error("bug in meridian-node: {0}")]
    Panic(#[from] tokio::task::JoinError),
}

/// Time between tries.
#[derive(Debug, Clone, Copy)]
struct Retries {
    first: Duration,
    last: Duration,
}

/// Keeps the condition as the verdicts have it, for ever.
pub(super) async fn report(access: Kubernetes, node: String, verdicts: watch::Receiver<Option<Verdict>>) {
    report_with(access, node, verdicts, RETRIES).await;
}

async fn report_with(
    access: Kubernetes,
    node: String,
    mut verdicts: watch::Receiver<Option<Verdict>>,
    retries: Retries,
) {
    let mut client = None;
    let mut wait = retries.first;
    let mut complained = false;
    loop {
        let verdict = verdicts.borrow_and_update().clone();
        let result = match &verdict {
            None => Ok(()),
            Some(verdict) => write(&access, &mut client, &node, verdict).await,
        };
        let pause = match result {
            Ok(()) => {
                complained = false;
                wait = retries.first;
                LOOK
            }
            Err(error) => {
                if !complained {
                    tracing::warn!(%error, node, "cannot write condition {CONDITION}; still trying");
                }
                complained = true;
                // Credentials may be replaced by the next try.
                client = None;
                let pause = wait;
                wait = (wait * 2).min(retries.last);
                pause
            }
        };
        tokio::select! {
            changed = verdicts.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Writes what differs; nothing if nothing does.
async fn write(
    access: &Kubernetes,
    client: &mut Option<Client>,
    node: &str,
    verdict: &Verdict,
) -> Result<(), ConditionError> {
    let connected = match client {
        Some(client) => client.clone(),
        None => client.insert(connect(access).await?).clone(),
    };
    let nodes: Api<Node> = Api::all(connected);
    let conditions = nodes
        .get_status(node)
        .await?
        .status
        .and_then(|status| status.conditions);
    let current = conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == CONDITION);
    let Some(wanted) = condition(verdict, current, Timestamp::now()) else {
        return Ok(());
    };
    tracing::info!(
        status = wanted.status,
        message = wanted.message,
        "condition {CONDITION}"
    );
    // Conditions are merged by their type: those of others stay, whoever writes at the same time.
    let patch = Patch::Strategic(json!({"status": {"conditions": [wanted]}}));
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    nodes.patch_status(node, &parameters, &patch).await?;
    Ok(())
}

/// The condition to write; `None` if the node has it.
fn condition(verdict: &Verdict, current: Option<&NodeCondition>, now: Timestamp) -> Option<NodeCondition> {
    let (status, reason, message) = match verdict {
        Verdict::Available => ("False", READY, "Meridian serves pods on this node"),
        Verdict::Unavailable(message) => ("True", NOT_READY, message.as_str()),
    };
    let same_status = current.filter(|current| current.status == status);
    // The message tells of the transition; one that says the same in other words is left.
    if same_status.is_some_and(|current| current.reason.as_deref() == Some(reason)) {
        return None;
    }
    let since = same_status.and_then(|current| current.last_transition_time.clone());
    Some(NodeCondition {
        type_: CONDITION.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(since.unwrap_or(Time(now))),
    })
}

async fn connect(access: &Kubernetes) -> Result<Client, ConditionError> {
    let mut config = match access {
        Kubernetes::Kubeconfig(path) => {
            let kubeconfig = Kubeconfig::read_from(path)?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        }
        Kubernetes::ServiceAccount => kube::Config::incluster()?,
    };
    config.connect_timeout = Some(TIMEOUT);
    config.read_timeout = Some(TIMEOUT);
    // Else the minutes that a kept connection was idle would count.
    config.reset_reader_on_write = true;
    // The loop above retries, and with what is true by then.
    config.default_retry = false;
    // A kubeconfig may name a program that gets credentials, which runs now, for as long as it likes.
    let made = tokio::task::spawn_blocking(move || Client::try_from(config));
    Ok(made.await??)
}

#[cfg(test)]
mod tests;
