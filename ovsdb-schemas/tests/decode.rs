//! Typed rows from real servers: of the newest schemas, of the oldest supported, and of ones changed by hand.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ovsdb::blocking::Client;
use ovsdb::testing::OvsdbServer;
use ovsdb::{Atom, DatabaseSchema, Datum, Table, TableMonitor, Transaction};
use ovsdb_schemas::{northbound, open_vswitch, server, southbound};
use serde_json::Value;

fn schema(folder: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(file)
}

fn newest(file: &str) -> PathBuf {
    schema("schemas", file)
}

fn oldest(file: &str) -> PathBuf {
    schema("tests/fixtures/23.03", file)
}

fn connect(server: &OvsdbServer) -> Client {
    Client::connect(&server.socket(), Instant::now() + Duration::from_secs(30)).unwrap()
}

/// Every row of a table as the server has it now.
fn rows<T: Table>(server: &OvsdbServer, database: &str) -> Vec<T> {
    let mut client = connect(server);
    let monitor = TableMonitor::new(T::NAME).columns(T::COLUMNS.iter().copied());
    client.monitor(database, &[monitor]).unwrap();
    let table = client.replica().table(T::NAME).unwrap();
    table.rows().map(|row| T::from_row(row).unwrap()).collect()
}

fn only<T: Table>(server: &OvsdbServer, database: &str) -> T {
    let mut rows = rows(server, database);
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

/// A switch with one port and one ACL, written by constants that every supported version has.
fn write_switch(server: &OvsdbServer, action: &str) {
    use northbound::{acl, logical_switch, logical_switch_port as lsp};
    let mut transaction = Transaction::new(northbound::DATABASE);
    transaction
        .insert_named(
            lsp::TABLE,
            "port",
            [
                (lsp::NAME, Datum::scalar("default_web")),
                (lsp::ADDRESSES, Datum::set(["0a:58:0a:f4:00:05 10.244.0.5", "unknown"])),
                (lsp::EXTERNAL_IDS, Datum::map([("meridian/kind", "pod")])),
                (lsp::TAG, Datum::scalar(7)),
            ],
        )
        .insert_named(
            acl::TABLE,
            "acl",
            [
                (acl::ACTION, Datum::scalar(action)),
                (acl::DIRECTION, Datum::scalar("to-lport")),
                (acl::MATCH, Datum::scalar("ip4")),
                (acl::PRIORITY, Datum::scalar(1001)),
            ],
        )
        .insert(
            logical_switch::TABLE,
            None,
            [
                (logical_switch::PORTS, Datum::scalar(Atom::named_uuid("port"))),
                (logical_switch::ACLS, Datum::scalar(Atom::named_uuid("acl"))),
            ],
        );
    connect(server).transact(&transaction).unwrap();
}

fn assert_switch(server: &OvsdbServer) {
    let port: northbound::LogicalSwitchPort = only(server, northbound::DATABASE);
    assert_eq!(port.name, "default_web");
    assert_eq!(port.addresses, ["0a:58:0a:f4:00:05 10.244.0.5", "unknown"]);
    assert_eq!(
        port.external_ids,
        BTreeMap::from([("meridian/kind".to_owned(), "pod".to_owned())])
    );
    assert_eq!(port.tag, Some(7));
    assert_eq!(port.up, None);
    assert_eq!(port.r#type, "");
    assert_eq!(port.port_security, [""; 0]);

    let acl: northbound::Acl = only(server, northbound::DATABASE);
    assert_eq!(acl.action, northbound::AclAction::AllowRelated);
    assert_eq!(acl.direction, northbound::AclDirection::ToLport);
    assert_eq!(acl.r#match, "ip4");
    assert_eq!((acl.priority, acl.log), (1001, false));

    let switch: northbound::LogicalSwitch = only(server, northbound::DATABASE);
    assert_eq!((switch.ports, switch.acls), (vec![port.uuid], vec![acl.uuid]));
}

#[test]
fn rows_of_the_newest_schema_decode() {
    let server = OvsdbServer::start(&[&newest("ovn-nb.ovsschema")]);
    write_switch(&server, "allow-related");
    assert_switch(&server);
}

#[test]
fn rows_of_the_oldest_schema_decode_and_newer_columns_read_as_their_defaults() {
    let server = OvsdbServer::start(&[&oldest("ovn-nb.ovsschema")]);
    write_switch(&server, "allow-related");
    assert_switch(&server);
    // ACL.tier is younger than 23.03.
    let acl: northbound::Acl = only(&server, northbound::DATABASE);
    assert_eq!(acl.tier, 0);
}

#[test]
fn rows_of_the_installed_schema_decode() {
    let server = OvsdbServer::start(&[Path::new("/usr/share/ovn/ovn-nb.ovsschema")]);
    write_switch(&server, "allow-related");
    assert_switch(&server);
}

/// Rewrites a schema before serving it.
fn start_changed(path: &Path, change: impl FnOnce(&mut Value)) -> OvsdbServer {
    let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    change(&mut schema);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.ovsschema");
    std::fs::write(&path, schema.to_string()).unwrap();
    OvsdbServer::start(&[&path])
}

#[test]
fn columns_that_are_gone_read_as_their_defaults() {
    let server = start_changed(&oldest("ovn-nb.ovsschema"), |schema| {
        let columns = &mut schema["tables"]["Logical_Switch_Port"]["columns"];
        for column in ["port_security", "type", "up"] {
            columns.as_object_mut().unwrap().remove(column).unwrap();
        }
    });
    write_switch(&server, "allow-related");
    assert_switch(&server);
}

#[test]
fn a_value_no_schema_here_knows_reads_as_other() {
    let server = start_changed(&newest("ovn-nb.ovsschema"), |schema| {
        let action = &mut schema["tables"]["ACL"]["columns"]["action"]["type"]["key"]["enum"][1];
        action.as_array_mut().unwrap().push("mirror".into());
    });
    write_switch(&server, "mirror");
    let acl: northbound::Acl = only(&server, northbound::DATABASE);
    assert_eq!(acl.action, northbound::AclAction::Other("mirror".to_owned()));
    assert_eq!(acl.action.to_string(), "mirror");
}

#[test]
fn rows_of_a_southbound_database_decode() {
    use southbound::{datapath_binding, port_binding};
    for schema in [newest("ovn-sb.ovsschema"), oldest("ovn-sb.ovsschema")] {
        let server = OvsdbServer::start(&[&schema]);
        let mut transaction = Transaction::new(southbound::DATABASE);
        transaction
            .insert_named(
                datapath_binding::TABLE,
                "switch",
                [(datapath_binding::TUNNEL_KEY, Datum::scalar(1))],
            )
            .insert(
                port_binding::TABLE,
                None,
                [
                    (port_binding::DATAPATH, Datum::scalar(Atom::named_uuid("switch"))),
                    (port_binding::LOGICAL_PORT, Datum::scalar("default_web")),
                    (port_binding::TUNNEL_KEY, Datum::scalar(2)),
                    (port_binding::UP, Datum::scalar(true)),
                ],
            );
        connect(&server).transact(&transaction).unwrap();
        let binding: southbound::PortBinding = only(&server, southbound::DATABASE);
        let datapath: southbound::DatapathBinding = only(&server, southbound::DATABASE);
        assert_eq!(binding.datapath, datapath.uuid);
        assert_eq!((binding.chassis, binding.up, binding.tunnel_key), (None, Some(true), 2));
    }
}

#[test]
fn rows_of_a_switch_decode() {
    use open_vswitch::{bridge, interface, open_vswitch as ovs, port};
    for schema in [newest("vswitch.ovsschema"), oldest("vswitch.ovsschema")] {
        let server = OvsdbServer::start(&[&schema]);
        let mut transaction = Transaction::new(open_vswitch::DATABASE);
        transaction
            .insert_named(
                interface::TABLE,
                "interface",
                [
                    (interface::NAME, Datum::scalar("veth1")),
                    (interface::OFPORT, Datum::scalar(4)),
                    (interface::STATISTICS, Datum::map([("rx_bytes", 9)])),
                    (interface::LINK_STATE, Datum::scalar("up")),
                ],
            )
            .insert_named(
                port::TABLE,
                "port",
                [
                    (port::NAME, Datum::scalar("veth1")),
                    (port::INTERFACES, Datum::scalar(Atom::named_uuid("interface"))),
                ],
            )
            .insert_named(
                bridge::TABLE,
                "bridge",
                [
                    (bridge::NAME, Datum::scalar("br-int")),
                    (bridge::PORTS, Datum::scalar(Atom::named_uuid("port"))),
                    (bridge::PROTOCOLS, Datum::set(["OpenFlow13", "OpenFlow15"])),
                ],
            )
            .insert(
                ovs::TABLE,
                None,
                [(ovs::BRIDGES, Datum::scalar(Atom::named_uuid("bridge")))],
            );
        connect(&server).transact(&transaction).unwrap();

        let interface: open_vswitch::Interface = only(&server, open_vswitch::DATABASE);
        assert_eq!(interface.ofport, Some(4));
        assert_eq!(interface.statistics, BTreeMap::from([("rx_bytes".to_owned(), 9)]));
        assert_eq!(interface.link_state, Some(open_vswitch::InterfaceLinkState::Up));
        let bridge: open_vswitch::Bridge = only(&server, open_vswitch::DATABASE);
        let protocols: Vec<&str> = bridge
            .protocols
            .iter()
            .map(open_vswitch::BridgeProtocols::as_str)
            .collect();
        assert_eq!(protocols, ["OpenFlow13", "OpenFlow15"]);
    }
}

#[test]
fn a_server_describes_its_databases() {
    let server = OvsdbServer::start(&[&newest("ovn-nb.ovsschema")]);
    let databases: Vec<server::Database> = rows(&server, server::DATABASE);
    let northbound = databases
        .iter()
        .find(|database| database.name == northbound::DATABASE)
        .unwrap();
    assert_eq!(northbound.model, server::DatabaseModel::Standalone);
    assert!(northbound.connected && northbound.leader);
}

#[test]
fn the_newest_schemas_contain_all_of_the_oldest() {
    for file in ["ovn-nb.ovsschema", "ovn-sb.ovsschema", "vswitch.ovsschema"] {
        let read = |path: PathBuf| DatabaseSchema::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        let (newest, oldest) = (read(newest(file)), read(oldest(file)));
        for (table, definition) in &oldest.tables {
            for column in definition.columns.keys() {
                assert!(
                    newest.column_type(table, column).is_some(),
                    "{file}: {table}.{column} is gone"
                );
            }
        }
    }
}
