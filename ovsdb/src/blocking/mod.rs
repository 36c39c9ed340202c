//! A client for short-lived programs: one unix socket, no threads to keep, no reconnection, no async runtime.
//!
//! Every read and write has a deadline. A client that has answered with an error other than a refusal or a passed
//! deadline is of no further use: connect again.

mod connection;
mod error;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;

use crate::monitor::{MonitorRequests, TableMonitor};
use crate::replica::{Replica, UpdateFormat};
use crate::schema::DatabaseSchema;
use crate::txn::{Outcome, TransactError, Transaction};
use connection::{Connection, Incoming, Reply};

pub use error::ClientError;

/// A connection to an OVSDB server, with a replica of what was asked for.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    deadline: Instant,
    schemas: Vec<Arc<DatabaseSchema>>,
    replica: Replica,
    is_monitoring: bool,
    /// Has the replica changed since the last `wait_update`?
    has_news: bool,
}

impl Client {
    /// Connects. The deadline also holds for all calls that follow, until [`set_deadline`](Self::set_deadline).
    pub fn connect(path: &Path, deadline: Instant) -> Result<Self, ClientError> {
        Ok(Self {
            connection: Connection::open(path, deadline)?,
            deadline,
            schemas: Vec::new(),
            replica: Replica::default(),
            is_monitoring: false,
            has_news: false,
        })
    }

    /// Sets the deadline for all calls that follow.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Spares the server a question: what is known of a schema beforehand, only the tables and columns that will be
    /// used. The server refuses what it does not have after all.
    #[must_use]
    pub fn with_schema(mut self, schema: DatabaseSchema) -> Self {
        self.schemas.retain(|known| known.name != schema.name);
        self.schemas.push(Arc::new(schema));
        self
    }

    /// The schema of a database on this server; fetched once.
    pub fn schema(&mut self, database: &str) -> Result<Arc<DatabaseSchema>, ClientError> {
        if let Some(known) = self.schemas.iter().find(|schema| schema.name == database) {
            return Ok(Arc::clone(known));
        }
        let reply = self.call("get_schema", &[database])?;
        let schema = Arc::new(DatabaseSchema::parse(reply.result()?)?);
        self.schemas.push(Arc::clone(&schema));
        Ok(schema)
    }

    /// Checks a transaction against the server's schema, sends it and waits for the answer. If the server notified
    /// us of the changes it made, the replica already holds them when this returns.
    pub fn transact(&mut self, transaction: &Transaction) -> Result<Outcome, TransactError> {
        let schema = self
            .schema(transaction.database())
            .map_err(|error| TransactError::NotReady(error.to_string()))?;
        transaction.check(&schema)?;
        let reply = self.call("transact", &transaction.params(Some(&schema)));
        let reply = reply.map_err(|error| match error {
            ClientError::Deadline => TransactError::TimedOut,
            ClientError::Unsent(error) => TransactError::NotReady(error.to_string()),
            _ => TransactError::Disconnected,
        })?;
        match reply.result() {
            Ok(result) => transaction.outcome(result, Some(&schema)),
            Err(ClientError::Refused { error, .. }) => Err(transaction.refusal(&error)),
            Err(error) => Err(TransactError::Malformed(error.to_string())),
        }
    }

    /// Starts to replicate `monitors`; the replica is complete when this returns. Possible once per client.
    pub fn monitor(&mut self, database: &str, monitors: &[TableMonitor]) -> Result<(), ClientError> {
        if self.is_monitoring {
            return Err(ClientError::MonitoringAlready);
        }
        let schema = self.schema(database)?;
        let requests = MonitorRequests::conditional(&schema, monitors)?;
        let reply = self.call("monitor_cond", &(database, "", requests))?;
        let mut replica = Replica::new(&schema, monitors);
        replica.apply(UpdateFormat::Update2, reply.result()?)?;
        self.replica = replica;
        self.is_monitoring = true;
        Ok(())
    }

    /// The rows asked for by [`monitor`](Self::monitor), as of the last message read.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Waits until the replica has changed since the last time this was called; false if the deadline came first.
    ///
    /// Changes that arrived together with an answer to another call count, so nothing is missed by looking at the
    /// replica first and waiting afterwards.
    pub fn wait_update(&mut self, deadline: Instant) -> Result<bool, ClientError> {
        while !self.has_news {
            match self.connection.receive(deadline) {
                Ok(incoming) => drop(self.handle(incoming)?),
                Err(ClientError::Deadline) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.has_news = false;
        Ok(true)
    }

    fn call(&mut self, method: &'static str, params: &impl serde::Serialize) -> Result<Reply, ClientError> {
        let id = self.connection.request(method, params, self.deadline)?;
        loop {
            let incoming = self.connection.receive(self.deadline)?;
            match self.handle(incoming)? {
                // An answer to a call that was given up has another id.
                Some(reply) if reply.id == id => return Ok(reply.to(method)),
                _ => {}
            }
        }
    }

    /// Deals with everything but answers.
    fn handle(&mut self, incoming: Incoming) -> Result<Option<Reply>, ClientError> {
        match incoming {
            Incoming::Reply(reply) => return Ok(Some(reply)),
            Incoming::Notification { method, params } if self.is_monitoring => {
                let Some((format, updates)) = updates(&method, &params)? else {
                    return Ok(None);
                };
                self.has_news |= !self.replica.apply(format, updates)?.is_empty();
            }
            Incoming::Notification { .. } | Incoming::Answered => {}
        }
        Ok(None)
    }
}

/// The updates in a notification, if it is one that brings any.
fn updates<'a>(method: &str, params: &'a str) -> Result<Option<(UpdateFormat, &'a str)>, ClientError> {
    let format = match method {
        "update" => UpdateFormat::Update,
        "update2" => UpdateFormat::Update2,
        _ => return Ok(None),
    };
    let (_, updates): (serde::de::IgnoredAny, &RawValue) =
        serde_json::from_str(params).map_err(crate::replica::ReplicaError::from)?;
    Ok(Some((format, updates.get())))
}
