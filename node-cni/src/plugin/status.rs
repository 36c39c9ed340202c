//! STATUS: could an ADD succeed now?

use std::time::{Duration, Instant};

use super::agent::Agent;
use super::ovs::{self, Ovs};
use crate::cni::{CniError, Code, Config, Version};

/// STATUS tells what is; it does not wait for what may be.
const PROBE: Duration = Duration::from_secs(3);

pub(super) fn status(config: &Config) -> Result<(), CniError> {
    config.require(Version::V1_1_0, "STATUS")?;
    // Without Open vSwitch's database nothing on the node can be changed, and most likely nothing forwards.
    let limited = |error: &dyn std::fmt::Display| CniError::new(Code::LimitedConnectivity, error.to_string());
    if !config.ovs_socket.exists() {
        let absent = format!("Open vSwitch's socket {} does not exist", config.ovs_socket.display());
        return Err(limited(&absent));
    }
    let deadline = Instant::now() + PROBE;
    let mut ovs = Ovs::connect(config, &[ovs::has_name(&config.bridge)], deadline).map_err(|error| limited(&error))?;
    ovs.datapath().map_err(|error| limited(&error))?;

    let agent = Agent::at(&config.agent_socket).status();
    let status = agent.map_err(|error| CniError::new(Code::NotAvailable, error))?;
    if status.ready {
        return Ok(());
    }
    Err(CniError::new(Code::NotAvailable, "the node is not ready for pods").details(status.problems.join("; ")))
}
