//! [`Cluster`]: the way to an API server, and the credentials for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::config::{AuthInfo, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::patience::Patience;

/// A server that does not even take a connection is tried again sooner than kube would.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a cluster is described; without anything, as [`Cluster::connect`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// A kubeconfig file instead of the usual ones.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig instead of its current one.
    pub context: Option<String>,
}

/// Why there is no way to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig that cannot be used.
    #[error("{place}: {reason}")]
    Kubeconfig {
        /// Which.
        place: String,
        /// Why.
        reason: KubeconfigError,
    },
    /// A pod without what a pod has.
    #[error(
        "KUBERNETES_SERVICE_HOST says that this is a pod, but its ServiceAccount cannot be used ({0}): leave \
         automountServiceAccountToken on, or name a --kubeconfig"
    )]
    Pod(InClusterError),
    /// Nothing says where a cluster is.
    #[error(
        "no cluster: there is neither --kubeconfig, nor KUBECONFIG, nor a pod around this process, nor a kubeconfig in \
         the home folder ({0}); --manifests DIR needs none"
    )]
    Nowhere(KubeconfigError),
    /// Credentials or certificates that cannot be used.
    #[error("{place}: {reason}")]
    Credentials {
        /// Of which kubeconfig, or of the pod.
        place: String,
        /// Why.
        reason: Box<kube::Error>,
    },
}

/// The way to an API server; clones share it.
#[derive(Clone, Debug)]
pub struct Cluster {
    access: Access,
    current: Arc<Mutex<Link>>,
    patience: Patience,
}

/// A client with what its messages have to name.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) client: Client,
    /// The server's URL.
    pub(super) server: String,
    /// What it identifies itself with.
    pub(super) identity: String,
    /// How often the configuration was read before.
    generation: u64,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("server", &self.server)
            .field("identity", &self.identity)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads how to reach a cluster: the kubeconfig named, or `KUBECONFIG`, or the ServiceAccount of the pod this process
    /// runs in, or the kubeconfig in the home folder. Whether anybody answers is found out later.
    pub async fn connect(access: Access) -> Result<Self, ConnectError> {
        let link = link(&access, 0).await?;
        tracing::info!(server = link.server, with = link.identity, "kubernetes");
        Ok(Self {
            access,
            current: Arc::new(Mutex::new(link)),
            patience: Patience::default(),
        })
    }

    /// A cluster that needs nothing but an address.
    pub fn at(config: kube::Config) -> Result<Self, ConnectError> {
        let access = Access::default();
        let link = link_of(config, "the configuration", 0)?;
        Ok(Self {
            access,
            current: Arc::new(Mutex::new(link)),
            patience: Patience::default(),
        })
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    /// The client to use now.
    pub fn client(&self) -> Client {
        self.link().client
    }

    pub(super) fn link(&self) -> Link {
        // A link is replaced whole, so a panic elsewhere cannot have left half of one.
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the configuration again, because `old` is not accepted (any more): kubeconfigs, certificates and tokens get
    /// replaced while we run. Does nothing if somebody else just did.
    pub(super) async fn renew(&self, old: &Link) {
        if self.link().generation != old.generation {
            return;
        }
        match link(&self.access, old.generation + 1).await {
            Ok(new) => {
                tracing::debug!(server = new.server, with = new.identity, "credentials read again");
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = new;
            }
            Err(error) => tracing::warn!(%error, "credentials cannot be read again; going on with the old ones"),
        }
    }
}

async fn link(access: &Access, generation: u64) -> Result<Link, ConnectError> {
    let (config, place) = configuration(access).await?;
    // An exec plugin of the kubeconfig runs now, for as long as it likes.
    let made = tokio::task::spawn_blocking(move || link_of(config, &place, generation));
    made.await.expect("making a client does not panic")
}

fn link_of(mut config: kube::Config, place: &str, generation: u64) -> Result<Link, ConnectError> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Who watches tries again by itself, and wants to know what happens.
    config.default_retry = false;
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let identity = identity(&config.auth_info, place);
    let client = Client::try_from(config).map_err(|reason| ConnectError::Credentials {
        place: place.to_owned(),
        reason: Box::new(reason),
    })?;
    Ok(Link {
        client,
        server,
        identity,
        generation,
    })
}

async fn configuration(access: &Access) -> Result<(kube::Config, String), ConnectError> {
    let Access { kubeconfig, context } = access;
    let context = context.as_deref();
    if let Some(path) = kubeconfig {
        return of_kubeconfig(
            Kubeconfig::read_from(path),
            format!("kubeconfig {}", path.display()),
            context,
        )
        .await;
    }
    if let Some(paths) = std::env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty()) {
        let place = format!("kubeconfig {} (KUBECONFIG)", Path::new(&paths).display());
        return of_kubeconfig(Kubeconfig::read(), place, context).await;
    }
    if context.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        let config = kube::Config::incluster().map_err(ConnectError::Pod)?;
        return Ok((config, "the ServiceAccount of this pod".to_owned()));
    }
    match Kubeconfig::read() {
        Err(reason @ (KubeconfigError::FindPath | KubeconfigError::ReadConfig(..))) => {
            Err(ConnectError::Nowhere(reason))
        }
        read => of_kubeconfig(read, "kubeconfig of the home folder".to_owned(), context).await,
    }
}

async fn of_kubeconfig(
    read: Result<Kubeconfig, KubeconfigError>,
    place: String,
    context: Option<&str>,
) -> Result<(kube::Config, String), ConnectError> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let configure = async {
        let file = read?;
        let authority = authority_file(&file, context);
        let mut config = kube::Config::from_custom_kubeconfig(file, &options).await?;
        // kube reads a file again now and then, but only once a file is what it is given.
        config.root_cert_file = authority;
        Ok(config)
    };
    match configure.await {
        Ok(config) => Ok((config, place)),
        Err(reason) => Err(ConnectError::Kubeconfig { place, reason }),
    }
}

/// The file with the CA of a context's cluster, where it is a file.
fn authority_file(file: &Kubeconfig, context: Option<&str>) -> Option<PathBuf> {
    let name = context.or(file.current_context.as_deref())?;
    let context = file
        .contexts
        .iter()
        .find(|context| context.name == name)?
        .context
        .as_ref()?;
    let cluster = file.clusters.iter().find(|cluster| cluster.name == context.cluster)?;
    let cluster = cluster.cluster.as_ref()?;
    if cluster.certificate_authority_data.is_some() {
        return None;
    }
    cluster.certificate_authority.as_ref().map(PathBuf::from)
}

/// What the server will know us by, in the order in which kube prefers one to the other.
fn identity(auth: &AuthInfo, place: &str) -> String {
    if let Some(provider) = &auth.auth_provider {
        format!("what the auth provider {} of {place} gives", provider.name)
    } else if auth.username.is_some() && auth.password.is_some() {
        format!("the user name and password of {place}")
    } else if auth.token.is_some() {
        format!("the token of {place}")
    } else if let Some(path) = &auth.token_file {
        format!("the token in {path}")
    } else if let Some(exec) = &auth.exec {
        let command = exec.command.as_deref().unwrap_or("nothing");
        format!("what {command} gives, which {place} says to run")
    } else if let Some(path) = &auth.client_certificate {
        format!("the client certificate {path}")
    } else if auth.client_certificate_data.is_some() {
        format!("the client certificate of {place}")
    } else {
        format!("nobody in particular ({place} has no credentials)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: here
contexts:
  - {name: here, context: {cluster: file, user: someone}}
  - {name: there, context: {cluster: inline, user: someone}}
clusters:
  - {name: file, cluster: {server: 'https://127.0.0.1:6443', certificate-authority: /pki/ca.crt}}
  - {name: inline, cluster: {server: 'https://127.0.0.1:6443', certificate-authority-data: eA==}}
users: []
";

    #[test]
    fn an_authority_that_is_a_file_is_read_again_and_one_inside_the_kubeconfig_is_not() {
        let file = Kubeconfig::from_yaml(KUBECONFIG).unwrap();
        assert_eq!(authority_file(&file, None), Some("/pki/ca.crt".into()));
        assert_eq!(authority_file(&file, Some("there")), None);
        assert_eq!(authority_file(&file, Some("nowhere")), None);
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named_with_its_path() {
        let access = Access {
            kubeconfig: Some("/nowhere/admin.kubeconfig".into()),
            ..Access::default()
        };
        let error = Cluster::connect(access).await.unwrap_err().to_string();
        assert!(error.starts_with("kubeconfig /nowhere/admin.kubeconfig: "), "{error}");
    }
}
