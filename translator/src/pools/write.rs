//! Writing the status of services and pools.

use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use kube::{Client, Error, Resource};
use meridian_api::address_pool::AddressPool;
use meridian_model::ServiceKey;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::service::Entry;

/// How long a write may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Somebody else wrote first.
    #[error("somebody else changed it meanwhile")]
    Conflict,
    /// There is no such object any more.
    #[error("it is gone")]
    Gone,
    /// It is not allowed.
    #[error(
        "{0}: grant patch of services/status, and of addresspools/status in meridian.dev, to that user, as the ClusterRole \
         meridian-translator of the chart does"
    )]
    Forbidden(String),
    /// The API server will not have this one.
    #[error("the API server refuses it: {0}")]
    Rejected(String),
    /// It took too long.
    #[error("no answer within {PATIENCE:?}")]
    Silence,
    /// Anything else.
    #[error(transparent)]
    Other(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match &error {
            Error::Api(status) => match status.code {
                404 => Self::Gone,
                409 => Self::Conflict,
                403 if !is_denied(&status.message) => Self::Forbidden(status.message.clone()),
                400 | 403 | 413 | 422 => Self::Rejected(status.message.clone()),
                _ => Self::Other(error),
            },
            _ => Self::Other(error),
        }
    }
}

/// Whether it is a rule of the cluster's that refuses the object (`admission webhook … denied the request`,
/// `ValidatingAdmissionPolicy … denied request`), and not that the right is missing.
fn is_denied(message: &str) -> bool {
    ["denied the request", "denied request"]
        .iter()
        .any(|words| message.contains(words))
}

impl Refusal {
    /// Whether it is about one object, and others may fare better.
    pub(super) fn is_of_one(&self) -> bool {
        matches!(self, Self::Conflict | Self::Gone | Self::Rejected(_))
    }
}

/// Patches a service's status; what it is like then is the answer.
pub(super) async fn service(client: &Client, key: &ServiceKey, patch: &Value) -> Result<Entry, Refusal> {
    let request =
        services(key).patch_subresource("status", &key.name, &PatchParams::default(), &Patch::Strategic(patch));
    ask(client, request).await
}

/// Reads a service.
pub(super) async fn read(client: &Client, key: &ServiceKey) -> Result<Entry, Refusal> {
    ask(client, services(key).get(&key.name, &kube::api::GetParams::default())).await
}

/// Patches a pool's status.
pub(super) async fn pool(client: &Client, name: &str, patch: &Value) -> Result<(), Refusal> {
    let pools = Request::new(AddressPool::url_path(&(), None));
    let request = pools.patch_subresource("status", name, &PatchParams::default(), &Patch::Merge(patch));
    ask::<Value>(client, request).await.map(drop)
}

fn services(key: &ServiceKey) -> Request {
    Request::new(core::Service::url_path(&(), Some(&key.namespace)))
}

async fn ask<T: DeserializeOwned>(
    client: &Client,
    request: Result<axum::http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<T, Refusal> {
    let request = request.map_err(Error::BuildRequest)?;
    match timeout(PATIENCE, client.request(request)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Refusal::Silence),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refusal(code: u16, message: &str) -> Refusal {
        Error::Api(Box::new(Status::failure(message, "").with_code(code))).into()
    }

    #[test]
    fn a_rule_that_refuses_one_service_is_no_lack_of_rights_for_all() {
        let webhook = r#"admission webhook "rules.example.com" denied the request: no"#;
        let policy =
            r#"services "web" is forbidden: ValidatingAdmissionPolicy 'rules' with binding 'rules' denied request: no"#;
        for denied in [webhook, policy] {
            assert!(refusal(403, denied).is_of_one(), "{denied}");
        }
        let rights = r#"services "web" is forbidden: User "x" cannot patch resource "services/status" in API group """#;
        let refusal = refusal(403, rights);
        assert!(!refusal.is_of_one() && refusal.to_string().contains("grant patch of services/status"));
    }
}
