//! [`Resolved`]: what the rules of a policy come to, with names for pods and numbers for ports.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use meridian_model::{Name, NamedPort, PortMatch, Protocol};

use super::Direction;
use super::index::Wanted;
use super::selection::{Seat, Selection};
use super::statement::{Rule, Statement};
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
    /// The pods that it is about.
    pub(crate) subject: Seat,
    /// Whether they are isolated, in the directions that it is about.
    pub(crate) isolates: bool,
    /// What of what comes to them its rules are about; none if it is not about that.
    pub(crate) ingress: Option<Vec<Meant>>,
    /// The same of what they send.
    pub(crate) egress: Option<Vec<Meant>>,
}

/// What a rule is about: of a `NetworkPolicy`, what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meant {
    /// Which rule of its direction.
    pub(crate) rule: usize,
    /// Which of the subject's pods: all of them, or those that have a port.
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

/// The selections that a policy speaks of.
pub(crate) fn uses(statement: &Statement<'_>) -> BTreeSet<Selection> {
    let mut uses = BTreeSet::from([statement.subject.clone()]);
    for rule in statement.ingress.iter().chain(&statement.egress).flatten() {
        uses.extend(rule.selections.iter().cloned());
    }
    for rule in statement.egress.iter().flatten() {
        if rule.anybody && rule.ports.iter().any(|port| matches!(port.port, PortMatch::Named(_))) {
            uses.insert(Selection::everything());
        }
    }
    uses
}

/// What a policy comes to. Its namespace is in VPC `home`, if it has one and that is known.
pub(crate) fn resolve<'a>(
    statement: &Statement<'_>,
    home: Option<Name>,
    vpcs: &Vpcs,
    known: impl Fn(&Selection) -> Known<'a>,
) -> Resolved {
    let subject = &statement.subject;
    let (inhabited, _) = known(subject);
    let all: BTreeSet<Name> = home.into_iter().chain(inhabited.keys().cloned()).collect();
    let part = |vpc: Name| {
        let near: Vec<Name> = [vpc.clone()]
            .into_iter()
            .chain(vpcs.get(&vpc).into_iter().flat_map(|state| state.connected().cloned()))
            .collect();
        let allowed = |direction| {
            let rules = statement.rules(direction)?.iter().enumerate();
            let of_rule = |(at, rule)| {
                Scope {
                    subject,
                    vpc: &vpc,
                    near: &near,
                    known: &known,
                }
                .meant(direction, at, rule)
            };
            Some(rules.flat_map(of_rule).collect())
        };
        Part {
            subject: subject.at(&vpc),
            isolates: statement.isolates,
            ingress: allowed(Direction::Ingress),
            egress: allowed(Direction::Egress),
            vpc: vpc.clone(),
        }
    };
    Resolved {
        uses: uses(statement),
        parts: all.into_iter().map(part).collect(),
    }
}

struct Scope<'a, F> {
    subject: &'a Selection,
    vpc: &'a Name,
    /// The VPC and those it is connected to.
    near: &'a [Name],
    known: &'a F,
}

impl<'k, F: Fn(&Selection) -> Known<'k>> Scope<'_, F> {
    fn meant(&self, direction: Direction, rule: usize, given: &Rule<'_>) -> Vec<Meant> {
        let selections = &given.selections;
        let peers = || {
            if given.anybody {
                return Peers::Anybody;
            }
            let sets = self.sets(selections);
            Peers::Some {
                sets,
                blocks: given.blocks,
            }
        };
        let meant = |pods: Seat, peers, ports| Meant {
            rule,
            pods,
            peers,
            ports,
        };
        if given.ports.is_empty() {
            return vec![meant(self.subject.at(self.vpc), peers(), None)];
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
        let mut all: Vec<Meant> = numbers
            .map(|ports| meant(self.subject.at(self.vpc), peers(), ports))
            .collect();
        for (protocol, name) in named {
            match direction {
                Direction::Ingress => {
                    for port in self.numbers(self.subject, &protocol, &name) {
                        let pods = self.subject.with_port(port.clone()).at(self.vpc);
                        all.push(meant(pods, peers(), Some(one(&port))));
                    }
                }
                // The name is that of a port of who is connected to: of addresses nobody knows what their ports are called.
                Direction::Egress => {
                    let everything = given.anybody.then(Selection::everything);
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
                        all.push(meant(self.subject.at(self.vpc), peers, Some(one(&port))));
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

impl Part {
    /// What its rules are about in a direction, if it is about that.
    pub(crate) fn meant(&self, direction: Direction) -> Option<&[Meant]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }
}

impl Resolved {
    /// What has to be made of selections for it.
    pub(crate) fn wants(&self) -> BTreeMap<Seat, Wanted> {
        let mut wants: BTreeMap<Seat, Wanted> = BTreeMap::new();
        for part in &self.parts {
            let subject = wants.entry(part.subject.clone()).or_default();
            subject.groups = 1;
            subject.ingress = (part.isolates && part.ingress.is_some()).into();
            subject.egress = (part.isolates && part.egress.is_some()).into();
            for meant in part.ingress.iter().chain(&part.egress).flatten() {
                wants.entry(meant.pods.clone()).or_default().groups = 1;
                if let Peers::Some { sets, .. } = &meant.peers {
                    for set in sets {
                        wants.entry(set.clone()).or_default().sets = 1;
                    }
                }
            }
        }
        wants
    }
}
