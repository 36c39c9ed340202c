//! The live Kubernetes API.
//!
//! ```text
//!   Cluster ── ListWatch ──▶ Follower ──▶ Feed (events, synced)
//!  (client)   (one kind)       │
//!                              ├──▶ Board (what cannot be read, why a watch fails)
//!                              └──▶ Health
//! ```
//!
//! Must not: write to the API.

mod backoff;
mod cluster;
mod failure;
mod health;
mod list_watch;
mod patience;
mod slim;
mod watch;

use meridian_model::{ClusterPolicyKind, Kind};
use meridian_northbound::Feed;
use tokio::task::JoinSet;

use crate::problems::{Board, Origin};
use watch::{Follower, Shared};

pub(crate) use backoff::Backoff;
pub use cluster::{Access, Cluster, ConnectError};
pub use failure::{Cause, Failure};
pub use health::{Failing, Health, WatchHealth};
pub(crate) use list_watch::{ListWatch, News, Seen};
pub use patience::Patience;

/// The name of the source of nodes.
pub const NODES: &str = "nodes";
/// The names of these sources.
pub const NAMES: [&str; 15] = [
    NODES,
    "namespaces",
    "pods",
    "services",
    "endpointslices",
    "servicecidrs",
    "addresspools",
    "vpcs",
    "subnets",
    "network-attachment-definitions",
    "vpcpeerings",
    "networkpolicies",
    "clusternetworkpolicies",
    "adminnetworkpolicies",
    "baselineadminnetworkpolicies",
];

/// Starts to follow a cluster. The watches end with the set.
pub fn watch(cluster: &Cluster, feed: &Feed, board: &Board, health: &Health) -> JoinSet<()> {
    use k8s_openapi::api::core::v1;
    use k8s_openapi::api::discovery::v1::EndpointSlice;
    use k8s_openapi::api::networking::v1::{NetworkPolicy, ServiceCIDR};
    use meridian_api::address_pool::AddressPool;
    use meridian_api::attachment::NetworkAttachmentDefinition;
    use meridian_api::cluster_policy::{AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy};
    use meridian_api::subnet::Subnet;
    use meridian_api::vpc::Vpc;
    use meridian_api::vpc_peering::VpcPeering;
    let shared = Shared {
        feed: feed.clone(),
        board: board.clone(),
        health: health.clone(),
    };
    for name in NAMES {
        // So that a watch that has not begun is seen, too.
        health.note(name, |_| {});
    }
    let follow = |name, kind, origin| Follower::new(name, kind, origin, shared.clone());
    let [
        nodes,
        namespaces,
        pods,
        services,
        slices,
        cidrs,
        pools,
        vpcs,
        subnets,
        attachments,
        peerings,
        policies,
        cluster_policies,
        admin_policies,
        baseline_policies,
    ] = NAMES;
    let mut tasks = JoinSet::new();
    tasks.spawn(follow(nodes, Kind::Node, Origin::Nodes).run::<v1::Node>(cluster.clone()));
    tasks.spawn(follow(namespaces, Kind::Namespace, Origin::Namespaces).run::<v1::Namespace>(cluster.clone()));
    tasks.spawn(follow(pods, Kind::Pod, Origin::Pods).run::<v1::Pod>(cluster.clone()));
    tasks.spawn(follow(services, Kind::Service, Origin::Services).run::<v1::Service>(cluster.clone()));
    let slices = follow(slices, Kind::EndpointSlice, Origin::EndpointSlices);
    tasks.spawn(slices.run::<EndpointSlice>(cluster.clone()));
    // Kubernetes has the first since 1.33; the others are there once our CRDs are.
    let cidrs = follow(cidrs, Kind::ServiceCidr, Origin::ServiceCidrs).optional();
    tasks.spawn(cidrs.run::<ServiceCIDR>(cluster.clone()));
    let pools = follow(pools, Kind::AddressPool, Origin::AddressPools).optional();
    tasks.spawn(pools.run::<AddressPool>(cluster.clone()));
    // Who does not know them takes pods of other VPCs for the default one's.
    let vpcs = follow(vpcs, Kind::Vpc, Origin::Vpcs).optional_and_readable();
    tasks.spawn(vpcs.run::<Vpc>(cluster.clone()));
    let subnets = follow(subnets, Kind::Subnet, Origin::Subnets).optional_and_readable();
    tasks.spawn(subnets.run::<Subnet>(cluster.clone()));
    // Who does not know them takes further interfaces of pods for nobody's. They are there once a meta-plugin is.
    let attachments = follow(attachments, Kind::NetworkAttachment, Origin::NetworkAttachments).optional_and_readable();
    tasks.spawn(attachments.run::<NetworkAttachmentDefinition>(cluster.clone()));
    // And who does not know these takes peers apart.
    let peerings = follow(peerings, Kind::VpcPeering, Origin::VpcPeerings).optional_and_readable();
    tasks.spawn(peerings.run::<VpcPeering>(cluster.clone()));
    let policies = follow(policies, Kind::NetworkPolicy, Origin::NetworkPolicies);
    tasks.spawn(policies.run::<NetworkPolicy>(cluster.clone()));
    // These are there once somebody brings them, and who does not know them lets through what an administrator stops.
    let of_cluster = |name, kind: ClusterPolicyKind, origin| follow(name, kind.into(), origin).optional_and_readable();
    let policies = of_cluster(
        cluster_policies,
        ClusterPolicyKind::ClusterNetworkPolicy,
        Origin::ClusterNetworkPolicies,
    );
    tasks.spawn(policies.run::<ClusterNetworkPolicy>(cluster.clone()));
    let policies = of_cluster(
        admin_policies,
        ClusterPolicyKind::AdminNetworkPolicy,
        Origin::AdminNetworkPolicies,
    );
    tasks.spawn(policies.run::<AdminNetworkPolicy>(cluster.clone()));
    let policies = of_cluster(
        baseline_policies,
        ClusterPolicyKind::BaselineAdminNetworkPolicy,
        Origin::BaselineAdminNetworkPolicies,
    );
    tasks.spawn(policies.run::<BaselineAdminNetworkPolicy>(cluster.clone()));
    tasks
}
