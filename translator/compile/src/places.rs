//! [`Places`]: in which zones the nodes are.

use std::collections::BTreeSet;

use meridian_model::{Cluster, Name, Node};

/// The label of a node that names its zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// The zones that nodes are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    zones: BTreeSet<Name>,
    /// Whether some node is in none.
    elsewhere: bool,
}

impl Places {
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let mut places = Self::default();
        for node in cluster.nodes() {
            match zone(node) {
                Some(zone) => {
                    places.zones.insert(zone.clone());
                }
                None => places.elsewhere = true,
            }
        }
        places
    }

    /// The zones, and `None` for where nodes are that are in no zone. Nothing if no node is in a zone: then there is only
    /// one place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&Name>> {
        let elsewhere = (self.elsewhere && !self.zones.is_empty()).then_some(None);
        self.zones.iter().map(Some).chain(elsewhere)
    }

    /// Whether nodes are told apart by zones.
    pub(crate) fn any(&self) -> bool {
        !self.zones.is_empty()
    }
}

/// The zone of a node.
pub(crate) fn zone(node: &Node) -> Option<&Name> {
    node.labels.get(ZONE).filter(|zone| !zone.is_empty())
}
