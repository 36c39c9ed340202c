//! A further interface of a pod, as a meta-plugin (Multus) has it made: by a call of its own, with the configuration of a
//! NetworkAttachmentDefinition.

use std::net::{IpAddr, SocketAddr, TcpListener};

use meridian_api::port::{PortFacts, PortKind, Route, VpcFacts};
use meridian_node_cni::name;
use meridian_node_cni::netns::Netns;
use serde_json::json;

use super::pod::NAMESPACE;
use super::vpc::Slice;
use super::{Call, Host, NODE, Pod, exchange};

/// A further interface.
#[derive(Debug)]
pub(crate) struct Further<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) name: &'static str,
    pub(crate) slice: Slice,
    /// The CNI network, `spec.config.name` of the definition.
    pub(crate) network: &'static str,
    host_part: u32,
}

impl<'a> Further<'a> {
    /// In a slice, under an address that ends so; there is no logical port yet.
    pub(crate) fn new(pod: &'a Pod, name: &'static str, slice: Slice, host_part: u32) -> Self {
        Self {
            pod,
            name,
            slice,
            network: slice.vpc,
            host_part,
        }
    }

    /// And its logical port.
    pub(crate) fn with_port(host: &Host, pod: &'a Pod, name: &'static str, slice: Slice, host_part: u32) -> Self {
        let further = Self::new(pod, name, slice, host_part);
        further.create_port(host);
        further
    }

    /// The same of another sandbox of the pod.
    pub(crate) fn of<'b>(&self, pod: &'b Pod) -> Further<'b> {
        Further::new(pod, self.name, self.slice, self.host_part)
    }

    pub(crate) fn create_port(&self, host: &Host) {
        host.create_port_on(self.slice.switch, &self.port(), &self.facts(), NODE);
    }

    pub(crate) fn facts(&self) -> PortFacts {
        let Slice { v4, v6, mac, vpc, .. } = self.slice;
        PortFacts {
            ips: vec![
                format!("{v4}.{}/24", self.host_part).parse().unwrap(),
                format!("{v6}::{:x}/64", self.host_part).parse().unwrap(),
            ],
            routes: vec![Route {
                destination: self.slice.vpc_network().parse().unwrap(),
                via: format!("{v4}.1").parse().unwrap(),
            }],
            uid: Some(self.pod.uid.clone()),
            vpc: Some(VpcFacts {
                name: vpc.to_owned(),
                services: false,
                outside: false,
                networks: Vec::new(),
            }),
            ..PortFacts::new(PortKind::Pod, format!("{mac}:{:02x}", self.host_part))
        }
    }

    pub(crate) fn port(&self) -> String {
        name::interface_port("", NAMESPACE, &self.pod.name, self.name)
    }

    /// The host's end of its veth.
    pub(crate) fn device(&self) -> String {
        name::host_end(self.network, &self.pod.container_id, self.name)
    }

    pub(crate) fn call(&self, host: &Host, command: &str) -> Call {
        Call::on(host, command, self.pod)
            .env("CNI_IFNAME", self.name)
            .set("name", json!(self.network))
            .set("vpc", json!(self.slice.vpc))
    }

    pub(crate) fn ip(&self, v4: bool) -> IpAddr {
        let ips = self.facts().ips;
        let mut ips = ips.iter().map(ipnetwork::IpNetwork::ip);
        ips.find(|ip| ip.is_ipv4() == v4).unwrap()
    }

    /// Sends a megabyte to another pod's interface and back.
    pub(crate) fn exchange(&self, other: &Further<'_>, v4: bool) {
        let to = SocketAddr::new(other.ip(v4), 0);
        let listener = other.pod.inside(|| TcpListener::bind(to).unwrap());
        let to = listener.local_addr().unwrap();
        exchange(&Netns::open(&self.pod.path()).unwrap(), listener, to);
    }
}
