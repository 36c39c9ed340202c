//! What comes from the server once the connection stands: echoes, updates, notifications, replies.

use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::debug;

use super::{Expected, Link, Phase};
use crate::{
    TransactError, UpdateFormat,
    session::{State, fault::Fault, lock::Ask, server_db, sync},
    wire::{self, Message},
};

/// The result or the error of a reply, as text.
pub(super) type Outcome<'f> = Result<&'f str, &'f str>;

impl Link<'_> {
    pub(super) fn on_frame(&mut self, frame: &[u8]) -> Result<(), Fault> {
        match wire::parse(frame)? {
            Message::Request { id, method, params } => {
                let answer = if method == "echo" {
                    wire::encode_response(id, &params)
                } else {
                    wire::encode_error(id, "unknown method")
                };
                self.transport.send(answer);
                Ok(())
            }
            Message::Notification { method, params } => self.on_notification(&method, params.get()),
            Message::Response { id, outcome } => {
                let expected = self
                    .calls
                    .take(id)
                    .ok_or_else(|| unexpected("reply", format_args!("to request {id}")))?;
                let outcome = match outcome {
                    Ok(result) => Ok(result.map_or("null", RawValue::get)),
                    Err(error) => Err(error.get()),
                };
                self.on_response(expected, outcome)
            }
        }
    }

    fn on_notification(&mut self, method: &str, params: &str) -> Result<(), Fault> {
        match method {
            "update" => {
                let (id, updates): (&RawValue, &RawValue) = read(method, params)?;
                self.on_update(id, UpdateFormat::Update, updates, None)
            }
            "update2" => {
                let (id, updates): (&RawValue, &RawValue) = read(method, params)?;
                self.on_update(id, UpdateFormat::Update2, updates, None)
            }
            "update3" => {
                let (id, transaction, updates): (&RawValue, &str, &RawValue) = read(method, params)?;
                self.on_update(id, UpdateFormat::Update2, updates, Some(transaction))
            }
            "locked" | "stolen" => {
                let (name,): (String,) = read(method, params)?;
                if self.core.config.lock.as_ref() == Some(&name) {
                    if method == "locked" {
                        self.core.seat.locked();
                    } else {
                        self.core.seat.stolen();
                    }
                    self.core.publish_lock();
                }
                Ok(())
            }
            "monitor_canceled" => {
                let (id,): (&RawValue,) = read(method, params)?;
                self.on_canceled(id);
                Ok(())
            }
            other => {
                debug!(remote = %self.remote, notification = other, "ignored");
                Ok(())
            }
        }
    }

    fn on_update(
        &mut self,
        id: &RawValue,
        format: UpdateFormat,
        updates: &RawValue,
        transaction: Option<&str>,
    ) -> Result<(), Fault> {
        if is_named(id, server_db::MONITOR) {
            self.server
                .apply(updates.get())
                .map_err(|error| unexpected("update of _Server", error))?;
            return self.judge_server();
        }
        let Some(monitored) = self.monitored.as_ref().filter(|monitored| is_named(id, &monitored.id)) else {
            // Of a monitor we have given up.
            debug!(remote = %self.remote, monitor = id.get(), "ignored an update");
            return Ok(());
        };
        if !matches!(self.phase, Phase::Ready { .. }) {
            return Err(unexpected("update", "before the monitor's contents"));
        }
        sync::apply(&self.core.shared, format, updates.get())?;
        if let Some(transaction) = transaction.filter(|transaction| *transaction != sync::NO_TRANSACTION) {
            match &mut self.core.resume {
                Some(resume) => transaction.clone_into(&mut resume.transaction),
                none => *none = monitored.resume(transaction)?,
            }
            self.core.state.send_if_modified(|state| {
                if let State::Ready { txn_id, .. } = state {
                    *txn_id = Some(transaction.to_owned());
                }
                // Nobody wants to be woken for this; who looks finds it.
                false
            });
        }
        Ok(())
    }

    fn on_response(&mut self, expected: Expected, outcome: Outcome<'_>) -> Result<(), Fault> {
        match expected {
            // Whoever cannot answer this is alive all the same.
            Expected::Echo => Ok(()),
            Expected::ChangeAware => {
                if let Err(error) = outcome {
                    debug!(remote = %self.remote, error, "server will not tell about changes of its databases");
                }
                Ok(())
            }
            Expected::Server { conditional } => self.on_server(conditional, outcome),
            Expected::Schema => self.on_schema(outcome),
            Expected::Monitor(method) => self.on_monitor(method, outcome),
            Expected::Condition { id, revision, monitors } => {
                let Some(monitored) = self.monitored.as_mut().filter(|monitored| monitored.id == id) else {
                    // Meanwhile canceled; the next monitor has the conditions that are wanted by then.
                    return Ok(());
                };
                outcome.map_err(|error| refused("monitor_cond_change", error))?;
                monitored.monitors = monitors;
                monitored.revision = revision;
                if let Some(resume) = self.core.resume.take() {
                    self.core.resume = monitored.resume(&resume.transaction)?;
                }
                self.core.applied.send_replace(revision);
                Ok(())
            }
            Expected::Lock(ask) => {
                let result = outcome.map_err(|error| refused(ask.method(), error))?;
                self.on_lock(ask, result)
            }
            Expected::Transact(request) => {
                let schema = self.monitored.as_ref().map(|monitored| &*monitored.schema);
                let reply = match outcome {
                    Ok(result) => request.transaction.outcome(result, schema),
                    Err(error) => Err(request.transaction.refusal(error)),
                };
                let garbage = match &reply {
                    Err(TransactError::Malformed(reason)) => Some(unexpected("reply to transact", reason)),
                    _ => None,
                };
                request.answer(reply);
                garbage.map_or(Ok(()), Err)
            }
        }
    }

    fn on_lock(&mut self, ask: Ask, result: &str) -> Result<(), Fault> {
        #[derive(Default, Deserialize)]
        struct Granted {
            #[serde(default)]
            locked: bool,
        }
        let Granted { locked } = read("lock", result)?;
        self.core.seat.answered(ask, locked);
        self.core.publish_lock();
        Ok(())
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "errors are passed as they come out of `map_err`"
)]
pub(super) fn unexpected(what: &'static str, detail: impl ToString) -> Fault {
    Fault::Unexpected {
        what,
        detail: detail.to_string(),
    }
}

pub(super) fn refused(what: &'static str, error: &str) -> Fault {
    Fault::Refused {
        what,
        error: error.to_owned(),
    }
}

fn is_named(id: &RawValue, name: &str) -> bool {
    id.get().strip_prefix('"').and_then(|id| id.strip_suffix('"')) == Some(name)
}

/// Reads the parameters of a notification or the result of a request.
fn read<'f, T: Deserialize<'f>>(method: &str, text: &'f str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::Unexpected {
        what: "message",
        detail: format!("{method}: {error}"),
    })
}
