//! How VPCs and Subnets fare, for [`Compiler::vpcs`](super::Compiler::vpcs) and [`Compiler::subnets`](super::Compiler::subnets).

use std::collections::BTreeSet;

use meridian_model::{Name, PodKey, PortKey};

use crate::addresses::Addresses;
use crate::context::World;
use crate::placements::Placements;
use crate::segment::Segment;
use crate::vpcs::{Home, State, SubnetState};
use crate::{Fill, GatewayReport, RouteReport, SubnetReport, VpcReport, gateway};

/// How many pods are named that are still in a VPC their namespace has left.
const REMAINING: usize = 100;

/// How many pods are named of all that are in a VPC.
const FIRST: usize = 10;

pub(super) fn subnet(state: &SubnetState, addresses: &Addresses, placements: &Placements) -> SubnetReport {
    let segment = Segment::Subnet(state.key());
    let ports = || placements.within(&segment);
    let pods = || distinct(ports());
    let nodes: BTreeSet<&Name> = ports()
        .filter_map(|port| placements.of(port))
        .map(|spot| &spot.node)
        .collect();
    let fill = addresses.fill(&segment).into_iter();
    SubnetReport {
        name: state.object.name.clone(),
        vpc: state.object.vpc.clone(),
        deleting: state.object.deleting,
        faults: state.faults.clone(),
        conflict: state.conflict,
        waiting: state.waiting.clone(),
        flaws: state.flaws.clone(),
        fill: fill.map(|(network, used, free)| Fill { network, used, free }).collect(),
        nodes: nodes.len(),
        pods: pods().count(),
        first: pods().take(FIRST).cloned().collect(),
    }
}

pub(super) fn vpc(state: &State, namespaces: Vec<Name>, world: World<'_>) -> VpcReport {
    let (vpcs, placements) = (world.vpcs, world.placements);
    let name = &state.object.name;
    let slices = || placements.slices(name);
    let ports = || slices().flat_map(|(_, ports)| ports);
    let pods = || distinct(ports());
    let is_at_home = |namespace| matches!(vpcs.home(namespace), Home::Vpc(home) if home.object.name == *name);
    let first = ports().filter(|port| port.is_first()).map(|port| &port.pod);
    let remaining = first.filter(|pod| !is_at_home(&pod.namespace)).take(REMAINING);
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
        routes: (!state.object.routes.is_empty()).then(|| routes(state)),
        gateways: gateway::is_gateway(state).then(|| gateways(state, world)),
        nodes: slices().count(),
        pods: pods().count(),
        remaining,
        first: pods().take(FIRST).cloned().collect(),
    }
}

/// The pods that interfaces are of, which come pod by pod.
fn distinct<'a>(ports: impl Iterator<Item = &'a PortKey>) -> impl Iterator<Item = &'a PodKey> {
    let mut last = None;
    let mut is_another = move |pod| last.replace(pod) != Some(pod);
    ports.map(|port| &port.pod).filter(move |pod| is_another(*pod))
}

fn routes(state: &State) -> RouteReport {
    let faults = state.route_faults.iter();
    RouteReport {
        count: state.routes.len(),
        faults: faults
            .map(|fault| (fault.field.clone(), fault.message.clone()))
            .collect(),
        conflict: state.route_faults.iter().any(|fault| fault.conflict),
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
