//! A real API server and what is needed to misuse it.

mod control_plane;
mod etcd;
mod identity;
mod objects;
mod proxy;
mod reaper;

pub use control_plane::{ControlPlane, Credentials, PATIENCE};
pub use etcd::Etcd;
pub use identity::Account;
pub use objects::{ADDRESS_POOLS, Objects, SERVICE_CIDRS, SUBNETS, VPC_PEERINGS, VPCS};
pub use proxy::Proxy;

use std::future::Future;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use meridian_lab::kubernetes::Distribution;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Where it is set, a test that cannot run has failed.
const REQUIRED: &str = "REQUIRE_ROOT_TESTS";

/// The control plane of all tests, for one after the other: starting it is what takes long. None if there are no programs
/// for it, and nobody requires this test.
pub async fn control_plane() -> Option<MappedMutexGuard<'static, ControlPlane>> {
    static SHARED: Mutex<Option<ControlPlane>> = Mutex::const_new(None);
    let mut shared = SHARED.lock().await;
    match &mut *shared {
        Some(plane) => plane.mend().await,
        none => *none = Some(ControlPlane::start(distribution()?).await),
    }
    let plane = MutexGuard::map(shared, |shared| shared.as_mut().expect("started above"));
    Objects(plane.admin().await).clear().await;
    Some(plane)
}

/// Mounts need root.
pub fn may_mount() -> bool {
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    assert!(
        root || std::env::var_os(REQUIRED).is_none(),
        "this test mounts a folder in a namespace of its own and needs root"
    );
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// The programs, built if they are not there yet.
fn distribution() -> Option<Distribution> {
    let found = Distribution::find().and_then(|found| found.check().map(|()| found));
    match found {
        Ok(found) => Some(found),
        Err(error) => {
            assert!(
                std::env::var_os(REQUIRED).is_none(),
                "this test needs a real API server: {error}"
            );
            eprintln!("skipped: needs a real API server: {error}");
            None
        }
    }
}

/// Asks until the answer is `Ok`, and panics with the last error when patience is over.
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = interval(Duration::from_millis(20));
    // A question that takes long must leave time for those it is about.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}: {error}"),
        }
    }
}
