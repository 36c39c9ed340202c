//! [`Policies`]: which pods each policy means, kept as pods, namespaces and policies come and go.
//!
//! What a policy says of pods is a [`Selection`], which it may have in common with others. A pod knows its selections, so that what
//! it costs is what it matches; and a policy is looked at again only when something happens that its rules are told by: in which
//! VPCs pods of a selection are, and which numbers their named ports have.
//!
//! Makes no rows; the units of policies, selections and pods do.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use meridian_model::{Cluster, Name, NamedPort, Pod, PodKey, PolicyKey};

use super::ladder::Ladder;
use super::resolve::{Resolved, resolve, uses};
use super::selection::{Seat, Selection, Within};
use super::statement::{PolicyId, Statement};
use crate::addresses::wants_port;
use crate::vpcs::Vpcs;

#[derive(Debug, Default)]
pub(crate) struct Policies {
    bases: BTreeMap<Selection, Base>,
    /// Those of one namespace, by that.
    narrow: HashMap<Name, BTreeSet<Selection>>,
    /// Those of namespaces with labels.
    wide: BTreeSet<Selection>,
    /// Of pods that are in any selection.
    memberships: HashMap<PodKey, Membership>,
    resolved: BTreeMap<PolicyId, Resolved>,
    /// In which order rules of the cluster's own policies are asked.
    ladder: Ladder,
    wanted: BTreeMap<Seat, Wanted>,
    /// The same by their names.
    seats: BTreeMap<Name, Seat>,
}

/// A selection that policies speak of, whatever ports they ask for.
#[derive(Debug, Default)]
struct Base {
    users: BTreeSet<PolicyId>,
    members: BTreeSet<PodKey>,
    /// How many of them are in each VPC.
    vpcs: BTreeMap<Name, usize>,
    /// How many of them have each port that has a name.
    ports: BTreeMap<NamedPort, usize>,
}

/// The selections that a pod is in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Membership {
    vpc: Name,
    ports: Box<[NamedPort]>,
    bases: Box<[Selection]>,
}

/// What is made of the pods of a selection in a VPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// By how many policies they are isolated from who would connect to them.
    pub(crate) ingress: usize,
    /// And from what they would connect to.
    pub(crate) egress: usize,
    /// How many policies speak of their ports, be it for these or for those of them that have a port.
    pub(crate) groups: usize,
    /// How many speak of their addresses.
    pub(crate) sets: usize,
}

/// What happened since the last update.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) policies: BTreeSet<PolicyId>,
    /// Their labels or their VPCs may be others.
    pub(crate) namespaces: BTreeSet<Name>,
    /// VPCs are not what they were, or have other peers.
    pub(crate) vpcs: bool,
}

/// What has to be compiled again.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) policies: BTreeSet<PolicyId>,
    pub(crate) selections: BTreeSet<Name>,
    pub(crate) pods: BTreeSet<PodKey>,
    /// Whether there are policies now and were none, or the other way round.
    pub(crate) any: bool,
    /// Whether rules are asked in another order, or what is left to the next tier is about something else.
    pub(crate) ladder: bool,
}

impl Policies {
    /// Whether there is any policy.
    pub(crate) fn any(&self) -> bool {
        !self.resolved.is_empty()
    }

    /// What a policy's rules come to.
    pub(crate) fn resolved(&self, policy: &PolicyId) -> Option<&Resolved> {
        self.resolved.get(policy)
    }

    /// In which order rules of the cluster's own policies are asked.
    pub(crate) fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// What is made of the pods that a name stands for.
    pub(crate) fn wanted(&self, name: &str) -> Option<(&Seat, Wanted)> {
        let seat = self.seats.get(name)?;
        Some((seat, self.wanted[seat]))
    }

    /// What is made of a pod: the selections it is in, where anything is made of those in its VPC.
    pub(crate) fn of_pod(&self, pod: &PodKey) -> Vec<(&Seat, Wanted)> {
        let Some(Membership { vpc, ports, bases }) = self.memberships.get(pod) else {
            return Vec::new();
        };
        let seats = bases.iter().flat_map(|base| {
            let with_ports = ports.iter().map(|port| base.with_port(port.clone()).at(vpc));
            [base.at(vpc)].into_iter().chain(with_ports)
        });
        let wanted = seats.filter_map(|seat| self.wanted.get_key_value(&seat));
        wanted.map(|(seat, wanted)| (seat, *wanted)).collect()
    }

    /// The pods of a selection in a VPC.
    pub(crate) fn members<'a>(&'a self, seat: &'a Seat) -> impl Iterator<Item = &'a PodKey> {
        let base = Selection {
            port: None,
            ..seat.selection.clone()
        };
        let all = self.bases.get(&base).into_iter().flat_map(|base| &base.members);
        all.filter(|pod| {
            self.memberships.get(*pod).is_some_and(|membership| {
                let port = seat.selection.port.as_ref();
                membership.vpc == seat.vpc && port.is_none_or(|port| membership.ports.contains(port))
            })
        })
    }

    /// Looks again at what happened, and at these pods. `vpc_of` tells the VPC that a pod has its port in, if it has one.
    pub(crate) fn update(
        &mut self,
        news: &News,
        pods: &BTreeSet<PodKey>,
        cluster: &Cluster,
        vpcs: &Vpcs,
        vpc_of: &impl Fn(&Pod) -> Option<Name>,
    ) -> Changes {
        let mut changes = Changes::default();
        if !self.any() && news.policies.is_empty() {
            return changes;
        }
        let had_any = self.any();
        if news
            .policies
            .iter()
            .any(|policy| matches!(policy, PolicyId::Cluster(_)))
        {
            let ladder = Ladder::of(cluster.cluster_policies().map(|policy| &**policy));
            changes.ladder = self.ladder != ladder;
            self.ladder = ladder;
        }
        let mut stale: BTreeSet<PolicyId> = news.policies.clone();
        let mut again = BTreeSet::new();
        // A selection that goes from one policy to another stays.
        for policy in &news.policies {
            self.take_up(policy, cluster, &mut again);
        }
        for policy in &news.policies {
            self.let_go(policy, cluster, &mut again);
        }
        for namespace in &news.namespaces {
            let first = PolicyId::from(PolicyKey::new(namespace.clone(), ""));
            let of_it = self.resolved.range(first..).map(|(id, _)| id);
            let is_of_it = |id: &&PolicyId| matches!(id, PolicyId::Namespaced(key) if key.namespace == *namespace);
            stale.extend(of_it.take_while(is_of_it).cloned());
            again.extend(cluster.pods_in(namespace).map(|pod| pod.key()));
        }
        if news.vpcs {
            stale.extend(self.resolved.keys().cloned());
        }
        for pod in again.iter().chain(pods) {
            if self.look_at(pod, cluster, vpc_of, &mut stale) {
                changes.pods.insert(pod.clone());
            }
        }
        for policy in stale {
            self.resolve(&policy, cluster, vpcs, &mut changes);
        }
        changes.any = had_any != self.any();
        changes
    }

    /// Notes which selections a policy speaks of now. The pods of those that are new are to be looked at.
    fn take_up(&mut self, key: &PolicyId, cluster: &Cluster, again: &mut BTreeSet<PodKey>) {
        let Some(statement) = Statement::of(key, cluster) else {
            return;
        };
        for selection in uses(&statement) {
            if let Some(base) = self.bases.get_mut(&selection) {
                base.users.insert(key.clone());
                continue;
            }
            let users = BTreeSet::from([key.clone()]);
            let base = Base {
                users,
                ..Base::default()
            };
            self.bases.insert(selection.clone(), base);
            match &selection.within {
                Within::Namespace(namespace) => {
                    again.extend(cluster.pods_in(namespace).map(|pod| pod.key()));
                    self.narrow.entry(namespace.clone()).or_default().insert(selection);
                }
                Within::Labelled(_) => {
                    again.extend(cluster.pods().map(|pod| pod.key()));
                    self.wide.insert(selection);
                }
            }
        }
    }

    /// Notes which selections a policy spoke of and does no more. The pods of those that nobody speaks of are to be looked at.
    fn let_go(&mut self, key: &PolicyId, cluster: &Cluster, again: &mut BTreeSet<PodKey>) {
        let Some(before) = self.resolved.get(key) else { return };
        let now = Statement::of(key, cluster).map(|statement| uses(&statement));
        let now = now.unwrap_or_default();
        let gone: Vec<Selection> = before.uses.difference(&now).cloned().collect();
        for selection in gone {
            let Some(base) = self.bases.get_mut(&selection) else {
                continue;
            };
            base.users.remove(key);
            if base.users.is_empty() {
                again.extend(base.members.iter().cloned());
                self.forget(&selection);
            }
        }
    }

    fn forget(&mut self, selection: &Selection) {
        self.bases.remove(selection);
        self.wide.remove(selection);
        if let Within::Namespace(namespace) = &selection.within
            && let Some(narrow) = self.narrow.get_mut(namespace)
        {
            narrow.remove(selection);
            if narrow.is_empty() {
                self.narrow.remove(namespace);
            }
        }
    }

    /// Finds out which selections a pod is in. True if it is in others than before, or is another to them.
    fn look_at(
        &mut self,
        key: &PodKey,
        cluster: &Cluster,
        vpc_of: &impl Fn(&Pod) -> Option<Name>,
        stale: &mut BTreeSet<PolicyId>,
    ) -> bool {
        let now = self.membership(key, cluster, vpc_of);
        let before = self.memberships.get(key);
        if before == now.as_ref() {
            return false;
        }
        if let Some(Membership { vpc, ports, bases }) = self.memberships.remove(key) {
            for selection in &bases {
                let Some(base) = self.bases.get_mut(selection) else {
                    continue;
                };
                base.members.remove(key);
                let mut differs = less(&mut base.vpcs, &vpc);
                for port in &ports {
                    differs |= less(&mut base.ports, port);
                }
                if differs {
                    stale.extend(base.users.iter().cloned());
                }
            }
        }
        if let Some(now) = now {
            for selection in &now.bases {
                let base = self
                    .bases
                    .get_mut(selection)
                    .expect("selections that pods are in are known");
                base.members.insert(key.clone());
                let mut differs = more(&mut base.vpcs, &now.vpc);
                for port in &now.ports {
                    differs |= more(&mut base.ports, port);
                }
                if differs {
                    stale.extend(base.users.iter().cloned());
                }
            }
            self.memberships.insert(key.clone(), now);
        }
        true
    }

    fn membership(
        &self,
        key: &PodKey,
        cluster: &Cluster,
        vpc_of: &impl Fn(&Pod) -> Option<Name>,
    ) -> Option<Membership> {
        let pod = cluster.pod(key).filter(|pod| wants_port(pod))?;
        let narrow = self.narrow.get(&pod.namespace).into_iter().flatten();
        let namespace = cluster.namespace(&pod.namespace);
        let within = |selection: &&Selection| match (&selection.within, namespace) {
            (Within::Labelled(selector), Some(namespace)) => selector.matches(&namespace.labels),
            // Of a namespace that nobody has told of, it is known only that it is one.
            (Within::Labelled(selector), None) => selector.is_empty(),
            (Within::Namespace(_), _) => false,
        };
        let wide = self.wide.iter().filter(within);
        let mut bases: Vec<Selection> = narrow
            .chain(wide)
            .filter(|selection| selection.matches(&pod.labels))
            .cloned()
            .collect();
        if bases.is_empty() {
            return None;
        }
        bases.sort_unstable();
        Some(Membership {
            vpc: vpc_of(pod)?,
            ports: pod.named_ports.clone(),
            bases: bases.into(),
        })
    }

    /// Finds out what a policy's rules come to.
    fn resolve(&mut self, key: &PolicyId, cluster: &Cluster, vpcs: &Vpcs, changes: &mut Changes) {
        let now = Statement::of(key, cluster).map(|statement| {
            let home = match key {
                PolicyId::Namespaced(key) => vpcs.home(&key.namespace).name(),
                PolicyId::Cluster(_) => None,
            };
            resolve(&statement, home, vpcs, |selection| {
                let base = self.bases.get(selection).expect("what a policy speaks of is known");
                (&base.vpcs, &base.ports)
            })
        });
        if self.resolved.get(key) == now.as_ref() {
            return;
        }
        let before = self.resolved.remove(key);
        let mut less = before.as_ref().map(Resolved::wants).unwrap_or_default();
        for (seat, more) in now.as_ref().map(Resolved::wants).unwrap_or_default() {
            let less = less.remove(&seat).unwrap_or_default();
            self.want(seat, less, more, changes);
        }
        for (seat, less) in less {
            self.want(seat, less, Wanted::default(), changes);
        }
        if let Some(now) = now {
            self.resolved.insert(key.clone(), now);
        }
        if let PolicyId::Cluster(key) = key {
            changes.ladder |= self.ladder.passes_by(key);
        }
        changes.policies.insert(key.clone());
    }

    /// A policy wants something else of a selection than before.
    fn want(&mut self, seat: Seat, less: Wanted, more: Wanted, changes: &mut Changes) {
        if less == more {
            return;
        }
        let name = Name::from(seat.to_string());
        let all = self.wanted.entry(seat.clone()).or_default();
        let before = *all;
        all.ingress = all.ingress + more.ingress - less.ingress;
        all.egress = all.egress + more.egress - less.egress;
        all.groups = all.groups + more.groups - less.groups;
        all.sets = all.sets + more.sets - less.sets;
        let is = |wanted: &Wanted| (wanted.groups > 0, wanted.sets > 0);
        if is(&before) != is(all) {
            let base = Selection {
                port: None,
                ..seat.selection.clone()
            };
            if let Some(base) = self.bases.get(&base) {
                changes.pods.extend(base.members.iter().cloned());
            }
        }
        let is_gone = *all == Wanted::default();
        changes.selections.insert(name.clone());
        if is_gone {
            self.wanted.remove(&seat);
            self.seats.remove(&name);
        } else {
            self.seats.insert(name, seat);
        }
    }
}

/// Counts one more. True if it is the first.
fn more<K: Ord + Clone>(counts: &mut BTreeMap<K, usize>, key: &K) -> bool {
    let count = counts.entry(key.clone()).or_default();
    *count += 1;
    *count == 1
}

/// Counts one less. True if it was the last.
fn less<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) -> bool {
    let Some(count) = counts.get_mut(key) else { return false };
    *count -= 1;
    let is_last = *count == 0;
    if is_last {
        counts.remove(key);
    }
    is_last
}
