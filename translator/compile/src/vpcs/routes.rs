//! Where VPCs' own routes lead, and what is wrong with them.
//!
//! A route is for what is beyond the VPC: nothing that has a place already is led elsewhere. What forwards it has an address of a
//! Subnet, because those of the pod network are of a node, and no pod has one again for sure. A Subnet with a next hop of a route is
//! not subject to that route: what comes from there is on its way, and would go round in circles.
//!
//! A fault takes nothing but the route, or the next hop. A route that has lost all of its next hops leads nowhere, and not out of the VPC
//! by a way that nobody chose for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Name, Route};

use super::judge::{self, Fault, Ground};
use super::{State, SubnetState};
use crate::ip;

/// Where a VPC leads what is for a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteState {
    pub(crate) destination: IpNetwork,
    /// Who forwards it, and in which Subnets they are; none if it leads nowhere.
    pub(crate) hops: Vec<(IpAddr, Name)>,
}

/// What is wrong with a route, and keeps nothing else from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteFault {
    pub(crate) field: String,
    pub(crate) message: String,
    /// Whether it clashes with something else.
    pub(crate) conflict: bool,
}

impl RouteState {
    /// Whether it is for what comes from the pod network, or from a Subnet of that name.
    pub(crate) fn is_for(&self, subnet: Option<&Name>) -> bool {
        self.hops.iter().all(|(_, of)| Some(of) != subnet)
    }
}

type Subnets = BTreeMap<Name, SubnetState>;

/// Judges the routes of all VPCs, and tells Subnets what their pods forward.
pub(super) fn all(ground: &Ground<'_>, states: &mut BTreeMap<Name, State>, subnets: &mut Subnets) {
    let with_routes = states
        .values()
        .filter(|state| state.is_usable() && !state.object.routes.is_empty());
    let judged: Vec<_> = with_routes
        .map(|state| (state.object.name.clone(), of_vpc(state, ground, states, subnets)))
        .collect();
    for (vpc, (routes, faults)) in judged {
        for RouteState { destination, hops } in &routes {
            for (address, subnet) in hops {
                if let Some(subnet) = subnets.get_mut(subnet) {
                    subnet.forwards.entry(*address).or_default().push(*destination);
                }
            }
        }
        if let Some(state) = states.get_mut(&vpc) {
            (state.routes, state.route_faults) = (routes, faults);
        }
    }
}

fn of_vpc(
    state: &State,
    ground: &Ground<'_>,
    states: &BTreeMap<Name, State>,
    subnets: &Subnets,
) -> (Vec<RouteState>, Vec<RouteFault>) {
    let (mut routes, mut faults) = (Vec::<RouteState>::new(), Vec::new());
    for (index, route) in state.object.routes.iter().enumerate() {
        let read = destination(route, state, ground, states).and_then(|destination| {
            if routes.iter().any(|other| other.destination == destination) {
                return Err(Fault::here(format!("{destination} is named twice")));
            }
            Ok(destination)
        });
        match read {
            Ok(destination) => routes.push(RouteState {
                destination,
                hops: hops(route, destination, (state, index), subnets, &mut faults),
            }),
            Err(fault) => faults.push(RouteFault {
                field: format!("spec.routes[{index}].destination"),
                message: format!("{}: the route is left out", fault.message),
                conflict: fault.is_clash,
            }),
        }
    }
    (routes, faults)
}

fn destination(
    route: &Route,
    state: &State,
    ground: &Ground<'_>,
    states: &BTreeMap<Name, State>,
) -> Result<IpNetwork, Fault> {
    let destination = judge::read(&route.destination)?;
    let v4 = destination.is_ipv4();
    if state.network.cidrs().iter().all(|cidr| cidr.is_ipv4() != v4) {
        let family = if v4 { "IPv4" } else { "IPv6" };
        let message = format!("{destination} is of {family}, which spec.podNetwork.cidrs has no network of");
        return Err(Fault::here(message));
    }
    if let Some(what) = judge::reserved(destination, ip::contains) {
        return Err(Fault::here(format!(
            "{destination} is of {what} addresses, which are not routed"
        )));
    }
    let clash = |whose: String| {
        Err(Fault {
            is_clash: true,
            ..Fault::here(format!(
                "{destination} is inside {whose}: routes are for what is beyond the VPC, its peers and the cluster"
            ))
        })
    };
    let of_vpc = |state: &State, what: &str| {
        let mut networks = state.networks().into_iter();
        let (network, _) = networks.find(|(network, _)| ip::contains(*network, destination))?;
        Some(format!("{network} of {what} {}", state.object.name))
    };
    if let Some(whose) = of_vpc(state, "VPC") {
        return clash(whose);
    }
    let mut peers = state.connected().filter_map(|peer| states.get(peer));
    if let Some(whose) = peers.find_map(|peer| of_vpc(peer, "peer")) {
        return clash(whose);
    }
    let own = [
        ("cluster CIDR", ground.config.cluster_cidrs()),
        ("service CIDR", ground.service_cidrs.networks()),
        ("egress CIDR", ground.config.egress_cidrs()),
    ];
    let mut own = own
        .iter()
        .flat_map(|(what, networks)| networks.iter().map(move |network| (*what, *network)));
    match own.find(|(_, network)| ip::contains(*network, destination)) {
        Some((what, network)) => clash(format!("the {what} {network}")),
        None => Ok(destination),
    }
}

/// The next hops that can be used.
fn hops(
    route: &Route,
    destination: IpNetwork,
    (state, index): (&State, usize),
    subnets: &Subnets,
    faults: &mut Vec<RouteFault>,
) -> Vec<(IpAddr, Name)> {
    let mut hops = Vec::new();
    let mut seen = BTreeSet::new();
    let before = faults.len();
    for (at, text) in route.nexthops.iter().enumerate() {
        match hop(text, destination, state, subnets) {
            Ok((address, subnet)) if seen.insert(address) => hops.push((address, subnet)),
            Ok(_) => {}
            Err(message) => faults.push(RouteFault {
                field: format!("spec.routes[{index}].nexthops[{at}]"),
                message,
                conflict: false,
            }),
        }
    }
    if hops.is_empty() {
        let lost = format!("what is for {destination} is dropped");
        match faults.get_mut(before..).and_then(<[RouteFault]>::last_mut) {
            Some(fault) => fault.message = format!("{}; {lost}", fault.message),
            None => faults.push(RouteFault {
                field: format!("spec.routes[{index}].nexthops"),
                message: format!("nobody is named who forwards it: {lost}"),
                conflict: false,
            }),
        }
    }
    hops
}

fn hop(text: &str, destination: IpNetwork, state: &State, subnets: &Subnets) -> Result<(IpAddr, Name), String> {
    let address: IpAddr = (text.parse()).map_err(|_| format!("{text:?} is no IP address: write it like 10.20.0.5"))?;
    if address.is_ipv4() != destination.is_ipv4() {
        return Err(format!("{address} is of another family than {destination}"));
    }
    let vpc = &state.object.name;
    let mut of_vpc = subnets
        .values()
        .filter(|subnet| subnet.is_usable() && subnet.object.vpc == *vpc);
    let Some(subnet) = of_vpc.find(|subnet| subnet.contains(address)) else {
        let of_pods = state.network.cidrs().iter().find(|cidr| cidr.contains(address));
        return Err(match of_pods {
            Some(cidr) => format!(
                "{address} is of {cidr}, whose addresses nodes have, and no pod for good: have what forwards it be in a Subnet of VPC \
                 {vpc}"
            ),
            None => {
                format!("{address} is in no Subnet of VPC {vpc}: name an address of one, which what forwards it has")
            }
        });
    };
    if subnet.layouts.iter().any(|layout| layout.gateway == address) {
        return Err(format!(
            "{address} is the gateway of Subnet {}, the router itself: name who forwards it",
            subnet.object.name
        ));
    }
    Ok((address, subnet.object.name.clone()))
}
