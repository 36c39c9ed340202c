//! [`Failure`]: why the API server did not answer as it should, and what to do about it.

use std::error::Error as StdError;
use std::fmt;

use kube::Error;

/// What kind of failure it is: decides how to go on, and is a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// No connection, or it broke.
    Unreachable,
    /// There is a server, and its certificate or its TLS is not what we were told to trust.
    Tls,
    /// It does not know who we are.
    Unauthorized,
    /// It knows who we are, and will not have it.
    Forbidden,
    /// It does not have this kind of objects.
    NotFound,
    /// What we asked to go on from is no longer, or not yet, in its history.
    Expired,
    /// It lists, but does not stream lists.
    NoStreaming,
    /// It has too much to do.
    Throttled,
    /// It failed by its own account.
    Server,
    /// It said what nobody can read.
    Malformed,
}

/// A failure in words, with the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub cause: Cause,
    /// What happened, and what to do.
    pub message: String,
}

/// Who was asked, as whom, for what: what a message must name.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The server's URL.
    pub(super) server: String,
    /// What we identify ourselves with: `the token in /var/run/..`.
    pub(super) identity: String,
    /// `pods`.
    pub(super) resource: &'static str,
}

impl Cause {
    /// The label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Expired => "expired",
            Self::NoStreaming => "no_streaming",
            Self::Throttled => "throttled",
            Self::Server => "server",
            Self::Malformed => "malformed",
        }
    }

    /// Whether waiting is no help: somebody must change something.
    pub fn is_lasting(self) -> bool {
        matches!(self, Self::Tls | Self::Unauthorized | Self::Forbidden | Self::NotFound)
    }

    /// Whether it belongs to ordinary life, and is over with the next attempt.
    pub(super) fn is_ordinary(self) -> bool {
        matches!(self, Self::Expired | Self::NoStreaming)
    }

    /// Whether the server was away. What it serves when it is back may be another history than the one we know.
    pub(super) fn is_absence(self) -> bool {
        matches!(self, Self::Unreachable | Self::Tls | Self::Server)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    /// A connection that says nothing although it should.
    pub(super) fn silence(asked: &Asked, seconds: u64) -> Self {
        let Asked { server, resource, .. } = asked;
        Self {
            cause: Cause::Unreachable,
            message: format!("{server} has not said a word about {resource} for {seconds} s; connecting anew"),
        }
    }

    /// A server whose history ends before the point we have reached.
    pub(super) fn rewound(asked: &Asked, ours: u64, theirs: u64) -> Self {
        let Asked { server, resource, .. } = asked;
        Self {
            cause: Cause::Expired,
            message: format!(
                "{server} is at version {theirs}, and we have seen {ours} of {resource}: its database was replaced or \
                 restored; listing anew"
            ),
        }
    }

    /// What a client's error means.
    pub(super) fn of(error: &Error, asked: &Asked) -> Self {
        match error {
            Error::Api(status) => Self::of_status(status, asked),
            Error::Auth(_) | Error::InferConfig(_) | Error::InferKubeconfig(_) => Self::credentials(error, asked),
            Error::SerdeError(_) | Error::FromUtf8(_) | Error::LinesCodecMaxLineLengthExceeded => {
                let Asked { server, resource, .. } = asked;
                Self {
                    cause: Cause::Malformed,
                    message: format!("{server} said of {resource} what cannot be read: {}", root(error)),
                }
            }
            _ => Self::of_transport(error, asked),
        }
    }

    /// What the server says.
    pub(super) fn of_status(status: &kube::core::Status, asked: &Asked) -> Self {
        let Asked {
            server,
            identity,
            resource,
        } = asked;
        let said = if status.message.is_empty() {
            &status.reason
        } else {
            &status.message
        };
        let (cause, message) = match status.code {
            401 => (
                Cause::Unauthorized,
                format!(
                    "{server} does not accept {identity} (401 {said}): it may have expired, or be of another cluster; \
                     replace it"
                ),
            ),
            403 => (
                Cause::Forbidden,
                format!(
                    "{said}: grant list and watch of {resource} to that user, as the ClusterRole \
                     meridian-translator of the chart does"
                ),
            ),
            404 => (
                Cause::NotFound,
                format!("{server} has no {resource} ({said}): is it the API server of a Kubernetes cluster?"),
            ),
            // `sendInitialEvents` is invalid or bad to a server without the feature `WatchList`.
            400 | 422 if status.message.contains("sendInitialEvents") => (
                Cause::NoStreaming,
                format!("{server} does not stream lists of {resource}; listing page by page"),
            ),
            410 => (
                Cause::Expired,
                format!("{server} has forgotten the version we are at ({said}); listing {resource} anew"),
            ),
            // A version larger than the server's own is not an error of the server, it is one of history.
            _ if status.message.contains("Too large resource version") => (
                Cause::Expired,
                format!("{server} is behind what we have seen ({said}); listing {resource} anew"),
            ),
            429 => (
                Cause::Throttled,
                format!("{server} asks to be asked less about {resource} (429 {said})"),
            ),
            code => (
                Cause::Server,
                format!("{server} could not tell about {resource} ({code} {said}); see its log if that stays so"),
            ),
        };
        Self { cause, message }
    }

    fn credentials(error: &Error, asked: &Asked) -> Self {
        let Asked { server, identity, .. } = asked;
        Self {
            cause: Cause::Unauthorized,
            message: format!("no credentials for {server}: {identity}: {}", root(error)),
        }
    }

    fn of_transport(error: &Error, asked: &Asked) -> Self {
        let Asked { server, resource, .. } = asked;
        if chain(error).any(<dyn std::error::Error>::is::<kube::client::AuthError>) {
            return Self::credentials(error, asked);
        }
        if let Some(tls) = chain(error).find_map(as_tls) {
            return Self {
                cause: Cause::Tls,
                message: tls_message(server, tls),
            };
        }
        let reason = root(error);
        let refused = chain(error)
            .filter_map(|link| link.downcast_ref::<std::io::Error>())
            .any(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
        let message = if refused {
            format!("nothing listens at {server} ({reason}): is the API server running, and is that its address?")
        } else {
            format!("no answer from {server} about {resource} ({reason}): is the API server reachable from here?")
        };
        Self {
            cause: Cause::Unreachable,
            message,
        }
    }
}

fn tls_message(server: &str, error: &rustls::Error) -> String {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer | Bad::BadSignature => format!(
                "the certificate of {server} is not signed by the authority we were told to trust: set \
                 certificate-authority of the kubeconfig to the CA of this cluster"
            ),
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => format!(
                "the certificate of {server} is for other names than this one: use one of them, or set tls-server-name \
                 ({error})"
            ),
            Bad::Expired | Bad::ExpiredContext { .. } => {
                format!("the certificate of {server} has expired: renew it ({error})")
            }
            _ => format!("the certificate of {server} is no good: {error}"),
        },
        rustls::Error::InvalidMessage(_) => format!("{server} does not speak TLS ({error}): is that its address?"),
        rustls::Error::AlertReceived(_) => format!("{server} ended the TLS handshake: {error}"),
        _ => format!("no TLS with {server}: {error}"),
    }
}

/// An error and what caused it, from the outside in. `io::Error` hides what it carries from `source`.
fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |link: &&'e (dyn StdError + 'static)| {
        let link: &'e (dyn StdError + 'static) = *link;
        match link.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => link.source(),
        }
    })
}

fn as_tls<'e>(link: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    link.downcast_ref::<rustls::Error>()
}

/// The innermost reason: what wraps it only says where it was noticed.
fn root(error: &(dyn StdError + 'static)) -> String {
    chain(error)
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn asked() -> Asked {
        Asked {
            server: "https://api:6443".into(),
            identity: "the token in /token".into(),
            resource: "pods",
        }
    }

    fn status(code: u16, message: &str) -> Failure {
        Failure::of_status(&Status::failure(message, "").with_code(code), &asked())
    }

    #[test]
    fn what_is_forbidden_names_user_verb_and_resource_and_the_next_step() {
        let said = "pods is forbidden: User \"system:serviceaccount:a:b\" cannot list resource \"pods\"";
        let failure = status(403, said);
        assert_eq!(failure.cause, Cause::Forbidden);
        assert!(failure.message.starts_with(said), "{failure}");
        assert!(failure.message.contains("grant list and watch of pods"), "{failure}");
    }

    #[test]
    fn credentials_that_are_refused_are_named() {
        let failure = status(401, "Unauthorized");
        assert_eq!(failure.cause, Cause::Unauthorized);
        assert!(failure.message.contains("the token in /token"), "{failure}");
    }

    #[test]
    fn a_server_without_streaming_lists_is_told_from_one_that_refuses_for_other_reasons() {
        let refusal = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch";
        assert_eq!(status(422, refusal).cause, Cause::NoStreaming);
        assert_eq!(status(400, "some other thing").cause, Cause::Server);
    }

    #[test]
    fn a_certificate_of_another_authority_is_found_however_deep_it_is_wrapped() {
        let bad = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = std::io::Error::other(std::io::Error::new(std::io::ErrorKind::InvalidData, bad));
        let failure = Failure::of(&Error::Service(Box::new(wrapped)), &asked());
        assert_eq!(failure.cause, Cause::Tls);
        assert!(failure.message.contains("certificate-authority"), "{failure}");
    }

    #[test]
    fn a_refused_connection_asks_whether_the_server_runs() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let failure = Failure::of(&Error::Service(Box::new(refused)), &asked());
        assert_eq!(failure.cause, Cause::Unreachable);
        assert!(
            failure.message.starts_with("nothing listens at https://api:6443"),
            "{failure}"
        );
    }
}
