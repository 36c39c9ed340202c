//! Says on VPCs and Subnets what becomes of them, and keeps them as long as pods are in them.
//!
//! ```text
//!   watch of each ──┐
//!   Status (reports)┼──▶ Kept (what is to be different) ──▶ Keeper ──▶ vpcs/status, finalizers of vpcs; the same of subnets
//!   Board (unread) ─┘                                         └──▶ Board (what may not be written)
//! ```
//!
//! Only the leader writes, and never against whoever writes otherwise. What they mean is decided where everything else
//! is, by the compiler, whose report is all that is said here. Must not: be needed by anything but the deletion of one.

mod keeper;
mod kept;
mod peering;
mod plan;
mod subnet;
mod words;

use meridian_api::subnet::Subnet;
use meridian_api::vpc::Vpc;
use meridian_api::vpc_peering::VpcPeering;
use meridian_northbound::writer::{LockStatus, Status};
use tokio::sync::watch::Receiver;

use crate::problems::Board;
use crate::source::kubernetes::Cluster;
use keeper::Keeper;
use kept::Kept;

/// Keeps the status of VPCs, peerings and Subnets until the writer stops.
pub async fn keep(cluster: Cluster, board: Board, status: Receiver<Status>) {
    tokio::join!(
        keep_kind::<Vpc>(&cluster, &board, status.clone()),
        keep_kind::<VpcPeering>(&cluster, &board, status.clone()),
        keep_kind::<Subnet>(&cluster, &board, status)
    );
}

async fn keep_kind<K: Kept>(cluster: &Cluster, board: &Board, mut status: Receiver<Status>) {
    let leads = |status: &Status| status.lock == LockStatus::Held;
    while status.wait_for(leads).await.is_ok() {
        tokio::select! {
            () = Keeper::<K>::new(cluster, board).run(status.clone()) => {}
            follows = status.wait_for(|status| !leads(status)) => {
                board.set(K::STATUS, []);
                if follows.is_err() {
                    return;
                }
            }
        }
    }
}
