//! The node's state in words, for `meridian-node status`, CNI STATUS and the node's condition.

use meridian_api::port::PortKind;
use ovsdb::{Replica, Session};

use super::config::Config;
use super::controller::Controller;
use super::ovs;
use super::southbound::{ManagementPort, Southbound, connection};
use crate::protocol::{ManagementStatus, NodeStatus, ServicesStatus};

/// What a look at the node found.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) config: &'a Config,
    pub(super) ovs: &'a Session,
    pub(super) southbound: &'a Southbound,
    pub(super) controller: Controller,
    pub(super) management: &'a [ManagementPort],
    /// Devices that are wholly in place.
    pub(super) configured: &'a [String],
    pub(super) mtu: Option<u16>,
    pub(super) datapath: Option<String>,
    /// What failed on the way.
    pub(super) problems: Vec<String>,
    /// What is wrong with single pods.
    pub(super) pod_problems: Vec<String>,
    pub(super) services: ServicesStatus,
}

impl Seen<'_> {
    pub(super) fn status(self) -> NodeStatus {
        let Self {
            config,
            controller,
            mtu,
            datapath,
            mut problems,
            pod_problems,
            services,
            ..
        } = self;
        let ovs = connection(self.ovs);
        let southbound = self.southbound.connection();
        let chassis_registered = self.southbound.chassis().is_some();
        let mut ready = true;
        let mut require = |met: bool, problem: &dyn Fn() -> String| {
            if !met {
                ready = false;
                problems.push(problem());
            }
        };
        require(ovs.connected, &|| format!("Open vSwitch: {}", ovs.detail));
        require(southbound.connected, &|| {
            format!("Southbound database: {}", southbound.detail)
        });
        if ovs.connected {
            require(datapath.is_some(), &|| {
                format!("bridge {} does not exist", config.bridge)
            });
        }
        if southbound.connected {
            require(chassis_registered, &|| {
                format!("ovn-controller has not registered chassis {:?}", config.node)
            });
        }
        require(
            matches!(controller, Controller::Connected | Controller::Unknown),
            &|| format!("ovn-controller is {controller}"),
        );
        require(mtu.is_some(), &|| {
            format!(
                "no device has the tunnel address {}, so the MTU is unknown",
                config.encap_ip
            )
        });
        let replica = self.ovs.replica();
        let mut of_vpcs = Vec::new();
        let mut management = Vec::new();
        for port in self.management {
            let (status, faults) = port_status(port, config, self.configured, &replica);
            for problem in faults {
                if port.facts.is_of_default_vpc() {
                    require(false, &|| problem.clone());
                } else {
                    // A VPC comes to a node with its first pod there, and pods of others start meanwhile.
                    of_vpcs.push(problem);
                }
            }
            management.push(status);
        }
        problems.extend(of_vpcs);
        let (ports, ports_claimed) = self.southbound.counts();
        NodeStatus {
            ready,
            problems,
            node: config.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ovs,
            southbound,
            chassis_registered,
            ovn_controller: controller.to_string(),
            datapath,
            mtu,
            ports,
            ports_claimed,
            management,
            pod_problems,
            services,
            ..NodeStatus::default()
        }
    }
}

/// How one of the host's own ports is, and what is wrong with it.
fn port_status(
    port: &ManagementPort,
    config: &Config,
    configured: &[String],
    replica: &Replica,
) -> (ManagementStatus, Vec<String>) {
    let device = config.management_device(port);
    let (error, installed) = ovs::management_state(replica, &device);
    // Of a port that many hosts have, ovn-controller says nothing.
    let installed = installed || port.facts.kind == PortKind::Egress;
    let configured = configured.contains(&device);
    // The kubelet's probes go through it.
    let absent = (!configured).then(|| {
        format!(
            "device {device} of port {} is not there or has no carrier; is ovs-vswitchd running?",
            port.name
        )
    });
    let refused = error.map(|error| format!("device {device}: {error}"));
    let status = ManagementStatus {
        port: port.name.clone(),
        vpc: port.facts.vpc.as_ref().map(|vpc| vpc.name.clone()),
        addresses: port.facts.ips.iter().map(ipnetwork::IpNetwork::ip).collect(),
        device,
        configured,
        installed,
    };
    (status, refused.into_iter().chain(absent).collect())
}

/// Why the node cannot serve pods in full. More is asked than for `ready`, which tells whether an ADD can succeed: a pod
/// that cannot be probed, and that reaches nothing outside its VPC, is not served.
pub(super) fn unavailable(status: &NodeStatus) -> Option<String> {
    let mut missing = status.problems.clone();
    if status.management.is_empty() && status.southbound.connected {
        missing.push("the node has no management port yet; does meridian-translator know the node?".to_owned());
    }
    let without_flows = status.management.iter().filter(|port| !port.installed);
    missing
        .extend(without_flows.map(|port| format!("ovn-controller has not installed the flows of port {}", port.port)));
    (!missing.is_empty()).then(|| missing.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ConnectionStatus;

    fn status(installed: &[bool]) -> NodeStatus {
        let port = |installed: &bool| ManagementStatus {
            port: "mgmt-default-n1".into(),
            vpc: None,
            device: "meridian0".into(),
            addresses: vec![],
            configured: true,
            installed: *installed,
        };
        NodeStatus {
            ready: true,
            southbound: ConnectionStatus {
                connected: true,
                detail: String::new(),
            },
            management: installed.iter().map(port).collect(),
            ..NodeStatus::default()
        }
    }

    #[test]
    fn a_node_serves_pods_when_its_management_port_has_flows_and_nothing_is_wrong() {
        assert_eq!(unavailable(&status(&[true])), None);
        assert!(unavailable(&status(&[])).unwrap().contains("no management port"));
        assert!(
            unavailable(&status(&[false]))
                .unwrap()
                .contains("flows of port mgmt-default-n1")
        );
        let mut refused = status(&[true]);
        refused.problems = vec!["nft: refused".into()];
        assert_eq!(unavailable(&refused).as_deref(), Some("nft: refused"));
    }
}
