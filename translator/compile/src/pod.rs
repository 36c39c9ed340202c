//! A pod: its logical port.
//!
//! A change of a pod touches nothing but its port and the `ports` of its node's switch, which is what ovn-northd handles
//! incrementally.

use ipnetwork::IpNetwork;
use meridian_api::port::{PortFacts, PortKind};
use meridian_model::{Name, Pod, PodKey};
use ovsdb::{Atom, Datum};
use ovsdb_schemas::northbound::logical_switch_port;

use crate::addresses::{Fare, wants_port};
use crate::arbiter::Outcome;
use crate::context::Context;
use crate::node::interface;
use crate::slices::Standing;
use crate::{ip, port};

const NODE_NAME: &str = "spec.nodeName";
const POD_IPS: &str = "status.podIPs";

pub(crate) fn compile(ctx: &mut Context<'_>, key: &PodKey) {
    let Some(pod) = ctx.pod(key).filter(|pod| wants_port(pod)) else {
        return;
    };
    // Not scheduled yet: nothing to do, and nothing to report.
    let Some(node) = &pod.node else { return };
    let report = |ctx: &mut Context<'_>, field, message: String| ctx.problem(key.clone().into(), field, message);

    let networks = match ctx.slice(node) {
        Some(Standing::Slice(networks)) => networks,
        Some(_) => {
            let message = format!("node {node} has no slice of the pod network: see what is reported on the node");
            return report(ctx, NODE_NAME, message);
        }
        None => {
            let message = format!("node {node} does not exist: the pod gets its port once the node has joined");
            return report(ctx, NODE_NAME, message);
        }
    };
    if let Some(fault) = ctx.address_fault(pod, node) {
        return report(ctx, POD_IPS, fault);
    }
    match ctx.fare(key) {
        Some(Outcome::Granted(ips)) => {
            let facts = facts(ctx, pod, networks, ips);
            add_port(ctx, key, pod, node, &facts);
        }
        Some(Fare::Lost { item, to, .. }) => {
            let message = format!(
                "{item} of pod {key} is also that of pod {to}, which is older and keeps it: delete one of them"
            );
            report(ctx, POD_IPS, message);
        }
        Some(Fare::Waiting) => {
            let why = ctx.shortage(node).unwrap_or_default();
            let message = format!(
                "node {node} has no free address: {why}; the pod gets one as soon as another pod is gone, or give the \
                 node a larger podCIDR"
            );
            report(ctx, POD_IPS, message);
        }
        None => {}
    }
}

/// What the node needs to know, in the order of the slice's networks: the first is the pod's primary family.
fn facts(ctx: &Context<'_>, pod: &Pod, networks: &[IpNetwork], held: &[std::net::IpAddr]) -> PortFacts {
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
        vpc: None,
    }
}

fn add_port(ctx: &mut Context<'_>, key: &PodKey, pod: &Pod, node: &Name, facts: &PortFacts) {
    let names = ctx.names();
    let switch = ctx.switch(node);
    let addresses = port::addresses(facts);
    let options = [
        (port::REQUESTED_CHASSIS, Atom::from(node)),
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
