//! Groups as one transaction.

use std::collections::{BTreeMap, BTreeSet};

use meridian_compile::LinkId;
use ovsdb::{Atom, Condition, Datum, Mutation, Transaction, Until, Where};
use ovsdb_schemas::northbound::DATABASE;
use uuid::Uuid;

use super::{Counts, Group, LinkChange, RowChange, Sides};
use crate::ownership::Ownership;
use crate::tables;

/// A transaction with what is needed to make sense of its outcome.
#[derive(Debug)]
pub struct Prepared {
    /// What to send.
    pub transaction: Transaction,
    /// For each operation the group it is for, by index; none if it is for several, or for all.
    pub culprits: Vec<Option<usize>>,
    /// What it writes.
    pub counts: Counts,
    /// Groups that cannot be written yet, by index, because the row named is not there.
    pub waiting: BTreeMap<usize, (&'static str, Uuid)>,
}

type Elements = BTreeMap<(&'static str, Uuid, &'static str), (BTreeSet<Atom>, BTreeSet<Atom>)>;

/// Builds the transaction that writes `groups`, under a lock if there is one. Values are read from both sides now: a
/// group that has become pointless adds nothing.
pub fn prepare(sides: Sides<'_>, groups: &[Group], lock: Option<&str>) -> Prepared {
    let mut builder = Builder {
        sides,
        transaction: Transaction::new(DATABASE),
        culprits: Vec::new(),
        counts: Counts::default(),
        waiting: BTreeMap::new(),
        deletions: Vec::new(),
        elements: Elements::new(),
        inserted: groups
            .iter()
            .filter_map(|group| match &group.row {
                Some((table, uuid, RowChange::Insert)) => Some((*table, *uuid)),
                _ => None,
            })
            .collect(),
    };
    if let Some(lock) = lock {
        builder.transaction.assert_lock(lock);
        builder.blame(None);
    }
    builder.find_waiting(groups);
    builder.guard_parents(groups);
    for (index, group) in groups.iter().enumerate() {
        if !builder.waiting.contains_key(&index) {
            builder.group(index, group);
        }
    }
    builder.finish()
}

struct Builder<'a> {
    sides: Sides<'a>,
    transaction: Transaction,
    culprits: Vec<Option<usize>>,
    counts: Counts,
    waiting: BTreeMap<usize, (&'static str, Uuid)>,
    deletions: Vec<(usize, &'static str, Uuid)>,
    elements: Elements,
    inserted: BTreeSet<(&'static str, Uuid)>,
}

impl Builder<'_> {
    /// Notes which group the operations added since the last call are for.
    fn blame(&mut self, group: Option<usize>) {
        self.culprits.resize(self.transaction.len(), group);
    }

    /// A link into a row that is not there changes nothing, and the row it should hold is lost without a word.
    fn find_waiting(&mut self, groups: &[Group]) {
        loop {
            let before = self.waiting.len();
            for (index, group) in groups.iter().enumerate() {
                let missing = group.links.iter().find(|(link, change)| {
                    *change == LinkChange::Add
                        && self.sides.replica.row(link.table, link.parent).is_none()
                        && !self.inserted.contains(&(link.table, link.parent))
                });
                if let (Some((link, _)), false) = (missing, self.waiting.contains_key(&index)) {
                    self.waiting.insert(index, (link.table, link.parent));
                    if let Some((table, uuid, _)) = &group.row {
                        self.inserted.remove(&(*table, *uuid));
                    }
                }
            }
            if self.waiting.len() == before {
                return;
            }
        }
    }

    /// Parents must still be what they were when the links were planned: one `wait` on the name of each.
    fn guard_parents(&mut self, groups: &[Group]) {
        let added = groups
            .iter()
            .flat_map(|group| &group.links)
            .filter(|(_, change)| *change == LinkChange::Add);
        let parents: BTreeSet<(&'static str, Uuid)> = added.map(|(link, _)| (link.table, link.parent)).collect();
        for (name, uuid) in parents {
            let named = tables::table(name).is_some_and(|table| table.has_name);
            let Some(row) = self.sides.replica.row(name, uuid).filter(|_| named) else {
                continue;
            };
            let identity = vec![("name".into(), row.get("name").clone())];
            self.transaction
                .wait(name, Where::Uuid(uuid), &["name"], Until::Equal, vec![identity]);
        }
        self.blame(None);
    }

    fn group(&mut self, index: usize, group: &Group) {
        if let Some((table, uuid, change)) = &group.row {
            match change {
                RowChange::Insert => self.insert(table, *uuid),
                RowChange::Update(columns) => self.update(table, *uuid, columns),
                RowChange::Delete => self.deletions.push((index, table, *uuid)),
            }
            self.blame(Some(index));
        }
        for (link, change) in &group.links {
            self.link(link, *change);
        }
    }

    fn insert(&mut self, name: &'static str, uuid: Uuid) {
        let Sides { desired, replica, .. } = self.sides;
        let (Some(row), Some(table)) = (desired.row(name, uuid), replica.table(name)) else {
            return;
        };
        if table.get(uuid).is_some() {
            return;
        }
        let columns = table
            .have_columns(&row.columns)
            .filter(|(_, datum, is_known)| *is_known && !datum.is_empty());
        self.transaction.insert(
            name,
            Some(uuid),
            columns.map(|(column, datum, _)| (column, datum.clone())),
        );
        self.counts.inserts += 1;
    }

    fn update(&mut self, name: &'static str, uuid: Uuid, columns: &[&'static str]) {
        let Sides { desired, replica, .. } = self.sides;
        let (Some(row), Some(now)) = (desired.row(name, uuid), replica.row(name, uuid)) else {
            return;
        };
        let columns: Vec<(&'static str, Datum)> = columns
            .iter()
            .filter_map(|column| Some((*column, row.get(column)?)))
            .filter(|(column, datum)| now.get(column) != *datum)
            .map(|(column, datum)| (column, datum.clone()))
            .collect();
        if columns.is_empty() {
            return;
        }
        self.counts.updates += 1;
        let keyed = tables::table(name).map_or(&[][..], |table| &table.keyed_columns);
        let (keyed, whole): (Vec<_>, Vec<_>) = columns.into_iter().partition(|(column, _)| keyed.contains(column));
        if !whole.is_empty() {
            self.transaction.update(name, Where::Uuid(uuid), whole);
        }
        let mutations: Vec<Mutation> = keyed
            .into_iter()
            .flat_map(|(column, wanted)| by_key(column, now.get(column), &wanted))
            .collect();
        if !mutations.is_empty() {
            self.transaction.mutate(name, Where::Uuid(uuid), mutations);
        }
    }

    fn link(&mut self, link: &LinkId, change: LinkChange) {
        let wanted = self.sides.desired.has_link(link);
        let (add, remove) = self.elements.entry((link.table, link.parent, link.column)).or_default();
        match change {
            LinkChange::Add if wanted => add.insert(link.value.clone()),
            LinkChange::Remove if !wanted => remove.insert(link.value.clone()),
            _ => return,
        };
        self.counts.links += 1;
    }

    /// Deletes only what still carries our ids. Rows that something must hold go with their last holder.
    fn delete(&mut self, name: &'static str, uuid: Uuid) {
        let Sides {
            desired,
            replica,
            ownership,
        } = self.sides;
        let Some(now) = replica.row(name, uuid) else { return };
        if desired.row(name, uuid).is_some() || !ownership.owns(now) {
            return;
        }
        if tables::table(name).is_some_and(|table| table.is_root) {
            let conditions = vec![Condition::eq("_uuid", uuid), Ownership::proof(now)];
            self.transaction.delete(name, Where::Conditions(conditions));
        }
        self.counts.deletes += 1;
    }

    fn finish(mut self) -> Prepared {
        for ((table, parent, column), (add, remove)) in std::mem::take(&mut self.elements) {
            let mut mutations = Vec::with_capacity(2);
            if !remove.is_empty() {
                mutations.push(Mutation::delete(column, Datum::set(remove)));
            }
            if !add.is_empty() {
                mutations.push(Mutation::insert(column, Datum::set(add)));
            }
            if !mutations.is_empty() {
                self.transaction.mutate(table, Where::Uuid(parent), mutations);
            }
        }
        self.blame(None);
        for (index, table, uuid) in std::mem::take(&mut self.deletions) {
            self.delete(table, uuid);
            self.blame(Some(index));
        }
        let Self {
            transaction,
            culprits,
            counts,
            waiting,
            ..
        } = self;
        Prepared {
            transaction,
            culprits,
            counts,
            waiting,
        }
    }
}

/// What makes a map from what it is to what it shall be: the server leaves a key that is there as it is, so that one
/// with another value goes first.
fn by_key(column: &'static str, now: &Datum, wanted: &Datum) -> Vec<Mutation> {
    let stale = now
        .pairs()
        .iter()
        .filter(|(key, value)| wanted.value_of(key) != Some(value));
    let missing = wanted
        .pairs()
        .iter()
        .filter(|(key, value)| now.value_of(key) != Some(value));
    let stale: Vec<Atom> = stale.map(|(key, _)| key.clone()).collect();
    let missing: Vec<(Atom, Atom)> = missing.cloned().collect();
    let mut mutations = Vec::with_capacity(2);
    if !stale.is_empty() {
        mutations.push(Mutation::delete(column, Datum::set(stale)));
    }
    if !missing.is_empty() {
        mutations.push(Mutation::insert(column, Datum::map(missing)));
    }
    mutations
}
