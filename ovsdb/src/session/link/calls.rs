//! Requests on their way to the server and back.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    TableMonitor,
    session::{lock::Ask, request::TransactRequest, sync::Method},
    wire,
};

/// What a reply belongs to.
#[derive(Debug)]
pub(super) enum Expected {
    ChangeAware,
    Server {
        conditional: bool,
    },
    Schema,
    Monitor(Method),
    /// New conditions, of this revision, for the monitor of this name.
    Condition {
        id: String,
        revision: u64,
        monitors: Vec<TableMonitor>,
    },
    Lock(Ask),
    Echo,
    Transact(TransactRequest),
}

impl Expected {
    fn what(&self) -> &'static str {
        match self {
            Self::ChangeAware => "set_db_change_aware",
            Self::Server { .. } => "monitor of _Server",
            Self::Schema => "get_schema",
            Self::Monitor(_) => "monitor",
            Self::Condition { .. } => "monitor_cond_change",
            Self::Lock(ask) => ask.method(),
            Self::Echo => "echo",
            Self::Transact(_) => "transact",
        }
    }
}

/// The requests without a reply so far, oldest first.
#[derive(Debug, Default)]
pub(super) struct Calls {
    next: u64,
    open: BTreeMap<u64, (Instant, Expected)>,
    transactions: usize,
    /// The length of the last request: large ones come in a row.
    last: usize,
}

/// No more room than this is made beforehand.
const MOST_ROOM: usize = 256 << 10;

impl Calls {
    /// The bytes of the next request. [`expect`](Self::expect) must follow.
    pub(super) fn encode(&mut self, method: &str, params: &impl Serialize) -> Vec<u8> {
        // A little more, for one that is a little longer.
        let room = (self.last + self.last / 8).min(MOST_ROOM);
        let message = wire::encode_request_with_room(self.next, method, params, room);
        self.last = message.len();
        message
    }

    /// Notes what the request just encoded is for.
    pub(super) fn expect(&mut self, expected: Expected) {
        self.transactions += usize::from(matches!(expected, Expected::Transact(_)));
        self.open.insert(self.next, (Instant::now(), expected));
        self.next += 1;
    }

    /// Finds what a reply belongs to.
    pub(super) fn take(&mut self, id: u64) -> Option<Expected> {
        let (_, expected) = self.open.remove(&id)?;
        self.transactions -= usize::from(matches!(expected, Expected::Transact(_)));
        Some(expected)
    }

    /// Transactions without a reply.
    pub(super) fn transactions(&self) -> usize {
        self.transactions
    }

    pub(super) fn expects_condition(&self) -> bool {
        self.open
            .values()
            .any(|(_, expected)| matches!(expected, Expected::Condition { .. }))
    }

    /// What has waited longest, and since when.
    pub(super) fn oldest(&self) -> Option<(&'static str, Instant)> {
        self.open
            .first_key_value()
            .map(|(_, (sent, expected))| (expected.what(), *sent))
    }

    pub(super) fn into_transactions(self) -> impl Iterator<Item = TransactRequest> {
        self.open.into_values().filter_map(|(_, expected)| match expected {
            Expected::Transact(request) => Some(request),
            _ => None,
        })
    }
}
