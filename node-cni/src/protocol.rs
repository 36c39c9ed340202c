//! What plugin and agent say to each other on the agent's socket: JSON, one value a line.
//!
//! A connection carries one request. To a request for a port the agent answers with any number of
//! [`Response::Waiting`], whenever the reason changes, and at last with [`Response::Ready`]; the other requests have
//! one answer. Unknown fields are passed over, so that a plugin and an agent of different age understand each other:
//! while a node is being upgraded they are.

use std::net::IpAddr;

use meridian_api::port::PortFacts;
use serde::{Deserialize, Serialize};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Request {
    /// The facts of a port, once they are there.
    Port(PortRequest),
    /// Why a port that is plugged does not come up.
    Explain {
        /// Which; its `port` may also be `namespace/pod`, for all interfaces of a pod, and for those who do not know the
        /// cluster's port names.
        explain: PortRequest,
    },
    /// What the host does for a service.
    ExplainService {
        /// The service, as `namespace/name`.
        explain_service: String,
    },
    /// The node's state.
    Status {
        /// No parameters yet.
        status: Empty,
    },
}

/// No parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// Which port, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRequest {
    /// Name of the logical port.
    pub port: String,
    /// UID of the pod, where the runtime tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The sandbox, for the agent's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Response {
    /// Not yet.
    Waiting {
        /// Why.
        reason: String,
    },
    /// The port can be plugged.
    Ready(Box<PortAnswer>),
    /// It never will be, or the request cannot be understood.
    Error {
        /// Why.
        message: String,
    },
    /// Answer to [`Request::Explain`] and [`Request::ExplainService`].
    Explained {
        /// The reason, for a person.
        reason: String,
    },
    /// Answer to [`Request::Status`].
    Status(Box<NodeStatus>),
}

/// A port that can be plugged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortAnswer {
    /// The facts; their `mtu` is always there, the agent fills it in.
    #[serde(flatten)]
    pub facts: PortFacts,
    /// What the interface's `iface-id-ver` must be for ovn-controller to bind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iface_id_ver: Option<String>,
}

/// The node's state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Whether a pod's ADD can succeed now.
    pub ready: bool,
    /// What is wrong, for a person; empty when all is well.
    pub problems: Vec<String>,
    /// Why the node cannot serve pods in full, as its condition `NetworkUnavailable` says it; none when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
    /// The node's name.
    pub node: String,
    /// The agent's version.
    pub version: String,
    /// The connection to Open vSwitch.
    pub ovs: ConnectionStatus,
    /// The connection to the Southbound database.
    pub southbound: ConnectionStatus,
    /// Whether ovn-controller has registered this chassis.
    pub chassis_registered: bool,
    /// What ovn-controller says of itself.
    #[serde(default)]
    pub ovn_controller: String,
    /// Datapath type of the integration bridge, once it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datapath: Option<String>,
    /// MTU for pods, once the device with the tunnel address is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Logical ports of this node, and how many of them ovn-controller has claimed.
    pub ports: usize,
    /// See `ports`.
    pub ports_claimed: usize,
    /// The host's legs in the VPCs.
    pub management: Vec<ManagementStatus>,
    /// Who serves `hostPort`, or why nobody does; none if installing the configuration is not the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ports: Option<String>,
    /// What is wrong with single pods, by port. The node is no worse for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pod_problems: Vec<String>,
    /// Services that the host has to do with.
    #[serde(default)]
    pub services: ServicesStatus,
}

/// Services that the host has to do with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServicesStatus {
    /// Whether what comes for services is handed on: the rules for it and the host's ports in the VPC are in place. That a
    /// database is away changes nothing about it.
    #[serde(default)]
    pub served: bool,
    /// How many are known.
    pub known: usize,
    /// What is wrong with single services, by name. The node is no worse for it.
    pub problems: Vec<String>,
    /// Addresses that the node announces, or stands by for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub announcements: Vec<AnnouncementStatus>,
}

/// What becomes of an address on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnnouncementStatus {
    /// The address.
    pub address: IpAddr,
    /// The device; none if no device is fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What this node does; none while it can do nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// For how long.
    #[serde(default)]
    pub seconds: u64,
    /// Ethernet address of another that holds the address: instead of this node if it stands by, beside it if it announces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What a node does about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It answers for the address.
    Announcing,
    /// Another does.
    Standby,
    /// It asks whether another does.
    Probing,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionStatus {
    /// Whether it is up and its replica complete.
    pub connected: bool,
    /// The remote, or why there is none.
    pub detail: String,
}

/// A management port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagementStatus {
    /// Its logical port.
    pub port: String,
    /// The VPC, if it is not the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    /// Its device on the host.
    pub device: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether device, addresses and routes are in place.
    pub configured: bool,
    /// Whether ovn-controller has installed its flows.
    pub installed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_a_port_is_flat() {
        let request: Request = serde_json::from_str(r#"{"port":"ns_pod","uid":"u","sandbox":"s"}"#).unwrap();
        let Request::Port(port) = request else {
            panic!("{request:?}")
        };
        assert_eq!((port.port.as_str(), port.uid.as_deref()), ("ns_pod", Some("u")));
    }

    #[test]
    fn other_requests_are_told_by_their_key() {
        assert_eq!(
            serde_json::from_str::<Request>(r#"{"status":{}}"#).unwrap(),
            Request::Status { status: Empty {} }
        );
        let explain = serde_json::from_str::<Request>(r#"{"explain":{"port":"ns_pod"}}"#).unwrap();
        assert!(matches!(explain, Request::Explain { .. }));
        let service = serde_json::from_str::<Request>(r#"{"explain_service":"shop/web"}"#).unwrap();
        assert!(matches!(service, Request::ExplainService { .. }));
    }

    #[test]
    fn ready_carries_the_facts_beside_what_the_agent_adds() {
        let text = r#"{"ready":{"kind":"pod","mac":"0a:58:0a:f4:00:05","ips":["10.244.0.5/24"],
            "gateways":["10.244.0.1"],"mtu":1442,"iface_id_ver":"u","later":"more"}}"#;
        let Response::Ready(answer) = serde_json::from_str(text).unwrap() else {
            panic!("{text}")
        };
        assert_eq!(
            (answer.facts.mtu, answer.iface_id_ver.as_deref()),
            (Some(1442), Some("u"))
        );
    }
}
