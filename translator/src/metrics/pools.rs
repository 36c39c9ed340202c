//! How full the pools of addresses are.

use meridian_api::address_pool::Usage;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool: String,
    family: &'static str,
    state: &'static str,
}

/// The metrics of pools; only who gives addresses has any.
#[derive(Debug, Default)]
pub(super) struct PoolMetrics(Family<PoolLabel, Gauge>);

impl PoolMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "address_pool_addresses",
            "Addresses of pools that services have, and that they may still get",
            self.0.clone(),
        );
    }

    /// Takes over how full they are now: by pool and family.
    pub(super) fn set<'a>(&self, usage: impl Iterator<Item = (&'a str, &'static str, Usage)>) {
        self.0.clear();
        for (pool, family, usage) in usage {
            for (state, count) in [("allocated", usage.allocated), ("free", usage.free)] {
                let label = PoolLabel {
                    pool: pool.to_owned(),
                    family,
                    state,
                };
                self.0.get_or_create(&label).set(count);
            }
        }
    }
}
