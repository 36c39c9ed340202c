//! Sending groups, and finding the one that is at fault when the server refuses.

use std::time::{Instant, SystemTime};

use meridian_compile::Compiler;
use ovsdb::{Session, TransactError};

use super::Settings;
use super::attempts::{Attempts, WriteProblem, add_group};
use super::status::LastTransaction;
use crate::observer::TransactionResult;
use crate::plan::{Group, Sides, name_of, owner_of, prepare};
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
    /// What was written, to be compared again.
    pub(super) written: &'a mut Scope,
    pub(super) last: &'a mut Option<LastTransaction>,
}

impl Executor<'_> {
    /// Writes a batch; if the server refuses it, all of it that the server does not refuse.
    pub(super) async fn write(&mut self, batch: Vec<Group>) -> Result<(), Stop> {
        let mut work = vec![batch];
        while let Some(mut groups) = work.pop() {
            let Err((culprit, message)) = self.send(&mut groups).await? else {
                continue;
            };
            if groups.len() == 1 {
                self.blame(groups.remove(0), message);
            } else if let Some(culprit) = culprit.filter(|culprit| *culprit < groups.len()) {
                let culprit = groups.remove(culprit);
                work.push(vec![culprit]);
                work.push(groups);
            } else {
                let second = groups.split_off(groups.len() / 2);
                work.push(second);
                work.push(groups);
            }
        }
        Ok(())
    }

    /// Sends one transaction. The inner error is a refusal with the index of the group at fault, if the server says.
    /// Groups that must wait for a row are taken out: they are looked at again with that row.
    async fn send(&mut self, groups: &mut Vec<Group>) -> Result<Result<(), (Option<usize>, String)>, Stop> {
        let mut prepared = prepare(self.sides(&self.session.replica()), groups, Some(&self.settings.lock));
        if !prepared.waiting.is_empty() {
            let mut index = 0;
            groups.retain(|_| {
                index += 1;
                !prepared.waiting.contains_key(&(index - 1))
            });
            prepared = prepare(self.sides(&self.session.replica()), groups, Some(&self.settings.lock));
        }
        let counts = prepared.counts;
        if counts.total() == 0 {
            return Ok(Ok(()));
        }
        prepared
            .transaction
            .comment(&format!("meridian-translator: {} rows", counts.total()));
        let started = Instant::now();
        let reply = self.session.transact(prepared.transaction).await;
        let result = match &reply {
            Ok(_) => TransactionResult::Committed,
            Err(TransactError::LockLost) => TransactionResult::LockLost,
            Err(TransactError::NotReady(_)) => TransactionResult::Unknown,
            Err(e) if e.is_outcome_unknown() => TransactionResult::Unknown,
            Err(_) => TransactionResult::Rejected,
        };
        self.settings.observer.transaction(result, started.elapsed(), counts);
        let error = match (&reply, result) {
            (Err(e), TransactionResult::LockLost | TransactionResult::Unknown) => Some(e.to_string()),
            _ => None,
        };
        *self.last = Some(LastTransaction {
            at: SystemTime::now(),
            error,
        });
        let Err(error) = reply else {
            tracing::debug!(?counts, latency = ?started.elapsed(), "written");
            self.note_written(groups);
            return Ok(Ok(()));
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
            for group in groups.drain(..) {
                self.attempts.overtaken(group);
            }
            return Ok(Ok(()));
        }
        let operation = operation_of(&error);
        let culprit = operation.and_then(|operation| prepared.culprits.get(operation).copied().flatten());
        Ok(Err((culprit, error.to_string())))
    }

    fn note_written(&mut self, groups: &[Group]) {
        for group in groups {
            add_group(self.written, group);
            if self.attempts.written(group) {
                let message = "written again and again to the same values: another program changes it back, or the \
                               server does not keep it"
                    .to_owned();
                self.blame(group.clone(), message);
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

    fn sides<'s>(&'s self, replica: &'s ovsdb::Replica) -> Sides<'s> {
        Sides {
            desired: self.compiler.desired(),
            replica,
            ownership: &self.settings.ownership,
        }
    }
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
