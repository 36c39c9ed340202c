//! Gives services of type LoadBalancer addresses out of AddressPools.
//!
//! ```text
//!   Watches ──▶ Store ──▶ plan (pools × services → decisions) ──▶ Allocator ──▶ services/status, addresspools/status
//!                 ▲                                                   │  └──▶ Board (who waits, and why)
//!                 └─────────────── what was written ◀─────────────────┘
//! ```
//!
//! The record of who has what is the status of the services: nothing is kept elsewhere, and a new leader finds what the
//! old one gave. Only the leader writes. What addresses mean on the network is decided where everything else is, from
//! the status as it comes back through the source. Must not: touch a service of another class, or one that another provider
//! serves; or be needed by anything.

mod allocator;
mod family;
mod plan;
mod pool;
mod role;
mod seen;
mod service;
mod status;
mod store;
mod watch;
mod write;

use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_northbound::writer::{LockStatus, Status};
use tokio::sync::watch::Receiver;

use crate::metrics::Metrics;
use crate::problems::{Board, Origin};
use crate::source::kubernetes::Cluster;
use allocator::Allocator;
use pool::Reserved;

/// The networks of the cluster as its flags say them: no pool may have their addresses.
#[derive(Clone, Debug, Default)]
pub struct Networks(Reserved);

impl Networks {
    /// Networks of pods and of ClusterIPs.
    pub fn new(pods: &[IpNetwork], services: &[IpNetwork]) -> Self {
        let mut reserved = Reserved::default();
        for network in pods {
            reserved.add(*network, format!("{network} of --cluster-cidr"));
        }
        for network in services {
            reserved.add(*network, format!("{network} of --service-cidr"));
        }
        Self(reserved)
    }
}

/// Gives addresses until the writer stops.
pub async fn allocate(
    cluster: Cluster,
    networks: Networks,
    board: Board,
    metrics: Arc<Metrics>,
    mut status: Receiver<Status>,
) {
    let leads = |status: &Status| status.lock == LockStatus::Held;
    while status.wait_for(leads).await.is_ok() {
        let allocator = Allocator::new(&cluster, networks.0.clone(), &board, &metrics);
        tokio::select! {
            () = allocator.run() => {}
            follows = status.wait_for(|status| !leads(status)) => {
                board.set(Origin::Allocation, []);
                metrics.pools(std::iter::empty());
                if follows.is_err() {
                    return;
                }
            }
        }
    }
}
