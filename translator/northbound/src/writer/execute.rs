//! Sending groups, and finding the one that is at fault when the server refuses.

use std::collections::{HashSet, VecDeque};
use std::time::{Instant, SystemTime};

use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, StreamExt as _};
use meridian_compile::Compiler;
use ovsdb::{Outcome, Session, Subscription, TransactError, Transaction, Uuid};

use super::attempts::{Attempts, WriteProblem, add_group};
use super::status::LastTransaction;
use super::warnings::Warnings;
use super::{Settings, Writer};
use crate::observer::TransactionResult;
use crate::plan::{self, Counts, Group, Prepared, Sides, name_of, owner_of, prepare};
use crate::scope::Scope;

/// Why writing must stop, and everything be compared again before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Another may be writing.
    LockLost,
    /// Nobody knows what was written.
    Unknown,
}

/// What sending groups needs.
pub(super) struct Executor<'a> {
    pub(super) session: &'a Session,
    /// Exclusive, because it is held across awaits and is not for sharing between threads.
    pub(super) compiler: &'a mut Compiler,
    pub(super) settings: &'a Settings,
    pub(super) attempts: &'a mut Attempts,
    /// What changed in the database.
    pub(super) changes: &'a mut Subscription,
    /// What was written and differs all the same, and what changed meanwhile and differs.
    pub(super) unsettled: &'a mut Scope,
    pub(super) last: &'a mut Option<LastTransaction>,
    /// Rows whose turn has not come yet, so that they are not taken for what differs.
    pub(super) pending: HashSet<Uuid>,
    /// What is to be written, in this order.
    pub(super) batches: VecDeque<Vec<Group>>,
    /// Whether what is still to be compiled is to be written as well, and how many units were compiled for that.
    pub(super) fills: bool,
    pub(super) units: usize,
    pub(super) warnings: &'a mut Warnings,
}

/// Transactions that are on their way at once, so that the server need not wait for us between two of them. More would
/// only mean more to do again when one is refused.
const IN_FLIGHT: usize = 8;

/// A transaction that was sent.
struct Sent {
    groups: Vec<Group>,
    culprits: Vec<Option<usize>>,
    counts: Counts,
    started: Instant,
}

/// Why a transaction was refused, and by which group if the server says.
struct Refusal {
    culprit: Option<usize>,
    message: String,
}

impl Writer {
    pub(super) fn executor<'a>(&'a mut self, unsettled: &'a mut Scope) -> Executor<'a> {
        Executor {
            session: &self.session,
            compiler: &mut self.compiler,
            settings: &self.settings,
            attempts: &mut self.attempts,
            changes: &mut self.changes,
            unsettled,
            last: &mut self.last_transaction,
            pending: HashSet::new(),
            batches: VecDeque::new(),
            fills: false,
            units: 0,
            warnings: &mut self.warnings,
        }
    }
}

impl Executor<'_> {
    /// Adds groups to what is to be written.
    pub(super) fn add(&mut self, groups: Vec<Group>) {
        self.pending.extend(groups.iter().filter_map(row_of));
        self.batches.extend(plan::batches(groups));
    }

    /// Writes the batches in their order. Where nothing in a batch depends on the one before, it is sent without waiting
    /// for the answer; the server makes them in order all the same. What is left to compile is compiled while the server
    /// is busy.
    pub(super) async fn write(&mut self) -> Result<(), Stop> {
        let session = self.session;
        let mut on_their_way = FuturesOrdered::new();
        let mut refused = Vec::new();
        let mut stop = Ok(());
        let mut last = None;
        loop {
            let independent = |next: &Vec<Group>| last.is_some() && last == plan::independent_phase(next);
            let room = on_their_way.is_empty()
                || on_their_way.len() < IN_FLIGHT && self.batches.front().is_some_and(independent);
            if room
                && stop.is_ok()
                && let Some(batch) = self.batches.pop_front()
            {
                last = plan::independent_phase(&batch);
                if let Some((sent, transaction)) = self.build(batch) {
                    on_their_way.push_back(async move { (sent, session.transact(transaction).await) });
                }
                continue;
            }
            // Asking for the answers is also what sends the questions.
            let mut answer = on_their_way.next().now_or_never();
            if answer.as_ref().is_none_or(Option::is_none) && stop.is_ok() && self.compile_more() {
                tokio::task::yield_now().await;
                continue;
            }
            if answer.is_none() {
                answer = Some(on_their_way.next().await);
            }
            let Some((sent, reply)) = answer.flatten() else { break };
            // What is on its way is answered also when it is time to stop, and must be taken note of.
            match self.conclude(sent, reply) {
                Ok(pieces) => refused.extend(pieces),
                Err(reason) => stop = Err(reason),
            }
        }
        stop?;
        drop(on_their_way);
        self.write_pieces(refused).await
    }

    /// Writes pieces of what the server has refused, one by one: all of it that it does not refuse again.
    async fn write_pieces(&mut self, mut pieces: Vec<Vec<Group>>) -> Result<(), Stop> {
        while let Some(piece) = pieces.pop() {
            let Some((sent, transaction)) = self.build(piece) else {
                continue;
            };
            let reply = self.session.transact(transaction).await;
            pieces.extend(self.conclude(sent, reply)?);
        }
        Ok(())
    }

    /// Builds the transaction for some groups, unless there is nothing left to write.
    /// Groups that must wait for a row are left out: they are looked at again with that row.
    fn build(&mut self, mut groups: Vec<Group>) -> Option<(Sent, Transaction)> {
        let replica = self.session.replica();
        let lock = Some(self.settings.lock.as_str());
        let mut prepared = prepare(self.sides(&replica), &groups, lock);
        if !prepared.waiting.is_empty() {
            let mut index = 0;
            groups.retain(|group| {
                index += 1;
                let waits = prepared.waiting.contains_key(&(index - 1));
                if waits && let Some(row) = row_of(group) {
                    self.pending.remove(&row);
                }
                !waits
            });
            prepared = prepare(self.sides(&replica), &groups, lock);
        }
        let Prepared {
            mut transaction,
            culprits,
            counts,
            waiting: _,
        } = prepared;
        if counts.total() == 0 {
            for row in groups.iter().filter_map(row_of) {
                self.pending.remove(&row);
            }
            return None;
        }
        transaction.comment(&format!("meridian-translator: {} rows", counts.total()));
        let started = Instant::now();
        let sent = Sent {
            groups,
            culprits,
            counts,
            started,
        };
        Some((sent, transaction))
    }

    /// Takes note of an answer. If it is a refusal, returns the pieces in which to try again.
    fn conclude(&mut self, mut sent: Sent, reply: Result<Outcome, TransactError>) -> Result<Vec<Vec<Group>>, Stop> {
        let Some(Refusal { culprit, message }) = self.judge(&mut sent, reply)? else {
            return Ok(Vec::new());
        };
        let mut groups = sent.groups;
        if groups.len() == 1 {
            self.blame(groups.remove(0), message);
            return Ok(Vec::new());
        }
        let rest = match culprit {
            Some(culprit) if culprit < groups.len() => vec![groups.remove(culprit)],
            _ => groups.split_off(groups.len() / 2),
        };
        Ok(vec![rest, groups])
    }

    /// What an answer means. Returns the refusal, if it is one that trying in smaller pieces can help.
    fn judge(&mut self, sent: &mut Sent, reply: Result<Outcome, TransactError>) -> Result<Option<Refusal>, Stop> {
        let latency = sent.started.elapsed();
        let result = match &reply {
            Ok(_) => TransactionResult::Committed,
            Err(TransactError::LockLost) => TransactionResult::LockLost,
            Err(TransactError::NotReady(_)) => TransactionResult::Unknown,
            Err(e) if e.is_outcome_unknown() => TransactionResult::Unknown,
            Err(_) => TransactionResult::Rejected,
        };
        self.settings.observer.transaction(result, latency, sent.counts);
        let error = match (&reply, result) {
            (Err(e), TransactionResult::LockLost | TransactionResult::Unknown) => Some(e.to_string()),
            _ => None,
        };
        *self.last = Some(LastTransaction {
            at: SystemTime::now(),
            error,
        });
        let Err(error) = reply else {
            tracing::debug!(counts = ?sent.counts, ?latency, "written");
            self.note_written(&sent.groups);
            return Ok(None);
        };
        match result {
            TransactionResult::LockLost => {
                tracing::warn!(lock = self.settings.lock, "lost the lock; writing stops here");
                return Err(Stop::LockLost);
            }
            TransactionResult::Unknown => {
                tracing::warn!(%error, "a transaction was not answered; everything will be compared again");
                return Err(Stop::Unknown);
            }
            TransactionResult::Committed | TransactionResult::Rejected => {}
        }
        if matches!(error, TransactError::WaitFailed { .. }) {
            // The replica has been told by now what it had not been told when the groups were made.
            for group in sent.groups.drain(..) {
                self.attempts.overtaken(group);
            }
            return Ok(None);
        }
        let operation = operation_of(&error);
        let culprit = operation.and_then(|operation| sent.culprits.get(operation).copied().flatten());
        let message = error.to_string();
        Ok(Some(Refusal { culprit, message }))
    }

    /// Compares what was written at once, while the server is busy with what follows; only what still differs is left
    /// for later. By now the replica holds what the transaction wrote, and whatever changed meanwhile.
    fn note_written(&mut self, groups: &[Group]) {
        // Taken before anything is looked at: what changes from here on is seen next time.
        let mut changes = self.changes.try_take();
        let mut scope = Scope::default();
        let made: HashSet<Uuid> = {
            let replica = self.session.replica();
            let made = groups.iter().filter(|group| plan::is_made(self.sides(&replica), group));
            made.filter_map(row_of).collect()
        };
        for group in groups {
            let row = row_of(group);
            if let Some(row) = row {
                self.pending.remove(&row);
            }
            if row.is_none_or(|row| !made.contains(&row)) {
                add_group(&mut scope, group);
            }
            if self.attempts.written(group) {
                let message = "written again and again to the same values: another program changes it back, or the \
                               server does not keep it"
                    .to_owned();
                self.blame(group.clone(), message);
            }
        }
        // What is on its way or waits for its turn is compared when that has come.
        let settled = |row: &Uuid| made.contains(row) || self.pending.contains(row);
        changes.rows.retain(|(_, row)| !settled(row));
        scope.add_changes(&changes);
        let differing = plan::plan(self.sides(&self.session.replica()), &scope);
        for (table, uuid) in differing.rows.into_keys() {
            if !self.pending.contains(&uuid) {
                self.unsettled.add_row(table, uuid);
            }
        }
        for link in differing.links.into_keys() {
            if link.value.as_uuid().is_none_or(|row| !self.pending.contains(&row)) {
                self.unsettled.add_link(link);
            }
        }
    }

    fn blame(&mut self, group: Group, message: String) {
        let (table, uuid) = group.id();
        let problem = {
            let replica = self.session.replica();
            let sides = self.sides(&replica);
            WriteProblem {
                owner: owner_of(sides, table, uuid),
                table,
                name: name_of(sides, table, uuid),
                message,
            }
        };
        self.attempts.failed(group, problem);
    }

    pub(super) fn sides<'s>(&'s self, replica: &'s ovsdb::Replica) -> Sides<'s> {
        Sides {
            desired: self.compiler.desired(),
            replica,
            ownership: &self.settings.ownership,
        }
    }
}

fn row_of(group: &Group) -> Option<Uuid> {
    group.row.as_ref().map(|(_, uuid, _)| *uuid)
}

fn operation_of(error: &TransactError) -> Option<usize> {
    match error {
        TransactError::Rejected { operation, .. } => *operation,
        TransactError::UnknownTable { operation, .. }
        | TransactError::UnknownColumn { operation, .. }
        | TransactError::BadValue { operation, .. } => Some(*operation),
        _ => None,
    }
}
