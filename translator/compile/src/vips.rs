//! [`Vips`]: which service is reached under an address and port, where several would be.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use meridian_model::{Service, ServiceKey, Timestamp};

use crate::Config;
use crate::service::{Transport, vips_of};

/// An address, port and protocol.
pub(crate) type Vip = (SocketAddr, Transport);

/// What a service claims, and whether only as an address from beyond the cluster.
pub(crate) type Claimed = (SocketAddr, Transport, bool);

/// Who would be reached under what. The oldest service is, of two of one age the one whose name comes first; but nobody
/// takes a ClusterIP of another's by naming it as an address from beyond the cluster.
#[derive(Debug, Default)]
pub(crate) struct Vips {
    /// Sorted, the holder first. Hardly ever more than one.
    claims: HashMap<Vip, Vec<Claim>>,
    of: HashMap<ServiceKey, (Timestamp, Box<[Claimed]>)>,
}

/// The least is the holder's. Claims of addresses from beyond the cluster come last.
type Claim = (bool, Timestamp, ServiceKey);

impl Vips {
    /// Notes what a service is like now, and yields the others that may fare differently for it.
    pub(crate) fn set(&mut self, key: &ServiceKey, service: Option<&Service>, config: &Config) -> BTreeSet<ServiceKey> {
        let mut others = BTreeSet::new();
        let now = service.map(|service| (service.created, vips_of(service, config)));
        if self.of.get(key) == now.as_ref() {
            return others;
        }
        if let Some((created, vips)) = self.of.remove(key) {
            for (address, transport, external) in vips {
                let vip = (address, transport);
                let Some(claims) = self.claims.get_mut(&vip) else {
                    continue;
                };
                claims.retain(|claim| *claim != (external, created, key.clone()));
                others.extend(claims.iter().map(|(_, _, other)| other.clone()));
                if claims.is_empty() {
                    self.claims.remove(&vip);
                }
            }
        }
        if let Some((created, vips)) = now {
            for &(address, transport, external) in &vips {
                let claims = self.claims.entry((address, transport)).or_default();
                others.extend(claims.iter().map(|(_, _, other)| other.clone()));
                let claim = (external, created, key.clone());
                if let Err(at) = claims.binary_search(&claim) {
                    claims.insert(at, claim);
                }
            }
            self.of.insert(key.clone(), (created, vips));
        }
        others
    }

    /// Who is reached under it, and whether only as an address from beyond the cluster.
    pub(crate) fn holder(&self, vip: Vip) -> Option<(&ServiceKey, bool)> {
        let (external, _, key) = self.claims.get(&vip)?.first()?;
        Some((key, *external))
    }
}
