//! Further interfaces of a pod: the ports that its annotation asks for.
//!
//! What is wrong with one keeps neither the first interface nor the other further ones from having their ports.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_api::attachment::NETWORKS;
use meridian_api::port::{PortFacts, Route};
use meridian_model::{AttachmentConfig, NetworkRequest, Pod, PodKey};

use super::{Seat, add_port, facts, lost, networks, shortage};
use crate::addresses::Fare;
use crate::context::Context;
use crate::ip;
use crate::placements::Place;
use crate::segment::Spot;
use crate::vpcs::State;

/// How the MAC addresses begin that follow from addresses.
const OURS: &str = "0a:58:";

/// What becomes of a further interface.
#[derive(Clone, Debug)]
pub(super) enum Further {
    /// It has a port.
    Port { spot: Spot, facts: Box<PortFacts> },
    /// It should have one, and why it has none.
    Wrong { message: String, spot: Option<Spot> },
    /// It is another plugin's, or the pod has no ports at all.
    Unwanted,
}

pub(super) fn compile(ctx: &mut Context<'_>, key: &PodKey, pod: &Pod) {
    let Some(annotated) = &pod.networks else { return };
    if !crate::addresses::wants_port(pod) {
        return;
    }
    for (entry, message) in &annotated.faults {
        let message = match entry {
            0 => message.to_string(),
            _ => format!("entry {entry}: {message}"),
        };
        ctx.problem(key.clone().into(), field(), message);
    }
    for (request, further) in all(ctx, pod) {
        let problem = |message: &str| format!("{}: {message}", entry(request));
        match further {
            Further::Port { spot, facts } => {
                add_port(ctx, &request.port(key.clone()), pod, &spot, &facts);
                for ignored in &request.ignored {
                    let why = match *ignored {
                        "default-route" => "the pod's default route stays on its first interface",
                        _ => "Meridian does not know it",
                    };
                    let message = problem(&format!("{ignored} is passed over: {why}"));
                    ctx.problem(key.clone().into(), field(), message);
                }
            }
            Further::Wrong { message, .. } => ctx.problem(key.clone().into(), field(), problem(&message)),
            Further::Unwanted => {}
        }
    }
}

/// The field that asks for further interfaces.
fn field() -> String {
    format!("metadata.annotations[{NETWORKS}]")
}

/// An entry of the annotation, for people.
fn entry(request: &NetworkRequest) -> String {
    let NetworkRequest {
        entry,
        definition,
        interface,
        ..
    } = request;
    format!("entry {entry}, {definition} as {interface}")
}

/// What becomes of each further interface that a pod asks for.
pub(super) fn all<'p>(ctx: &Context<'_>, pod: &'p Pod) -> Vec<(&'p NetworkRequest, Further)> {
    let mut beside: Vec<(String, Spot)> = Vec::new();
    if let Place::In(spot) = ctx.place(pod) {
        beside.push(("its first interface".to_owned(), spot));
    }
    let mut found = Vec::new();
    for request in pod.further() {
        let further = of(ctx, pod, request, &beside);
        if let Further::Port { spot, .. } = &further {
            beside.push((request.interface.to_string(), spot.clone()));
        }
        found.push((request, further));
    }
    found
}

/// What becomes of a further interface beside others of the pod that come before it.
fn of(ctx: &Context<'_>, pod: &Pod, request: &NetworkRequest, beside: &[(String, Spot)]) -> Further {
    let spot = match ctx.place_further(pod, request) {
        Place::In(spot) => spot,
        Place::Nowhere(_, message) => return Further::Wrong { message, spot: None },
        Place::Unwanted => return Further::Unwanted,
    };
    match port(ctx, pod, request, &spot, beside) {
        Ok(facts) => Further::Port {
            spot,
            facts: facts.into(),
        },
        Err(message) => Further::Wrong {
            message,
            spot: Some(spot),
        },
    }
}

fn port(
    ctx: &Context<'_>,
    pod: &Pod,
    request: &NetworkRequest,
    spot: &Spot,
    beside: &[(String, Spot)],
) -> Result<PortFacts, String> {
    let networks = networks(ctx, spot).map_err(|(_, message)| message)?;
    if let Some(message) = clash(ctx, spot, &networks, beside) {
        return Err(message);
    }
    if let Some(mac) = request.mac.as_ref().filter(|mac| mac.starts_with(OURS)) {
        return Err(format!(
            "mac: {mac} begins as those do that follow from addresses, {OURS}: ask for another, or for none"
        ));
    }
    let port = request.port(pod.key());
    let ips = match ctx.fare(&port) {
        Some(Fare::Granted(ips)) => ips,
        Some(Fare::Lost { item, to, .. }) => {
            return Err(lost(
                ctx,
                pod,
                item,
                to,
                ctx.spot_of(to).filter(|theirs| theirs.segment != spot.segment),
            ));
        }
        _ => {
            let refusal = ctx.address_refusal(&port, request, &spot.segment);
            return Err(refusal.unwrap_or_else(|| shortage(ctx, spot)));
        }
    };
    let routes = routes(ctx, pod, spot, &networks, beside);
    let seat = Seat {
        spot: spot.clone(),
        networks,
        ips,
    };
    let first = facts(ctx, pod, &seat);
    Ok(PortFacts {
        gateways: Vec::new(),
        routes,
        mac: request.mac.as_ref().map_or(first.mac, ToString::to_string),
        ..first
    })
}

/// Why an interface cannot be beside the others: the pod could not tell to which of them an address belongs.
fn clash(
    ctx: &Context<'_>,
    spot: &Spot,
    networks: &[(IpNetwork, IpAddr)],
    beside: &[(String, Spot)],
) -> Option<String> {
    beside.iter().find_map(|(interface, other)| {
        if other.vpc() != spot.vpc() {
            let (ours, theirs) = (all_networks(ctx, spot), all_networks(ctx, other));
            let mut pairs = ours.iter().flat_map(|our| theirs.iter().map(move |their| (our, their)));
            let (our, their) = pairs.find(|(our, their)| ip::overlap(**our, **their))?;
            return Some(format!(
                "{our} of VPC {} overlaps {their} of VPC {}, where {interface} is: the pod could not tell which of them an address \
                 is in",
                spot.vpc(),
                other.vpc()
            ));
        }
        let theirs = super::networks(ctx, other).ok()?;
        let overlaps = |our: &IpNetwork| theirs.iter().any(|(their, _)| ip::overlap(*our, *their));
        let same = networks.iter().map(|(our, _)| our).find(|our| overlaps(our))?;
        Some(format!("{interface} is in {same} of VPC {} already", spot.vpc()))
    })
}

/// All networks of a VPC.
fn all_networks(ctx: &Context<'_>, spot: &Spot) -> Vec<IpNetwork> {
    if spot.segment.is_default() {
        return ctx.config().cluster_cidrs().to_vec();
    }
    let networks = ctx.vpc(spot.vpc()).map(State::networks).unwrap_or_default();
    networks.into_iter().map(|(network, _)| network).collect()
}

/// The ways to the rest of the VPC. What another interface is in the same VPC for goes by that one.
fn routes(
    ctx: &Context<'_>,
    pod: &Pod,
    spot: &Spot,
    networks: &[(IpNetwork, IpAddr)],
    beside: &[(String, Spot)],
) -> Vec<Route> {
    if beside.iter().any(|(_, other)| other.vpc() == spot.vpc()) {
        return Vec::new();
    }
    let rest = all_networks(ctx, spot).into_iter();
    let rest = rest.filter(|other| networks.iter().all(|(network, _)| network != other));
    // Networks that a later interface is in are reached by that one.
    let later = pod
        .further()
        .iter()
        .filter_map(|request| match ctx.place_further(pod, request) {
            Place::In(later) if later.vpc() == spot.vpc() && later.segment != spot.segment => Some(later),
            _ => None,
        });
    let theirs = later.filter_map(|later| super::networks(ctx, &later).ok()).flatten();
    let theirs: Vec<IpNetwork> = theirs.map(|(network, _)| network).collect();
    let rest = rest.filter(|other| !theirs.contains(other));
    rest.filter_map(|destination| {
        let mut of_family = networks.iter();
        let (_, via) = of_family.find(|(network, _)| network.is_ipv4() == destination.is_ipv4())?;
        Some(Route { destination, via: *via })
    })
    .collect()
}

/// Whether a definition is for another plugin than ours.
pub(super) fn is_foreign(ctx: &Context<'_>, request: &NetworkRequest) -> bool {
    let definition = ctx.definition(&request.definition);
    definition.is_some_and(|definition| definition.config == AttachmentConfig::Foreign)
}
