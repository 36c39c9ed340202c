//! The floor of a person with the ordinary tools.

use crate::Side;
use crate::steps::{Stopwatch, Timed};
use crate::support::{Host, Pod, run};

/// A process for each command.
#[derive(Debug)]
pub(crate) struct ByTools;

impl Side for ByTools {
    fn name(&self) -> &'static str {
        "tools"
    }

    fn prepare(&mut self) {}

    fn attach(&mut self, host: &Host, pod: &Pod) -> Timed {
        let (device, facts) = (pod.device(), pod.facts());
        let netns = pod.netns.as_str();
        let mut watch = Stopwatch::start();
        run(
            "ip",
            &[
                "link", "add", &device, "mtu", "1442", "type", "veth", "peer", "name", "eth0", "address", &facts.mac,
                "mtu", "1442", "netns", netns,
            ],
        );
        watch.ended(2);
        run("ip", &["link", "set", &device, "up"]);
        watch.ended(3);
        let database = format!("--db=unix:{}", host.path("db.sock"));
        let ids = [
            format!("external_ids:iface-id={}", pod.port()),
            format!("external_ids:iface-id-ver={}", pod.uid),
            format!("external_ids:attached-mac={:?}", facts.mac),
        ];
        // Not waiting for ovs-vswitchd saves time: the pod's end is configured meanwhile.
        let mut arguments = vec![&database, "--no-wait", "add-port", "br-int", &device];
        arguments.extend(["--", "set", "Interface", &device]);
        arguments.extend(ids.iter().map(String::as_str));
        run("ovs-vsctl", &arguments);
        watch.ended(4);
        run("ip", &["netns", "exec", netns, "ethtool", "-K", "eth0", "tx", "off"]);
        for ip in &facts.ips {
            let ip = ip.to_string();
            let mut arguments = vec!["-n", netns, "address", "add", &ip, "dev", "eth0"];
            if ip.contains(':') {
                arguments.push("nodad");
            }
            run("ip", &arguments);
        }
        run("ip", &["-n", netns, "link", "set", "eth0", "up"]);
        for gateway in &facts.gateways {
            let gateway = gateway.to_string();
            let family = if gateway.contains(':') { "-6" } else { "-4" };
            run("ip", &[family, "-n", netns, "route", "add", "default", "via", &gateway]);
        }
        watch.ended(5);
        run(
            "ovs-vsctl",
            &[
                &database,
                "--timeout=30",
                "wait-until",
                "Interface",
                &device,
                "external_ids:ovn-installed=true",
            ],
        );
        watch.ended(6);
        watch.stop()
    }
}
