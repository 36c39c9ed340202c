//! What the plugin does in Open vSwitch's database: find its ports, add one, remove some, watch one come up.

use std::time::Instant;

use ovsdb::blocking::{Client, ClientError};
use ovsdb::{
    Atom, Condition, DatabaseSchema, Datum, Mutation, Mutator, Row, TableMonitor, TransactError, Transaction, Where,
};
use ovsdb_schemas::open_vswitch::{DATABASE, bridge, interface, open_vswitch, port, qos};
use uuid::Uuid;

use super::wait;
use crate::cni::{CniError, Code, Config};

/// Keys of `Interface.external_ids`.
pub mod key {
    /// The logical port; ovn-controller binds by it.
    pub const IFACE_ID: &str = "iface-id";
    /// Whose logical port; ovn-controller compares it with the port's own.
    pub const IFACE_ID_VER: &str = "iface-id-ver";
    /// The pod's MAC address.
    pub const ATTACHED_MAC: &str = "attached-mac";
    /// The container id.
    pub const SANDBOX: &str = "sandbox";
    /// The pod's addresses.
    pub const IP: &str = "ip";
    /// The CNI network that the port belongs to.
    pub const NETWORK: &str = "meridian/network";
    /// The pod's namespace.
    pub const NAMESPACE: &str = "meridian/namespace";
    /// The pod.
    pub const POD: &str = "meridian/pod";
    /// The pod's network namespace.
    pub const NETNS: &str = "meridian/netns";
    /// The interface in the pod.
    pub const IFNAME: &str = "meridian/ifname";
    /// Set by ovn-controller when the port's flows are in place.
    pub const OVN_INSTALLED: &str = "ovn-installed";
}

/// Everything the plugin touches, older by years than any Open vSwitch that knows `ovn-installed`. The server's own
/// schema is far larger than everything else a call reads; asking for it took half a millisecond.
const SCHEMA: &str = r#"{"name": "Open_vSwitch", "tables": {
  "Open_vSwitch": {"isRoot": true, "columns": {
    "cur_cfg": {"type": "integer"},
    "next_cfg": {"type": "integer"}}},
  "Bridge": {"columns": {
    "name": {"type": "string", "mutable": false},
    "datapath_type": {"type": "string"},
    "ports": {"type": {"key": {"type": "uuid", "refTable": "Port"}, "min": 0, "max": "unlimited"}}}},
  "Port": {"columns": {
    "name": {"type": "string", "mutable": false},
    "interfaces": {"type": {"key": {"type": "uuid", "refTable": "Interface"}, "min": 1, "max": "unlimited"}},
    "qos": {"type": {"key": {"type": "uuid", "refTable": "QoS"}, "min": 0, "max": 1}},
    "other_config": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}}}},
  "QoS": {"isRoot": true, "columns": {
    "type": {"type": "string"},
    "external_ids": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}}}},
  "Interface": {"columns": {
    "name": {"type": "string", "mutable": false},
    "external_ids": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
    "ofport": {"type": {"key": "integer", "min": 0, "max": 1}},
    "error": {"type": {"key": "string", "min": 0, "max": 1}}}}}}"#;

/// The QoS type that makes Open vSwitch leave a device's queueing alone. By default it deletes what it does not know when
/// it first sees the device, and again after each of its restarts.
const HANDS_OFF: &str = "linux-noop";

/// Why the database cannot be used now.
#[derive(Debug, thiserror::Error)]
pub(super) enum OvsError {
    #[error("Open vSwitch's database: {0}")]
    Client(#[from] ClientError),
    #[error("Open vSwitch's database: {0}")]
    Transact(#[from] TransactError),
    #[error("bridge {0} does not exist in Open vSwitch; is meridian-node running?")]
    NoBridge(String),
    #[error("ovs-vswitchd does not react to configuration; is it running?")]
    Unresponsive,
}

impl OvsError {
    /// Whether the connection went away, so that another may do better.
    pub(super) fn is_disconnect(&self) -> bool {
        match self {
            Self::Client(error) => matches!(
                error,
                ClientError::Connect { .. } | ClientError::Unsent(_) | ClientError::Receive(_) | ClientError::Closed
            ),
            Self::Transact(error) => matches!(error, TransactError::Disconnected | TransactError::NotReady(_)),
            Self::NoBridge(_) | Self::Unresponsive => false,
        }
    }
}

impl From<OvsError> for CniError {
    fn from(error: OvsError) -> Self {
        Self::new(Code::TryAgainLater, error.to_string())
    }
}

/// A connection, and a replica of the rows asked for.
#[derive(Debug)]
pub(super) struct Ovs {
    client: Client,
    bridge: String,
    network: String,
    deadline: Instant,
}

/// A port to add.
#[derive(Debug)]
pub(super) struct NewPort<'a> {
    /// Chosen by us, so that after an unknown outcome we know our own row.
    pub(super) interface: Uuid,
    /// The device.
    pub(super) device: &'a str,
    pub(super) external_ids: &'a [(&'static str, String)],
    /// The device has queueing of its own, which Open vSwitch must leave alone.
    pub(super) own_queueing: bool,
}

impl Ovs {
    /// Connects, waiting for a server that is starting, and replicates the interfaces that match any condition.
    pub(super) fn connect(config: &Config, interfaces: &[Condition], deadline: Instant) -> Result<Self, OvsError> {
        let socket = &config.ovs_socket;
        loop {
            let client = wait::until_connected(socket, deadline, || Client::connect(socket, deadline))?;
            match Self::replicate(client, config, interfaces, deadline) {
                // A server that is going away still accepted us.
                Err(error) if error.is_disconnect() && Instant::now() < deadline => {}
                other => return other,
            }
        }
    }

    fn replicate(
        client: Client,
        config: &Config,
        interfaces: &[Condition],
        deadline: Instant,
    ) -> Result<Self, OvsError> {
        let mut client = client.with_schema(DatabaseSchema::parse(SCHEMA).map_err(ClientError::from)?);
        let mut interface_monitor = TableMonitor::new(interface::TABLE).columns([
            interface::NAME,
            interface::EXTERNAL_IDS,
            interface::OFPORT,
            interface::ERROR,
        ]);
        for condition in interfaces {
            interface_monitor = interface_monitor.condition(condition.clone());
        }
        client.monitor(
            DATABASE,
            &[
                TableMonitor::new(open_vswitch::TABLE).columns([open_vswitch::CUR_CFG]),
                // Not `ports`: it would come whole with every other pod.
                TableMonitor::new(bridge::TABLE)
                    .columns([bridge::NAME, bridge::DATAPATH_TYPE])
                    .condition(Condition::eq(bridge::NAME, config.bridge.as_str())),
                TableMonitor::new(port::TABLE).columns([port::NAME, port::INTERFACES]),
                interface_monitor,
            ],
        )?;
        Ok(Self {
            client,
            bridge: config.bridge.clone(),
            network: config.network.clone(),
            deadline,
        })
    }

    /// Sets the deadline for everything that follows.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.client.set_deadline(deadline);
    }

    /// The integration bridge's datapath type, waiting for the bridge.
    pub(super) fn datapath(&mut self) -> Result<String, OvsError> {
        loop {
            let bridges = self.client.replica().table(bridge::TABLE);
            if let Some((_, row)) = bridges.and_then(|table| table.iter().next()) {
                let datapath = row.get(bridge::DATAPATH_TYPE).as_str().unwrap_or_default();
                return Ok(datapath.to_owned());
            }
            if !self.client.wait_update(self.deadline)? {
                return Err(OvsError::NoBridge(self.bridge.clone()));
            }
        }
    }

    /// The replicated interfaces.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = (Uuid, &Row)> {
        let table = self.client.replica().table(interface::TABLE);
        table.into_iter().flat_map(ovsdb::TableReplica::iter)
    }

    pub(super) fn interface(&self, uuid: Uuid) -> Option<&Row> {
        self.client.replica().row(interface::TABLE, uuid)
    }

    /// Waits until something changed; false at the deadline.
    pub(super) fn wait_update(&mut self) -> Result<bool, OvsError> {
        Ok(self.client.wait_update(self.deadline)?)
    }

    /// Adds a port and removes others, in one transaction.
    pub(super) fn plug(&mut self, new: &NewPort<'_>, remove: &[Uuid]) -> Result<(), OvsError> {
        let mut transaction = Transaction::new(DATABASE);
        self.remove_into(&mut transaction, remove);
        let port_uuid = Uuid::new_v4();
        let mut port_columns = vec![
            (port::NAME, Datum::scalar(new.device)),
            (port::INTERFACES, Datum::scalar(new.interface)),
            // After a reboot the pod is gone, and ovs-ctl drops such ports before anything binds them.
            (port::OTHER_CONFIG, Datum::map([("transient", "true")])),
        ];
        if new.own_queueing {
            let hands_off = self.hands_off(&mut transaction)?;
            port_columns.push((port::QOS, Datum::scalar(hands_off)));
        }
        let ids = new.external_ids.iter().map(|(key, value)| (*key, value.as_str()));
        transaction
            .insert(
                interface::TABLE,
                Some(new.interface),
                [
                    (interface::NAME, Datum::scalar(new.device)),
                    (interface::EXTERNAL_IDS, Datum::map(ids)),
                ],
            )
            .insert(port::TABLE, Some(port_uuid), port_columns)
            .mutate(
                bridge::TABLE,
                Condition::eq(bridge::NAME, self.bridge.as_str()).into(),
                [Mutation::insert(bridge::PORTS, Datum::scalar(port_uuid))],
            )
            .comment(&format!("meridian-cni: add {}", new.device));
        let mutate = transaction.len() - 2;
        let outcome = self.client.transact(&transaction)?;
        // No such bridge: the new rows, referred to by nothing, are gone again.
        match outcome.results.get(mutate).and_then(|result| result.count) {
            Some(1) => Ok(()),
            _ => Err(OvsError::NoBridge(self.bridge.clone())),
        }
    }

    /// The QoS row of all ports with queueing of their own; it says nothing of any of them, and so one is enough and stays.
    fn hands_off(&mut self, transaction: &mut Transaction) -> Result<Uuid, OvsError> {
        let ids = Datum::map([(key::NETWORK, self.network.as_str())]);
        let mut question = Transaction::new(DATABASE);
        let known = vec![
            Condition::eq(qos::TYPE, HANDS_OFF),
            Condition::includes(qos::EXTERNAL_IDS, ids.clone()),
        ];
        question.select(qos::TABLE, Where::Conditions(known), Some(&["_uuid"]));
        let answer = self.client.transact(&question)?;
        let row = answer.results.first().and_then(|result| result.rows.first());
        if let Some(uuid) = row.and_then(|row| row.get("_uuid")?.atoms().first()?.as_uuid()) {
            return Ok(uuid);
        }
        let uuid = Uuid::new_v4();
        let columns = [(qos::TYPE, Datum::scalar(HANDS_OFF)), (qos::EXTERNAL_IDS, ids)];
        transaction.insert(qos::TABLE, Some(uuid), columns);
        Ok(uuid)
    }

    /// Removes the ports of interfaces; their rows go with them. None is no error.
    pub(super) fn unplug(&mut self, interfaces: &[Uuid]) -> Result<(), OvsError> {
        if interfaces.is_empty() {
            return Ok(());
        }
        let mut transaction = Transaction::new(DATABASE);
        self.remove_into(&mut transaction, interfaces);
        transaction.comment("meridian-cni: remove ports");
        self.client.transact(&transaction)?;
        Ok(())
    }

    /// Waits until ovs-vswitchd has acted on everything that is in the database now.
    pub(super) fn settle(&mut self) -> Result<(), OvsError> {
        let mut transaction = Transaction::new(DATABASE);
        transaction
            .mutate(
                open_vswitch::TABLE,
                Where::All,
                [Mutation::new(open_vswitch::NEXT_CFG, Mutator::Add, Datum::scalar(1))],
            )
            .select(open_vswitch::TABLE, Where::All, Some(&[open_vswitch::NEXT_CFG]));
        let outcome = self.client.transact(&transaction)?;
        let wanted = outcome.results.get(1).and_then(|result| {
            let datum = result.rows.first()?.get(open_vswitch::NEXT_CFG)?;
            datum.atoms().first()?.as_integer()
        });
        loop {
            let reached = self.client.replica().table(open_vswitch::TABLE).and_then(|table| {
                let (_, row) = table.iter().next()?;
                row.get(open_vswitch::CUR_CFG).atoms().first()?.as_integer()
            });
            if reached >= wanted {
                return Ok(());
            }
            if !self.wait_update()? {
                return Err(OvsError::Unresponsive);
            }
        }
    }

    /// Ports are removed wherever they are: somebody may have put one on another bridge.
    fn remove_into(&self, transaction: &mut Transaction, interfaces: &[Uuid]) {
        let ports = self.client.replica().table(port::TABLE);
        for (port, row) in ports.into_iter().flat_map(ovsdb::TableReplica::iter) {
            let members = row.get(port::INTERFACES);
            if interfaces.iter().any(|uuid| members.contains(&Atom::Uuid(*uuid))) {
                transaction.mutate(
                    bridge::TABLE,
                    Condition::includes(bridge::PORTS, Datum::scalar(port)).into(),
                    [Mutation::delete(bridge::PORTS, Datum::scalar(port))],
                );
            }
        }
    }
}

/// A value of an interface's `external_ids`.
pub(super) fn id<'a>(row: &'a Row, key: &str) -> Option<&'a str> {
    row.get(interface::EXTERNAL_IDS).get_str(key)
}

/// The condition that an interface's `external_ids` hold a pair.
pub(super) fn has_id(key: &str, value: &str) -> Condition {
    Condition::includes(interface::EXTERNAL_IDS, Datum::map([(key, value)]))
}

/// The condition that an interface has a name.
pub(super) fn has_name(name: &str) -> Condition {
    Condition::eq(interface::NAME, name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use ovsdb::testing::OvsdbServer;

    use super::*;

    fn server() -> OvsdbServer {
        let server = OvsdbServer::start(&[Path::new("/usr/share/openvswitch/vswitch.ovsschema")]);
        vsctl(&server, &["init"]);
        server
    }

    fn vsctl(server: &OvsdbServer, arguments: &[&str]) -> String {
        let database = format!("--db=unix:{}", server.socket().display());
        let output = Command::new("ovs-vsctl")
            .arg(database)
            .arg("--no-wait")
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn config(server: &OvsdbServer) -> Config {
        let socket = server.socket();
        let text = format!(
            r#"{{"cniVersion":"1.1.0","name":"m","ovsSocket":"unix:{}"}}"#,
            socket.display()
        );
        Config::parse(&text).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(200)
    }

    fn patient() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    fn plug(ovs: &mut Ovs, device: &str, port: &str, remove: &[Uuid]) -> Result<Uuid, OvsError> {
        let interface = Uuid::new_v4();
        let ids = [(key::IFACE_ID, port.to_owned())];
        let new = NewPort {
            interface,
            device,
            external_ids: &ids,
            own_queueing: false,
        };
        ovs.plug(&new, remove).map(|()| interface)
    }

    #[test]
    fn the_schema_known_beforehand_is_part_of_the_servers() {
        let installed = std::fs::read_to_string("/usr/share/openvswitch/vswitch.ovsschema").unwrap();
        let known = DatabaseSchema::parse(SCHEMA).unwrap();
        for text in [installed.as_str(), ovsdb_schemas::open_vswitch::SCHEMA_JSON] {
            let server = DatabaseSchema::parse(text).unwrap();
            for (table, known) in &known.tables {
                let real = &server.tables[table];
                assert_eq!(known.is_root, real.is_root, "{table}");
                for (column, known) in &known.columns {
                    let real = &real.columns[column];
                    assert_eq!(known.mutable, real.mutable, "{table}.{column}");
                    // Limits of numbers are the server's to check.
                    let shape = |column: &ovsdb::ColumnSchema| {
                        let kinds = (
                            column.r#type.key.kind,
                            column.r#type.value.as_ref().map(|value| value.kind),
                        );
                        (kinds, column.r#type.min, column.r#type.max)
                    };
                    assert_eq!(shape(known), shape(real), "{table}.{column}");
                }
            }
        }
    }

    #[test]
    fn one_transaction_adds_a_port_and_removes_older_ones_wherever_they_are() {
        let server = server();
        vsctl(
            &server,
            &[
                "add-br", "br-int", "--", "add-br", "br-old", "--", "add-port", "br-old", "older",
            ],
        );
        vsctl(&server, &["set", "Interface", "older", "external_ids:iface-id=ns_pod"]);
        vsctl(&server, &["add-port", "br-int", "another"]);
        let mut ovs = Ovs::connect(&config(&server), &[has_id(key::IFACE_ID, "ns_pod")], patient()).unwrap();
        let older: Vec<Uuid> = ovs.interfaces().map(|(uuid, _)| uuid).collect();
        assert_eq!(older.len(), 1, "only interfaces that match are replicated");
        let interface = plug(&mut ovs, "newer", "ns_pod", &older).unwrap();
        assert_eq!(vsctl(&server, &["list-ports", "br-old"]), "");
        assert_eq!(vsctl(&server, &["list-ports", "br-int"]), "another\nnewer");
        assert_eq!(id(ovs.interface(interface).unwrap(), key::IFACE_ID), Some("ns_pod"));
        assert_eq!(
            vsctl(&server, &["get", "Port", "newer", "other_config:transient"]),
            "\"true\""
        );
    }

    #[test]
    fn ports_with_queueing_of_their_own_share_the_row_that_says_so() {
        let server = server();
        vsctl(&server, &["add-br", "br-int"]);
        let mut ovs = Ovs::connect(&config(&server), &[has_name("mrd")], patient()).unwrap();
        for device in ["mrd0", "mrd1"] {
            let new = NewPort {
                interface: Uuid::new_v4(),
                device,
                external_ids: &[],
                own_queueing: true,
            };
            ovs.plug(&new, &[]).unwrap();
        }
        let rows = vsctl(&server, &["--bare", "--columns=_uuid,type", "list", "QoS"]);
        let (uuid, kind) = rows.split_once('\n').unwrap();
        assert_eq!(kind, "linux-noop");
        for device in ["mrd0", "mrd1"] {
            assert_eq!(vsctl(&server, &["get", "Port", device, "qos"]), uuid);
        }
    }

    #[test]
    fn removing_ports_takes_their_rows_along_and_none_is_no_error() {
        let server = server();
        vsctl(&server, &["add-br", "br-int"]);
        let mut ovs = Ovs::connect(&config(&server), &[has_name("mrd0")], patient()).unwrap();
        let interface = plug(&mut ovs, "mrd0", "ns_pod", &[]).unwrap();
        ovs.unplug(&[interface]).unwrap();
        ovs.unplug(&[interface]).unwrap();
        ovs.unplug(&[]).unwrap();
        assert_eq!(
            vsctl(&server, &["--bare", "--columns=name", "list", "Interface"]),
            "br-int"
        );
    }

    #[test]
    fn a_bridge_that_vanished_fails_the_port_and_leaves_no_row() {
        let server = server();
        vsctl(&server, &["add-br", "br-int"]);
        let mut ovs = Ovs::connect(&config(&server), &[has_name("mrd0")], patient()).unwrap();
        vsctl(&server, &["del-br", "br-int"]);
        let error = plug(&mut ovs, "mrd0", "ns_pod", &[]).unwrap_err();
        assert!(matches!(error, OvsError::NoBridge(_)), "{error}");
        assert_eq!(vsctl(&server, &["--bare", "--columns=name", "list", "Interface"]), "");
    }

    #[test]
    fn a_bridge_that_comes_later_is_waited_for() {
        let server = server();
        let mut ovs = Ovs::connect(&config(&server), &[], soon()).unwrap();
        assert!(matches!(ovs.datapath(), Err(OvsError::NoBridge(_))));
        let mut ovs = Ovs::connect(&config(&server), &[], patient()).unwrap();
        let add = [
            "add-br",
            "br-int",
            "--",
            "set",
            "Bridge",
            "br-int",
            "datapath_type=netdev",
        ];
        vsctl(&server, &add);
        assert_eq!(ovs.datapath().unwrap(), "netdev");
    }

    #[test]
    fn an_ovs_vswitchd_that_does_not_react_is_noticed() {
        let server = server();
        let mut ovs = Ovs::connect(&config(&server), &[], soon()).unwrap();
        assert!(matches!(ovs.settle(), Err(OvsError::Unresponsive)));
        let mut ovs = Ovs::connect(&config(&server), &[], patient()).unwrap();
        // What ovs-vswitchd writes when it is done.
        vsctl(&server, &["set", "Open_vSwitch", ".", "cur_cfg=1000"]);
        ovs.settle().unwrap();
    }

    #[test]
    fn a_server_that_went_away_is_told_from_one_that_refuses() {
        let mut server = server();
        vsctl(&server, &["add-br", "br-int"]);
        let mut ovs = Ovs::connect(&config(&server), &[], patient()).unwrap();
        plug(&mut ovs, "mrd0", "ns_pod", &[]).unwrap();
        let refused = plug(&mut ovs, "mrd0", "ns_pod", &[]).unwrap_err();
        assert!(!refused.is_disconnect(), "{refused}");
        server.kill();
        let lost = std::iter::repeat_with(|| ovs.wait_update())
            .find_map(Result::err)
            .unwrap();
        assert!(lost.is_disconnect(), "{lost}");
        let absent = Ovs::connect(&config(&server), &[], soon()).unwrap_err();
        assert!(absent.to_string().contains("connecting to"), "{absent}");
    }
}
