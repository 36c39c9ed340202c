//! One connection, from the first byte to the fault that ends it.
//!
//! ```text
//!  set_db_change_aware, monitor _Server ─▶ will this server do? ─▶ get_schema ─▶ monitor ─▶ ready ─▶ lock
//!                                                                     ▲                       │
//!                                                                     └── monitor_canceled ───┘
//! ```
//!
//! Requests are pipelined and replies found by their id, so there is one place that waits: [`Link::run`].

mod calls;
mod incoming;
mod starting;

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::calls::{Calls, Expected};
use super::{
    State,
    fault::Fault,
    request::TransactRequest,
    server_db::ServerDb,
    sync::{Method, Monitored},
    task::Core,
    transport::Transport,
};
use crate::{Remote, TransactError};

/// With more than this queued for the peer, no further transactions are taken on.
const BACKLOG: usize = 1 << 20;

/// How far the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Finding out about the server.
    Meeting,
    /// Fetching schema and contents.
    Syncing,
    /// The replica follows the server, which knows this method.
    Ready { method: Method },
}

pub(super) struct Link<'a> {
    core: &'a mut Core,
    remote: Remote,
    transport: Transport,
    calls: Calls,
    server: ServerDb,
    phase: Phase,
    monitored: Option<Monitored>,
    /// Counts synchronisations on this connection, to give each monitor a name of its own.
    syncs: u64,
    /// When the server was asked for a sign of life, unless it has given one since.
    probed: Option<Instant>,
    /// Since when the connection has been of use.
    was_ready: Option<Instant>,
}

impl<'a> Link<'a> {
    pub(super) fn new(core: &'a mut Core, remote: Remote, transport: Transport) -> Self {
        Self {
            core,
            remote,
            transport,
            calls: Calls::default(),
            server: ServerDb::default(),
            phase: Phase::Meeting,
            monitored: None,
            syncs: 0,
            probed: None,
            was_ready: None,
        }
    }

    /// Serves the connection until it ends; returns why, and how long it was of use.
    pub(super) async fn run(mut self) -> (Fault, Option<Duration>) {
        let fault = match self.serve().await {
            Ok(never) => match never {},
            Err(fault) => fault,
        };
        for request in self.calls.into_transactions() {
            request.answer(Err(TransactError::Disconnected));
        }
        (fault, self.was_ready.map(|since| since.elapsed()))
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Fault> {
        self.meet();
        loop {
            while let Some(frame) = self.transport.next_frame()? {
                self.on_frame(&frame)?;
            }
            self.pursue_wishes()?;
            let deadline = self.check_deadlines(Instant::now())?;
            let takes_transactions = self.takes_transactions();
            tokio::select! {
                received = self.transport.receive() => received?,
                () = sleep_until(deadline) => {}
                wishes = self.core.wishes.changed() => {
                    if wishes.is_err() || self.core.wishes.borrow().closed {
                        return Err(Fault::Closed);
                    }
                }
                Some(request) = self.core.requests.recv(), if takes_transactions => self.transact(request),
            }
        }
    }

    fn takes_transactions(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
            && self.calls.transactions() < self.core.config.max_in_flight.max(1)
            && self.transport.backlog() < BACKLOG
    }

    fn transact(&mut self, request: TransactRequest) {
        let Some(monitored) = &self.monitored else { return };
        let own = request.transaction.database() == monitored.schema.name;
        let schema = own.then_some(&*monitored.schema);
        if let Some(Err(error)) = schema.map(|schema| request.transaction.check(schema)) {
            request.answer(Err(error));
        } else if request.claim() {
            let params = request.transaction.params(schema);
            let message = self.calls.encode("transact", &params);
            self.calls.expect(Expected::Transact(request));
            self.transport.send(message);
        }
    }

    /// Sends a request; its reply comes to [`on_response`](Self::on_response).
    fn call(&mut self, method: &str, params: &impl serde::Serialize, expected: Expected) {
        let message = self.calls.encode(method, params);
        self.calls.expect(expected);
        self.transport.send(message);
    }

    /// Asks for what the owner wants and the server has not been asked for yet.
    fn pursue_wishes(&mut self) -> Result<(), Fault> {
        let Phase::Ready { method } = self.phase else {
            return Ok(());
        };
        self.pursue_lock();
        self.pursue_conditions(method)
    }

    fn pursue_lock(&mut self) {
        let Some(name) = self.core.config.lock.clone() else {
            return;
        };
        let wish = self.core.wishes.borrow().lock;
        if let Some(ask) = self.core.seat.next(wish) {
            self.call(ask.method(), &[name], Expected::Lock(ask));
        }
    }

    fn pursue_conditions(&mut self, method: Method) -> Result<(), Fault> {
        let Some(monitored) = &mut self.monitored else {
            return Ok(());
        };
        let (revision, monitors) = {
            let wishes = self.core.wishes.borrow();
            if wishes.revision == monitored.revision || self.calls.expects_condition() {
                return Ok(());
            }
            (wishes.revision, wishes.monitors(&self.core.config.monitors))
        };
        let change = if method == Method::Plain {
            None
        } else {
            monitored.change(&monitors)?
        };
        if let Some(params) = change {
            let id = monitored.id.clone();
            self.call(
                "monitor_cond_change",
                &params,
                Expected::Condition { id, revision, monitors },
            );
        } else {
            monitored.monitors = monitors;
            monitored.revision = revision;
            self.core.applied.send_replace(revision);
        }
        Ok(())
    }

    /// Ends the connection if the server is overdue; otherwise returns when to check again. Probes when it is time.
    fn check_deadlines(&mut self, now: Instant) -> Result<Instant, Fault> {
        let timing = self.core.config.timing.clone();
        let received = self.transport.last_received();

        if self.probed.is_some_and(|probed| received > probed) {
            self.probed = None;
        }
        let mut silence = match self.probed {
            Some(probed) => probed + timing.probe_timeout,
            None => received + timing.probe_interval,
        };
        if silence <= now {
            if self.probed.is_some() {
                return Err(Fault::Silent(now - received));
            }
            self.probed = Some(now);
            self.call("echo", &["probe"], Expected::Echo);
            silence = now + timing.probe_timeout;
        }

        let stalled = self.transport.write_deadline();
        if stalled.is_some_and(|deadline| deadline <= now) {
            return Err(Fault::WriteStalled(timing.write_timeout));
        }

        let unanswered = self.calls.oldest().map(|(what, sent)| {
            // Of a large first reply, every part is a sign of progress; other requests must not wait for ever behind
            // unrelated updates.
            let since = if what == "monitor" { sent.max(received) } else { sent };
            (what, since + timing.request_timeout)
        });
        if let Some((what, deadline)) = unanswered
            && deadline <= now
        {
            return Err(Fault::Unanswered {
                what,
                timeout: timing.request_timeout,
            });
        }

        let deadlines = [Some(silence), stalled, unanswered.map(|(_, deadline)| deadline)];
        Ok(deadlines.into_iter().flatten().min().expect("one is never absent"))
    }

    fn set_state(&mut self, state: State) {
        self.core.state.send_replace(state);
    }
}
