//! `crds`: our custom resources, as the API server is told of them.

use kube::CustomResourceExt as _;
use meridian_api::address_pool::AddressPool;

use super::{Outcome, print};

/// Prints them.
pub fn execute() -> anyhow::Result<Outcome> {
    let text = serde_saphyr::to_string(&AddressPool::crd())?;
    print(&format!("{}\n", text.trim_end()))?;
    Ok(Outcome::Fine)
}
