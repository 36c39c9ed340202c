//! What unit tests share: a real server with an `Open_vSwitch` database, and the ordinary tool to look into it.

use std::path::Path;
use std::process::Command;

use ovsdb::testing::OvsdbServer;

/// A server with an empty `Open_vSwitch` database; nothing acts on it.
pub(crate) fn open_vswitch() -> OvsdbServer {
    OvsdbServer::start(&[Path::new("/usr/share/openvswitch/vswitch.ovsschema")])
}

/// What `ovs-vsctl` prints.
pub(crate) fn vsctl(server: &OvsdbServer, arguments: &[&str]) -> String {
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
