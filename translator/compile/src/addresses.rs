//! Which addresses each pod has, within its segment; and which each of its further interfaces, within theirs.
//!
//! `status.podIPs` is the record; a pod without is given addresses, and keeps them. Further interfaces have no record that others
//! would have to give way to: they keep what they had by their row, or else by the network status. Slices of a VPC never overlap, nor do those
//! of a node, so each is settled by itself and no two pods of a VPC or of a node can hold one address.
//!
//! Makes no rows; the pod's unit does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Cluster, Name, NetworkRequest, Pod, PodKey, PortKey, Timestamp};

use crate::arbiter::{Arbiter, Bid, Item, Outcome, Space};
use crate::pool::Pool;
use crate::segment::Segment;
use crate::slices::list;
use crate::{Claim, SliceUse};

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
}

#[derive(Debug)]
struct Seats {
    networks: Box<[IpNetwork]>,
    arbiter: Arbiter<PortKey, Pools>,
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

/// Who is to have addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applicant<'a> {
    uid: &'a Name,
    created: Timestamp,
    /// What it has for certain.
    record: &'a [IpAddr],
    /// What it had, where neither a row nor we know better.
    had: &'a [IpAddr],
    /// What it asks for.
    only: &'a [IpAddr],
}

impl<'a> Applicant<'a> {
    /// A pod's first interface, if it is to have a port once it has a node.
    pub(crate) fn first(pod: &'a Pod) -> Option<Self> {
        wants_port(pod).then_some(Self {
            uid: &pod.uid,
            created: pod.created,
            record: &pod.ips,
            had: &[],
            only: &[],
        })
    }

    /// The same of a further interface.
    pub(crate) fn further(pod: &'a Pod, request: &'a NetworkRequest) -> Option<Self> {
        let networks = pod.networks.as_ref()?;
        Self::first(pod).map(|first| Self {
            record: &[],
            had: networks.had(&request.interface),
            only: &request.ips,
            ..first
        })
    }
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

    /// Notes what an interface is like now, if it is to be there, and which segment it is to be in, if it is to be in one; takes
    /// effect with [`Self::settle`].
    pub(crate) fn stage(
        &mut self,
        key: &PortKey,
        pod: Option<&Pod>,
        applicant: Option<Applicant<'_>>,
        segment: Option<Segment>,
    ) {
        self.stage_known(key, pod, applicant, segment);
        if self.homes.contains_key(key) || self.claims.contains_key(key) {
            self.note_further(key);
        } else {
            self.forget_further(key);
        }
    }

    fn stage_known(
        &mut self,
        key: &PortKey,
        pod: Option<&Pod>,
        applicant: Option<Applicant<'_>>,
        segment: Option<Segment>,
    ) {
        let stays = |home: &Home| {
            Some(&home.segment) == segment.as_ref() && applicant.is_some_and(|applicant| *applicant.uid == home.uid)
        };
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
            let waits = applicant.is_some() && pod.is_some_and(|pod| pod.node.is_some());
            let is_its = |claim: &PodClaim| waits && applicant.is_some_and(|applicant| *applicant.uid == claim.uid);
            if self.claims.get(key).is_some_and(|claim| !is_its(claim)) {
                self.claims.remove(key);
            }
            return;
        };
        let Some(seats) = self.segments.get_mut(&at) else {
            if self.claims.get(key).is_some_and(|claim| claim.uid != *applicant.uid) {
                self.claims.remove(key);
            }
            return;
        };
        let claim = self
            .claims
            .remove(key)
            .filter(|claim| claim.uid == *applicant.uid && claim.vpc == *at.vpc())
            .map(|claim| claim.ips);
        let space = seats.arbiter.space();
        if recorded(applicant.record, space).is_ok() && recorded(applicant.only, space).is_ok() {
            let Applicant { had, only, .. } = applicant;
            let claim = claim.or(held).unwrap_or_else(|| had.into());
            let wanted = |ip: &&IpAddr| only.contains(ip) || !only.iter().any(|only| only.is_ipv4() == ip.is_ipv4());
            seats.arbiter.stage(
                key.clone(),
                Some(Bid {
                    created: applicant.created,
                    record: applicant.record.into(),
                    claim: claim.iter().filter(wanted).copied().collect(),
                    only: only.into(),
                    avoid: Box::default(),
                }),
            );
            self.homes.insert(
                key.clone(),
                Home {
                    segment: at.clone(),
                    uid: applicant.uid.clone(),
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
            settlement
                .pods
                .extend(seats.arbiter.settle().into_iter().map(|port| port.pod));
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
        let fault = recorded(&pod.ips, self.segments.get(segment)?.arbiter.space()).err()?;
        Some(format!("{fault}: delete the pod to give it another"))
    }

    /// Why an interface cannot have the addresses that it asks for in this segment: they can be nobody's, or are another's.
    pub(crate) fn refusal(&self, port: &PortKey, request: &NetworkRequest, segment: &Segment) -> Option<String> {
        let arbiter = &self.segments.get(segment)?.arbiter;
        if let Err(fault) = recorded(&request.ips, arbiter.space()) {
            return Some(format!("{fault}: ask for another"));
        }
        request.ips.iter().find_map(|&ip| {
            let holder = arbiter.holder(ip).filter(|holder| *holder != port)?;
            Some(format!(
                "{ip} is that of pod {holder}: ask for another, or delete that pod"
            ))
        })
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

/// Whether addresses can be those of one pod in a segment, judged by themselves.
fn recorded(ips: &[IpAddr], space: &Pools) -> Result<(), String> {
    let Pools(pools) = space;
    let mut families = [false; 2];
    for &ip in ips {
        let Some(pool) = pools.iter().find(|pool| pool.network().contains(ip)) else {
            return Err(format!("{ip} is not in its node's slice {}", list(&space.networks())));
        };
        if !pool.admits(ip) {
            return Err(format!(
                "{ip} is reserved in {}, as its network, gateway, management or broadcast address",
                pool.network()
            ));
        }
        let seen = &mut families[usize::from(ip.is_ipv6())];
        if std::mem::replace(seen, true) {
            return Err(format!(
                "{ip} is a second address of its family beside another: a pod has one per family"
            ));
        }
    }
    Ok(())
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
