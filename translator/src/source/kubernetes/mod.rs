//! The live Kubernetes API.

mod slim;
mod watch;

use std::path::Path;

use anyhow::Context as _;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use meridian_model::Kind;
use meridian_northbound::Feed;
use tokio::task::JoinSet;

use crate::problems::{Board, Origin};

/// The names of these sources.
pub const NAMES: [&str; 5] = ["nodes", "namespaces", "pods", "services", "endpointslices"];

/// A client for the cluster of a kubeconfig file, or else for the one kubectl would talk to, or else for the one this
/// pod runs in.
pub async fn connect(kubeconfig: Option<&Path>, context: Option<&str>) -> anyhow::Result<Client> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let config = match (kubeconfig, context) {
        (Some(path), _) => {
            let file = Kubeconfig::read_from(path).with_context(|| format!("kubeconfig {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &options)
                .await
                .context("kubeconfig")?
        }
        (None, Some(_)) => kube::Config::from_kubeconfig(&options).await.context("kubeconfig")?,
        (None, None) => kube::Config::infer()
            .await
            .context("neither a kubeconfig nor a cluster around this process")?,
    };
    tracing::info!(server = %config.cluster_url, "kubernetes");
    Client::try_from(config).context("kubernetes client")
}

/// Starts to follow a cluster. The watches end with the set.
pub fn watch(client: &Client, feed: &Feed, board: &Board) -> JoinSet<()> {
    use k8s_openapi::api::core::v1;
    use k8s_openapi::api::discovery::v1 as discovery;
    let mut tasks = JoinSet::new();
    let [nodes, namespaces, pods, services, slices] = NAMES;
    let follow = |name, kind, origin| watch::Follower::new(name, kind, origin, feed.clone(), board.clone());
    tasks.spawn(follow(nodes, Kind::Node, Origin::Nodes).run::<v1::Node>(client.clone()));
    tasks.spawn(follow(namespaces, Kind::Namespace, Origin::Namespaces).run::<v1::Namespace>(client.clone()));
    tasks.spawn(follow(pods, Kind::Pod, Origin::Pods).run::<v1::Pod>(client.clone()));
    tasks.spawn(follow(services, Kind::Service, Origin::Services).run::<v1::Service>(client.clone()));
    let slices = follow(slices, Kind::EndpointSlice, Origin::EndpointSlices);
    tasks.spawn(slices.run::<discovery::EndpointSlice>(client.clone()));
    tasks
}
