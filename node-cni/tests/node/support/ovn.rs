//! The logical network, as the translator would write it.

use meridian_api::name;
use meridian_api::port::{PortFacts, PortKind, Route};

use super::{Host, NODE};

impl Host {
    /// Router, the node's switch, and the node's management port.
    pub(crate) fn create_network(&self) {
        self.create_network_of(None);
    }

    /// The same with the port names of a cluster that has an id.
    pub(crate) fn create_network_of(&self, cluster: Option<&str>) {
        let management = PortFacts {
            ips: vec!["10.244.1.2/24".parse().unwrap(), "fd00:10:244:1::2/64".parse().unwrap()],
            routes: vec![
                Route {
                    destination: "10.244.0.0/16".parse().unwrap(),
                    via: "10.244.1.1".parse().unwrap(),
                },
                Route {
                    destination: "fd00:10:244::/48".parse().unwrap(),
                    via: "fd00:10:244:1::1".parse().unwrap(),
                },
            ],
            ..PortFacts::new(PortKind::Management, "0a:58:0a:f4:01:02")
        };
        let networks = ["10.244.1.1/24", "fd00:10:244:1::1/64"];
        let mut arguments = vec![
            "lr-add",
            "vpc-default",
            "--",
            "ls-add",
            "vpc-default-n1",
            "--",
            "lrp-add",
        ];
        arguments.extend(["vpc-default", "vpc-default-n1", "0a:58:0a:f4:01:01"]);
        arguments.extend(networks);
        arguments.extend(["--", "lsp-add", "vpc-default-n1", "vpc-default-n1-router"]);
        arguments.extend(["--", "lsp-set-type", "vpc-default-n1-router", "router"]);
        arguments.extend(["--", "lsp-set-addresses", "vpc-default-n1-router", "router"]);
        arguments.extend([
            "--",
            "lsp-set-options",
            "vpc-default-n1-router",
            "router-port=vpc-default-n1",
        ]);
        self.nbctl(&arguments);
        let name = name::management_port(&name::prefix(cluster), name::DEFAULT_VPC, NODE);
        self.create_port(&name, &management, NODE);
    }

    /// What is not in the VPC goes to the host, as the translator has it.
    pub(crate) fn create_egress(&self) {
        let table = "options:route_table=vpc-default-n1";
        self.nbctl(&["set", "Logical_Router_Port", "vpc-default-n1", table]);
        for (destination, host) in [("0.0.0.0/0", "10.244.1.2"), ("::/0", "fd00:10:244:1::2")] {
            let route = ["lr-route-add", "vpc-default", destination, host];
            self.nbctl(&[&["--route-table=vpc-default-n1"], &route[..]].concat());
        }
    }

    /// A logical port with its facts.
    pub(crate) fn create_port(&self, name: &str, facts: &PortFacts, chassis: &str) {
        self.create_port_on("vpc-default-n1", name, facts, chassis);
    }

    /// The same on another switch than the default VPC's.
    pub(crate) fn create_port_on(&self, switch: &str, name: &str, facts: &PortFacts, chassis: &str) {
        let ips: Vec<_> = facts.ips.iter().map(|ip| ip.ip().to_string()).collect();
        let addresses = format!("{} {}", facts.mac, ips.join(" "));
        let mut arguments: Vec<String> = ["--may-exist", "lsp-add", switch, name, "--"]
            .map(String::from)
            .to_vec();
        arguments.extend(["lsp-set-addresses", name, &addresses, "--"].map(String::from));
        arguments.extend(["lsp-set-options", name].map(String::from));
        arguments.push(format!("requested-chassis={chassis}"));
        if let Some(uid) = &facts.uid {
            arguments.push(format!("iface-id-ver={uid}"));
        }
        arguments.extend(["--", "set", "Logical_Switch_Port", name].map(String::from));
        for (key, value) in facts.to_external_ids() {
            arguments.push(format!("external_ids:{key:?}={value:?}"));
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        self.nbctl(&arguments);
    }

    pub(crate) fn delete_port(&self, name: &str) {
        self.nbctl(&["--if-exists", "lsp-del", name]);
    }
}
