//! What the agent wants of Open vSwitch: the chassis' settings, the integration bridge, management ports.
//!
//! [`plan`] compares and is pure; nothing is written that is as it should be.

use std::collections::BTreeMap;

use meridian_api::chassis;
use ovsdb::{
    Atom, Condition, Datum, Mutation, Replica, Row, Session, SessionConfig, TableMonitor, Transaction, Uuid, Where,
};
use ovsdb_schemas::open_vswitch::{DATABASE, bridge, interface, open_vswitch, port};

use super::config::{Config, Datapath};
use super::southbound::ManagementPort;
use crate::plugin::key;

/// Key of `external_ids` of the agent's own interfaces: the logical port.
const MANAGEMENT: &str = "meridian/management";
/// Type of interfaces that Open vSwitch makes itself.
const INTERNAL: &str = "internal";

/// The session with Open vSwitch's database.
pub(super) fn connect(config: &Config) -> Session {
    Session::spawn(
        SessionConfig::new(DATABASE, vec![config.ovs.clone()]).with_monitors([
            TableMonitor::new(open_vswitch::TABLE).columns([open_vswitch::EXTERNAL_IDS]),
            TableMonitor::new(bridge::TABLE)
                .columns([bridge::NAME, bridge::DATAPATH_TYPE])
                .condition(Condition::eq(bridge::NAME, config.bridge.as_str())),
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

/// Datapath type of the integration bridge, once that exists.
pub(super) fn datapath(replica: &Replica) -> Option<String> {
    let (_, row) = replica.table(bridge::TABLE)?.iter().next()?;
    Some(row.get(bridge::DATAPATH_TYPE).as_str().unwrap_or_default().to_owned())
}

/// What Open vSwitch says of a management port: its error, and whether its flows are installed.
pub(super) fn management_state(replica: &Replica, device: &str) -> (Option<String>, bool) {
    let Some(row) = interface_named(replica, device) else {
        return (None, false);
    };
    let error = row.get(interface::ERROR).as_str().map(str::to_owned);
    let installed = row.get(interface::EXTERNAL_IDS).get_str(key::OVN_INSTALLED) == Some("true");
    (error, installed)
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
    settings(wanted.config, replica, &mut transaction);
    let bridge_port = integration_bridge(wanted.config, replica, &mut transaction);
    if let Some(ports) = wanted.management
        && bridge_port
    {
        management_ports(wanted, ports, replica, &mut transaction);
    }
    if transaction.is_empty() {
        return None;
    }
    transaction.comment("meridian-node: configure the chassis");
    Some(transaction)
}

/// `external_ids` by which ovn-controller knows who and where it is.
fn settings(config: &Config, replica: &Replica, transaction: &mut Transaction) {
    let encap_ip = config.encap_ip.to_string();
    let mut wanted = BTreeMap::from([
        ("ovn-remote", config.southbound_text.as_str()),
        ("ovn-encap-type", config.encap_type),
        ("ovn-encap-ip", &encap_ip),
        ("ovn-bridge", &config.bridge),
        ("system-id", &config.node),
        ("hostname", &config.node),
    ]);
    // ovn-controller not only makes a bridge that is missing with this type, it also changes one that is there: a node
    // whose bridge forwards in userspace must not lose its pods because its kernel could do it as well.
    if config.datapath_given || config.datapath == Datapath::Netdev {
        wanted.insert("ovn-bridge-datapath-type", config.datapath.as_str());
    }
    let table = replica.table(open_vswitch::TABLE);
    let root = table.and_then(|table| table.iter().next());
    let options = root.and_then(|(_, row)| row.get(open_vswitch::EXTERNAL_IDS).get_str(chassis::CMS_OPTIONS));
    let options = chassis::with_mark(options.unwrap_or_default(), &config.mark);
    wanted.insert(chassis::CMS_OPTIONS, &options);
    let Some((uuid, row)) = root else {
        // A database that was just made.
        let ids = Datum::map(wanted);
        transaction.insert_named(open_vswitch::TABLE, "root", [(open_vswitch::EXTERNAL_IDS, ids)]);
        return;
    };
    let ids = row.get(open_vswitch::EXTERNAL_IDS);
    let different: Vec<_> = wanted
        .into_iter()
        .filter(|(key, value)| ids.get_str(key) != Some(*value))
        .collect();
    if different.is_empty() {
        return;
    }
    // Inserting leaves a key that is there alone, so it must go first, and goes only if it still has the value that was
    // read: what others write meanwhile into a list that is shared with them is seen, not lost. Their keys stay.
    let stale = different.iter().filter_map(|(key, _)| Some((*key, ids.get_str(key)?)));
    let stale = Datum::map(stale);
    transaction.mutate(
        open_vswitch::TABLE,
        Where::Uuid(uuid),
        [
            Mutation::delete(open_vswitch::EXTERNAL_IDS, stale),
            Mutation::insert(open_vswitch::EXTERNAL_IDS, Datum::map(different)),
        ],
    );
}

/// Makes the bridge; false if it is not there yet.
fn integration_bridge(config: &Config, replica: &Replica, transaction: &mut Transaction) -> bool {
    if datapath(replica).is_some() {
        return true;
    }
    let name = config.bridge.as_str();
    let local = [
        (interface::NAME, Datum::scalar(name)),
        (interface::TYPE, Datum::scalar(INTERNAL)),
    ];
    transaction
        .insert_named(interface::TABLE, "bridge_interface", local)
        .insert_named(
            port::TABLE,
            "bridge_port",
            [
                (port::NAME, Datum::scalar(name)),
                (port::INTERFACES, Datum::scalar(Atom::named_uuid("bridge_interface"))),
            ],
        )
        .insert_named(
            bridge::TABLE,
            "bridge",
            [
                (bridge::NAME, Datum::scalar(name)),
                (bridge::DATAPATH_TYPE, Datum::scalar(config.datapath.as_str())),
                // Without flows it must drop, not switch: tenants would see one another.
                (bridge::FAIL_MODE, Datum::scalar("secure")),
                (bridge::OTHER_CONFIG, Datum::map([("disable-in-band", "true")])),
                (bridge::PORTS, Datum::scalar(Atom::named_uuid("bridge_port"))),
            ],
        );
    let bridges = Datum::scalar(Atom::named_uuid("bridge"));
    transaction.mutate(
        open_vswitch::TABLE,
        Where::All,
        [Mutation::insert(open_vswitch::BRIDGES, bridges)],
    );
    false
}

fn management_ports(wanted: &Wanted<'_>, ports: &[ManagementPort], replica: &Replica, transaction: &mut Transaction) {
    let mut devices = Vec::new();
    for (index, management) in ports.iter().enumerate() {
        let device = wanted.config.management_device(&management.name);
        let mut columns = vec![
            (interface::TYPE, Datum::scalar(INTERNAL)),
            // Open vSwitch sets address and MTU, also when it makes the device anew after a restart.
            (interface::MAC, Datum::scalar(management.facts.mac.as_str())),
        ];
        if let Some(mtu) = management.facts.mtu.or(wanted.mtu) {
            columns.push((interface::MTU_REQUEST, Datum::scalar(i64::from(mtu))));
        }
        let ids = Datum::map([
            (key::IFACE_ID, management.name.as_str()),
            (key::ATTACHED_MAC, management.facts.mac.as_str()),
            (MANAGEMENT, management.name.as_str()),
        ]);
        match interface_named(replica, &device) {
            Some(row) => update_management(row, columns, &ids, transaction),
            None => add_management(wanted.config, index, &device, columns, ids, transaction),
        }
        devices.push(device);
    }
    // Those of ports that are no more, whose VPC left this node.
    let interfaces = replica
        .table(interface::TABLE)
        .into_iter()
        .flat_map(ovsdb::TableReplica::iter);
    for (uuid, row) in interfaces {
        let device = row.get(interface::NAME).as_str().unwrap_or_default();
        let is_management = row.get(interface::EXTERNAL_IDS).get_str(MANAGEMENT).is_some();
        if is_management && !devices.iter().any(|wanted| wanted == device) {
            remove_port_of(uuid, replica, transaction);
        }
    }
}

fn update_management(row: &Row, columns: Vec<(&'static str, Datum)>, ids: &Datum, transaction: &mut Transaction) {
    let different: Vec<_> = columns
        .into_iter()
        .filter(|(column, value)| row.get(column) != value)
        .collect();
    if !different.is_empty() {
        transaction.update(interface::TABLE, Where::Uuid(row.uuid()), different);
    }
    // ovn-controller writes into the same column: only our keys are compared and set.
    let current = row.get(interface::EXTERNAL_IDS);
    let different: Vec<_> = ids
        .pairs()
        .iter()
        .filter(|(key, value)| current.value_of(key) != Some(value))
        .collect();
    if !different.is_empty() {
        let keys = Datum::set(different.iter().map(|(key, _)| key));
        let pairs = Datum::map(different.iter().map(|(key, value)| (key, value)));
        transaction.mutate(
            interface::TABLE,
            Where::Uuid(row.uuid()),
            [
                Mutation::delete(interface::EXTERNAL_IDS, keys),
                Mutation::insert(interface::EXTERNAL_IDS, pairs),
            ],
        );
    }
}

fn add_management(
    config: &Config,
    index: usize,
    device: &str,
    mut columns: Vec<(&'static str, Datum)>,
    ids: Datum,
    transaction: &mut Transaction,
) {
    let interface_name = format!("management_interface_{index}");
    let port_name = format!("management_port_{index}");
    columns.push((interface::NAME, Datum::scalar(device)));
    columns.push((interface::EXTERNAL_IDS, ids));
    transaction
        .insert_named(interface::TABLE, &interface_name, columns)
        .insert_named(
            port::TABLE,
            &port_name,
            [
                (port::NAME, Datum::scalar(device)),
                (
                    port::INTERFACES,
                    Datum::scalar(Atom::named_uuid(interface_name.as_str())),
                ),
            ],
        )
        .mutate(
            bridge::TABLE,
            Condition::eq(bridge::NAME, config.bridge.as_str()).into(),
            [Mutation::insert(
                bridge::PORTS,
                Datum::scalar(Atom::named_uuid(port_name.as_str())),
            )],
        );
}

/// Removes the port that an interface is of.
pub(super) fn remove_port_of(interface: Uuid, replica: &Replica, transaction: &mut Transaction) {
    let ports = replica
        .table(port::TABLE)
        .into_iter()
        .flat_map(ovsdb::TableReplica::iter);
    for (port, row) in ports {
        if row.get(port::INTERFACES).contains(&Atom::Uuid(interface)) {
            transaction.mutate(
                bridge::TABLE,
                Condition::includes(bridge::PORTS, Datum::scalar(port)).into(),
                [Mutation::delete(bridge::PORTS, Datum::scalar(port))],
            );
        }
    }
}

fn interface_named<'a>(replica: &'a Replica, device: &str) -> Option<&'a Row> {
    let rows = replica.table(interface::TABLE)?.iter();
    rows.map(|(_, row)| row)
        .find(|row| row.get(interface::NAME).as_str() == Some(device))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::path::Path;
    use std::process::Command;

    use meridian_api::port::{PortFacts, PortKind};
    use ovsdb::Remote;
    use ovsdb::testing::OvsdbServer;

    use super::*;

    fn server() -> OvsdbServer {
        OvsdbServer::start(&[Path::new("/usr/share/openvswitch/vswitch.ovsschema")])
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
        Config {
            node: "n1".into(),
            southbound: vec![Remote::Tcp("10.0.0.1".into(), 6642)],
            southbound_text: "tcp:10.0.0.1:6642".into(),
            tls: None,
            encap_ip: IpAddr::from([10, 0, 0, 11]),
            encap_type: "geneve",
            ovs: server.unix(),
            ovn_rundir: "/run/ovn".into(),
            bridge: "br-int".into(),
            datapath: Datapath::Netdev,
            datapath_given: true,
            cluster_id: None,
            proxy_health: None,
            port_prefix: String::new(),
            mark: "meridian-node:east".into(),
            mtu: None,
            socket: "/run/meridian/node.sock".into(),
            install: None,
            kubernetes: None,
        }
    }

    fn management() -> ManagementPort {
        ManagementPort {
            name: "mgmt-default-n1".into(),
            facts: PortFacts {
                kind: PortKind::Management,
                mac: "0a:58:0a:f4:01:02".into(),
                ips: vec!["10.244.1.2/24".parse().unwrap()],
                gateways: vec![],
                routes: vec![],
                sources: vec![],
                node_ports: vec![],
                mtu: None,
                uid: None,
            },
        }
    }

    /// Carries plans out until there is none; yields how many there were.
    async fn settle(session: &Session, wanted: &Wanted<'_>) -> usize {
        session.ready().await.unwrap();
        for round in 0..OVS_LIMIT {
            let plan = plan(wanted, &session.replica());
            match plan {
                None => return round,
                Some(transaction) => session.transact(transaction).await.unwrap(),
            };
        }
        panic!("it never settles");
    }

    const OVS_LIMIT: usize = 5;

    #[tokio::test]
    async fn an_empty_database_becomes_a_chassis_with_a_management_port() {
        let server = server();
        let config = config(&server);
        let session = connect(&config);
        let ports = [management()];
        let wanted = Wanted {
            config: &config,
            management: Some(&ports),
            mtu: Some(1442),
        };
        assert_eq!(settle(&session, &wanted).await, 2);
        let get = |arguments: &[&str]| vsctl(&server, arguments);
        assert_eq!(get(&["get", "Open_vSwitch", ".", "external_ids:system-id"]), "n1");
        assert_eq!(
            get(&["get", "Bridge", "br-int", "datapath_type", "fail_mode"]),
            "netdev\nsecure"
        );
        assert_eq!(get(&["list-ports", "br-int"]), "meridian0");
        let interface = get(&[
            "get",
            "Interface",
            "meridian0",
            "mac",
            "mtu_request",
            "external_ids:iface-id",
        ]);
        assert_eq!(interface, "\"0a:58:0a:f4:01:02\"\n1442\nmgmt-default-n1");
    }

    #[tokio::test]
    async fn only_what_differs_is_written_and_nothing_of_others() {
        let server = server();
        vsctl(&server, &["init"]);
        vsctl(
            &server,
            &[
                "set",
                "Open_vSwitch",
                ".",
                "external_ids:system-id=old",
                "external_ids:mine=kept",
            ],
        );
        let config = config(&server);
        let session = connect(&config);
        let ports = [management()];
        let wanted = Wanted {
            config: &config,
            management: Some(&ports),
            mtu: Some(1442),
        };
        settle(&session, &wanted).await;
        assert_eq!(
            vsctl(&server, &["get", "Open_vSwitch", ".", "external_ids:mine"]),
            "kept"
        );
        // What ovn-controller writes beside our keys is left alone.
        vsctl(
            &server,
            &["set", "Interface", "meridian0", "external_ids:ovn-installed=true"],
        );
        let mut changed = management();
        changed.facts.mac = "0a:58:0a:f4:01:03".into();
        let ports = [changed];
        let wanted = Wanted {
            management: Some(&ports),
            ..wanted
        };
        let planned = plan(&wanted, &session.replica()).unwrap();
        assert_eq!(
            planned
                .operations()
                .iter()
                .filter(|operation| operation.table().is_some())
                .count(),
            2
        );
        settle(&session, &wanted).await;
        let ids = vsctl(&server, &["get", "Interface", "meridian0", "external_ids"]);
        assert!(
            ids.contains("ovn-installed") && ids.contains("0a:58:0a:f4:01:03"),
            "{ids}"
        );
    }

    #[tokio::test]
    async fn the_mark_stands_beside_words_of_others_and_is_put_back() {
        let server = server();
        let config = config(&server);
        let session = connect(&config);
        let wanted = Wanted {
            config: &config,
            management: None,
            mtu: None,
        };
        let options = || {
            let got = vsctl(&server, &["get", "Open_vSwitch", ".", "external_ids:ovn-cms-options"]);
            got.trim_matches('"').to_owned()
        };
        settle(&session, &wanted).await;
        assert_eq!(options(), "meridian-node:east");
        for (theirs, merged) in [
            (
                "enable-chassis-as-gw,card:a",
                "enable-chassis-as-gw,card:a,meridian-node:east",
            ),
            ("meridian-node:west,card:b", "card:b,meridian-node:east"),
        ] {
            let mut seen = session.subscribe();
            drop(seen.try_take());
            let setting = format!("external_ids:ovn-cms-options=\"{theirs}\"");
            vsctl(&server, &["set", "Open_vSwitch", ".", &setting]);
            seen.changed().await.unwrap();
            assert_eq!(settle(&session, &wanted).await, 1);
            assert_eq!(options(), merged);
            assert_eq!(settle(&session, &wanted).await, 0, "what is right is left alone");
        }
        let mut seen = session.subscribe();
        drop(seen.try_take());
        vsctl(
            &server,
            &["remove", "Open_vSwitch", ".", "external_ids", "ovn-cms-options"],
        );
        seen.changed().await.unwrap();
        settle(&session, &wanted).await;
        assert_eq!(options(), "meridian-node:east");
    }

    #[tokio::test]
    async fn words_that_others_add_meanwhile_are_not_lost() {
        let server = server();
        vsctl(&server, &["init"]);
        let config = config(&server);
        let session = connect(&config);
        session.ready().await.unwrap();
        let wanted = Wanted {
            config: &config,
            management: None,
            mtu: None,
        };
        let set = |value: &str| {
            vsctl(
                &server,
                &[
                    "set",
                    "Open_vSwitch",
                    ".",
                    &format!("external_ids:ovn-cms-options={value}"),
                ],
            )
        };
        let mut seen = session.subscribe();
        drop(seen.try_take());
        set("early");
        seen.changed().await.unwrap();
        let late = plan(&wanted, &session.replica()).unwrap();
        set("late");
        session.transact(late).await.unwrap();
        settle(&session, &wanted).await;
        assert_eq!(
            vsctl(&server, &["get", "Open_vSwitch", ".", "external_ids:ovn-cms-options"]),
            "\"late,meridian-node:east\""
        );
    }

    #[tokio::test]
    async fn a_management_port_goes_when_it_is_known_to_be_gone_and_not_before() {
        let server = server();
        let config = config(&server);
        let session = connect(&config);
        let ports = [management()];
        let wanted = |management| Wanted {
            config: &config,
            management,
            mtu: None,
        };
        settle(&session, &wanted(Some(&ports))).await;
        vsctl(
            &server,
            &[
                "add-port",
                "br-int",
                "foreign",
                "--",
                "set",
                "Interface",
                "foreign",
                "type=internal",
            ],
        );
        assert_eq!(settle(&session, &wanted(None)).await, 0);
        settle(&session, &wanted(Some(&[]))).await;
        assert_eq!(vsctl(&server, &["list-ports", "br-int"]), "foreign");
    }

    #[tokio::test]
    async fn a_bridge_that_exists_keeps_its_datapath_unless_a_person_chose_another() {
        let server = server();
        vsctl(
            &server,
            &[
                "init",
                "--",
                "add-br",
                "br-int",
                "--",
                "set",
                "Bridge",
                "br-int",
                "datapath_type=netdev",
            ],
        );
        let mut config = config(&server);
        config.datapath = Datapath::System;
        config.datapath_given = false;
        let session = connect(&config);
        let wanted = Wanted {
            config: &config,
            management: None,
            mtu: None,
        };
        settle(&session, &wanted).await;
        let ids = vsctl(&server, &["get", "Open_vSwitch", ".", "external_ids"]);
        assert!(!ids.contains("ovn-bridge-datapath-type"), "{ids}");
        assert_eq!(vsctl(&server, &["get", "Bridge", "br-int", "datapath_type"]), "netdev");
    }
}
