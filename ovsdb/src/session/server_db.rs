//! What a server says about itself: the table `Database` of the database `_Server`.
//!
//! Read by hand and not through a replica, because this decides whether the server is worth asking for a schema.
//! The column `index` is left out on purpose: it changes with every commit.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::Fault;

/// The monitor's name in updates.
pub(super) const MONITOR: &str = "server";

/// The parameters of `monitor_cond`, and of `monitor` on servers without.
pub(super) fn monitor_params(database: &str, conditional: bool) -> Value {
    let mut request = json!({"columns": ["name", "model", "connected", "leader", "cid", "sid"]});
    if conditional {
        request["where"] = json!([["name", "==", database]]);
    }
    json!(["_Server", MONITOR, {"Database": [request]}])
}

/// A row as far as an update mentions it.
#[derive(Debug, Clone, Default, Deserialize)]
struct Columns {
    name: Option<String>,
    model: Option<String>,
    connected: Option<bool>,
    leader: Option<bool>,
    cid: Option<Value>,
    sid: Option<Value>,
}

impl Columns {
    /// All these columns hold at most one value, so that the new one simply replaces the old one.
    fn merge(&mut self, newer: Self) {
        let Self {
            name,
            model,
            connected,
            leader,
            cid,
            sid,
        } = newer;
        self.name = name.or(self.name.take());
        self.model = model.or(self.model.take());
        self.connected = connected.or(self.connected);
        self.leader = leader.or(self.leader);
        self.cid = cid.or(self.cid.take());
        self.sid = sid.or(self.sid.take());
    }
}

/// Any of the formats of `update` and `update2`; without any of these members the row is deleted.
#[derive(Debug, Deserialize)]
struct Change {
    #[serde(alias = "insert", alias = "initial", alias = "modify")]
    new: Option<Columns>,
}

#[derive(Debug, Default, Deserialize)]
struct Updates {
    #[serde(rename = "Database", default)]
    database: HashMap<String, Change>,
}

/// The databases the server has, or those of them that were asked for.
#[derive(Debug, Default)]
pub(super) struct ServerDb {
    rows: HashMap<String, Columns>,
}

impl ServerDb {
    /// Applies an initial reply or an update.
    pub(super) fn apply(&mut self, updates: &str) -> Result<(), serde_json::Error> {
        let updates: Updates = serde_json::from_str(updates)?;
        for (uuid, change) in updates.database {
            match change.new {
                Some(columns) => self.rows.entry(uuid).or_default().merge(columns),
                None => drop(self.rows.remove(&uuid)),
            }
        }
        Ok(())
    }

    /// Whether this server will do.
    pub(super) fn verdict(&self, database: &str, leader_only: bool) -> Result<(), Fault> {
        let row = self
            .row(database)
            .ok_or_else(|| Fault::NoDatabase(database.to_owned()))?;
        // Both are true for databases that are not clustered, too. A column that is absent has its default, false:
        // `monitor_cond` leaves out defaults.
        if row.connected != Some(true) {
            return Err(Fault::CutOff);
        }
        if leader_only && row.leader != Some(true) {
            return Err(Fault::NotLeader);
        }
        Ok(())
    }

    /// The cluster's identifier, if the database is clustered.
    pub(super) fn cluster(&self, database: &str) -> Option<&str> {
        uuid(self.row(database)?.cid.as_ref()?)
    }

    /// How the server describes the database, for the log.
    pub(super) fn describe(&self, database: &str) -> String {
        let Some(row) = self.row(database) else {
            return "unknown".to_owned();
        };
        let model = row.model.as_deref().unwrap_or("standalone");
        let role = if row.leader == Some(true) { "leader" } else { "follower" };
        match row.sid.as_ref().and_then(uuid) {
            Some(server) => format!("{model}, server {server}, {role}"),
            None => model.to_owned(),
        }
    }

    fn row(&self, database: &str) -> Option<&Columns> {
        self.rows.values().find(|row| row.name.as_deref() == Some(database))
    }
}

fn uuid(value: &Value) -> Option<&str> {
    match value.as_array()?.as_slice() {
        [Value::String(kind), Value::String(uuid)] if kind == "uuid" => Some(uuid),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(updates: &[&str]) -> ServerDb {
        let mut server = ServerDb::default();
        for update in updates {
            server.apply(update).unwrap();
        }
        server
    }

    const LEADER: &str = r#"{"Database":{"u":{"initial":{"name":"NB","model":"clustered","connected":true,"leader":true,
        "cid":["uuid","c"],"sid":["uuid","s"]}}}}"#;

    #[test]
    fn a_server_that_loses_the_leadership_is_good_enough_for_readers_only() {
        let server = server(&[LEADER, r#"{"Database":{"u":{"modify":{"leader":false}}}}"#]);
        assert!(matches!(server.verdict("NB", true), Err(Fault::NotLeader)));
        assert!(server.verdict("NB", false).is_ok());
        assert_eq!(server.cluster("NB"), Some("c"));
        assert_eq!(server.describe("NB"), "clustered, server s, follower");
    }

    #[test]
    fn a_follower_does_not_mention_that_it_is_none() {
        let follower =
            server(&[r#"{"Database":{"u":{"initial":{"name":"NB","model":"clustered","connected":true}}}}"#]);
        assert!(matches!(follower.verdict("NB", true), Err(Fault::NotLeader)));
        assert!(follower.verdict("NB", false).is_ok());
    }

    #[test]
    fn a_server_that_is_cut_off_is_good_for_nobody() {
        let server = server(&[LEADER, r#"{"Database":{"u":{"modify":{"connected":false}}}}"#]);
        assert!(matches!(server.verdict("NB", false), Err(Fault::CutOff)));
    }

    #[test]
    fn old_servers_describe_changes_as_old_and_new_rows() {
        let initial = r#"{"Database":{"u":{"new":{"name":"NB","model":"standalone","connected":true,"leader":true,"cid":["set",[]]}}}}"#;
        assert!(server(&[initial]).verdict("NB", true).is_ok());
        assert_eq!(server(&[initial]).cluster("NB"), None);
        let gone = server(&[initial, r#"{"Database":{"u":{"old":{"name":"NB"}}}}"#]);
        assert!(matches!(gone.verdict("NB", true), Err(Fault::NoDatabase(_))));
    }

    #[test]
    fn a_deleted_database_is_not_served() {
        let gone = server(&[LEADER, r#"{"Database":{"u":{"delete":null}}}"#]);
        assert!(matches!(gone.verdict("NB", false), Err(Fault::NoDatabase(name)) if name == "NB"));
    }
}
