//! Comparing.

use meridian_compile::{Desired, DesiredRow, LinkId};
use ovsdb::{Atom, Row, TableReplica};
use uuid::Uuid;

use super::{Group, LinkChange, Plan, RowChange, Sides};
use crate::scope::{Part, Scope};
use crate::tables::{self, LinkColumn, Table};

pub(super) fn diff(sides: Sides<'_>, scope: &Scope) -> Plan {
    let mut differ = Differ {
        sides,
        plan: Plan::default(),
    };
    match scope {
        Scope::Full => differ.everything(),
        Scope::Part(part) => differ.part(part),
    }
    differ.hold_inserted_rows();
    differ.plan
}

struct Differ<'a> {
    sides: Sides<'a>,
    plan: Plan,
}

impl<'a> Differ<'a> {
    fn everything(&mut self) {
        let Sides {
            desired,
            replica,
            ownership,
        } = self.sides;
        for table in tables::tables() {
            for row in desired.rows(table.name) {
                self.row(table, row.uuid);
                self.links_of(table, row.uuid);
            }
            for (uuid, row) in replica.table(table.name).into_iter().flat_map(TableReplica::iter) {
                if desired.row(table.name, uuid).is_some() {
                    continue;
                }
                if ownership.owns(row) {
                    self.row(table, uuid);
                }
                self.links_of(table, uuid);
            }
        }
        // Links into rows that nobody holds or wants: nothing to do until one of them changes.
    }

    fn part(&mut self, part: &Part) {
        for &(name, uuid) in &part.rows {
            if let Some(table) = tables::table(name) {
                self.row(table, uuid);
                self.links_of(table, uuid);
            }
        }
        for link in &part.links {
            self.link(link);
        }
    }

    fn row(&mut self, table: &'static Table, uuid: Uuid) {
        let Sides {
            desired,
            replica,
            ownership,
        } = self.sides;
        let Some(present) = replica.table(table.name) else {
            return;
        };
        let change = match (desired.row(table.name, uuid), present.get(uuid)) {
            (Some(row), None) => {
                self.note_missing_columns(row, present);
                RowChange::Insert
            }
            (Some(row), Some(now)) => {
                // Nearly always there are none, and what is not there costs a look only.
                let differing: Vec<&'static str> = differing(row, now).collect();
                if differing.is_empty() {
                    return;
                }
                self.note_missing_columns(row, present);
                let columns: Box<[_]> = differing
                    .into_iter()
                    .filter(|column| present.has_column(column))
                    .collect();
                if columns.is_empty() {
                    return;
                }
                RowChange::Update(columns)
            }
            (None, Some(now)) if ownership.owns(now) => {
                self.release(table, uuid);
                RowChange::Delete
            }
            (None, _) => return,
        };
        self.plan.rows.insert((table.name, uuid), change);
    }

    fn note_missing_columns(&mut self, row: &DesiredRow, present: &TableReplica) {
        for (column, datum, is_known) in present.have_columns(&row.columns) {
            if !is_known && !datum.is_empty() {
                self.plan.missing_columns.insert((row.table, column));
            }
        }
    }

    /// Removes a row from all the columns that keep it alive, and so deletes it.
    fn release(&mut self, table: &'static Table, uuid: Uuid) {
        let value = Atom::from(uuid);
        for &(holder, column) in &table.holders {
            let Some(holders) = self.sides.replica.table(holder) else {
                continue;
            };
            for parent in holders.find(column, &value) {
                let link = LinkId {
                    table: holder,
                    parent,
                    column,
                    value: value.clone(),
                };
                self.plan.links.insert(link, LinkChange::Remove);
            }
        }
    }

    /// All elements of all set columns of a row.
    fn links_of(&mut self, table: &'static Table, parent: Uuid) {
        let Sides { desired, replica, .. } = self.sides;
        let now = replica.row(table.name, parent);
        for column in &table.link_columns {
            let present: &'a [Atom] = now.map_or(&[], |row| row.get(column.column).atoms());
            let wanted = desired.links(table.name, parent, column.column);
            let mut wanted = wanted.map(|(value, _)| value).peekable();
            let id = |value: &Atom| LinkId {
                table: table.name,
                parent,
                column: column.column,
                value: value.clone(),
            };
            // The row is neither there nor wanted: what would hang on it has nowhere to hang.
            if now.is_none() && desired.row(table.name, parent).is_none() {
                continue;
            }
            // Both are sorted.
            for value in present {
                while let Some(missing) = wanted.next_if(|wanted| *wanted < value) {
                    self.add_link(column, id(missing));
                }
                if wanted.next_if_eq(&value).is_none() && self.removable(table, column, parent, value) {
                    self.plan.links.insert(id(value), LinkChange::Remove);
                }
            }
            for missing in wanted {
                self.add_link(column, id(missing));
            }
        }
    }

    fn link(&mut self, link: &LinkId) {
        let Sides { desired, replica, .. } = self.sides;
        let Some(table) = tables::table(link.table) else { return };
        let Some(column) = table.link_columns.iter().find(|column| column.column == link.column) else {
            return;
        };
        let now = replica.row(link.table, link.parent);
        let is_there = now.is_some_and(|row: &Row| row.get(link.column).contains(&link.value));
        match (desired.has_link(link), is_there) {
            (true, false) if now.is_some() || desired.row(link.table, link.parent).is_some() => {
                self.add_link(column, link.clone());
            }
            (false, true) if self.removable(table, column, link.parent, &link.value) => {
                self.plan.links.insert(link.clone(), LinkChange::Remove);
            }
            _ => {}
        }
    }

    /// A reference needs its row: one that is missing is inserted along with it, and nothing refers to a row that is
    /// neither there nor wanted.
    fn add_link(&mut self, column: &LinkColumn, link: LinkId) {
        let Sides { desired, replica, .. } = self.sides;
        if let Some((target, uuid)) = column.target.zip(link.value.as_uuid())
            && replica.row(target, uuid).is_none()
        {
            if desired.row(target, uuid).is_none() {
                return;
            }
            // Usually the row was looked at before.
            if !self.plan.rows.contains_key(&(target, uuid))
                && let Some(table) = tables::table(target)
            {
                self.row(table, uuid);
            }
        }
        self.plan.links.insert(link, LinkChange::Add);
    }

    /// An element that nobody wants is ours to remove if it refers to a row of ours, or if it is a plain value on a
    /// row of ours. References to rows of others stay.
    fn removable(&self, table: &'static Table, column: &LinkColumn, parent: Uuid, value: &Atom) -> bool {
        let Sides {
            desired,
            replica,
            ownership,
        } = self.sides;
        match (column.target, value.as_uuid()) {
            (Some(target), Some(uuid)) => {
                desired.row(target, uuid).is_some() || replica.row(target, uuid).is_some_and(|row| ownership.owns(row))
            }
            (None, _) => desired.row(table.name, parent).is_some(),
            (Some(_), None) => false,
        }
    }

    /// A row that nothing refers to does not survive its transaction. Whoever asked for the row usually asked for the
    /// link too; where not, it is found here.
    fn hold_inserted_rows(&mut self) {
        let inserted = self
            .plan
            .rows
            .iter()
            .filter(|(_, change)| **change == RowChange::Insert);
        let mut lonely: Vec<(&'static Table, Atom)> = inserted
            .filter_map(|(&(name, uuid), _)| {
                let table = tables::table(name)?;
                (!table.is_root).then(|| (table, Atom::from(uuid)))
            })
            .collect();
        if lonely.is_empty() {
            return;
        }
        let linked: std::collections::HashSet<&Atom> = self
            .plan
            .links
            .iter()
            .filter(|(_, change)| **change == LinkChange::Add)
            .map(|(id, _)| &id.value)
            .collect();
        lonely.retain(|(_, value)| !linked.contains(value));
        for (table, value) in lonely {
            for link in holding_links(self.sides.desired, table, &value) {
                self.plan.links.insert(link, LinkChange::Add);
            }
        }
    }
}

/// The columns of a row that are not as they should be, also for want of the column.
fn differing<'a>(row: &'a DesiredRow, now: &'a Row) -> impl Iterator<Item = &'static str> + use<'a> {
    now.get_sorted(&row.columns)
        .filter(|(_, wanted, held)| wanted != held)
        .map(|(column, ..)| column)
}

/// Whether a group is made whose row, if it has one, is new and has no elements of its own: for most there is no need to
/// make a plan to see that.
pub(crate) fn is_made(Sides { desired, replica, .. }: Sides<'_>, group: &Group) -> bool {
    let row_is_made = match &group.row {
        Some((name, uuid, RowChange::Insert)) => {
            tables::table(name).is_some_and(|table| table.link_columns.is_empty())
                && desired
                    .row(name, *uuid)
                    .zip(replica.row(name, *uuid))
                    .is_some_and(|(row, now)| differing(row, now).next().is_none())
        }
        _ => false,
    };
    let link_is_made = |(link, change): &(LinkId, LinkChange)| {
        let parent = replica.row(link.table, link.parent);
        *change == LinkChange::Add
            && desired.has_link(link)
            && parent.is_some_and(|row| row.get(link.column).contains(&link.value))
    };
    row_is_made && group.links.iter().all(link_is_made)
}

fn holding_links(desired: &Desired, table: &'static Table, value: &Atom) -> Vec<LinkId> {
    desired
        .link_columns()
        .filter(|(holder, _, column)| table.holders.contains(&(*holder, *column)))
        .map(|(holder, parent, column)| LinkId {
            table: holder,
            parent,
            column,
            value: value.clone(),
        })
        .filter(|link| desired.has_link(link))
        .collect()
}
