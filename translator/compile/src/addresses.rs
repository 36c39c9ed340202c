//! Which addresses each pod has, within its segment.
//!
//! `status.podIPs` is the record; a pod without is given addresses, and keeps them. Slices of a VPC never overlap, nor do those
//! of a node, so each is settled by itself and no two pods of a VPC or of a node can hold one address.
//!
//! Makes no rows; the pod's unit does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Cluster, Name, Pod, PodKey};

use crate::arbiter::{Arbiter, Bid, Item, Outcome, Space};
use crate::pool::Pool;
use crate::segment::Segment;
use crate::slices::list;
use crate::{Claim, SliceUse};

/// How a pod fares in its segment.
pub(crate) type Fare<'a> = Outcome<'a, PodKey, IpAddr>;

#[derive(Debug, Default)]
pub(crate) struct Addresses {
    segments: HashMap<Segment, Seats>,
    /// Where each pod with a bid, and that pod's UID.
    homes: HashMap<PodKey, Home>,
    /// Claims of pods that have no segment to make a bid in.
    claims: HashMap<PodKey, PodClaim>,
    /// Segments with staged bids.
    staged: BTreeSet<Segment>,
}

#[derive(Debug)]
struct Seats {
    networks: Box<[IpNetwork]>,
    arbiter: Arbiter<PodKey, Pools>,
    /// The pools that are exhausted, by index.
    full: Vec<bool>,
}

#[derive(Debug)]
struct Home {
    segment: Segment,
    uid: Name,
}

#[derive(Debug)]
struct PodClaim {
    uid: Name,
    vpc: Name,
    ips: Box<[IpAddr]>,
}

/// What a settlement changed.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    /// Pods that may fare differently.
    pub(crate) pods: BTreeSet<PodKey>,
    /// Segments that became exhausted or are no longer.
    pub(crate) segments: Vec<Segment>,
}

impl Addresses {
    pub(crate) fn claim(&mut self, pod: PodKey, uid: Name, vpc: Name, ips: Box<[IpAddr]>) {
        self.claims.insert(pod, PodClaim { uid, vpc, ips });
    }

    /// The VPC in which a pod of that UID has addresses, or had them by what is claimed.
    pub(crate) fn vpc_of(&self, pod: &PodKey, uid: &Name) -> Option<&Name> {
        let home = self.homes.get(pod).filter(|home| home.uid == *uid);
        let claim = || self.claims.get(pod).filter(|claim| claim.uid == *uid);
        home.map(|home| home.segment.vpc()).or_else(|| Some(&claim()?.vpc))
    }

    /// Notes what a segment is, or that there is none. True if it is different from before: then its pods have to be staged
    /// again.
    pub(crate) fn set_segment(&mut self, key: &Segment, networks: Option<&[IpNetwork]>) -> bool {
        if self.segments.get(key).map(|seats| &*seats.networks) == networks {
            return false;
        }
        if let Some(old) = self.segments.remove(key) {
            // What its pods hold they shall hold in the new one, or when the node comes back.
            for (pod, held) in old.arbiter.holdings() {
                let Some(home) = self.homes.remove(pod) else { continue };
                if !held.is_empty() || !key.is_default() {
                    self.claims.insert(
                        pod.clone(),
                        PodClaim {
                            uid: home.uid,
                            vpc: home.segment.vpc().clone(),
                            ips: held.into(),
                        },
                    );
                }
            }
            self.staged.remove(key);
        }
        if let Some(networks) = networks {
            let pools = Pools(networks.iter().copied().map(Pool::new).collect());
            let full = pools.full();
            self.segments.insert(
                key.clone(),
                Seats {
                    networks: networks.into(),
                    arbiter: Arbiter::new(pools),
                    full,
                },
            );
        }
        true
    }

    /// Notes what a pod is like now and which segment it is to be in, if it is to be in one; takes effect with [`Self::settle`].
    pub(crate) fn stage(&mut self, key: &PodKey, pod: Option<&Pod>, segment: Option<Segment>) {
        let pod = pod.filter(|pod| wants_port(pod));
        let stays = |home: &Home| Some(&home.segment) == segment.as_ref() && pod.is_some_and(|pod| pod.uid == home.uid);
        let held = match self.homes.get(key) {
            Some(home) if stays(home) => Some(Box::from(self.segments[&home.segment].arbiter.held(key))),
            Some(_) => {
                self.leave(key);
                None
            }
            None => None,
        };
        let (Some(pod), Some(at)) = (pod, segment) else {
            // One that waits for its VPC keeps what it had.
            let is_its = |claim: &PodClaim| pod.is_some_and(|pod| pod.node.is_some() && pod.uid == claim.uid);
            if self.claims.get(key).is_some_and(|claim| !is_its(claim)) {
                self.claims.remove(key);
            }
            return;
        };
        let Some(seats) = self.segments.get_mut(&at) else {
            if self.claims.get(key).is_some_and(|claim| claim.uid != pod.uid) {
                self.claims.remove(key);
            }
            return;
        };
        let claim = self
            .claims
            .remove(key)
            .filter(|claim| claim.uid == pod.uid && claim.vpc == *at.vpc())
            .map(|claim| claim.ips);
        if let Ok(record) = recorded(pod, seats.arbiter.space()) {
            let claim = claim.or(held).unwrap_or_default();
            seats.arbiter.stage(
                key.clone(),
                Some(Bid {
                    created: pod.created,
                    record,
                    claim,
                    avoid: Box::default(),
                }),
            );
            self.homes.insert(
                key.clone(),
                Home {
                    segment: at.clone(),
                    uid: pod.uid.clone(),
                },
            );
            self.staged.insert(at);
        } else {
            self.leave(key);
        }
    }

    /// Settles what is staged.
    pub(crate) fn settle(&mut self) -> Settlement {
        let mut settlement = Settlement::default();
        for key in std::mem::take(&mut self.staged) {
            let Some(seats) = self.segments.get_mut(&key) else {
                continue;
            };
            settlement.pods.extend(seats.arbiter.settle());
            let full = seats.arbiter.space().full();
            if seats.full != full {
                seats.full = full;
                settlement.segments.push(key);
            }
        }
        settlement
    }

    /// Claims of pods that do not exist are void once everything was seen.
    pub(crate) fn forget_absent(&mut self, cluster: &Cluster) {
        self.claims
            .retain(|key, claim| cluster.pod(key).is_some_and(|pod| pod.uid == claim.uid));
    }

    /// How a pod fares; nothing if it made no bid.
    pub(crate) fn fare(&self, key: &PodKey) -> Option<Fare<'_>> {
        let home = self.homes.get(key)?;
        self.segments.get(&home.segment)?.arbiter.outcome(key)
    }

    /// The networks of a segment, none if there is none.
    pub(crate) fn networks(&self, segment: &Segment) -> &[IpNetwork] {
        self.segments.get(segment).map_or(&[], |seats| &seats.networks)
    }

    /// Why a pod that asks for any address has to wait in this segment.
    pub(crate) fn shortage(&self, segment: &Segment) -> Option<String> {
        let Pools(pools) = self.segments.get(segment)?.arbiter.space();
        let short: Vec<String> = pools
            .iter()
            .filter(|pool| pool.is_exhausted())
            .map(shortage_of)
            .collect();
        (!short.is_empty()).then(|| short.join(", "))
    }

    /// Why a pod's `status.podIPs` cannot be right in this segment.
    pub(crate) fn fault(&self, pod: &Pod, segment: &Segment) -> Option<String> {
        recorded(pod, self.segments.get(segment)?.arbiter.space()).err()
    }

    /// How full each slice is, in no particular order.
    pub(crate) fn usage(&self) -> impl Iterator<Item = SliceUse> {
        let slices = self.segments.iter().filter_map(|(key, seats)| match key {
            Segment::Slice(slice) => Some((slice, seats)),
            Segment::Subnet(_) => None,
        });
        slices.flat_map(|(key, seats)| {
            let Pools(pools) = seats.arbiter.space();
            pools.iter().map(|pool| SliceUse {
                vpc: key.vpc.clone(),
                node: key.node.clone(),
                network: pool.network(),
                used: pool.used(),
                capacity: pool.capacity(),
            })
        })
    }

    pub(crate) fn claims(&self) -> impl Iterator<Item = Claim> {
        let seated = self.segments.values().flat_map(|seats| seats.arbiter.holdings());
        let held = seated.filter_map(|(pod, ips)| {
            let home = self.homes.get(pod)?;
            // Also where it has no address, in which VPC a pod is says no other address than those it has.
            (!ips.is_empty() || !home.segment.is_default()).then(|| Claim::Pod {
                pod: pod.clone(),
                uid: home.uid.clone(),
                vpc: home.segment.vpc().clone(),
                ips: ips.into(),
            })
        });
        let kept = self.claims.iter().map(|(pod, claim)| Claim::Pod {
            pod: pod.clone(),
            uid: claim.uid.clone(),
            vpc: claim.vpc.clone(),
            ips: claim.ips.clone(),
        });
        held.chain(kept)
    }

    fn leave(&mut self, key: &PodKey) {
        let Some(home) = self.homes.remove(key) else { return };
        if let Some(seats) = self.segments.get_mut(&home.segment) {
            seats.arbiter.stage(key.clone(), None);
            self.staged.insert(home.segment);
        }
    }
}

/// Whether a pod has a logical port, once it has a node and addresses.
pub(crate) fn wants_port(pod: &Pod) -> bool {
    !pod.host_network && !pod.finished()
}

/// What a pod's status says, judged by itself.
fn recorded(pod: &Pod, space: &Pools) -> Result<Box<[IpAddr]>, String> {
    let Pools(pools) = space;
    let mut families = [false; 2];
    for &ip in &pod.ips {
        let Some(pool) = pools.iter().find(|pool| pool.network().contains(ip)) else {
            let slice = list(&space.networks());
            return Err(format!(
                "{ip} is not in its node's slice {slice}: delete the pod to give it another"
            ));
        };
        if !pool.admits(ip) {
            return Err(format!(
                "{ip} is reserved in {}, as its network, gateway, management or broadcast address: delete the pod to \
                 give it another",
                pool.network()
            ));
        }
        let seen = &mut families[usize::from(ip.is_ipv6())];
        if std::mem::replace(seen, true) {
            return Err(format!(
                "{ip} is a second address of its family: a pod has one per family"
            ));
        }
    }
    Ok(pod.ips.clone())
}

fn shortage_of(pool: &Pool) -> String {
    match pool.capacity() {
        0 => format!("{} has no room for pods", pool.network()),
        all => format!("all {all} pod addresses of {} are in use", pool.network()),
    }
}

impl Item for IpAddr {
    fn overlapping<V>(self, known: &BTreeMap<Self, V>) -> Vec<Self> {
        if known.contains_key(&self) {
            vec![self]
        } else {
            Vec::new()
        }
    }
}

/// The pools of a segment: one per family.
#[derive(Debug)]
struct Pools(Box<[Pool]>);

impl Pools {
    fn networks(&self) -> Vec<IpNetwork> {
        self.0.iter().map(Pool::network).collect()
    }

    fn full(&self) -> Vec<bool> {
        self.0.iter().map(Pool::is_exhausted).collect()
    }

    fn of(&mut self, ip: IpAddr) -> &mut Pool {
        let found = self.0.iter_mut().find(|pool| pool.network().contains(ip));
        found.expect("only addresses that a pool admits are registered")
    }
}

impl Space for Pools {
    type Item = IpAddr;

    fn admits(&self, held: &[IpAddr], item: IpAddr) -> bool {
        held.iter().all(|other| other.is_ipv4() != item.is_ipv4()) && self.0.iter().any(|pool| pool.admits(item))
    }

    fn take(&mut self, item: IpAddr) {
        self.of(item).take(item);
    }

    fn give_back(&mut self, item: IpAddr) {
        self.of(item).give_back(item);
    }

    fn complete<V>(&mut self, in_use: &BTreeMap<IpAddr, V>, held: &[IpAddr], _: &[IpAddr]) -> Option<Vec<IpAddr>> {
        let lacking = |pool: &&mut Pool| !held.iter().any(|ip| ip.is_ipv4() == pool.network().is_ipv4());
        self.0
            .iter_mut()
            .filter(lacking)
            .map(|pool| pool.next(|ip| in_use.contains_key(&ip)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_may_hold_one_address_of_each_family() {
        let pools = Pools(
            ["10.0.0.0/24", "fd00::/64"]
                .map(|net| Pool::new(net.parse().unwrap()))
                .into(),
        );
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(pools.admits(&[ip("10.0.0.5")], ip("fd00::5")));
        assert!(!pools.admits(&[ip("10.0.0.5")], ip("10.0.0.6")));
    }
}
