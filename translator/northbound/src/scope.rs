//! What a plan looks at.

use std::collections::BTreeSet;

use meridian_compile::{Delta, LinkId};
use ovsdb::Changes;
use uuid::Uuid;

use crate::tables;

/// What a plan looks at: everything, or what is known to have changed on either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All rows, desired and present.
    Full,
    /// These only. The cost does not depend on the rest.
    Part(Part),
}

/// Rows and links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Rows, by table. Their set columns are looked at too.
    pub rows: BTreeSet<(&'static str, Uuid)>,
    /// Elements of set columns.
    pub links: BTreeSet<LinkId>,
}

impl Default for Scope {
    fn default() -> Self {
        Self::Part(Part::default())
    }
}

impl Scope {
    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Full => false,
            Self::Part(part) => part.rows.is_empty() && part.links.is_empty(),
        }
    }

    /// How many things there are to look at, as far as that is known.
    pub fn len(&self) -> usize {
        match self {
            Self::Full => 0,
            Self::Part(part) => part.rows.len() + part.links.len(),
        }
    }

    /// Takes what a compile changed.
    pub fn add_delta(&mut self, delta: Delta) {
        if let Self::Part(part) = self {
            part.rows.extend(delta.rows);
            part.links.extend(delta.links);
        }
    }

    /// Takes what changed in the database.
    pub fn add_changes(&mut self, changes: &Changes) {
        if let Self::Part(part) = self {
            let known = changes
                .rows
                .iter()
                .filter_map(|(name, uuid)| Some((tables::table(name)?.name, *uuid)));
            part.rows.extend(known);
        }
    }

    /// Takes a row.
    pub fn add_row(&mut self, table: &'static str, uuid: Uuid) {
        if let Self::Part(part) = self {
            part.rows.insert((table, uuid));
        }
    }

    /// Takes a link.
    pub fn add_link(&mut self, link: LinkId) {
        if let Self::Part(part) = self {
            part.links.insert(link);
        }
    }
}
