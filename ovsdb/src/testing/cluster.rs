//! Several `ovsdb-server` processes that share one database by RAFT.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{OvsdbServer, eventually, run};
use crate::Remote;

/// A clustered database. Dropping it kills all members and removes their folders.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    members: Vec<OvsdbServer>,
    /// Holds the database files and the RAFT sockets; dropped after the members.
    folder: TempDir,
}

impl Cluster {
    /// A cluster of `size` servers with one empty database, complete and with a leader when this returns.
    pub fn raft(size: usize, schema: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("raft-")
            .tempdir()
            .expect("a temporary folder");
        let name = run(Command::new("ovsdb-tool").arg("schema-name").arg(schema))
            .trim()
            .to_owned();
        let file = |index: usize| folder.path().join(format!("{index}.db"));
        let address = |index: usize| format!("unix:{}", folder.path().join(format!("{index}.raft")).display());

        let mut members = Vec::new();
        for index in 0..size {
            let mut tool = Command::new("ovsdb-tool");
            if index == 0 {
                tool.arg("create-cluster").arg(file(0)).arg(schema).arg(address(0));
            } else {
                tool.arg("join-cluster")
                    .arg(file(index))
                    .arg(&name)
                    .arg(address(index))
                    .arg(address(0));
            }
            run(&mut tool);
            let member = OvsdbServer::builder().file(file(index)).start();
            // A member serves its database once it has joined.
            member.client("wait", &[&name, "connected"]);
            members.push(member);
        }
        let cluster = Self { name, members, folder };
        cluster.leader();
        cluster
    }

    /// All members' unix sockets.
    pub fn remotes(&self) -> Vec<Remote> {
        self.members.iter().map(OvsdbServer::unix).collect()
    }

    /// One member.
    pub fn member(&self, index: usize) -> &OvsdbServer {
        &self.members[index]
    }

    /// One member, to kill or restart.
    pub fn member_mut(&mut self, index: usize) -> &mut OvsdbServer {
        &mut self.members[index]
    }

    /// Which member leads; waits until one does.
    pub fn leader(&self) -> usize {
        eventually("the cluster has a leader", || {
            self.members.iter().position(|member| self.leads(member))
        })
    }

    /// Makes the leader hand over, and returns the member that leads afterwards.
    pub fn transfer_leadership(&self) -> usize {
        let before = self.leader();
        self.members[before].appctl(&["cluster/failure-test", "transfer-leadership"]);
        eventually("another member leads", || {
            self.members
                .iter()
                .enumerate()
                .position(|(index, member)| index != before && self.leads(member))
        })
    }

    fn leads(&self, member: &OvsdbServer) -> bool {
        let status = member.try_appctl(&["cluster/status", &self.name]);
        status.is_ok_and(|status| status.contains("Role: leader"))
    }

    /// The folder with the members' database files.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}
