//! A host that OVN's flows reach: a real switch without a datapath, and a real ovn-controller.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use meridian_api::name::{self, DEFAULT_VPC};
use meridian_model::{Name, Pod};
use meridian_tests::{Central, eventually, run};
use ovsdb::testing::OvsdbServer;

use super::northd;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Dropping it ends its processes.
#[derive(Debug)]
pub(crate) struct Chassis {
    controller: Child,
    switch: Child,
    server: OvsdbServer,
}

/// A port of a host, as the CNI plugs it.
#[derive(Debug)]
pub(crate) struct Port {
    pub(super) name: String,
    /// Of a pod: only the pod of that UID is what the port is for.
    uid: Option<Name>,
}

impl Port {
    /// A host's own port in the default VPC.
    pub(crate) fn of_host(node: &str) -> Self {
        Self {
            name: name::management_port("", DEFAULT_VPC, node),
            uid: None,
        }
    }

    /// A pod's.
    pub(crate) fn of(pod: &Pod) -> Self {
        Self {
            name: name::pod_port("", &pod.namespace, &pod.name),
            uid: Some(pod.uid.clone()),
        }
    }
}

impl Chassis {
    /// A host of that name with these ports, through which it has to do with their VPCs. No packet ever comes.
    pub(crate) fn start(central: &Central, name: &str, ports: &[Port]) -> Self {
        let server = OvsdbServer::start(&[Path::new(SCHEMA)]);
        let database = server.unix().to_string();
        let switch = daemon(
            &server,
            "ovs-vswitchd",
            &["--disable-system", "--enable-dummy", &database],
        );
        let remote = format!("external_ids:ovn-remote={}", central.remote());
        let id = format!("external_ids:system-id={name}");
        vsctl(&server, &["--no-wait", "init"]);
        vsctl(
            &server,
            &[
                "set",
                "Open_vSwitch",
                ".",
                &remote,
                &id,
                "external_ids:ovn-encap-type=geneve",
                "external_ids:ovn-encap-ip=127.0.0.1",
                "external_ids:ovn-bridge-datapath-type=dummy",
                "external_ids:ovn-remote-probe-interval=0",
                "external_ids:ovn-openflow-probe-interval=0",
            ],
        );
        let bridge = [
            "add-br",
            "br-int",
            "--",
            "set",
            "Bridge",
            "br-int",
            "datapath_type=dummy",
        ];
        vsctl(&server, &bridge);
        let mut plug = Vec::new();
        for (at, port) in ports.iter().enumerate() {
            let (device, iface) = (format!("port{at}"), format!("external_ids:iface-id={}", port.name));
            let add = [
                "--",
                "add-port",
                "br-int",
                &device,
                "--",
                "set",
                "Interface",
                &device,
                "type=dummy",
                &iface,
            ];
            plug.extend(add.map(str::to_owned));
            plug.extend(port.uid.iter().map(|uid| format!("external_ids:iface-id-ver={uid}")));
        }
        vsctl(&server, &plug.iter().map(String::as_str).collect::<Vec<_>>());
        let controller = daemon(&server, "ovn-controller", &[&database]);
        eventually("the chassis is there", || {
            match northd::southbound(central, "Chassis") {
                1 => Ok(()),
                other => Err(format!("{other} chassis")),
            }
        });
        Self {
            controller,
            switch,
            server,
        }
    }

    /// How many flows `br-int` has.
    pub(crate) fn flows(&self) -> usize {
        let bridge = format!("unix:{}", self.server.folder().join("br-int.mgmt").display());
        let text = run("ovs-ofctl", ["-OOpenFlow15", "dump-aggregate", &bridge]);
        let text = text.unwrap_or_else(|error| panic!("{error}"));
        let count = text
            .split("flow_count=")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next());
        let count = count.and_then(|count| count.trim_end_matches(',').parse().ok());
        count.unwrap_or_else(|| panic!("no flow_count: {text}"))
    }

    /// The processor time that ovn-controller has taken.
    pub(crate) fn cpu(&self) -> Duration {
        northd::cpu(self.controller.id())
    }
}

impl Drop for Chassis {
    fn drop(&mut self) {
        for child in [&mut self.controller, &mut self.switch] {
            // It has ended already, which is what we want, or there is nothing we could do.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn vsctl(server: &OvsdbServer, arguments: &[&str]) {
    let database = format!("--db={}", server.unix());
    let all = [database.as_str(), "--timeout=60"];
    run("ovs-vsctl", all.iter().chain(arguments)).unwrap_or_else(|error| panic!("{error}"));
}

fn daemon(server: &OvsdbServer, program: &str, arguments: &[&str]) -> Child {
    let folder = server.folder();
    let log = File::create(folder.join(format!("{program}.log"))).expect("the server's folder is writable");
    Command::new(program)
        .args(arguments)
        .args(["-vconsole:info", "-vsyslog:off", "-vfile:off"])
        .env("OVS_RUNDIR", folder)
        .env("OVN_RUNDIR", folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}
