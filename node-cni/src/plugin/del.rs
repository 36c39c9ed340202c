//! DEL: removes an attachment, from whatever state, as often as asked.
//!
//! Needs neither the agent nor the pod's network namespace nor the Southbound database.

use std::time::{Duration, Instant};

use ovsdb::Row;
use uuid::Uuid;

use super::link;
use super::ovs::{self, Ovs, OvsError, key};
use super::trace::{Step, Trace};
use crate::cni::{Attachment, CniError, Code, Config};
use crate::name;
use crate::netlink::Rtnetlink;

/// What a failed ADD may spend on cleaning up after itself.
pub(super) const CLEANUP: Duration = Duration::from_secs(5);

pub(super) fn del(config: &Config, attachment: &Attachment, trace: &Trace) -> Result<(), CniError> {
    detach_traced(config, attachment, Instant::now() + config.timeout, Some(trace))
}

/// Removes port and veth. Goes on after a failure and reports all.
pub(super) fn detach(config: &Config, attachment: &Attachment, deadline: Instant) -> Result<(), CniError> {
    detach_traced(config, attachment, deadline, None)
}

fn detach_traced(
    config: &Config,
    attachment: &Attachment,
    deadline: Instant,
    trace: Option<&Trace>,
) -> Result<(), CniError> {
    let host = name::host_end(&config.network, &attachment.container_id, &attachment.ifname);
    let mut failures = Vec::new();
    // The port first: an OVS port without a device makes ovs-vswitchd complain. Only our own sandbox's: the pod may
    // have a newer one by now, with the same iface-id.
    if let Err(error) = remove_port(config, attachment, &host, deadline) {
        failures.push(error.to_string());
    }
    if let Some(trace) = trace {
        trace.step(Step::PortRemoved);
    }
    match Rtnetlink::open().and_then(|mut rtnetlink| link::remove(&mut rtnetlink, &host)) {
        Ok(_) => {}
        Err(error) => failures.push(error.to_string()),
    }
    if let Some(trace) = trace {
        trace.step(Step::VethRemoved);
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(CniError::new(Code::TryAgainLater, failures.join("; ")))
}

fn remove_port(config: &Config, attachment: &Attachment, host: &str, deadline: Instant) -> Result<(), OvsError> {
    let sandbox = &attachment.container_id;
    let relevant = [ovs::has_id(key::SANDBOX, sandbox), ovs::has_name(host)];
    loop {
        let result = Ovs::connect(config, &relevant, deadline).and_then(|mut ovs| {
            let ports: Vec<Uuid> = ovs
                .interfaces()
                .filter(|(_, row)| belongs(row, config, attachment, host))
                .map(|(uuid, _)| uuid)
                .collect();
            ovs.unplug(&ports)
        });
        match result {
            Err(error) if error.is_disconnect() && Instant::now() < deadline => {}
            other => return other,
        }
    }
}

fn belongs(row: &Row, config: &Config, attachment: &Attachment, host: &str) -> bool {
    let is = |key, value: &str| ovs::id(row, key) == Some(value);
    row.get("name").as_str() == Some(host)
        || (is(key::SANDBOX, &attachment.container_id)
            && is(key::IFNAME, &attachment.ifname)
            && is(key::NETWORK, &config.network))
}
