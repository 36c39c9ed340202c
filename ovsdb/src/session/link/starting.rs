//! From the first request to a replica that follows the server, and there again when the server ends a monitor.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    Expected, Link, Phase,
    incoming::{Outcome, refused, unexpected},
};
use crate::{
    DatabaseSchema, UpdateFormat,
    session::{
        State,
        fault::Fault,
        server_db,
        sync::{self, Method, Monitored},
    },
};

impl Link<'_> {
    /// The first requests.
    pub(super) fn meet(&mut self) {
        self.set_state(State::Syncing {
            remote: self.remote.clone(),
        });
        // Otherwise a server answers a change of schema by closing the connection.
        self.call("set_db_change_aware", &[true], Expected::ChangeAware);
        let params = server_db::monitor_params(&self.core.config.database, true);
        self.call("monitor_cond", &params, Expected::Server { conditional: true });
    }

    pub(super) fn on_server(&mut self, conditional: bool, outcome: Outcome<'_>) -> Result<(), Fault> {
        match outcome {
            Ok(updates) => {
                self.server
                    .apply(updates)
                    .map_err(|error| unexpected("contents of _Server", error))?;
                self.judge_server()?;
                self.core
                    .meet_cluster(self.server.cluster(&self.core.config.database), &self.remote);
            }
            Err(error) if conditional && is_unknown_method(error) => {
                let params = server_db::monitor_params(&self.core.config.database, false);
                self.call("monitor", &params, Expected::Server { conditional: false });
                return Ok(());
            }
            // Servers before 2.9 have no such database, and no clusters either.
            Err(error) => info!(remote = %self.remote, error, "server does not describe itself"),
        }
        self.begin_sync();
        Ok(())
    }

    /// Leaves a server that is, or has become, the wrong one.
    pub(super) fn judge_server(&self) -> Result<(), Fault> {
        let verdict = self
            .server
            .verdict(&self.core.config.database, self.core.config.leader_only);
        match (verdict, self.phase) {
            (Err(Fault::NotLeader), Phase::Syncing | Phase::Ready { .. }) => Err(Fault::LeadershipLost),
            (verdict, _) => verdict,
        }
    }

    fn begin_sync(&mut self) {
        self.phase = Phase::Syncing;
        self.monitored = None;
        self.set_state(State::Syncing {
            remote: self.remote.clone(),
        });
        let database = self.core.config.database.clone();
        self.call("get_schema", &[database], Expected::Schema);
    }

    pub(super) fn on_schema(&mut self, outcome: Outcome<'_>) -> Result<(), Fault> {
        let schema = outcome.map_err(|error| refused("get_schema", error))?;
        let schema = DatabaseSchema::parse(schema).map_err(|error| unexpected("schema", error))?;
        let schema = Arc::new(schema);
        self.core.shared.set_schema(Arc::clone(&schema));
        self.syncs += 1;
        let monitored = {
            let wishes = self.core.wishes.borrow();
            Monitored {
                schema,
                monitors: wishes.monitors(&self.core.config.monitors),
                revision: wishes.revision,
                id: format!("replica-{}", self.syncs),
            }
        };
        let missing = monitored.missing();
        if !missing.is_empty() {
            warn!(remote = %self.remote, version = %monitored.schema.version, ?missing, "server lacks tables");
        }
        self.monitored = Some(monitored);
        self.monitor(Method::CondSince)
    }

    fn monitor(&mut self, method: Method) -> Result<(), Fault> {
        let Some(monitored) = &self.monitored else {
            return Ok(());
        };
        let params = monitored.params(method, self.core.resume.as_ref())?;
        self.call(method.name(), &params, Expected::Monitor(method));
        Ok(())
    }

    pub(super) fn on_monitor(&mut self, method: Method, outcome: Outcome<'_>) -> Result<(), Fault> {
        let result = match (outcome, method.fallback()) {
            (Ok(result), _) => result,
            (Err(error), Some(older)) if is_unknown_method(error) => {
                debug!(remote = %self.remote, method = method.name(), "server does not know the method");
                return self.monitor(older);
            }
            (Err(error), _) => return Err(refused("monitor", error)),
        };
        let Some(monitored) = &self.monitored else {
            return Err(unexpected("reply", "to a monitor that was given up"));
        };
        let shared = &self.core.shared;
        let (transaction, found, changed) = match method {
            Method::CondSince => {
                let Since(found, transaction, updates) =
                    serde_json::from_str(result).map_err(|error| unexpected("reply to monitor_cond_since", error))?;
                if found && !monitored.resumes(self.core.resume.as_ref())? {
                    return Err(unexpected("delta", "to a transaction we did not name"));
                }
                let changed = if found {
                    sync::apply(shared, UpdateFormat::Update2, updates.get())?
                } else {
                    monitored.replace(shared, UpdateFormat::Update2, updates.get())?
                };
                (Some(transaction), found, changed)
            }
            Method::Cond => (None, false, monitored.replace(shared, UpdateFormat::Update2, result)?),
            Method::Plain => (None, false, monitored.replace(shared, UpdateFormat::Update, result)?),
        };
        self.core.resume = transaction.map(|id| monitored.resume(id)).transpose()?.flatten();
        let server = self.server.describe(&self.core.config.database);
        let revision = monitored.revision;
        info!(remote = %self.remote, server, method = method.name(), delta = found, changed, "ready");
        self.become_ready(method, revision);
        Ok(())
    }

    fn become_ready(&mut self, method: Method, revision: u64) {
        let since = Instant::now();
        self.was_ready.get_or_insert(since);
        self.phase = Phase::Ready { method };
        self.core.epoch += 1;
        self.core.applied.send_replace(revision);
        let txn_id = self.core.resume.as_ref().map(|resume| resume.transaction.clone());
        let (remote, epoch) = (self.remote.clone(), self.core.epoch);
        self.set_state(State::Ready { remote, txn_id, epoch });
    }

    /// The server ended a monitor, because it converted or removed the database.
    pub(super) fn on_canceled(&mut self, id: &RawValue) {
        let ours = self
            .monitored
            .as_ref()
            .is_some_and(|monitored| *id.get() == *json!(monitored.id).to_string());
        if ours {
            info!(remote = %self.remote, "server ended the monitor, synchronizing again");
            // The transaction it would resume from belongs to the old schema.
            self.core.resume = None;
            self.begin_sync();
        }
    }
}

/// `[found, last transaction, updates]`
#[derive(Deserialize)]
struct Since<'f>(bool, &'f str, #[serde(borrow)] &'f RawValue);

fn is_unknown_method(error: &str) -> bool {
    error.contains("unknown method")
}
