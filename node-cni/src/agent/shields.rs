//! The shields of running pods, put back when somebody flushes nftables' rules.
//!
//! The plugin gives a pod's device its shield (see `netlink::shield`) and takes it away; with `nft flush ruleset` those of
//! pods that run are gone, and the host would route what a pod sends past every policy.

use std::collections::BTreeSet;

use nix::errno::Errno;

use crate::name;
use crate::netlink::{self, NetlinkError, Rtnetlink};

/// Gives every pod's device a shield that has none.
pub(super) fn restore() -> Result<(), NetlinkError> {
    let mut rtnetlink = Rtnetlink::open()?;
    let shielded: BTreeSet<String> = netlink::shielded()?.into_iter().collect();
    let mut restored = 0_usize;
    for link in rtnetlink.links()? {
        if !name::is_any_host_end(&link.name) || shielded.contains(&link.name) {
            continue;
        }
        match netlink::shield(&link.name) {
            Ok(()) => restored += 1,
            // The pod ended meanwhile.
            Err(error) if matches!(error.errno(), Some(Errno::ENOENT | Errno::ENODEV)) => continue,
            Err(error) => return Err(error),
        }
        // Kernels from 6.16 on keep a chain without its device, and DEL may have been here first.
        if rtnetlink.link(&link.name)?.is_none() {
            netlink::unshield(&link.name)?;
        }
    }
    if restored > 0 {
        tracing::warn!(restored, "shields of pods were missing; they have been put back");
    }
    Ok(())
}
