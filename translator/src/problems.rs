//! What is wrong with the cluster's objects and with the rows made of them: kept for /status, and
//! logged once when it appears and once when it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

/// One thing that somebody should put right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// What it is about: `pod/shop/web`.
    pub object: String,
    /// The field, where one is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What kind of trouble it is, in one word, where that says more than who found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// Where the object was read: `cluster/web.yaml: document 2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: ", self.object)?;
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Who found a problem. Each replaces the whole set it found before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The folder of manifests.
    Manifests,
    /// The watch of nodes.
    Nodes,
    /// The watch of namespaces.
    Namespaces,
    /// The watch of pods.
    Pods,
    /// The watch of services.
    Services,
    /// The watch of endpoint slices.
    EndpointSlices,
    /// The watch of networks of ClusterIPs.
    ServiceCidrs,
    /// The watch of address pools.
    AddressPools,
    /// The watch of VPCs.
    Vpcs,
    /// The watch of definitions of further interfaces.
    NetworkAttachments,
    /// The watch of Subnets.
    Subnets,
    /// The watch of consents to peerings.
    VpcPeerings,
    /// The watch of policies.
    NetworkPolicies,
    /// The watches of policies of the whole cluster.
    ClusterNetworkPolicies,
    /// Those of v1alpha1.
    AdminNetworkPolicies,
    /// And what comes after policies of namespaces.
    BaselineAdminNetworkPolicies,
    /// Compiling objects to rows.
    Compile,
    /// Writing rows.
    Northbound,
    /// Removing the chassis of nodes that are no more.
    Chassis,
    /// Giving services addresses out of pools.
    Allocation,
    /// Writing the status of VPCs.
    VpcStatus,
    /// Writing the status of Subnets.
    SubnetStatus,
    /// Writing the status of consents to peerings.
    VpcPeeringStatus,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::Manifests,
        Self::Nodes,
        Self::Namespaces,
        Self::Pods,
        Self::Services,
        Self::EndpointSlices,
        Self::ServiceCidrs,
        Self::AddressPools,
        Self::Vpcs,
        Self::NetworkAttachments,
        Self::Subnets,
        Self::VpcPeerings,
        Self::NetworkPolicies,
        Self::ClusterNetworkPolicies,
        Self::AdminNetworkPolicies,
        Self::BaselineAdminNetworkPolicies,
        Self::Compile,
        Self::Northbound,
        Self::Chassis,
        Self::Allocation,
        Self::VpcStatus,
        Self::SubnetStatus,
        Self::VpcPeeringStatus,
    ];
}

/// What each has found.
pub type Found = BTreeMap<Origin, BTreeSet<Problem>>;

/// The problems there are now.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<watch::Sender<Found>>);

impl Board {
    /// Replaces what `origin` has found.
    pub fn set(&self, origin: Origin, problems: impl IntoIterator<Item = Problem>) {
        let now: BTreeSet<Problem> = problems.into_iter().collect();
        self.0.send_if_modified(|board| {
            let before = board.entry(origin).or_default();
            for problem in now.difference(before) {
                log_found(origin, problem);
            }
            for problem in before.difference(&now) {
                tracing::info!(%problem, ?origin, "problem solved");
            }
            let changed = now != *before;
            *before = now;
            changed
        });
    }

    /// What there is, and when it changes.
    pub fn subscribe(&self) -> watch::Receiver<Found> {
        self.0.subscribe()
    }

    /// All of them with who found them.
    pub fn all(&self) -> Vec<(Origin, Problem)> {
        self.0
            .borrow()
            .iter()
            .flat_map(|(origin, problems)| problems.iter().map(|p| (*origin, p.clone())))
            .collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.borrow().values().map(BTreeSet::len).sum()
    }

    /// How many each has found.
    pub fn counts(&self) -> Vec<(Origin, usize)> {
        let board = self.0.borrow();
        Origin::ALL
            .into_iter()
            .map(|origin| (origin, board.get(&origin).map_or(0, BTreeSet::len)))
            .collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn log_found(origin: Origin, problem: &Problem) {
    tracing::warn!(
        object = problem.object,
        field = problem.field,
        place = problem.place,
        ?origin,
        "{}",
        problem.message
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(object: &str) -> Problem {
        Problem {
            object: object.into(),
            field: Some("spec.podCIDRs[0]".into()),
            reason: None,
            message: "is no network".into(),
            place: Some("a.yaml: document 1".into()),
        }
    }

    #[test]
    fn each_origin_replaces_only_its_own() {
        let board = Board::default();
        board.set(Origin::Manifests, [problem("node/a")]);
        board.set(Origin::Compile, [problem("node/b")]);
        board.set(Origin::Manifests, []);
        assert_eq!(board.all(), [(Origin::Compile, problem("node/b"))]);
    }

    #[test]
    fn a_problem_reads_from_the_place_to_the_cause() {
        assert_eq!(
            problem("node/a").to_string(),
            "a.yaml: document 1: node/a: spec.podCIDRs[0]: is no network"
        );
    }
}
