//! The difference between the rows there should be and the rows there are.
//!
//! Pure: a plan is made of ids only; the values are read from both sides when a transaction is built or the plan is
//! shown, so that a large plan costs little and never writes what is out of date. Must not: talk to anybody, or
//! touch a row that carries no owner of ours.

mod diff;
mod groups;
mod show;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};

use meridian_compile::{Desired, LinkId};
use ovsdb::Replica;
use uuid::Uuid;

use crate::{Ownership, Scope};

pub use groups::{BATCH, Group};
pub use show::{Column, DescribedLink, DescribedRow, Description, Value};
pub use transaction::{Prepared, prepare};

pub(crate) use diff::is_made;
pub(crate) use groups::{batches, independent_phase};
pub(crate) use show::{name_of, owner_of};

/// What is to be done with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// It is missing.
    Insert,
    /// These columns differ.
    Update(Box<[&'static str]>),
    /// It is ours, and nothing wants it any more.
    Delete,
}

/// What is to be done with an element of a set column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// It is missing.
    Add,
    /// It is ours, and nothing wants it there any more.
    Remove,
}

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Rows, by table.
    pub rows: BTreeMap<(&'static str, Uuid), RowChange>,
    /// Elements of set columns.
    pub links: BTreeMap<LinkId, LinkChange>,
    /// Columns that Meridian would write and this server does not have.
    pub missing_columns: BTreeSet<(&'static str, &'static str)>,
}

/// Numbers of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Inserted.
    pub inserts: usize,
    /// Updated.
    pub updates: usize,
    /// Deleted.
    pub deletes: usize,
    /// Elements of set columns, added or removed.
    pub links: usize,
}

impl Counts {
    /// All of them.
    pub fn total(&self) -> usize {
        self.inserts + self.updates + self.deletes + self.links
    }
}

/// The two sides that are compared.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// What there should be.
    pub desired: &'a Desired,
    /// What there is.
    pub replica: &'a Replica,
    /// Which of it is ours.
    pub ownership: &'a Ownership,
}

/// Compares what is in `scope`.
pub fn plan(sides: Sides<'_>, scope: &Scope) -> Plan {
    diff::diff(sides, scope)
}

impl Plan {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.links.is_empty()
    }

    /// How much differs.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            links: self.links.len(),
            ..Counts::default()
        };
        for change in self.rows.values() {
            match change {
                RowChange::Insert => counts.inserts += 1,
                RowChange::Update(_) => counts.updates += 1,
                RowChange::Delete => counts.deletes += 1,
            }
        }
        counts
    }

    /// What the plan adds. The rest of `scope` that is not as it should be goes to `left`: what is changed or removed, and
    /// links that lack the row on one of their ends.
    #[must_use]
    pub fn additions(mut self, scope: Scope, left: &mut Scope) -> Self {
        self.rows.retain(|&(table, uuid), change| {
            let adds = *change == RowChange::Insert;
            if !adds {
                left.add_row(table, uuid);
            }
            adds
        });
        self.links.retain(|link, change| {
            let adds = *change == LinkChange::Add;
            if !adds {
                left.add_link(link.clone());
            }
            adds
        });
        if let Scope::Part(part) = scope {
            let unplanned = part.links.into_iter().filter(|link| !self.links.contains_key(link));
            unplanned.for_each(|link| left.add_link(link));
        }
        self
    }

    /// The plan without anything that removes, and how many deletions of rows that leaves out.
    #[must_use]
    pub fn without_removals(mut self) -> Self {
        self.rows.retain(|_, change| *change != RowChange::Delete);
        self.links.retain(|_, change| *change != LinkChange::Remove);
        self
    }
}
