//! How a VPC fares, for [`Compiler::vpcs`](super::Compiler::vpcs).

use meridian_model::Name;

use crate::VpcReport;
use crate::placements::Placements;
use crate::vpcs::{Home, State, Vpcs};

/// How many pods are named that are still in a VPC their namespace has left.
const REMAINING: usize = 100;

/// How many pods are named of all that are in a VPC.
const FIRST: usize = 10;

pub(super) fn vpc(state: &State, namespaces: Vec<Name>, vpcs: &Vpcs, placements: &Placements) -> VpcReport {
    let name = &state.object.name;
    let slices = || placements.slices(name);
    let ports = || slices().flat_map(|(_, ports)| ports);
    // Of interfaces that one pod has there, the first counts.
    let pods = || {
        let mut last = None;
        let mut is_another = move |pod| std::mem::replace(&mut last, Some(pod)) != Some(pod);
        ports().map(|port| &port.pod).filter(move |pod| is_another(*pod))
    };
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
        nodes: slices().count(),
        pods: pods().count(),
        remaining,
        first: pods().take(FIRST).cloned().collect(),
    }
}
