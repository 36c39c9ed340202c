//! A node: its slice of the default VPC, or why it has none, and that it is a gateway of others.

use meridian_model::{Key, Name};

use crate::context::Context;
use crate::slices::{SliceKey, Standing, list};
use crate::{gateway, ip, slice};

pub(crate) fn compile(ctx: &mut Context<'_>, name: &Name) {
    let key = SliceKey::of_default(name);
    match ctx.slice(&key) {
        Some(Standing::Slice(networks)) => slice::rows(ctx, &key, networks),
        Some(standing) => report(ctx, name, &standing),
        None => {}
    }
    gateway::tell(ctx, name);
}

fn report(ctx: &mut Context<'_>, name: &Name, standing: &Standing<'_>) {
    let node = Key::Node(name.clone());
    match standing {
        Standing::Slice(_) => {}
        Standing::Unusable(faults) => {
            for fault in *faults {
                ctx.problem(node.clone(), format!("spec.podCIDRs[{}]", fault.index), &*fault.message);
            }
        }
        Standing::Lost { cidr, theirs, to } => {
            let object = ctx.node(name);
            let is_cidr = |text: &Name| text.parse().is_ok_and(|network| ip::canonical(network) == *cidr);
            let index = object
                .and_then(|node| node.pod_cidrs.iter().position(is_cidr))
                .unwrap_or_default();
            let message = format!(
                "{cidr} of node {name} overlaps {theirs} of node {to}, which is older and keeps it: give {name} another \
                 podCIDR, or remove node {to}"
            );
            ctx.problem(node, format!("spec.podCIDRs[{index}]"), message);
        }
        Standing::Waiting => {
            let config = ctx.config();
            let cidrs = config.cluster_cidrs();
            let slices: Vec<String> = cidrs
                .iter()
                .map(|&cidr| format!("/{} of {cidr}", config.host_slice(cidr)))
                .collect();
            let message = format!(
                "the node has no podCIDR, and the cluster CIDRs ({}) have no free slice left for it ({}): add a cluster \
                 CIDR, set spec.podCIDRs, or remove nodes",
                list(cidrs),
                slices.join(", ")
            );
            ctx.problem(node, "spec.podCIDRs", message);
        }
    }
}
