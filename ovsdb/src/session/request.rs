//! A transaction on its way from a caller to the session's task and back.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::sync::oneshot;

use crate::{Outcome, TransactError, Transaction};

pub(super) type Reply = Result<Outcome, TransactError>;

const QUEUED: u8 = 0;
const SENT: u8 = 1;
const ABANDONED: u8 = 2;

/// Who was first: the caller giving up, or the task sending. Decides whether the caller may say "nothing was sent".
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU8>);

impl Progress {
    /// The caller gives up. True if the transaction has not been sent, and now never will be.
    pub(super) fn abandon(&self) -> bool {
        self.0
            .compare_exchange(QUEUED, ABANDONED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The task is about to send. False if the caller gave up before.
    fn send(&self) -> bool {
        self.0
            .compare_exchange(QUEUED, SENT, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// A transaction waiting to be sent.
#[derive(Debug)]
pub(super) struct TransactRequest {
    pub(super) transaction: Transaction,
    progress: Progress,
    reply: oneshot::Sender<Reply>,
}

impl TransactRequest {
    pub(super) fn new(transaction: Transaction) -> (Self, Progress, oneshot::Receiver<Reply>) {
        let (reply, receiver) = oneshot::channel();
        let progress = Progress::default();
        (
            Self {
                transaction,
                progress: progress.clone(),
                reply,
            },
            progress,
            receiver,
        )
    }

    /// Marks it as sent. False if nobody waits for it any more: then it must not be sent.
    pub(super) fn claim(&self) -> bool {
        !self.reply.is_closed() && self.progress.send()
    }

    pub(super) fn answer(self, reply: Reply) {
        // A caller that has gone does not want to know.
        let _ = self.reply.send(reply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_either_sent_or_abandoned() {
        let (request, progress, _reply) = TransactRequest::new(Transaction::new("db"));
        assert!(request.claim());
        assert!(!progress.abandon());

        let (request, progress, _reply) = TransactRequest::new(Transaction::new("db"));
        assert!(progress.abandon());
        assert!(!request.claim());
    }

    #[test]
    fn a_transaction_whose_caller_has_gone_is_not_sent() {
        let (request, _progress, reply) = TransactRequest::new(Transaction::new("db"));
        drop(reply);
        assert!(!request.claim());
    }
}
