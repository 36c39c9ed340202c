//! The node agent on a test host.

use meridian_node_cni::protocol::NodeStatus;
use ovsdb::testing::eventually;

use super::daemon::Daemon;
use super::{Host, NODE};

/// A running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) daemon: Daemon,
    socket: String,
}

impl Agent {
    /// Starts it and waits until the node is ready.
    pub(crate) fn start(host: &Host) -> Self {
        let agent = Self::spawn(host, &["--no-install"]);
        eventually("the node is ready", || agent.status().filter(|status| status.ready));
        agent
    }

    /// Starts it.
    pub(crate) fn spawn(host: &Host, more: &[&str]) -> Self {
        let (southbound, ovs) = (
            format!("unix:{}", host.path("ovn.sock")),
            format!("unix:{}", host.path("db.sock")),
        );
        let socket = host.path("node.sock");
        let mut arguments = vec!["run", "--southbound", &southbound, "--ovs", &ovs, "--socket", &socket];
        arguments.extend([
            "--node-name",
            NODE,
            "--encap-ip",
            "127.0.0.1",
            "--datapath",
            "netdev",
            "--mtu",
            "1442",
        ]);
        arguments.extend(["--log", "debug"]);
        arguments.extend(more);
        let program = env!("CARGO_BIN_EXE_meridian-node");
        Self {
            daemon: Daemon::start(host.folder(), host.name(), "agent", program, &arguments),
            socket: socket.clone(),
        }
    }

    /// What it says of the node.
    pub(crate) fn status(&self) -> Option<NodeStatus> {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_meridian-node"))
            .args(["status", "--socket", &self.socket])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }
}
