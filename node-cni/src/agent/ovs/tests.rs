//! Against a real database.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use meridian_api::port::{PortFacts, PortKind};
use ovsdb::Remote;
use ovsdb::testing::OvsdbServer;

use super::*;
use crate::agent::config::Datapath;

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
            ips: vec!["10.244.1.2/24".parse().unwrap()],
            ..PortFacts::new(PortKind::Management, "0a:58:0a:f4:01:02")
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
