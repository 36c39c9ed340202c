//! What the agent wants of Open vSwitch: the chassis' settings, the integration bridge, management ports.
//!
//! One file each. [`plan`] compares and is pure; nothing is written that is as it should be.

mod bridge;
mod ports;
mod settings;
#[cfg(test)]
mod tests;

pub(super) use bridge::datapath;
pub(super) use ports::{management_state, remove_port_of};

use ovsdb::{Condition, Replica, Session, SessionConfig, TableMonitor, Transaction};
use ovsdb_schemas::open_vswitch::{DATABASE, bridge as bridge_table, interface, open_vswitch, port};

use super::config::Config;
use super::southbound::ManagementPort;

/// Type of interfaces that Open vSwitch makes itself.
const INTERNAL: &str = "internal";

/// The session with Open vSwitch's database.
pub(super) fn connect(config: &Config) -> Session {
    Session::spawn(
        SessionConfig::new(DATABASE, vec![config.ovs.clone()]).with_monitors([
            TableMonitor::new(open_vswitch::TABLE).columns([open_vswitch::EXTERNAL_IDS]),
            TableMonitor::new(bridge_table::TABLE)
                .columns([bridge_table::NAME, bridge_table::DATAPATH_TYPE])
                .condition(Condition::eq(bridge_table::NAME, config.bridge.as_str())),
            TableMonitor::new(port::TABLE).columns([port::NAME, port::INTERFACES]),
            // Management ports are internal; pods' ports, of which there are many, are not.
            TableMonitor::new(interface::TABLE)
                .columns([
                    interface::NAME,
                    interface::TYPE,
                    interface::MAC,
                    interface::MTU_REQUEST,
                    interface::EXTERNAL_IDS,
                    interface::OFPORT,
                    interface::ERROR,
                ])
                .condition(Condition::eq(interface::TYPE, INTERNAL)),
        ]),
    )
}

/// What is to be there.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) config: &'a Config,
    /// `None` while the Southbound database has not been read: then none is added and none removed.
    pub(super) management: Option<&'a [ManagementPort]>,
    pub(super) mtu: Option<u16>,
}

/// The transaction that makes the database as wanted; `None` if it is.
pub(super) fn plan(wanted: &Wanted<'_>, replica: &Replica) -> Option<Transaction> {
    let mut transaction = Transaction::new(DATABASE);
    settings::add(wanted.config, replica, &mut transaction);
    let bridge_port = bridge::add(wanted.config, replica, &mut transaction);
    if let Some(ports) = wanted.management
        && bridge_port
    {
        ports::add(wanted, ports, replica, &mut transaction);
    }
    if transaction.is_empty() {
        return None;
    }
    transaction.comment("meridian-node: configure the chassis");
    Some(transaction)
}
