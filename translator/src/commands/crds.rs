//! `crds`: our custom resources, as the API server is told of them.

use kube::CustomResourceExt as _;
use meridian_api::address_pool::AddressPool;
use meridian_api::subnet::Subnet;
use meridian_api::vpc::Vpc;
use meridian_api::vpc_peering::VpcPeering;

use super::{Outcome, print};

/// Prints them.
pub fn execute() -> anyhow::Result<Outcome> {
    let texts =
        [AddressPool::crd(), Vpc::crd(), VpcPeering::crd(), Subnet::crd()].map(|crd| serde_saphyr::to_string(&crd));
    for (at, text) in texts.into_iter().enumerate() {
        let separator = if at == 0 { "" } else { "---\n" };
        print(&format!("{separator}{}\n", text?.trim_end()))?;
    }
    Ok(Outcome::Fine)
}
