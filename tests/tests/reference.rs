//! What Meridian relies on OVN to do, with `ovn-nbctl` as the writer: where these fail, it is not our rows.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use meridian_tests::{Central, dump, dump_rows};

fn switch(central: &Central, name: &str, third: u8) {
    let router_port = format!("r-{name}");
    central.nbctl(&["ls-add", name]);
    let network = format!("10.244.{third}.1/24");
    central.nbctl(&[
        "lrp-add",
        "r",
        &router_port,
        &format!("0a:58:0a:f4:0{third}:01"),
        &network,
    ]);
    let port = format!("{name}-r");
    central.nbctl(&["lsp-add", name, &port, "--", "lsp-set-type", &port, "router"]);
    central.nbctl(&["lsp-set-addresses", &port, "router"]);
    central.nbctl(&["lsp-set-options", &port, &format!("router-port={router_port}")]);
}

fn port(central: &Central, switch: &str, name: &str, third: u8, last: u8) {
    let addresses = format!("0a:58:0a:f4:0{third}:0{last} 10.244.{third}.{last}");
    central.nbctl(&["lsp-add", switch, name, "--", "lsp-set-addresses", name, &addresses]);
}

#[test]
fn northd_copies_external_ids_of_a_port_to_its_binding() {
    let central = Central::start();
    central.nbctl(&["ls-add", "s", "--", "lsp-add", "s", "p"]);
    central.nbctl(&["set", "logical_switch_port", "p", "external_ids:meridian/uid=u1"]);
    central.sync();
    assert_eq!(
        central.binding_ids("p").get("meridian/uid").map(String::as_str),
        Some("u1")
    );
}

#[test]
fn a_source_route_leads_out_and_yields_to_routes_of_the_same_length() {
    let central = Central::start();
    central.nbctl(&["lr-add", "r"]);
    for third in [0, 1] {
        let name = format!("s{third}");
        switch(&central, &name, third);
        port(&central, &name, &format!("host{third}"), third, 2);
        port(&central, &name, &format!("pod{third}"), third, 3);
    }
    central.nbctl(&["--policy=src-ip", "lr-route-add", "r", "10.244.0.0/24", "10.244.0.2"]);
    central.sync();

    let trace = |to: &str| {
        let packet = format!(
            "inport == \"pod0\" && eth.src == 0a:58:0a:f4:00:03 && eth.dst == 0a:58:0a:f4:00:01 && \
             ip4.src == 10.244.0.3 && ip4.dst == {to} && ip.ttl == 64"
        );
        central.trace("s0", &[], &packet).pop().unwrap_or_default()
    };
    assert_eq!(trace("192.0.2.1"), "output(\"host0\");");
    assert_eq!(trace("10.244.1.3"), "output(\"pod1\");");
}

#[test]
fn a_dump_names_rows_and_forgets_their_identifiers() {
    let central = Central::databases();
    central.nbctl(&["ls-add", "s", "--", "lsp-add", "s", "p"]);
    central.nbctl(&["set", "logical_switch_port", "p", "options:b=2", "options:a=1"]);
    let text = dump(&central.remote());
    let expected = "Logical_Switch s\n  name: s\n  ports: Logical_Switch_Port/p\n\
                    Logical_Switch_Port p\n  name: p\n  options:\n    a = 1\n    b = 2\n";
    assert!(text.contains(expected), "{text}");

    let rows = dump_rows(&central.remote());
    let port = rows.iter().find(|row| row.name == "p").unwrap();
    assert!(!text.contains(&port.uuid));
}

#[test]
fn every_transaction_is_counted() {
    let central = Central::databases();
    let before = central.transactions().len();
    central.nbctl(&["ls-add", "s"]);
    central.nbctl(&["--may-exist", "ls-add", "s"]);
    assert_eq!(central.transactions().len(), before + 1);
}
