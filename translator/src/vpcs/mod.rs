//! Says on VPCs and peerings what becomes of them, and keeps VPCs as long as pods are in them.
//!
//! ```text
//!   watch of a kind ┐
//!   Status (reports)┼──▶ plan (what is to be different) ──▶ Keeper ──▶ statuses, finalizers of vpcs
//!   Board (unread) ─┘                                         └──▶ Board (what may not be written)
//! ```
//!
//! Only the leader writes, and never against whoever writes otherwise. What a VPC means is decided where everything else
//! is, by the compiler, whose report is all that is said here. Must not: be needed by anything but the deletion of a VPC.

mod keeper;
mod kept;
mod plan;
mod words;

use meridian_api::vpc::Vpc;
use meridian_api::vpc_peering::VpcPeering;
use meridian_northbound::writer::{LockStatus, Status};
use tokio::sync::watch::Receiver;

use crate::problems::Board;
use crate::source::kubernetes::Cluster;
use keeper::Keeper;
use kept::Kept;

/// Keeps the status of VPCs and of peerings until the writer stops.
pub async fn keep(cluster: Cluster, board: Board, status: Receiver<Status>) {
    tokio::join!(
        keep_kind::<Vpc>(&cluster, &board, status.clone()),
        keep_kind::<VpcPeering>(&cluster, &board, status.clone()),
    );
}

async fn keep_kind<K: Kept>(cluster: &Cluster, board: &Board, mut status: Receiver<Status>) {
    let leads = |status: &Status| status.lock == LockStatus::Held;
    while status.wait_for(leads).await.is_ok() {
        tokio::select! {
            () = Keeper::<K>::new(cluster, board).run(status.clone()) => {}
            follows = status.wait_for(|status| !leads(status)) => {
                board.set(K::WRITTEN_BY, []);
                if follows.is_err() {
                    return;
                }
            }
        }
    }
}
