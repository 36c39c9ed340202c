//! Ports that Open vSwitch's database remembers of pods whose devices are gone.
//!
//! A host that is rebooted comes back with the database and without network namespaces. Of pods that start again ADD
//! removes the old ports; of pods that are no more, nobody would: a runtime that lost its state, too, sends no DEL, and GC
//! exists from CNI 1.1 on only. Until then ovs-vswitchd complains of each at every change.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::{Datum, Session, Transaction, Uuid, Where};
use ovsdb_schemas::open_vswitch::{DATABASE, interface};

use super::ovs;
use crate::name;
use crate::netlink::{NetlinkError, Rtnetlink};
use crate::plugin::key;

/// Why they are still there.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemainsError {
    #[error("Open vSwitch's database: {0}")]
    Transact(#[from] ovsdb::TransactError),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error("bug in meridian-node: {0}")]
    Panic(#[from] tokio::task::JoinError),
}

/// Removes them.
///
/// At any time, not only at the start: ADD makes the device before the port, DEL removes the port before the device, and
/// an ADD that repeats another first removes its port. A port without a device is nobody's work in progress.
pub(super) async fn remove(session: &Session) -> Result<(), RemainsError> {
    // Ports before devices, for the same reason.
    let ports = ports(session).await?;
    let devices = tokio::task::spawn_blocking(devices).await??;
    let stale: Vec<Uuid> = ports
        .iter()
        .filter(|(device, _)| !devices.contains(device))
        .map(|(_, interface)| *interface)
        .collect();
    if stale.is_empty() {
        return Ok(());
    }
    let mut transaction = Transaction::new(DATABASE);
    for interface in &stale {
        ovs::remove_port_of(*interface, &session.replica(), &mut transaction);
    }
    transaction.comment("meridian-node: remove ports of pods that are no more");
    session.transact(transaction).await?;
    tracing::info!(
        ports = stale.len(),
        "removed ports whose devices are gone, as after a reboot"
    );
    Ok(())
}

/// Devices and rows of pods' interfaces, of whichever network. Asked for and not monitored, because pods have many and this is
/// rare.
async fn ports(session: &Session) -> Result<Vec<(String, Uuid)>, RemainsError> {
    let mut transaction = Transaction::new(DATABASE);
    // That a key is there, whatever its value, is nothing to ask for.
    let columns = ["_uuid", interface::NAME, interface::EXTERNAL_IDS];
    transaction.select(interface::TABLE, Where::All, Some(&columns));
    let outcome = session.transact(transaction).await?;
    let rows = outcome.results.iter().flat_map(|result| &result.rows);
    let port = |row: &BTreeMap<String, Datum>| {
        let device = row.get(interface::NAME)?.as_str()?.to_owned();
        let ours = name::is_any_host_end(&device) && row.get(interface::EXTERNAL_IDS)?.get_str(key::NETWORK).is_some();
        let interface = row.get("_uuid")?.atoms().first()?.as_uuid()?;
        ours.then_some((device, interface))
    };
    Ok(rows.filter_map(port).collect())
}

fn devices() -> Result<BTreeSet<String>, NetlinkError> {
    let links = Rtnetlink::open()?.links()?;
    Ok(links.into_iter().map(|link| link.name).collect())
}
