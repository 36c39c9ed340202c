//! One host with real Open vSwitch and OVN in a network namespace of its own, for tests that need root.
//!
//! Open vSwitch forwards in userspace, so no kernel module is needed. Every daemon has its own run folder and is ended
//! by its own pid; everything is removed when the value is dropped, also when the test panics.

mod agent;
mod daemon;
mod host;
mod interface;
mod ovn;
mod plugin;
mod pod;
pub(crate) mod service;
pub(crate) mod vpc;
mod world;

pub(crate) use agent::Agent;
pub(crate) use host::{Host, ruleset};
pub(crate) use interface::Further;
pub(crate) use plugin::{ADD_STEPS, Call, Running, add, del};
pub(crate) use pod::{Pod, exchange};
pub(crate) use world::World;

use std::path::Path;
use std::process::Command;

use meridian_node_cni::netns::Netns;

/// Node name, and so chassis name, of every test host.
pub(crate) const NODE: &str = "n1";

/// A host with its network and its agent.
pub(crate) fn ready_host() -> (Host, Agent) {
    let host = Host::start();
    host.create_network();
    let agent = Agent::start(&host);
    (host, agent)
}

/// Runs a program and returns what it printed; panics with what it complained of.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A named network namespace.
pub(crate) fn netns(name: &str) -> Netns {
    Netns::open(&Path::new("/run/netns").join(name)).unwrap()
}

/// Removes a named network namespace at the end.
#[derive(Debug)]
pub(crate) struct NetnsGuard(pub(crate) String);

impl Drop for NetnsGuard {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.0])
            .stderr(std::process::Stdio::null())
            .status();
    }
}
