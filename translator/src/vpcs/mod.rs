//! Says on VPCs what becomes of them, and keeps them as long as pods are in them.
//!
//! ```text
//!   watch of VPCs ──┐
//!   Status (reports)┼──▶ plan (what is to be different) ──▶ Keeper ──▶ vpcs/status, finalizers of vpcs
//!   Board (unread) ─┘                                         └──▶ Board (what may not be written)
//! ```
//!
//! Only the leader writes, and never against whoever writes otherwise. What a VPC means is decided where everything else
//! is, by the compiler, whose report is all that is said here. Must not: be needed by anything but the deletion of a VPC.

mod keeper;
mod plan;
mod words;

use meridian_northbound::writer::{LockStatus, Status};
use tokio::sync::watch::Receiver;

use crate::problems::{Board, Origin};
use crate::source::kubernetes::Cluster;
use keeper::Keeper;

/// Keeps the status of VPCs until the writer stops.
pub async fn keep(cluster: Cluster, board: Board, mut status: Receiver<Status>) {
    let leads = |status: &Status| status.lock == LockStatus::Held;
    while status.wait_for(leads).await.is_ok() {
        tokio::select! {
            () = Keeper::new(&cluster, &board).run(status.clone()) => {}
            follows = status.wait_for(|status| !leads(status)) => {
                board.set(Origin::VpcStatus, []);
                if follows.is_err() {
                    return;
                }
            }
        }
    }
}
