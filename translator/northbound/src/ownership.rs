//! Which rows are ours.

use std::sync::Arc;

use meridian_api::port::{CLUSTER, OWNER};
use ovsdb::{Atom, Datum, Row};

/// Tells our rows from those of others in the same database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    cluster: Option<Arc<str>>,
}

impl Ownership {
    /// The rows of a cluster; without an id, those that carry none.
    pub fn new(cluster: Option<&str>) -> Self {
        Self {
            cluster: cluster.map(Arc::from),
        }
    }

    /// Whether a row carries an owner of ours.
    pub fn owns(&self, row: &Row) -> bool {
        let ids = row.get("external_ids");
        ids.get_str(OWNER).is_some() && ids.get_str(CLUSTER) == self.cluster.as_deref()
    }

    /// What to call the row: its owner, and its name where it has one.
    pub fn owner(row: &Row) -> &str {
        row.get("external_ids").get_str(OWNER).unwrap_or("nobody")
    }

    /// The `external_ids` that a row must still carry when it is deleted.
    pub(crate) fn proof(row: &Row) -> Datum {
        let ids = row.get("external_ids");
        let pairs = [OWNER, CLUSTER]
            .into_iter()
            .filter_map(|key| Some((Atom::from(key), ids.get(key)?.clone())));
        Datum::map(pairs)
    }
}
