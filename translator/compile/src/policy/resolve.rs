//! [`Resolved`]: what the rules of a policy come to, with names for pods and numbers for ports.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use meridian_model::{Name, NamedPort, NetworkPolicy, PolicyPeer, PolicyRule, PortMatch, Protocol};

use super::index::Wanted;
use super::selection::{Seat, Selection, Within};
use crate::vpcs::Vpcs;

/// What a policy comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The selections that it speaks of.
    pub(crate) uses: BTreeSet<Selection>,
    /// In each VPC that it has pods in, and in that of its namespace.
    pub(crate) parts: Vec<Part>,
}

/// What a policy comes to in a VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) vpc: Name,
    /// The pods that it isolates.
    pub(crate) isolated: Seat,
    /// Who may connect to them nevertheless, if they are isolated in that direction.
    pub(crate) ingress: Option<Vec<Allowed>>,
    /// The same of what they may connect to.
    pub(crate) egress: Option<Vec<Allowed>>,
}

/// Something that a rule allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Which rule of its direction.
    pub(crate) rule: usize,
    /// The pods isolated that it is about: all of them, or those that have a port.
    pub(crate) pods: Seat,
    pub(crate) peers: Peers,
    /// Of one protocol; none for whatever protocol and port.
    pub(crate) ports: Option<(Protocol, Vec<RangeInclusive<u16>>)>,
}

/// The other ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    Anybody,
    /// Pods, and whether the rule's blocks of addresses, too.
    Some {
        sets: Vec<Seat>,
        blocks: bool,
    },
}

/// In which VPCs pods of a selection are, and which ports of theirs have names.
pub(crate) type Known<'a> = (&'a BTreeMap<Name, usize>, &'a BTreeMap<NamedPort, usize>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

/// The selections that a policy speaks of.
pub(crate) fn uses(policy: &NetworkPolicy) -> BTreeSet<Selection> {
    let mut uses = BTreeSet::from([subject(policy)]);
    let egress = policy.egress.iter().flatten();
    for rule in policy.ingress.iter().flatten().chain(egress.clone()) {
        uses.extend(peers(policy, rule));
    }
    for rule in egress {
        if rule.peers.is_empty() && rule.ports.iter().any(|port| matches!(port.port, PortMatch::Named(_))) {
            uses.insert(Selection::everything());
        }
    }
    uses
}

/// What a policy comes to. Its namespace is in VPC `home`, if that is known.
pub(crate) fn resolve<'a>(
    policy: &NetworkPolicy,
    home: Option<Name>,
    vpcs: &Vpcs,
    known: impl Fn(&Selection) -> Known<'a>,
) -> Resolved {
    let subject = subject(policy);
    let (inhabited, _) = known(&subject);
    let all: BTreeSet<Name> = home.into_iter().chain(inhabited.keys().cloned()).collect();
    let part = |vpc: Name| {
        let near: Vec<Name> = [vpc.clone()]
            .into_iter()
            .chain(vpcs.get(&vpc).into_iter().flat_map(|state| state.connected().cloned()))
            .collect();
        let allowed = |rules: &[PolicyRule], direction| {
            let rules = rules.iter().enumerate();
            let of_rule = |(at, rule)| {
                Scope {
                    policy,
                    subject: &subject,
                    vpc: &vpc,
                    near: &near,
                    known: &known,
                }
                .allowed(direction, at, rule)
            };
            rules.flat_map(of_rule).collect()
        };
        Part {
            isolated: subject.at(&vpc),
            ingress: policy
                .ingress
                .as_deref()
                .map(|rules| allowed(rules, Direction::Ingress)),
            egress: policy.egress.as_deref().map(|rules| allowed(rules, Direction::Egress)),
            vpc: vpc.clone(),
        }
    };
    Resolved {
        uses: uses(policy),
        parts: all.into_iter().map(part).collect(),
    }
}

fn subject(policy: &NetworkPolicy) -> Selection {
    Selection::new(Within::Namespace(policy.namespace.clone()), policy.pods.clone())
}

/// The pods that a rule speaks of.
fn peers<'a>(policy: &'a NetworkPolicy, rule: &'a PolicyRule) -> impl Iterator<Item = Selection> + use<'a> {
    rule.peers.iter().filter_map(|peer| match peer {
        PolicyPeer::Pods { namespaces, pods } => {
            let within = match namespaces {
                Some(selector) => Within::Labelled(selector.clone()),
                None => Within::Namespace(policy.namespace.clone()),
            };
            Some(Selection::new(within, pods.clone()))
        }
        PolicyPeer::Block { .. } => None,
    })
}

struct Scope<'a, F> {
    policy: &'a NetworkPolicy,
    subject: &'a Selection,
    vpc: &'a Name,
    /// The VPC and those it is connected to.
    near: &'a [Name],
    known: &'a F,
}

impl<'k, F: Fn(&Selection) -> Known<'k>> Scope<'_, F> {
    fn allowed(&self, direction: Direction, rule: usize, given: &PolicyRule) -> Vec<Allowed> {
        let selections: BTreeSet<Selection> = peers(self.policy, given).collect();
        let blocks = given.peers.iter().any(|peer| matches!(peer, PolicyPeer::Block { .. }));
        let peers = || {
            if given.peers.is_empty() {
                return Peers::Anybody;
            }
            let sets = self.sets(&selections);
            Peers::Some { sets, blocks }
        };
        let allow = |pods: Seat, peers, ports| Allowed {
            rule,
            pods,
            peers,
            ports,
        };
        if given.ports.is_empty() {
            return vec![allow(self.subject.at(self.vpc), peers(), None)];
        }
        let mut numbers: BTreeMap<Protocol, Vec<RangeInclusive<u16>>> = BTreeMap::new();
        let mut named = BTreeSet::new();
        for port in given.ports.iter().filter(|port| is_known(&port.protocol)) {
            match &port.port {
                PortMatch::Any => numbers.entry(port.protocol.clone()).or_default().push(1..=u16::MAX),
                PortMatch::Range(range) => numbers.entry(port.protocol.clone()).or_default().push(range.clone()),
                PortMatch::Named(name) => {
                    named.insert((port.protocol.clone(), name.clone()));
                }
            }
        }
        let numbers = numbers.into_iter().map(Some);
        let mut all: Vec<Allowed> = numbers
            .map(|ports| allow(self.subject.at(self.vpc), peers(), ports))
            .collect();
        for (protocol, name) in named {
            match direction {
                Direction::Ingress => {
                    for port in self.numbers(self.subject, &protocol, &name) {
                        let pods = self.subject.with_port(port.clone()).at(self.vpc);
                        all.push(allow(pods, peers(), Some(one(&port))));
                    }
                }
                // The name is that of a port of who is connected to: of addresses nobody knows what their ports are called.
                Direction::Egress => {
                    let everything = given.peers.is_empty().then(Selection::everything);
                    let mut by_port: BTreeMap<NamedPort, BTreeSet<Selection>> = BTreeMap::new();
                    for selection in selections.iter().chain(&everything) {
                        for port in self.numbers(selection, &protocol, &name) {
                            let with_port = selection.with_port(port.clone());
                            by_port.entry(port).or_default().insert(with_port);
                        }
                    }
                    for (port, selections) in by_port {
                        let sets = self.sets(&selections);
                        let peers = Peers::Some { sets, blocks: false };
                        all.push(allow(self.subject.at(self.vpc), peers, Some(one(&port))));
                    }
                }
            }
        }
        all
    }

    fn sets(&self, selections: &BTreeSet<Selection>) -> Vec<Seat> {
        let at = |selection: &Selection| self.near.iter().map(|vpc| selection.at(vpc)).collect::<Vec<_>>();
        selections.iter().flat_map(at).collect()
    }

    fn numbers(&self, selection: &Selection, protocol: &Protocol, name: &Name) -> Vec<NamedPort> {
        let (_, ports) = (self.known)(selection);
        let is_meant = |port: &&NamedPort| port.protocol == *protocol && port.name == *name;
        ports.keys().filter(is_meant).cloned().collect()
    }
}

fn one(port: &NamedPort) -> (Protocol, Vec<RangeInclusive<u16>>) {
    (port.protocol.clone(), vec![port.number..=port.number])
}

/// Whether it is one that has ports.
pub(crate) fn is_known(protocol: &Protocol) -> bool {
    !matches!(protocol, Protocol::Other(_))
}

impl Resolved {
    /// What has to be made of selections for it.
    pub(crate) fn wants(&self) -> BTreeMap<Seat, Wanted> {
        let mut wants: BTreeMap<Seat, Wanted> = BTreeMap::new();
        for part in &self.parts {
            let isolated = wants.entry(part.isolated.clone()).or_default();
            isolated.groups = 1;
            isolated.ingress = part.ingress.is_some().into();
            isolated.egress = part.egress.is_some().into();
            for allowed in part.ingress.iter().chain(&part.egress).flatten() {
                wants.entry(allowed.pods.clone()).or_default().groups = 1;
                if let Peers::Some { sets, .. } = &allowed.peers {
                    for set in sets {
                        wants.entry(set.clone()).or_default().sets = 1;
                    }
                }
            }
        }
        wants
    }
}
