//! The host as a gateway: the device by which it meets the routers of VPCs.

use meridian_api::name;
use meridian_api::port::{PortFacts, PortKind};
use meridian_node_cni::netlink::{Link, Rtnetlink};
use ovsdb::testing::eventually;

use crate::support::{Agent, Host, NODE, ready_host, run};

const DEVICE: &str = "mrm-egress";
/// Tells the host that it is a gateway.
const TOLD: &str = "gateway-n1";
const MAC: &str = "0a:58:64:42:00:01";
const V4: &str = "100.66.0.1/16";
const V6: &str = "fd6d:6572:6964:6567::1/64";
/// A VPC's router, as the host knows it.
const ROUTER: [&str; 2] = ["100.66.0.5", "fd6d:6572:6964:6567::5"];

impl Host {
    /// What the translator writes of gateways for all hosts, with one VPC's router.
    fn create_gateways(&self) {
        let port = name::egress_port("");
        let addresses = format!("{MAC} 100.66.0.1 fd6d:6572:6964:6567::1");
        let [v4, v6] = [(ROUTER[0], 16), (ROUTER[1], 64)].map(|(ip, length)| format!("{ip}/{length}"));
        let commands: [&[&str]; 11] = [
            &["ls-add", "services"],
            &["ls-add", &port],
            &["lsp-add", &port, &port],
            &["lsp-set-type", &port, "localport"],
            &["lsp-set-addresses", &port, &addresses],
            &["lr-add", "vpc-blue"],
            &["lrp-add", "vpc-blue", "egress-blue.n1", "0a:58:64:42:00:05", &v4, &v6],
            // Of a switch that has nothing bound at a chassis but a localport, that chassis knows nothing.
            &["lrp-set-gateway-chassis", "egress-blue.n1", NODE],
            &["lsp-add", &port, "slot"],
            &["lsp-set-type", "slot", "router"],
            &["lsp-set-addresses", "slot", "router"],
        ];
        let mut arguments = commands.join(&"--");
        arguments.extend(["--", "lsp-set-options", "slot", "router-port=egress-blue.n1"]);
        self.nbctl(&arguments);
    }

    /// Tells the host that it is a gateway, with these addresses.
    fn be_gateway(&self, ips: &[&str]) {
        let facts = PortFacts {
            ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
            ..PortFacts::new(PortKind::Egress, MAC)
        };
        self.create_port_on("services", TOLD, &facts, NODE);
        self.nbctl(&["lsp-set-addresses", TOLD]);
    }

    /// The device and its addresses, but the one that Linux gives it.
    fn egress(&self) -> Option<(Link, Vec<String>)> {
        let found = self.netns().run(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            let link = rtnetlink.link(DEVICE).unwrap()?;
            Some((link, rtnetlink.addresses().unwrap()))
        });
        let (link, addresses) = found.unwrap()?;
        let addresses = addresses.iter().filter(|address| address.index == link.index);
        let mut addresses: Vec<_> = addresses.map(|address| address.network.to_string()).collect();
        addresses.retain(|address| !address.starts_with("fe80:"));
        addresses.sort();
        Some((link, addresses))
    }

    /// Waits until the device is as it is to be, with these addresses alone.
    fn await_egress(&self, what: &str, addresses: &[&str]) {
        eventually(what, || {
            let (link, found) = self.egress()?;
            let mac = link.mac?.to_string();
            (link.up && link.carrier && mac == MAC && found == addresses).then_some(())
        });
    }
}

fn egress_status(agent: &Agent) -> Option<meridian_node_cni::protocol::ManagementStatus> {
    agent
        .status()?
        .management
        .into_iter()
        .find(|port| port.device == DEVICE)
}

#[test]
fn a_gateways_device_is_made_kept_and_goes_with_the_row() {
    let (host, mut agent) = ready_host();
    host.create_gateways();
    assert_eq!(host.egress(), None);
    host.be_gateway(&[V4, V6]);
    host.await_egress("the device is there", &[V4, V6]);
    let status = eventually("it is in place", || {
        egress_status(&agent).filter(|port| port.configured && port.installed)
    });
    assert_eq!((status.port, status.vpc), (name::egress_port(""), None));
    let plugged = host.vsctl(&["get", "Interface", DEVICE, "external_ids:iface-id"]);
    assert_eq!(plugged.trim().trim_matches('"'), name::egress_port(""));
    host.await_forwarding();
    for router in ROUTER {
        run(
            "ip",
            &["netns", "exec", host.name(), "ping", "-c", "1", "-W", "5", router],
        );
    }
    let ip = |arguments: &[&str]| run("ip", &[&["-n", host.name()], arguments].concat());
    ip(&["address", "del", V4, "dev", DEVICE]);
    host.await_egress("the address is back", &[V4, V6]);
    ip(&["address", "add", "192.0.2.77/32", "dev", DEVICE]);
    host.await_egress("the other address is gone", &[V4, V6]);
    ip(&["link", "set", DEVICE, "down"]);
    host.await_egress("it is up", &[V4, V6]);
    ip(&["link", "set", DEVICE, "address", "0a:58:64:42:00:77"]);
    host.await_egress("the MAC address is back", &[V4, V6]);
    host.vsctl(&["del-port", DEVICE]);
    host.await_egress("the device is back", &[V4, V6]);
    // Of the families that its VPCs have.
    host.be_gateway(&[V4]);
    host.await_egress("the other family is gone", &[V4]);

    // The agent was not there when the row went.
    agent.daemon.kill();
    host.delete_port(TOLD);
    let agent = Agent::start(&host);
    eventually("the device is gone", || host.egress().is_none().then_some(()));
    eventually("nobody asks for it", || {
        let status = agent.status()?;
        (status.management.len() == 1 && status.ready).then_some(())
    });
}
