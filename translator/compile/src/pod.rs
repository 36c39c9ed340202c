//! A pod: its logical port.
//!
//! A change of a pod touches nothing but its port and the `ports` of its node's switch, which is what ovn-northd handles
//! incrementally.

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
use crate::{ip, port};

const NAMESPACE: &str = "metadata.namespace";
const NODE_NAME: &str = "spec.nodeName";
const POD_IPS: &str = "status.podIPs";

pub(crate) fn compile(ctx: &mut Context<'_>, key: &PodKey) {
    let Some(pod) = ctx.pod(key).filter(|pod| wants_port(pod)) else {
        return;
    };
    let report = |ctx: &mut Context<'_>, field, message: String| ctx.problem(key.clone().into(), field, message);
    let slice = match ctx.place(pod) {
        Place::In(slice) => slice,
        Place::Nowhere(why) => return report(ctx, NAMESPACE, why),
        // Not scheduled yet: nothing to do, and nothing to report.
        Place::Unwanted => return,
    };
    let networks = match ctx.slice(&slice) {
        Some(Standing::Slice(networks)) => networks,
        standing => {
            let (field, message) = without_slice(ctx, &slice, standing.as_ref());
            return report(ctx, field, message);
        }
    };
    if let Some(fault) = ctx.address_fault(pod, &slice) {
        return report(ctx, POD_IPS, fault);
    }
    match ctx.fare(key) {
        Some(Outcome::Granted(ips)) => {
            let facts = facts(ctx, pod, &slice, networks, ips);
            add_port(ctx, key, pod, &slice, &facts);
        }
        Some(Fare::Lost { item, to, .. }) => {
            let message = format!(
                "{item} of pod {key} is also that of pod {to}, which is older and keeps it: delete one of them"
            );
            report(ctx, POD_IPS, message);
        }
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
            report(ctx, POD_IPS, message);
        }
        None => {}
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
        kind: PortKind::Pod,
        mac: ip::mac(held.iter().copied()),
        ips: pairs().map(|(network, ip)| interface(network, ip)).collect(),
        gateways: pairs().map(|(network, _)| ip::gateway(network)).collect(),
        routes: Vec::new(),
        sources: Vec::new(),
        node_ports: Vec::new(),
        mtu: ctx.config().mtu(),
        uid: Some(pod.uid.to_string()),
        vpc: (!slice.is_default()).then(|| VpcFacts {
            name: slice.vpc.to_string(),
            services: false,
            outside: false,
            networks: Vec::new(),
        }),
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
    port::add(ctx, names.pod(key), switch, columns, Some((facts, Some(&pod.uid))));
}
