//! In which order and in what company changes are written.
//!
//! A [`Group`] is what must be written at once: a row with the links that hold it, or that it must not be without for
//! a moment. Groups are written in an order in which every address is free before it is used again and every parent
//! is there before its children. A frontend that moves from one load balancer to another is nowhere for no moment: where
//! not everything fits one transaction, load balancers that come are written before those that change, and these before
//! those that go. Meanwhile a switch may have it twice, and either answers.

use std::collections::BTreeMap;

use meridian_compile::LinkId;
use ovsdb_schemas::northbound::{acl, load_balancer, logical_switch_port};
use uuid::Uuid;

use super::{LinkChange, Plan, RowChange};
use crate::tables;

/// About this many rows per transaction are written fastest: fewer pay more round trips, more make the server's
/// commit slower than linear.
pub const BATCH: usize = 100;

/// Rows that make ovn-northd recompute everything go together, up to this many, so that it does so once.
const DEAR_BATCH: usize = 5_000;

/// In which order groups are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    /// Ports that go: their addresses are free from here on.
    FreeAddresses,
    /// Rows that stand by themselves, and everything ovn-northd recomputes for.
    Structure,
    /// What isolates ports, and what is let through to them: before there are the ports.
    Guards,
    /// Ports that change: an address may move from one to another.
    ChangePorts,
    /// What hangs on the structure.
    Fill,
    /// What nothing hangs on any more.
    Remove,
}

/// Changes that are written at once or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    phase: Phase,
    /// A row, unless the group is links only.
    pub row: Option<(&'static str, Uuid, RowChange)>,
    /// Elements of set columns.
    pub links: Vec<(LinkId, LinkChange)>,
}

impl Group {
    /// What tells the group from others, through all attempts to write it.
    pub fn id(&self) -> (&'static str, Uuid) {
        match (&self.row, self.links.first()) {
            (Some((table, uuid, _)), _) => (table, *uuid),
            (None, Some((link, _))) => (link.table, link.parent),
            (None, None) => unreachable!("a group has a row or a link"),
        }
    }

    /// Whether it deletes a row.
    pub fn deletes(&self) -> bool {
        matches!(self.row, Some((_, _, RowChange::Delete)))
    }

    fn may_give_up_frontends(&self) -> bool {
        matches!(&self.row, Some((load_balancer::TABLE, _, RowChange::Update(_))))
    }

    fn holder(&self) -> Option<Uuid> {
        self.links.first().map(|(link, _)| link.parent)
    }

    fn weight(&self) -> usize {
        self.links.len().max(1)
    }
}

impl Plan {
    /// The groups in the order in which they are to be written.
    pub fn groups(self) -> Vec<Group> {
        let Self {
            rows,
            links,
            missing_columns: _,
        } = self;
        let mut with_row: BTreeMap<(&'static str, Uuid), Group> = BTreeMap::new();
        for ((table, uuid), change) in rows {
            let phase = phase_of_row(table, &change);
            let group = Group {
                phase,
                row: Some((table, uuid, change)),
                links: Vec::new(),
            };
            with_row.insert((table, uuid), group);
        }
        let mut links_only: BTreeMap<(Phase, &'static str, Uuid), Group> = BTreeMap::new();
        for (link, change) in links {
            if let Some(group) = row_of_link(&link, change, &mut with_row) {
                group.links.push((link, change));
                continue;
            }
            let phase = if change == LinkChange::Add {
                Phase::Fill
            } else {
                Phase::Remove
            };
            let group = links_only
                .entry((phase, link.table, link.parent))
                .or_insert_with(|| Group {
                    phase,
                    row: None,
                    links: Vec::new(),
                });
            group.links.push((link, change));
        }
        let mut groups: Vec<Group> = with_row.into_values().chain(links_only.into_values()).collect();
        // Rows with the same holder side by side: the server then rewrites a set column once a batch, not once a row.
        groups.sort_by_cached_key(|group| (group.phase, group.may_give_up_frontends(), group.holder()));
        groups
    }
}

/// The group a link must be written with: that of the row it refers to when that appears or goes, or else that of the
/// row it is on when that appears.
fn row_of_link<'a>(
    link: &LinkId,
    change: LinkChange,
    groups: &'a mut BTreeMap<(&'static str, Uuid), Group>,
) -> Option<&'a mut Group> {
    let column = tables::table(link.table)?
        .link_columns
        .iter()
        .find(|column| column.column == link.column)?;
    let target = column.target.zip(link.value.as_uuid());
    let moves = |group: &Group| {
        matches!(
            (&group.row, change),
            (Some((_, _, RowChange::Insert)), LinkChange::Add) | (Some((_, _, RowChange::Delete)), LinkChange::Remove)
        )
    };
    let key = target
        .filter(|target| groups.get(target).is_some_and(moves))
        .or_else(|| Some((link.table, link.parent)).filter(|parent| groups.get(parent).is_some_and(moves)))?;
    groups.get_mut(&key)
}

fn phase_of_row(name: &str, change: &RowChange) -> Phase {
    let is_port = name == logical_switch_port::TABLE;
    let dear = tables::table(name).is_some_and(|table| table.dear || table.is_root);
    match change {
        RowChange::Delete if is_port => Phase::FreeAddresses,
        RowChange::Delete => Phase::Remove,
        _ if dear => Phase::Structure,
        // Where one comes between others, these make room.
        _ if name == acl::TABLE => Phase::Guards,
        RowChange::Update(_) => Phase::ChangePorts,
        RowChange::Insert => Phase::Fill,
    }
}

/// The phase of a batch whose groups neither need one another nor anything else of their phase, so that it may be sent
/// before the batch ahead of it is answered, if that is of the same phase.
pub(crate) fn independent_phase(batch: &[Group]) -> Option<Phase> {
    let phase = batch.first()?.phase;
    let alike = batch.iter().all(|group| group.phase == phase);
    (alike && matches!(phase, Phase::FreeAddresses | Phase::Guards | Phase::Fill)).then_some(phase)
}

/// Cuts groups into batches, one transaction each. What fits one transaction becomes one.
pub(crate) fn batches(groups: Vec<Group>) -> Vec<Vec<Group>> {
    let total: usize = groups.iter().map(Group::weight).sum();
    if total <= BATCH {
        return if groups.is_empty() { Vec::new() } else { vec![groups] };
    }
    let mut batches: Vec<Vec<Group>> = Vec::new();
    let mut weight = 0;
    for group in groups {
        let limit = match group.phase {
            // All guards at once: isolated from everybody before it is told from whom not would be a gap.
            Phase::Structure | Phase::Guards | Phase::Remove => DEAR_BATCH,
            Phase::FreeAddresses | Phase::ChangePorts | Phase::Fill => BATCH,
        };
        let fits = batches.last().is_some_and(|batch| {
            batch.last().is_some_and(|last| last.phase == group.phase) && weight + group.weight() <= limit
        });
        if fits {
            weight += group.weight();
        } else {
            weight = group.weight();
            batches.push(Vec::new());
        }
        batches
            .last_mut()
            .expect("one was just pushed if there was none")
            .push(group);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(number: u128, table: &'static str, change: RowChange) -> Group {
        Group {
            phase: phase_of_row(table, &change),
            row: Some((table, Uuid::from_u128(number), change)),
            links: Vec::new(),
        }
    }

    #[test]
    fn a_rule_that_comes_between_others_is_written_with_those_that_make_room_for_it() {
        let update = || RowChange::Update(["priority"].into());
        let rules = (0..1_000).map(|number| group(number, acl::TABLE, update()));
        let ports = (2_000..2_200).map(|number| group(number, logical_switch_port::TABLE, update()));
        let mut groups: Vec<Group> = ports.chain(rules).collect();
        groups.push(group(1_500, acl::TABLE, RowChange::Insert));
        groups.sort_by_key(|group| group.phase);
        let batches = batches(groups);
        let of_rules = |batch: &&Vec<Group>| batch.iter().any(|group| group.id().0 == acl::TABLE);
        let sizes: Vec<usize> = batches.iter().filter(of_rules).map(Vec::len).collect();
        assert_eq!(sizes, [1_001]);
    }
}
