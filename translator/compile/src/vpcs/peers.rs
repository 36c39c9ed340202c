//! Which VPCs are peers: those that name each other, and whose pods have no address in common.
//!
//! A router knows one way to an address. So the networks of two peers must not overlap, and neither may those of two peers of one
//! VPC; of two that do, the one whose peering could be there first stays, whichever was asked for first: when that was nobody
//! knows after a restart.

use std::collections::{BTreeMap, BTreeSet};

use meridian_model::Name;

use super::State;
use crate::names::DEFAULT_VPC;
use crate::{Peering, ip};

type States = BTreeMap<Name, State>;

/// Why two that agree are not connected, by their names in order.
type Refusals = BTreeMap<(Name, Name), String>;

/// Says of each VPC how it fares with the peers it names.
pub(super) fn connect(states: &mut States) {
    if states.values().all(|state| state.object.peers.is_empty()) {
        return;
    }
    let refusals = refusals(states);
    let peers = |state: &State| {
        let named = &state.object.peers;
        let peering = |(index, peer): (usize, &Name)| {
            let peering = if named[..index].contains(peer) {
                Peering::Refused(format!("VPC {peer} is named twice"))
            } else {
                peering(state, peer, states, &refusals)
            };
            (peer.clone(), peering)
        };
        named.iter().enumerate().map(peering).collect::<Vec<_>>()
    };
    let all: Vec<_> = states.values().map(peers).collect();
    for (state, peers) in states.values_mut().zip(all) {
        state.peers = peers;
    }
}

fn peering(state: &State, peer: &Name, states: &States, refusals: &Refusals) -> Peering {
    let name = &state.object.name;
    if &**peer == DEFAULT_VPC {
        return Peering::Refused("the VPC default cannot be a peer: it is no object that could agree".to_owned());
    }
    if peer == name {
        return Peering::Refused("a VPC cannot be a peer of itself".to_owned());
    }
    let Some(other) = states.get(peer) else {
        return Peering::Waiting(format!("there is no VPC {peer}"));
    };
    if let Some(unusable) = [state, other].into_iter().find(|state| !state.is_usable()) {
        return Peering::Waiting(format!("VPC {} is not ready", unusable.object.name));
    }
    if !other.object.peers.contains(name) {
        return Peering::Waiting(format!("VPC {peer} does not name {name} among its peers"));
    }
    match refusals.get(&pair(name, peer)) {
        Some(why) => Peering::Refused(why.clone()),
        None => Peering::Connected,
    }
}

fn pair(one: &Name, other: &Name) -> (Name, Name) {
    (one.min(other).clone(), one.max(other).clone())
}

/// Connects those that agree, one pair after the other, and yields those that it could not.
fn refusals(states: &States) -> Refusals {
    let age = |name: &Name| (states[name].object.created, name.clone());
    // A peering can be there as soon as the younger one is.
    let mut pairs: Vec<_> = agreed(states).into_iter().collect();
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
fn agreed(states: &States) -> BTreeSet<(Name, Name)> {
    let of_one = |state: &State| {
        let name = state.object.name.clone();
        let agrees = move |peer: &&Name| {
            let other = states.get(*peer);
            **peer != name && other.is_some_and(|other| other.is_usable() && other.object.peers.contains(&name))
        };
        let peers = state.object.peers.iter().filter(agrees);
        peers.map(|peer| pair(&state.object.name, peer)).collect::<Vec<_>>()
    };
    let usable = states.values().filter(|state| state.is_usable());
    usable.flat_map(of_one).collect()
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
