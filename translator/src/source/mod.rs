//! Where the cluster's objects come from: a folder of manifests, or the live API.
//!
//! Both read objects through [`convert`], tell the writer events, and say when they have told all there is. Must not:
//! keep objects; those are the model's.

pub mod convert;
pub mod kubernetes;
pub mod manifests;
pub mod read;

use std::path::PathBuf;

use meridian_northbound::Feed;
use tokio::task::JoinSet;

use crate::problems::Board;

/// Where objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder of manifests.
    Manifests(PathBuf),
    /// A live cluster.
    Kubernetes(kubernetes::Access),
}

/// A source at work, until this is dropped.
#[derive(Debug)]
pub enum Running {
    /// A folder of manifests.
    Manifests(manifests::Watching),
    /// A live cluster.
    Kubernetes {
        /// The way to it.
        cluster: kubernetes::Cluster,
        /// Its watches.
        watches: JoinSet<()>,
    },
}

impl Source {
    /// The names under which its parts say that they are synced.
    pub fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Manifests(_) => vec![manifests::NAME],
            Self::Kubernetes(_) => kubernetes::NAMES.to_vec(),
        }
    }

    /// Starts to follow it.
    pub async fn start(&self, feed: Feed, board: &Board, health: &kubernetes::Health) -> anyhow::Result<Running> {
        Ok(match self {
            Self::Manifests(folder) => Running::Manifests(manifests::watch(folder, feed, board.clone())?),
            Self::Kubernetes(access) => {
                let cluster = kubernetes::Cluster::connect(access.clone()).await?;
                let watches = kubernetes::watch(&cluster, &feed, board, health);
                Running::Kubernetes { cluster, watches }
            }
        })
    }
}
