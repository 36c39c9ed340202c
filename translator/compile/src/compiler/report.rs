//! How a VPC fares, for [`Compiler::vpcs`](super::Compiler::vpcs).

use meridian_model::Name;

use crate::context::World;
use crate::vpcs::{Home, State};
use crate::{GatewayReport, VpcReport, gateway};

/// How many pods are named that are still in a VPC their namespace has left.
const REMAINING: usize = 100;

/// How many pods are named of all that are in a VPC.
const FIRST: usize = 10;

pub(super) fn vpc(state: &State, namespaces: Vec<Name>, world: World<'_>) -> VpcReport {
    let (vpcs, placements) = (world.vpcs, world.placements);
    let name = &state.object.name;
    let slices = || placements.slices(name);
    let pods = || slices().flat_map(|(_, pods)| pods);
    let is_at_home = |namespace| matches!(vpcs.home(namespace), Home::Vpc(home) if home.object.name == *name);
    let remaining = pods().filter(|pod| !is_at_home(&pod.namespace)).take(REMAINING);
    let mut remaining: Vec<_> = remaining.cloned().collect();
    remaining.sort_unstable();
    VpcReport {
        name: name.clone(),
        deleting: state.object.deleting,
        conflict: state.conflict,
        faults: state.faults.clone(),
        namespaces,
        lost: state
            .lost
            .iter()
            .map(|(namespace, vpc)| (namespace.clone(), vpc.clone()))
            .collect(),
        peers: state.peers.clone(),
        gateways: gateway::is_gateway(state).then(|| gateways(state, world)),
        nodes: slices().count(),
        pods: pods().count(),
        remaining,
        first: pods().take(FIRST).cloned().collect(),
    }
}

fn gateways(state: &State, world: World<'_>) -> GatewayReport {
    let name = &state.object.name;
    let nodes: Vec<Name> = world.gateways.of_vpc(name).cloned().collect();
    let lack = gateway::lack(state, !nodes.is_empty(), world.gateways.fault(name));
    GatewayReport {
        nodes,
        conflict: lack.as_ref().is_some_and(|lack| lack.conflict),
        lack: lack.map(|lack| lack.message),
    }
}
