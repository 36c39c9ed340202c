//! A dual-stack cluster on real OVN, to trace packets through.

use serde_json::Value;

use crate::{Central, Manifests, Translator, node, pod};

/// A dual-stack cluster of two nodes: pods `a` and `b` on node-1, `c` on node-2.
#[derive(Debug)]
pub struct Network {
    /// Its OVN central.
    pub central: Central,
    /// Its objects.
    pub manifests: Manifests,
    _translator: Translator,
}

/// A logical port's addresses, as written.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its MAC address.
    pub mac: String,
    /// Its IP addresses.
    pub ips: Vec<String>,
}

impl Network {
    /// With slices of the usual lengths, and these objects besides.
    pub fn start<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Self {
        let slices: [&[&str]; 2] = [
            &["10.244.0.0/24", "fd00:10:244::/64"],
            &["10.244.1.0/24", "fd00:10:244:1::/64"],
        ];
        Self::of(slices, objects)
    }

    /// With these slices and objects.
    pub fn of<'a>(slices: [&[&str]; 2], objects: impl IntoIterator<Item = &'a Value>) -> Self {
        let manifests = Manifests::of([
            &node("node-1", slices[0]),
            &node("node-2", slices[1]),
            &pod("a", "node-1").build(),
            &pod("b", "node-1").build(),
            &pod("c", "node-2").build(),
        ]);
        for object in objects {
            manifests.put(object);
        }
        let central = Central::start();
        let flags = [
            "--cluster-cidr",
            "10.244.0.0/16,fd00:10:244::/48",
            "--service-cidr",
            "10.96.0.0/16,fd00:10:96::/112",
        ];
        let translator = Translator::start(&central.remote(), manifests.path(), &flags).ready();
        central.sync();
        Self {
            central,
            manifests,
            _translator: translator,
        }
    }

    /// A logical port.
    pub fn port(&self, name: &str) -> Port {
        let addresses = self.central.nbctl(&["lsp-get-addresses", name]);
        let mut words = addresses.split_whitespace().map(str::to_owned);
        Port {
            name: name.to_owned(),
            mac: words.next().unwrap_or_default(),
            ips: words.collect(),
        }
    }

    /// A pod's port.
    pub fn pod(&self, name: &str) -> Port {
        self.port(&format!("default_{name}"))
    }

    /// The MAC address of the router in a node's slice.
    pub fn router_mac(&self, node: &str) -> String {
        let port = format!("vpc-default-{node}");
        let mac = self.central.nbctl(&["get", "logical_router_port", &port, "mac"]);
        mac.trim().trim_matches('"').to_owned()
    }

    /// Traces a packet from a port on node-1, one for each address, which is the source's family.
    pub fn trace(&self, from: &Port, source_mac: &str, next_hop: &str, to: &[&str]) -> Vec<Vec<String>> {
        to.iter()
            .map(|to| {
                let packet = from.packet(source_mac, next_hop, to);
                self.central.trace("vpc-default-node-1", &[], &packet)
            })
            .collect()
    }

    /// Traces the first packet of a connection from a port on node-1 to a service: `tcp`, `udp` or `sctp`, and a port.
    /// Of several endpoints `chosen` is taken, an address with port.
    pub fn connect(&self, from: &Port, to: &str, (protocol, port): (&str, u16), chosen: Option<&str>) -> Vec<String> {
        let packet = from.packet(&from.mac, &self.router_mac("node-1"), to);
        let packet = format!("{packet} && {protocol} && {protocol}.src == 40000 && {protocol}.dst == {port}");
        let chosen = chosen.map(|endpoint| format!("--lb-dst={endpoint}"));
        let options: Vec<&str> = ["--ct=new"].into_iter().chain(chosen.as_deref()).collect();
        self.central.trace("vpc-default-node-1", &options, &packet)
    }
}

impl Port {
    /// A packet from it, in the words of `ovn-trace`.
    pub fn packet(&self, source_mac: &str, next_hop: &str, to: &str) -> String {
        let version = if to.contains(':') { "ip6" } else { "ip4" };
        let source = self.ips.iter().find(|ip| ip.contains(':') == to.contains(':'));
        let source = source.expect("the port has an address of the family");
        format!(
            "inport == \"{}\" && eth.src == {source_mac} && eth.dst == {next_hop} && {version}.src == {source} && \
             {version}.dst == {to} && ip.ttl == 64",
            self.name
        )
    }
}
