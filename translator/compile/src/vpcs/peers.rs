//! Which VPCs are peers: those that name each other, and whose pods have no address in common. What a VPC names is what its own
//! object does, and what consents for it do ([`VpcPeering`]).
//!
//! A router knows one way to an address. So the networks of two peers must not overlap, and neither may those of two peers of one
//! VPC; of two that do, the one whose peering could be there first stays, whichever was asked for first: when that was nobody
//! knows after a restart.

use std::collections::{BTreeMap, BTreeSet};

use meridian_model::{Cluster, Name, VpcPeering};

use super::State;
use crate::names::DEFAULT_VPC;
use crate::{Peering, ip};

type States = BTreeMap<Name, State>;

/// Why two that agree are not connected, by their names in order.
type Refusals = BTreeMap<(Name, Name), String>;

/// The peers that each VPC names, by either way.
type Named = BTreeMap<Name, BTreeSet<Name>>;

/// Says of each VPC how it fares with the peers it names, and yields how each consent by an object of its own does.
pub(super) fn connect(states: &mut States, cluster: &Cluster) -> BTreeMap<Name, Peering> {
    let named = named(states, cluster);
    if named.is_empty() {
        return BTreeMap::new();
    }
    let refusals = refusals(states, &named);
    let known = Known {
        states,
        named: &named,
        refusals: &refusals,
    };
    let all: Vec<_> = states.values().map(|state| known.peers(state)).collect();
    let consents = cluster.vpc_peerings().map(|consent| known.consent(consent));
    let consents: BTreeMap<Name, Peering> = consents.collect();
    for (state, peers) in states.values_mut().zip(all) {
        state.peers = peers;
    }
    for consent in cluster.vpc_peerings() {
        if let Some(state) = states.get_mut(&consent.vpc) {
            let name = &consent.name;
            state.consents.push((name.clone(), consents[name].clone()));
        }
    }
    consents
}

fn named(states: &States, cluster: &Cluster) -> Named {
    let mut named = Named::new();
    for state in states.values().filter(|state| !state.object.peers.is_empty()) {
        named.insert(state.object.name.clone(), state.object.peers.iter().cloned().collect());
    }
    for consent in cluster.vpc_peerings() {
        let of_vpc = named.entry(consent.vpc.clone()).or_default();
        of_vpc.extend((!consent.deleting).then(|| consent.peer.clone()));
    }
    named
}

/// What decides how a peering fares.
#[derive(Clone, Copy)]
struct Known<'a> {
    states: &'a States,
    named: &'a Named,
    refusals: &'a Refusals,
}

impl Known<'_> {
    /// Those that the VPC's own object names, in its order, then those that only consents name.
    fn peers(self, state: &State) -> Vec<(Name, Peering)> {
        let (vpc, own) = (&state.object.name, &state.object.peers);
        let of_own = own.iter().enumerate().map(|(index, peer)| {
            let peering = if own[..index].contains(peer) {
                Peering::Refused(format!("VPC {peer} is named twice"))
            } else {
                self.peering(vpc, peer)
            };
            (peer.clone(), peering)
        });
        let all = self.named.get(vpc).into_iter().flatten();
        let others = all.filter(|peer| !own.contains(peer));
        let others = others.map(|peer| (peer.clone(), self.peering(vpc, peer)));
        of_own.chain(others).collect()
    }

    fn consent(self, consent: &VpcPeering) -> (Name, Peering) {
        let peering = if consent.deleting {
            Peering::Waiting("it is being deleted, and says nothing any more".to_owned())
        } else {
            self.peering(&consent.vpc, &consent.peer)
        };
        (consent.name.clone(), peering)
    }

    fn peering(self, name: &Name, peer: &Name) -> Peering {
        let Self {
            states,
            named,
            refusals,
        } = self;
        if &**peer == DEFAULT_VPC {
            return Peering::Refused("the VPC default cannot be a peer: it is no object that could agree".to_owned());
        }
        if peer == name {
            return Peering::Refused("a VPC cannot be a peer of itself".to_owned());
        }
        for vpc in [name, peer] {
            match states.get(vpc) {
                None => return Peering::Waiting(format!("there is no VPC {vpc}")),
                Some(state) if !state.is_usable() => return Peering::Waiting(format!("VPC {vpc} is not ready")),
                Some(_) => {}
            }
        }
        if !names(named, peer, name) {
            return Peering::Waiting(format!(
                "VPC {peer} does not name {name} among its peers, and no VpcPeering does so for it"
            ));
        }
        match refusals.get(&pair(name, peer)) {
            Some(why) => Peering::Refused(why.clone()),
            None => Peering::Connected,
        }
    }
}

fn names(named: &Named, vpc: &Name, peer: &Name) -> bool {
    named.get(vpc).is_some_and(|peers| peers.contains(peer))
}

fn pair(one: &Name, other: &Name) -> (Name, Name) {
    (one.min(other).clone(), one.max(other).clone())
}

/// Connects those that agree, one pair after the other, and yields those that it could not.
fn refusals(states: &States, named: &Named) -> Refusals {
    let age = |name: &Name| (states[name].object.created, name.clone());
    // A peering can be there as soon as the younger one is.
    let mut pairs: Vec<_> = agreed(states, named).into_iter().collect();
    pairs.sort_by_cached_key(|(one, other)| {
        let ages = (age(one), age(other));
        (ages.0.clone().max(ages.1.clone()), ages.0.min(ages.1))
    });
    let mut connected: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
    let mut refusals = Refusals::new();
    for (one, other) in pairs {
        let beside = |vpc: &Name, peer: &Name| {
            let mut others = connected.get(vpc).into_iter().flatten();
            others.find_map(|third| {
                let clash = clash(&states[peer], &states[third])?;
                Some(format!("{clash}, which is a peer of VPC {vpc}, too"))
            })
        };
        let why = clash(&states[&one], &states[&other])
            .or_else(|| beside(&one, &other))
            .or_else(|| beside(&other, &one));
        if let Some(why) = why {
            refusals.insert((one, other), format!("{why}: peers need networks of their own"));
        } else {
            connected.entry(one.clone()).or_default().push(other.clone());
            connected.entry(other).or_default().push(one);
        }
    }
    refusals
}

/// The pairs that name each other and can be used.
fn agreed(states: &States, named: &Named) -> BTreeSet<(Name, Name)> {
    let is_usable = |vpc: &Name| states.get(vpc).is_some_and(State::is_usable);
    let pairs = named
        .iter()
        .flat_map(|(vpc, peers)| peers.iter().map(move |peer| (vpc, peer)));
    pairs
        .filter(|(vpc, peer)| vpc != peer && is_usable(vpc) && is_usable(peer) && names(named, peer, vpc))
        .map(|(vpc, peer)| pair(vpc, peer))
        .collect()
}

fn clash(one: &State, other: &State) -> Option<String> {
    let (ours, theirs) = (one.networks(), other.networks());
    ours.iter().find_map(|(our, of_ours)| {
        let (their, of_theirs) = theirs.iter().find(|(their, _)| ip::overlap(*our, *their))?;
        let whose = |state: &State, subnet: &Option<Name>| match subnet {
            Some(subnet) => format!("Subnet {subnet} of VPC {}", state.object.name),
            None => format!("VPC {}", state.object.name),
        };
        Some(format!(
            "{our} of {} overlaps {their} of {}",
            whose(one, of_ours),
            whose(other, of_theirs)
        ))
    })
}
