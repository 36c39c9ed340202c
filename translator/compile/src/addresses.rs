//! Which addresses each pod has, within its segment.
//!
//! `status.podIPs` is the record; a pod without has those that it asks for, is given what it lacks, and keeps it. Segments of a VPC
//! never overlap, nor do slices of a node, so each is settled by itself and no two pods of a VPC can hold one address. Subnets of
//! two VPCs may overlap: what pods on the same node hold of them is kept apart by [`Nodes`].
//!
//! Makes no rows; the pod's unit does.

mod nodes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Cluster, Name, Pod, PodKey, Timestamp};

use self::nodes::Nodes;
use crate::arbiter::{Arbiter, Bid, Item, Outcome, Space};
use crate::pool::{Layout, Pool};
use crate::segment::Segment;
use crate::slices::list;
use crate::{Claim, SliceUse, fixed};

/// Where a pod's addresses are on record.
pub(crate) const POD_IPS: &str = "status.podIPs";

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
    /// What pods in Subnets hold, by node.
    nodes: Nodes,
}

#[derive(Debug)]
struct Seats {
    arbiter: Arbiter<PodKey, Pools>,
    /// The pools that are exhausted, by index.
    full: Vec<bool>,
}

#[derive(Debug)]
struct Home {
    segment: Segment,
    uid: Name,
    node: Name,
    created: Timestamp,
    /// Whether its addresses are what it asks for or was given, and not what its status says.
    is_wish: bool,
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
    pub(crate) fn set_segment(&mut self, key: &Segment, layouts: Option<&[Layout]>) -> bool {
        let known = self.segments.get(key).map(|seats| seats.arbiter.space());
        let same = match (known, layouts) {
            (Some(Pools(pools)), Some(layouts)) => pools.iter().map(Pool::layout).eq(layouts),
            (known, layouts) => known.is_none() && layouts.is_none(),
        };
        if same {
            return false;
        }
        if let Some(old) = self.segments.remove(key) {
            // What its pods hold they shall hold in the new one, or when the node comes back.
            for (pod, held) in old.arbiter.holdings() {
                let Some(home) = self.homes.remove(pod) else { continue };
                self.nodes.look_at(pod, false);
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
        if let Some(layouts) = layouts {
            let pools = Pools(layouts.iter().cloned().map(Pool::new).collect());
            let full = pools.full();
            self.segments.insert(
                key.clone(),
                Seats {
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
        if let Ok(wanted) = wanted(pod, seats.arbiter.space()) {
            let claim = claim.or(held).unwrap_or_default();
            let home = Home {
                segment: at.clone(),
                uid: pod.uid.clone(),
                node: pod.node.clone().unwrap_or_default(),
                created: pod.created,
                is_wish: pod.ips.is_empty(),
            };
            if at.subnet().is_some() {
                let ips = if wanted.record.is_empty() {
                    &claim
                } else {
                    &wanted.record
                };
                self.nodes.expect(key, &home.node, ips);
            }
            seats.arbiter.stage(
                key.clone(),
                Some(Bid {
                    created: pod.created,
                    record: wanted.record,
                    is_wish: home.is_wish,
                    wants_more: wanted.wants_more,
                    claim,
                    avoid: Box::default(),
                }),
            );
            self.nodes.look_at(key, at.subnet().is_some());
            self.homes.insert(key.clone(), home);
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
            let changed = if key.subnet().is_some() {
                let (nodes, homes) = (&self.nodes, &self.homes);
                let beside = |pod: &PodKey| {
                    homes
                        .get(pod)
                        .map_or_else(Vec::new, |home| nodes.beside(pod, &home.node))
                };
                seats.arbiter.settle_avoiding(beside)
            } else {
                seats.arbiter.settle()
            };
            if key.subnet().is_some() {
                for pod in &changed {
                    let home = self.homes.get(pod).filter(|home| home.segment == key);
                    let held = home.and_then(|home| match seats.arbiter.outcome(pod)? {
                        Outcome::Granted(ips) => Some((&home.node, (home.is_wish, home.created), ips)),
                        Outcome::Lost { .. } | Outcome::Waiting => None,
                    });
                    self.nodes.set(pod, held);
                }
            }
            settlement.pods.extend(changed);
            let full = seats.arbiter.space().full();
            if seats.full != full {
                seats.full = full;
                settlement.segments.push(key);
            }
        }
        // Those that are in no Subnet any more, or on another node.
        for pod in self.nodes.unsettled() {
            let held = self.homes.get(&pod).and_then(|home| {
                home.segment.subnet()?;
                match self.segments.get(&home.segment)?.arbiter.outcome(&pod)? {
                    Outcome::Granted(ips) => Some((&home.node, (home.is_wish, home.created), ips)),
                    Outcome::Lost { .. } | Outcome::Waiting => None,
                }
            });
            self.nodes.set(&pod, held);
        }
        settlement.pods.extend(self.nodes.settle());
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
        if let Some((item, to)) = self.nodes.rival(key) {
            return Some(Outcome::Lost { item, theirs: item, to });
        }
        self.segments.get(&home.segment)?.arbiter.outcome(key)
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

    /// Why what a pod's status says, or else what it asks for, cannot be right in this segment: the field, and the message.
    pub(crate) fn fault(&self, pod: &Pod, segment: &Segment) -> Option<(&'static str, String)> {
        wanted(pod, self.segments.get(segment)?.arbiter.space()).err()
    }

    /// How full each network of a segment is: the network, the addresses that pods have, and those that they can still be given.
    pub(crate) fn fill(&self, segment: &Segment) -> Vec<(IpNetwork, u128, u128)> {
        let pools = self.segments.get(segment).map(|seats| seats.arbiter.space());
        let pools = pools.into_iter().flat_map(|Pools(pools)| pools);
        pools.map(|pool| (pool.network(), pool.used(), pool.free())).collect()
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
        self.nodes.look_at(key, false);
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

/// What a pod comes with.
struct Wanted {
    record: Box<[IpAddr]>,
    /// Whether it is to be given addresses of the other families, too.
    wants_more: bool,
}

/// What a pod's status says, or else what it asks for, judged by itself; if that makes no sense, the field and the message.
fn wanted(pod: &Pod, space: &Pools) -> Result<Wanted, (&'static str, String)> {
    if !pod.ips.is_empty() {
        return match recorded(pod, space) {
            Ok(record) => Ok(Wanted {
                record,
                wants_more: false,
            }),
            Err(message) => Err((POD_IPS, message)),
        };
    }
    let wrong = |message| (fixed::FIELD, message);
    let Pools(pools) = space;
    let asked_for = fixed::addresses(pod).transpose().map_err(wrong)?.unwrap_or_default();
    for &ip in &asked_for {
        let Some(pool) = pools.iter().find(|pool| pool.network().contains(ip)) else {
            return Err(wrong(format!(
                "{ip} is not in {}, where the pod is: take an address of that, or name a Subnet that has the address in the \
                 annotation meridian.dev/subnet",
                list(&space.networks())
            )));
        };
        if !pool.admits(ip) {
            return Err(wrong(format!(
                "{ip} is no pod's in {}, but its network's, gateway's, host's or broadcast address: take another",
                pool.network()
            )));
        }
    }
    Ok(Wanted {
        wants_more: !asked_for.is_empty(),
        record: asked_for,
    })
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

    fn complete<V>(&mut self, in_use: &BTreeMap<IpAddr, V>, held: &[IpAddr], avoid: &[IpAddr]) -> Option<Vec<IpAddr>> {
        let lacking = |pool: &&mut Pool| !held.iter().any(|ip| ip.is_ipv4() == pool.network().is_ipv4());
        self.0
            .iter_mut()
            .filter(lacking)
            .map(|pool| pool.next(|ip| in_use.contains_key(&ip), avoid))
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
                .map(|net| Pool::new(Layout::slice(net.parse().unwrap())))
                .into(),
        );
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(pools.admits(&[ip("10.0.0.5")], ip("fd00::5")));
        assert!(!pools.admits(&[ip("10.0.0.5")], ip("10.0.0.6")));
    }
}
