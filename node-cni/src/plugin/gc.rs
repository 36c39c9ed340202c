//! GC: removes what belongs to no attachment that exists. Only this network's: another may share the node.
//!
//! A runtime lists the attachments that it made itself. Further interfaces of its sandboxes are made by a meta-plugin, and a
//! NetworkAttachmentDefinition may name the runtime's own network; so what is of a sandbox that exists is kept.

use std::collections::BTreeSet;
use std::time::Instant;

use uuid::Uuid;

use super::link;
use super::ovs::{self, Ovs, key};
use crate::cni::{CniError, Code, Config, Version};
use crate::name;
use crate::netlink::{self, Rtnetlink};

pub(super) fn gc(config: &Config) -> Result<(), CniError> {
    config.require(Version::V1_1_0, "GC")?;
    let valid = config.valid_attachments.as_ref().ok_or_else(|| {
        // To take a missing list for an empty one would cut every pod off.
        CniError::new(Code::InvalidConfig, "GC needs cni.dev/valid-attachments")
    })?;
    let sandboxes: BTreeSet<&str> = valid.iter().map(|(container_id, _)| container_id.as_str()).collect();
    let mut keep: BTreeSet<String> = valid
        .iter()
        .map(|(container_id, ifname)| name::host_end(&config.network, container_id, ifname))
        .collect();
    let mut failures = Vec::new();
    if let Err(error) = remove_ports(config, &sandboxes, &mut keep) {
        failures.push(error.message);
    }
    if let Err(error) = remove_devices(config, &keep, &mut failures) {
        failures.push(error.message);
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(CniError::new(Code::TryAgainLater, failures.join("; ")))
}

/// Removes ports, and adds the devices of those that stay to what is kept.
fn remove_ports(config: &Config, sandboxes: &BTreeSet<&str>, keep: &mut BTreeSet<String>) -> Result<(), CniError> {
    let deadline = Instant::now() + config.timeout;
    let mut ovs = Ovs::connect(config, &[ovs::has_id(key::NETWORK, &config.network)], deadline)?;
    let mut stale: Vec<Uuid> = Vec::new();
    for (uuid, row) in ovs.interfaces() {
        let device = row.get("name").as_str().unwrap_or_default();
        let sandbox = ovs::id(row, key::SANDBOX);
        if sandbox.is_some_and(|sandbox| sandboxes.contains(sandbox)) {
            keep.insert(device.to_owned());
        } else if !keep.contains(device) {
            stale.push(uuid);
        }
    }
    Ok(ovs.unplug(&stale)?)
}

/// Devices and shields without a port: of plugins that were killed half way.
fn remove_devices(config: &Config, keep: &BTreeSet<String>, failures: &mut Vec<String>) -> Result<(), CniError> {
    let mut rtnetlink = Rtnetlink::open()?;
    let veths = rtnetlink.links()?.into_iter();
    let veths = veths
        .filter(|link| link.kind.as_deref() == Some("veth"))
        .map(|link| link.name);
    let names: BTreeSet<String> = veths.chain(netlink::shielded()?).collect();
    for device in names {
        if name::is_host_end(&config.network, &device)
            && !keep.contains(&device)
            && let Err(error) = link::remove(&mut rtnetlink, &device)
        {
            failures.push(error.to_string());
        }
    }
    Ok(())
}
