//! What may be written now, and which deletions are held back.

use std::collections::HashSet;

use meridian_compile::Unit;
use ovsdb::TableReplica;
use ovsdb_schemas::northbound::acl;
use tokio::time::Instant;

use super::status::Held;
use super::{Writer, addresses, attempts, lead};
use crate::Ownership;
use crate::plan::{Group, LinkChange, Plan, RowChange};
use crate::scope::Scope;

/// What is to go with its owner.
#[derive(Debug, Default)]
struct Vanishing {
    rows: usize,
    policies: HashSet<Unit>,
}

impl Writer {
    /// The groups of a plan that may be written now.
    pub(super) fn writable(&mut self, plan: Plan, now: Instant) -> Vec<Group> {
        let going: Vec<_> = plan
            .rows
            .iter()
            .filter(|(_, change)| **change == RowChange::Delete)
            .map(|(id, _)| *id)
            .collect();
        let plan = self.hold_back(plan);
        let mut groups = plan.groups();
        groups.retain(|group| !self.attempts.rests(group.id(), now));
        // Ports that should go and do not go now keep their addresses, and nobody else gets these.
        let leaving: HashSet<_> = groups.iter().filter(|group| group.deletes()).map(Group::id).collect();
        let staying = going.into_iter().filter(|id| !leaving.contains(id));
        let taken = addresses::taken(&self.session.replica(), staying);
        if !taken.is_empty() {
            let desired = self.compiler.desired();
            let (later, now) = groups
                .into_iter()
                .partition(|group| addresses::wants(desired, group, &taken));
            groups = now;
            for group in &later {
                attempts::add_group(&mut self.held_scope, group);
            }
        }
        groups
    }

    pub(super) fn scope_with_held(&mut self) -> Scope {
        let mut scope = std::mem::take(&mut self.scope);
        if let (Scope::Part(part), Scope::Part(held)) = (&mut scope, &self.held_scope) {
            part.rows.extend(held.rows.iter().copied());
            part.links.extend(held.links.iter().cloned());
        }
        scope
    }

    /// Leaves deletions out of a plan while it is not safe to make them.
    fn hold_back(&mut self, plan: Plan) -> Plan {
        self.held_scope = Scope::default();
        let deletions = plan.counts().deletes;
        let reason = if deletions == 0 {
            None
        } else {
            self.reason_to_hold(&plan, deletions)
        };
        let Some(reason) = reason else {
            if self.held.take().is_some() {
                tracing::info!("deletions are no longer held back");
            }
            return plan;
        };
        for (&(table, uuid), _) in plan.rows.iter().filter(|(_, change)| **change == RowChange::Delete) {
            self.held_scope.add_row(table, uuid);
        }
        for (link, _) in plan.links.iter().filter(|(_, change)| **change == LinkChange::Remove) {
            self.held_scope.add_link(link.clone());
        }
        let (reason, over_budget) = reason;
        let held = Held {
            deletions,
            reason,
            over_budget,
        };
        if self.held.as_ref() != Some(&held) {
            tracing::error!(deletions, reason = held.reason, "deletions are held back");
        }
        self.held = Some(held);
        plan.without_removals()
    }

    /// What is to go with its owner. One that stays and wants other rows than before is no loss: a VPC that leaves by another way has other
    /// routes in each slice, and with half of them it would leave by both. Policies are counted by themselves, however many rows
    /// each is made of, and rows of what they select not at all: it is policies that may be missing from a list, and what one that is
    /// gone still denies, or allows, is no safe side.
    fn vanishing(&self, plan: &Plan) -> Vanishing {
        let desired = self.compiler.desired();
        let rows = desired.tables().flat_map(|table| desired.rows(table));
        let staying: HashSet<String> = rows
            .map(|row| &row.owner)
            .collect::<HashSet<_>>()
            .into_iter()
            .map(ToString::to_string)
            .collect();
        let replica = self.session.replica();
        let deleted = plan.rows.iter().filter(|(_, change)| **change == RowChange::Delete);
        let mut vanishing = Vanishing::default();
        for (table, uuid) in deleted.map(|(id, _)| *id) {
            let row = replica.row(table, uuid);
            let owner = row.map(Ownership::owner).unwrap_or_default();
            if staying.contains(owner) {
                continue;
            }
            match owner.parse() {
                Ok(Unit::Selection(_)) => {}
                Ok(policy @ (Unit::Policy(..) | Unit::ClusterPolicy(_))) => {
                    vanishing.policies.insert(policy);
                }
                _ => vanishing.rows += 1,
            }
        }
        vanishing
    }

    /// How many policies have rows.
    fn count_policies(&self) -> usize {
        let replica = self.session.replica();
        let rows = replica.table(acl::TABLE).into_iter().flat_map(TableReplica::rows);
        let ours = rows.filter(|row| self.settings.ownership.owns(row));
        let owners: HashSet<&str> = ours.map(Ownership::owner).collect();
        let is_policy = |owner: &&str| matches!(owner.parse(), Ok(Unit::Policy(..) | Unit::ClusterPolicy(_)));
        owners.into_iter().filter(is_policy).count()
    }

    /// The reason, and whether it is the budget.
    fn reason_to_hold(&self, plan: &Plan, deletions: usize) -> Option<(String, bool)> {
        if let Some(doubt) = self.sources.iter().find_map(|source| source.doubt.as_ref()) {
            return Some((doubt.clone(), false));
        }
        let owned = lead::count_owned(&self.session.replica(), &self.settings.ownership);
        let budget = self.settings.budget;
        let (mut deletions, mut owned, mut what) = (deletions, owned, "rows");
        let mut allowed = budget.allows(owned);
        // To look whose they are takes longer, and is seldom asked for.
        if deletions > allowed {
            let vanishing = self.vanishing(plan);
            deletions = vanishing.rows;
            let of_policies = self.count_policies();
            if deletions <= allowed && vanishing.policies.len() > budget.allows(of_policies) {
                (deletions, owned, what) = (vanishing.policies.len(), of_policies, "policies");
                allowed = budget.allows(of_policies);
            }
        }
        if deletions > allowed {
            return Some((
                format!(
                    "{deletions} of {owned} {what} are to go, and the deletion budget allows {allowed} at once \
                     ({budget}); if that is meant, start with a larger --deletion-budget"
                ),
                true,
            ));
        }
        self.held.as_ref().is_some_and(|held| held.over_budget).then(|| {
            (
                format!(
                    "{deletions} of {owned} rows are left of more than the deletion budget allows at once ({budget}); \
                     if that is meant, start again"
                ),
                true,
            )
        })
    }
}
