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

#[cfg(test)]
mod tests {
    use meridian_model::Event;

    use super::*;

    fn places(nodes: impl IntoIterator<Item = Node>) -> Vec<Option<String>> {
        let mut cluster = Cluster::default();
        for node in nodes {
            cluster.apply(Event::apply(node));
        }
        let places = Places::of(&cluster);
        assert_eq!(places.any(), places.iter().next().is_some());
        places.iter().map(|zone| zone.map(ToString::to_string)).collect()
    }

    #[test]
    fn nodes_without_zones_are_in_one_place_that_has_no_name() {
        assert_eq!(places([Node::test("a"), Node::test("b").in_zone("")]), []);
    }

    #[test]
    fn zones_are_places_and_what_is_in_none_is_another() {
        let named = [
            Node::test("a").in_zone("west"),
            Node::test("b").in_zone("east"),
            Node::test("c").in_zone("east"),
        ];
        assert_eq!(places(named.clone()), [Some("east".into()), Some("west".into())]);
        let with_another = named.into_iter().chain([Node::test("d")]);
        assert_eq!(places(with_another), [Some("east".into()), Some("west".into()), None]);
    }
}
