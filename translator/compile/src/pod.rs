//! A pod: its logical port.
//!
//! A change of a pod touches nothing but its port and the `ports` of its node's switch, which is what ovn-northd handles
//! incrementally.

pub(crate) mod explain;

use ipnetwork::IpNetwork;
use meridian_api::port::{PortFacts, PortKind, VpcFacts};
use meridian_model::{Pod, PodKey};
use ovsdb::{Atom, Datum};
use ovsdb_schemas::northbound::logical_switch_port;

use crate::addresses::{Fare, wants_port};
use crate::arbiter::Outcome;
use crate::context::Context;
use crate::placements::Place;
use crate::slice::interface;
use crate::slices::{SliceKey, Standing};
use crate::{ip, policy, port};

const NAMESPACE: &str = "metadata.namespace";
const NODE_NAME: &str = "spec.nodeName";
const POD_IPS: &str = "status.podIPs";

pub(crate) fn compile(ctx: &mut Context<'_>, key: &PodKey) {
    let Some(pod) = ctx.pod(key) else { return };
    match seat(ctx, pod) {
        Ok(seat) => {
            let facts = facts(ctx, pod, &seat.slice, seat.networks, seat.ips);
            add_port(ctx, key, pod, &seat.slice, &facts);
        }
        Err(Lack::Wrong { field, message, .. }) => ctx.problem(key.clone().into(), field, message),
        Err(Lack::Unwanted(_)) => {}
    }
}

/// Where a pod's port is, and its addresses.
#[derive(Clone, Debug)]
struct Seat<'a> {
    slice: SliceKey,
    networks: &'a [IpNetwork],
    ips: &'a [std::net::IpAddr],
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
        slice: Option<SliceKey>,
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
    let slice = match ctx.place(pod) {
        Place::In(slice) => slice,
        Place::Nowhere(message) => {
            return Err(Lack::Wrong {
                field: NAMESPACE,
                message,
                slice: None,
            });
        }
        Place::Unwanted => return Err(Lack::Unwanted("it is not scheduled to a node yet")),
    };
    let wrong = |field, message| {
        Err(Lack::Wrong {
            field,
            message,
            slice: Some(slice.clone()),
        })
    };
    let networks = match ctx.slice(&slice) {
        Some(Standing::Slice(networks)) => networks,
        standing => {
            let (field, message) = without_slice(ctx, &slice, standing.as_ref());
            return wrong(field, message);
        }
    };
    if let Some(fault) = ctx.address_fault(pod, &slice) {
        return wrong(POD_IPS, fault);
    }
    match ctx.fare(key) {
        Some(Outcome::Granted(ips)) => Ok(Seat { slice, networks, ips }),
        Some(Fare::Lost { item, to, .. }) => wrong(
            POD_IPS,
            format!("{item} of pod {key} is also that of pod {to}, which is older and keeps it: delete one of them"),
        ),
        Some(Fare::Waiting) => {
            let why = ctx.shortage(&slice).unwrap_or_default();
            let node = &slice.node;
            let message = if slice.is_default() {
                format!(
                    "node {node} has no free address: {why}; the pod gets one as soon as another pod is gone, or give the \
                     node a larger podCIDR"
                )
            } else {
                format!(
                    "node {node} has no free address of VPC {}: {why}; the pod gets one as soon as another pod of the VPC is \
                     gone from the node",
                    slice.vpc
                )
            };
            wrong(POD_IPS, message)
        }
        None => Err(Lack::Unwanted("it has not been looked at yet")),
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

/// What the node needs to know, in the order of the slice's networks: the first is the pod's primary family.
fn facts(
    ctx: &Context<'_>,
    pod: &Pod,
    slice: &SliceKey,
    networks: &[IpNetwork],
    held: &[std::net::IpAddr],
) -> PortFacts {
    let pairs = || {
        networks
            .iter()
            .filter_map(|&network| Some((network, *held.iter().find(|&&ip| network.contains(ip))?)))
    };
    PortFacts {
        ips: pairs().map(|(network, ip)| interface(network, ip)).collect(),
        gateways: pairs().map(|(network, _)| ip::gateway(network)).collect(),
        mtu: ctx.config().mtu(),
        uid: Some(pod.uid.to_string()),
        vpc: (!slice.is_default()).then(|| VpcFacts {
            name: slice.vpc.to_string(),
            services: false,
            outside: false,
            networks: Vec::new(),
        }),
        ..PortFacts::new(PortKind::Pod, ip::mac(held.iter().copied()))
    }
}

fn add_port(ctx: &mut Context<'_>, key: &PodKey, pod: &Pod, slice: &SliceKey, facts: &PortFacts) {
    let names = ctx.names();
    let switch = ctx.switch(slice);
    let addresses = port::addresses(facts);
    let options = [
        (port::REQUESTED_CHASSIS, Atom::from(&slice.node)),
        (port::IFACE_ID_VER, Atom::from(&pod.uid)),
    ];
    let columns = [
        (logical_switch_port::TYPE, Datum::scalar("")),
        (logical_switch_port::ADDRESSES, Datum::scalar(&addresses)),
        (logical_switch_port::PORT_SECURITY, Datum::scalar(&addresses)),
        (
            logical_switch_port::OPTIONS,
            Datum::map(options.map(|(option, value)| (ctx.known_text(option), value))),
        ),
    ];
    let port = port::add(ctx, names.pod(key), switch, columns, Some((facts, Some(&pod.uid))));
    let ips: Vec<_> = facts.ips.iter().map(IpNetwork::ip).collect();
    policy::join(ctx, key, port, &ips);
}
