//! Which addresses each pod has, within its segment; and which each of its further interfaces, within theirs.
//!
//! `status.podIPs` is the record; a pod without has those that it asks for, is given what it lacks, and keeps it. Segments of a VPC
//! never overlap, nor do slices of a node, so each is settled by itself and no two pods of a VPC can hold one address. Subnets of
//! two VPCs may overlap: what pods on the same node hold of them is kept apart by [`Nodes`].
//!
//! Further interfaces have no record that others would have to give way to: they keep what they had by their row, or else by the
//! network status.
//!
//! Makes no rows; the pod's unit does.

mod nodes;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Cluster, Name, NetworkRequest, Pod, PodKey, PortKey, Timestamp};

use self::nodes::{Age, Nodes};
pub(crate) use self::wanted::Applicant;
use self::wanted::{asked_for, wanted};
use crate::arbiter::{Arbiter, Bid, Item, Outcome, Space};
use crate::pool::{Layout, Pool};
use crate::segment::Segment;
use crate::{Claim, SliceUse};

/// Where a pod's addresses are on record.
pub(crate) const POD_IPS: &str = "status.podIPs";

/// How a pod fares in its segment.
pub(crate) type Fare<'a> = Outcome<'a, PortKey, IpAddr>;

#[derive(Debug, Default)]
pub(crate) struct Addresses {
    segments: HashMap<Segment, Seats>,
    /// Where each interface with a bid is, and its pod's UID.
    homes: HashMap<PortKey, Home>,
    /// Claims of interfaces that have no segment to make a bid in.
    claims: HashMap<PortKey, PodClaim>,
    /// The further interfaces among both, by pod.
    further: HashMap<PodKey, BTreeSet<Name>>,
    /// Segments with staged bids.
    staged: BTreeSet<Segment>,
    /// What pods in Subnets hold, by node.
    nodes: Nodes,
}

#[derive(Debug)]
struct Seats {
    arbiter: Arbiter<PortKey, Pools>,
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

impl Home {
    /// What the interface has been granted in its segment, on which node, and what decides between it and others there.
    fn held<'a>(&'a self, port: &PortKey, seats: &'a Seats) -> Option<(&'a Name, Age, &'a [IpAddr])> {
        match seats.arbiter.outcome(port)? {
            Outcome::Granted(ips) => Some((&self.node, (self.is_wish, self.created), ips)),
            Outcome::Lost { .. } | Outcome::Waiting => None,
        }
    }
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
    pub(crate) fn claim(&mut self, port: PortKey, uid: Name, vpc: Name, ips: Box<[IpAddr]>) {
        self.note_further(&port);
        self.claims.insert(port, PodClaim { uid, vpc, ips });
    }

    /// The further interfaces of a pod that something is known of.
    pub(crate) fn further(&self, pod: &PodKey) -> impl Iterator<Item = &Name> {
        self.further.get(pod).into_iter().flatten()
    }

    fn note_further(&mut self, port: &PortKey) {
        if let Some(interface) = &port.interface {
            let further = self.further.entry(port.pod.clone()).or_default();
            further.insert(interface.clone());
        }
    }

    fn forget_further(&mut self, port: &PortKey) {
        let Some(interface) = &port.interface else { return };
        if self.homes.contains_key(port) || self.claims.contains_key(port) {
            return;
        }
        if let Some(further) = self.further.get_mut(&port.pod) {
            further.remove(interface);
            if further.is_empty() {
                self.further.remove(&port.pod);
            }
        }
    }

    /// The VPC in which an interface of a pod of that UID has addresses, or had them by what is claimed.
    pub(crate) fn vpc_of(&self, port: &PortKey, uid: &Name) -> Option<&Name> {
        let home = self.homes.get(port).filter(|home| home.uid == *uid);
        let claim = || self.claims.get(port).filter(|claim| claim.uid == *uid);
        home.map(|home| home.segment.vpc()).or_else(|| Some(&claim()?.vpc))
    }

    /// Whether an interface of a pod of that UID has such an address, or had one by what is claimed.
    pub(crate) fn has(&self, port: &PortKey, uid: &Name, such: impl Fn(IpAddr) -> bool) -> bool {
        if let Some(home) = self.homes.get(port).filter(|home| home.uid == *uid) {
            let seats = self.segments.get(&home.segment);
            return seats.is_some_and(|seats| seats.arbiter.held(port).iter().any(|ip| such(*ip)));
        }
        let claim = self.claims.get(port).filter(|claim| claim.uid == *uid);
        claim.is_some_and(|claim| claim.ips.iter().any(|ip| such(*ip)))
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

    /// Notes what an interface is like now, if it is to be there, and which segment it is to be in, if it is to be in one; takes
    /// effect with [`Self::settle`].
    pub(crate) fn stage(&mut self, key: &PortKey, applicant: Option<Applicant<'_>>, segment: Option<Segment>) {
        self.stage_known(key, applicant, segment);
        if self.homes.contains_key(key) || self.claims.contains_key(key) {
            self.note_further(key);
        } else {
            self.forget_further(key);
        }
    }

    fn stage_known(&mut self, key: &PortKey, applicant: Option<Applicant<'_>>, segment: Option<Segment>) {
        let pod = applicant.map(|applicant| applicant.pod());
        let stays = |home: &Home| Some(&home.segment) == segment.as_ref() && pod.is_some_and(|pod| pod.uid == home.uid);
        let held = match self.homes.get(key) {
            Some(home) if stays(home) => Some(Box::from(self.segments[&home.segment].arbiter.held(key))),
            Some(_) => {
                self.leave(key);
                None
            }
            None => None,
        };
        let (Some(applicant), Some(at)) = (applicant, segment) else {
            // One that waits for its VPC keeps what it had.
            let is_its = |claim: &PodClaim| pod.is_some_and(|pod| pod.node.is_some() && pod.uid == claim.uid);
            if self.claims.get(key).is_some_and(|claim| !is_its(claim)) {
                self.claims.remove(key);
            }
            return;
        };
        let pod = applicant.pod();
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
        if let Ok(wanted) = wanted(applicant, seats.arbiter.space()) {
            let only = &wanted.only;
            let is_wanted = |ip: &&IpAddr| only.contains(ip) || !only.iter().any(|only| only.is_ipv4() == ip.is_ipv4());
            let claim = claim.or(held).unwrap_or_else(|| applicant.had().into());
            let claim: Box<[IpAddr]> = claim.iter().filter(is_wanted).copied().collect();
            let home = Home {
                segment: at.clone(),
                uid: pod.uid.clone(),
                node: pod.node.clone().unwrap_or_default(),
                created: pod.created,
                is_wish: pod.ips.is_empty() || !key.is_first(),
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
                    only: wanted.only,
                    avoid: Box::default(),
                }),
            );
            self.nodes.look_at(key, at.subnet().is_some());
            self.homes.insert(key.clone(), home);
            self.staged.insert(at);
        } else {
            self.leave(key);
            // That it is in the VPC is known by nothing else, or by nothing that stays when its namespace moves.
            if !key.is_first() || !at.is_default() {
                let claim = PodClaim {
                    uid: pod.uid.clone(),
                    vpc: at.vpc().clone(),
                    ips: claim.or(held).unwrap_or_default(),
                };
                self.claims.insert(key.clone(), claim);
            }
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
                let beside = |pod: &PortKey| {
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
                    self.nodes.set(pod, home.and_then(|home| home.held(pod, seats)));
                }
            }
            settlement.pods.extend(changed.into_iter().map(|port| port.pod));
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
                home.held(&pod, self.segments.get(&home.segment)?)
            });
            self.nodes.set(&pod, held);
        }
        let moved = self.nodes.settle().into_iter();
        settlement.pods.extend(moved.map(|port| port.pod));
        settlement
    }

    /// Claims of pods that do not exist are void once everything was seen.
    pub(crate) fn forget_absent(&mut self, cluster: &Cluster) {
        let wants = |port: &PortKey, pod: &Pod| match &port.interface {
            None => true,
            Some(interface) => pod.further().iter().any(|request| request.interface == *interface),
        };
        let there = |port: &PortKey, claim: &PodClaim| {
            let pod = cluster.pod(&port.pod);
            pod.is_some_and(|pod| pod.uid == claim.uid && wants(port, pod))
        };
        let gone = self.claims.extract_if(|port, claim| !there(port, claim));
        for (port, _) in gone.collect::<Vec<_>>() {
            self.forget_further(&port);
        }
    }

    /// How an interface fares; nothing if it made no bid.
    pub(crate) fn fare(&self, key: &PortKey) -> Option<Fare<'_>> {
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
        wanted(Applicant::of(pod), self.segments.get(segment)?.arbiter.space()).err()
    }

    /// Why an interface cannot have the addresses that it asks for in this segment: they can be nobody's, or are another's.
    pub(crate) fn refusal(&self, port: &PortKey, request: &NetworkRequest, segment: &Segment) -> Option<String> {
        let arbiter = &self.segments.get(segment)?.arbiter;
        if let Err(fault) = asked_for(&request.ips, arbiter.space()) {
            return Some(fault);
        }
        request.ips.iter().find_map(|&ip| {
            let holder = arbiter.holder(ip).filter(|holder| *holder != port)?;
            Some(format!(
                "{ip} is that of pod {holder}: ask for another, or delete that pod"
            ))
        })
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
                port: pod.clone(),
                uid: home.uid.clone(),
                vpc: home.segment.vpc().clone(),
                ips: ips.into(),
            })
        });
        let kept = self.claims.iter().map(|(pod, claim)| Claim::Pod {
            port: pod.clone(),
            uid: claim.uid.clone(),
            vpc: claim.vpc.clone(),
            ips: claim.ips.clone(),
        });
        held.chain(kept)
    }

    fn leave(&mut self, key: &PortKey) {
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
