//! Asking the API server for a change, and why it refuses.

use std::time::Duration;

use kube::{Client, Error};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// How long a write may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Somebody else wrote first.
    #[error("somebody else changed it meanwhile")]
    Conflict,
    /// There is no such object any more.
    #[error("it is gone")]
    Gone,
    /// It is not allowed.
    #[error("{message}: grant {rights} to that user, as the ClusterRole meridian-translator of the chart does")]
    Forbidden {
        /// What the API server said.
        message: String,
        /// What it takes.
        rights: &'static str,
    },
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

impl Refusal {
    fn new(error: Error, rights: &'static str) -> Self {
        match &error {
            Error::Api(status) => match status.code {
                404 => Self::Gone,
                409 => Self::Conflict,
                403 if !is_denied(&status.message) => Self::Forbidden {
                    message: status.message.clone(),
                    rights,
                },
                400 | 403 | 413 | 422 => Self::Rejected(status.message.clone()),
                _ => Self::Other(error),
            },
            _ => Self::Other(error),
        }
    }

    /// Whether it is about one object, and others may fare better.
    pub(crate) fn is_of_one(&self) -> bool {
        matches!(self, Self::Conflict | Self::Gone | Self::Rejected(_))
    }
}

/// Whether it is a rule of the cluster's that refuses the object (`admission webhook … denied the request`,
/// `ValidatingAdmissionPolicy … denied request`), and not that the right is missing.
fn is_denied(message: &str) -> bool {
    ["denied the request", "denied request"]
        .iter()
        .any(|words| message.contains(words))
}

/// Asks for something that takes these rights.
pub(crate) async fn ask<T: DeserializeOwned>(
    client: &Client,
    request: Result<axum::http::Request<Vec<u8>>, kube::core::request::Error>,
    rights: &'static str,
) -> Result<T, Refusal> {
    let request = request.map_err(|error| Refusal::Other(Error::BuildRequest(error)))?;
    match timeout(PATIENCE, client.request(request)).await {
        Ok(answer) => answer.map_err(|error| Refusal::new(error, rights)),
        Err(_) => Err(Refusal::Silence),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refusal(code: u16, message: &str) -> Refusal {
        let error = Error::Api(Box::new(Status::failure(message, "").with_code(code)));
        Refusal::new(error, "patch of services/status")
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
        assert!(
            !refusal.is_of_one()
                && refusal
                    .to_string()
                    .contains("grant patch of services/status to that user")
        );
    }
}
