//! Notifications of the kernel, for the reconciler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::netlink::{self, Watch};

/// A pod that starts is half a dozen notifications within some milliseconds; they are one change.
const QUIET: Duration = Duration::from_millis(100);

/// Whether the host's network configuration may have changed.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    routes: AtomicBool,
    nftables: AtomicBool,
    wake: Notify,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) routes: bool,
    pub(super) nftables: bool,
}

impl Kernel {
    /// Listens on threads of their own; at first everything counts as changed.
    pub(super) fn watch() -> Arc<Self> {
        let kernel = Arc::new(Self {
            routes: AtomicBool::new(true),
            nftables: AtomicBool::new(true),
            wake: Notify::new(),
        });
        for what in [Watch::Routes, Watch::Nftables] {
            let kernel = Arc::clone(&kernel);
            std::thread::spawn(move || {
                let result = netlink::wait(what, || {
                    match what {
                        Watch::Routes => kernel.routes.store(true, Ordering::Release),
                        Watch::Nftables => kernel.nftables.store(true, Ordering::Release),
                    }
                    kernel.wake.notify_one();
                    true
                });
                if let Err(error) = result {
                    // What is lost is speed: the reconciler also looks at intervals.
                    tracing::warn!(%error, ?what, "no notifications from the kernel");
                }
            });
        }
        kernel
    }

    /// Waits for a change, and until its companions are in. Cancelling loses no change: what changed stays marked.
    pub(super) async fn changed(&self) {
        self.wake.notified().await;
        tokio::time::sleep(QUIET).await;
    }

    /// Takes the marks.
    pub(super) fn take(&self) -> Changed {
        Changed {
            routes: self.routes.swap(false, Ordering::AcqRel),
            nftables: self.nftables.swap(false, Ordering::AcqRel),
        }
    }
}
