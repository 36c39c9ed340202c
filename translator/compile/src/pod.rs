//! A pod: its logical port.
//!
//! A change of a pod touches nothing but its port and the `ports` of its node's switch, which is what ovn-northd handles
//! incrementally.

pub(crate) mod explain;
mod further;

use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_api::port::{PortFacts, PortKind, VpcFacts};
use meridian_model::{Pod, PodKey, PortKey};
use ovsdb::{Atom, Datum};
use ovsdb_schemas::northbound::logical_switch_port;

use crate::addresses::{Fare, POD_IPS, wants_port};
use crate::arbiter::Outcome;
use crate::context::Context;
use crate::placements::{NAMESPACE, Place, SUBNET};
use crate::segment::{Segment, Spot};
use crate::slices::{SliceKey, Standing};
use crate::subnet::dhcp_options;
use crate::vpcs::SubnetState;
use crate::{egress, fixed, ip, policy, port};

const NODE_NAME: &str = "spec.nodeName";

pub(crate) fn compile(ctx: &mut Context<'_>, key: &PodKey) {
    let Some(pod) = ctx.pod(key) else { return };
    match seat(ctx, pod) {
        Ok(seat) => {
            let facts = facts(ctx, pod, &seat);
            add_port(ctx, &key.clone().into(), pod, &seat.spot, &facts);
            if seat.spot.segment.subnet().is_some() {
                for ip in seat.ips {
                    egress::leaves_by_its_node(ctx, &seat.spot, *ip);
                }
            }
        }
        Err(Lack::Wrong { field, message, .. }) => ctx.problem(key.clone().into(), field, message),
        Err(Lack::Unwanted(_)) => {}
    }
    further::compile(ctx, key, pod);
}

/// Where a pod's port is, and its addresses.
#[derive(Clone, Debug)]
struct Seat<'a> {
    spot: Spot,
    /// With their gateways, the pod's primary family first.
    networks: Vec<(IpNetwork, IpAddr)>,
    ips: &'a [IpAddr],
}

/// Why a pod has no port.
#[derive(Clone, Debug)]
enum Lack {
    /// There is nothing to do, and nothing to report.
    Unwanted(&'static str),
    /// It should have one.
    Wrong {
        field: &'static str,
        message: String,
        /// Where it would be, if that is known.
        spot: Option<Spot>,
    },
}

/// Where a pod's port is, or why there is none.
fn seat<'a>(ctx: &Context<'a>, pod: &Pod) -> Result<Seat<'a>, Lack> {
    let key = &pod.key();
    if !wants_port(pod) {
        return Err(Lack::Unwanted(if pod.host_network {
            "it has the network of its host (spec.hostNetwork)"
        } else {
            "it has run to its end, and has given its addresses up"
        }));
    }
    let spot = match ctx.place(pod) {
        Place::In(spot) => spot,
        Place::Nowhere(field, message) => {
            return Err(Lack::Wrong {
                field,
                message,
                spot: None,
            });
        }
        Place::Unwanted => return Err(Lack::Unwanted("it is not scheduled to a node yet")),
    };
    let wrong = |field, message| {
        Err(Lack::Wrong {
            field,
            message,
            spot: Some(spot.clone()),
        })
    };
    let networks = match networks(ctx, &spot) {
        Ok(networks) => networks,
        Err((field, message)) => return wrong(field, message),
    };
    if let Some((field, fault)) = ctx.address_fault(pod, &spot.segment) {
        return wrong(field, fault);
    }
    match ctx.fare(&key.clone().into()) {
        Some(Outcome::Granted(ips)) => Ok(Seat { spot, networks, ips }),
        Some(Fare::Lost { item, to, .. }) => {
            let field = if pod.ips.is_empty() { fixed::FIELD } else { POD_IPS };
            let theirs = ctx.spot_of(to).filter(|theirs| theirs.segment != spot.segment);
            wrong(field, lost(ctx, pod, item, to, theirs))
        }
        Some(Fare::Waiting) => {
            let message = shortage(ctx, &spot);
            wrong(POD_IPS, message)
        }
        None => Err(Lack::Unwanted("it has not been looked at yet")),
    }
}

/// The networks of a segment that a pod is in, with their gateways; or why there are none: the field, and the message.
fn networks(ctx: &Context<'_>, spot: &Spot) -> Result<Vec<(IpNetwork, IpAddr)>, (&'static str, String)> {
    let slice = spot.slice();
    let networks = match ctx.slice(&slice) {
        Some(Standing::Slice(networks)) => networks,
        standing => return Err(without_slice(ctx, &slice, standing.as_ref())),
    };
    Ok(match &spot.segment {
        Segment::Slice(_) => networks
            .iter()
            .map(|&network| (network, ip::gateway(network)))
            .collect(),
        Segment::Subnet(subnet) => match ctx.subnet(&subnet.name) {
            Some(state) if state.is_usable() => state
                .layouts
                .iter()
                .map(|layout| (layout.network, layout.gateway))
                .collect(),
            state => {
                let gone = || format!("there is no Subnet {} any more", subnet.name);
                return Err((SUBNET, state.and_then(SubnetState::refusal).unwrap_or_else(gone)));
            }
        },
    })
}

/// Why a pod has no address that another has.
fn lost(ctx: &Context<'_>, pod: &Pod, item: IpAddr, to: &PortKey, theirs: Option<&Spot>) -> String {
    let key = pod.key();
    if let Some(theirs) = theirs {
        return format!(
            "{item} of pod {key} is also that of pod {to} of VPC {} on the same node, whose host could not tell them apart: delete \
             one of them, or have it run on another node",
            theirs.vpc()
        );
    }
    let is_older = ctx
        .pod(&to.pod)
        .is_none_or(|other| (other.created, &to.pod) < (pod.created, &key));
    if is_older {
        format!("{item} of pod {key} is also that of pod {to}, which is older and keeps it: delete one of them")
    } else {
        format!("{item} of pod {key} is also that of pod {to}, which has it already and keeps it: delete one of them")
    }
}

/// Why there is no address for a pod.
fn shortage(ctx: &Context<'_>, spot: &Spot) -> String {
    let why = ctx.shortage(&spot.segment).unwrap_or_default();
    let node = &spot.node;
    match &spot.segment {
        Segment::Slice(slice) if slice.is_default() => format!(
            "node {node} has no free address: {why}; the pod gets one as soon as another pod is gone, or give the \
             node a larger podCIDR"
        ),
        Segment::Slice(slice) => format!(
            "node {node} has no free address of VPC {}: {why}; the pod gets one as soon as another pod of the VPC is \
             gone from the node",
            slice.vpc
        ),
        Segment::Subnet(subnet) => format!(
            "Subnet {} has no free address: {why}; the pod gets one as soon as another pod is gone, or reserve fewer \
             addresses",
            subnet.name
        ),
    }
}

/// Why a pod is in a slice that there is not: the field, and the message.
fn without_slice(ctx: &Context<'_>, slice: &SliceKey, standing: Option<&Standing<'_>>) -> (&'static str, String) {
    let SliceKey { vpc, node } = slice;
    if ctx.node(node).is_none() {
        let message = format!("node {node} does not exist: the pod gets its port once the node has joined");
        return (NODE_NAME, message);
    }
    if slice.is_default() {
        let message = format!("node {node} has no slice of the pod network: see what is reported on the node");
        return (NODE_NAME, message);
    }
    let Some(state) = ctx.vpc(vpc) else {
        return (NAMESPACE, format!("VPC {vpc} does not exist any more"));
    };
    if let (Some(why), None) = (state.refusal(), standing) {
        return (NAMESPACE, why);
    }
    let slices = state
        .network
        .slices()
        .map(|(cidr, prefix)| format!("/{prefix} of {cidr}"));
    let message = format!(
        "VPC {vpc} has no slice left for node {node} ({}) that would not overlap what the node has of other VPCs: the node \
         could not tell whose pod has an address; make the VPC's networks larger, or keep the VPCs on different nodes",
        slices.collect::<Vec<_>>().join(", ")
    );
    (NODE_NAME, message)
}

/// What the node needs to know, in the order of the segment's networks: the first is the pod's primary family.
fn facts(ctx: &Context<'_>, pod: &Pod, seat: &Seat<'_>) -> PortFacts {
    let held = seat.ips;
    let pairs = || {
        seat.networks
            .iter()
            .filter_map(|&(network, gateway)| Some((network, gateway, *held.iter().find(|&&ip| network.contains(ip))?)))
    };
    let spot = &seat.spot;
    PortFacts {
        ips: pairs().map(|(network, _, ip)| ip::interface(network, ip)).collect(),
        gateways: pairs().map(|(_, gateway, _)| gateway).collect(),
        mtu: ctx.config().mtu(),
        uid: Some(pod.uid.to_string()),
        vpc: (!spot.segment.is_default()).then(|| VpcFacts {
            name: spot.vpc().to_string(),
            services: false,
            outside: false,
            networks: Vec::new(),
        }),
        ..PortFacts::new(PortKind::Pod, ip::mac(held.iter().copied()))
    }
}

fn add_port(ctx: &mut Context<'_>, key: &PortKey, pod: &Pod, spot: &Spot, facts: &PortFacts) {
    let names = ctx.names();
    let switch = ctx.switch(&spot.segment);
    let addresses = port::addresses(facts);
    let options = [
        (port::REQUESTED_CHASSIS, Atom::from(&spot.node)),
        (port::IFACE_ID_VER, Atom::from(&pod.uid)),
    ];
    let mut columns = vec![
        (logical_switch_port::TYPE, Datum::scalar("")),
        (logical_switch_port::ADDRESSES, Datum::scalar(&addresses)),
        (
            logical_switch_port::PORT_SECURITY,
            Datum::scalar(allowed(ctx, &addresses, spot, facts)),
        ),
        (
            logical_switch_port::OPTIONS,
            Datum::map(options.map(|(option, value)| (ctx.known_text(option), value))),
        ),
    ];
    // A port of the same name may have been in a Subnet with DHCP before; in the default VPC there are none.
    if !spot.segment.is_default() {
        let subnet = spot.segment.subnet();
        for (column, v4) in [
            (logical_switch_port::DHCPV4_OPTIONS, true),
            (logical_switch_port::DHCPV6_OPTIONS, false),
        ] {
            let options = subnet.and_then(|subnet| dhcp_options(ctx, &subnet.name, v4));
            columns.push((column, Datum::set(options)));
        }
    }
    let row = port::add(ctx, names.port(key), switch, columns, Some((facts, Some(&pod.uid))));
    if key.is_first() {
        let ips: Vec<_> = facts.ips.iter().map(IpNetwork::ip).collect();
        policy::join(ctx, &key.pod, row, &ips);
    }
}

/// What a port may send and be sent to: its own addresses, and what routes of the VPC have it forward.
fn allowed(ctx: &Context<'_>, own: &Arc<str>, spot: &Spot, facts: &PortFacts) -> Arc<str> {
    let subnet = spot.segment.subnet().and_then(|subnet| ctx.subnet(&subnet.name));
    let Some(forwards) = subnet.map(|subnet| &subnet.forwards).filter(|all| !all.is_empty()) else {
        return own.clone();
    };
    let networks = facts.ips.iter().filter_map(|ip| forwards.get(&ip.ip())).flatten();
    let networks: Vec<String> = networks.map(|network| format!(" {network}")).collect();
    [&**own, &networks.concat()].concat().into()
}
