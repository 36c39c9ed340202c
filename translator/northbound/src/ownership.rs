//! Which rows are ours.

use std::sync::Arc;

use meridian_api::port::{CLUSTER, OWNER};
use meridian_compile::row_uuid;
use ovsdb::{Atom, Condition, Datum, Row};

use crate::tables;

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

    /// Whether a row carries an owner of ours. Where a table has no place for it, a row is ours whose identity is the one
    /// that its name gives it.
    pub fn owns(&self, row: &Row) -> bool {
        let ids = row.get("external_ids");
        if ids.get_str(OWNER).is_some() {
            return ids.get_str(CLUSTER) == self.cluster.as_deref();
        }
        let name = || row.get("name").as_str().unwrap_or_default();
        !tables::has_external_ids(row.table()) && row.uuid() == row_uuid(self.cluster.as_deref(), row.table(), name())
    }

    /// The row's owner, as far as the row says it.
    pub fn owner(row: &Row) -> &str {
        row.get("external_ids").get_str(OWNER).unwrap_or("nobody")
    }

    /// What must still hold of a row when it is deleted.
    pub(crate) fn proof(row: &Row) -> Condition {
        if !tables::has_external_ids(row.table()) {
            return Condition::eq("name", row.get("name").as_str().unwrap_or_default());
        }
        let ids = row.get("external_ids");
        let pairs = [OWNER, CLUSTER]
            .into_iter()
            .filter_map(|key| Some((Atom::from(key), ids.get(key)?.clone())));
        Condition::includes("external_ids", Datum::map(pairs))
    }
}
