//! [`Frontend`]: what a service is reached under.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;
use meridian_model::{Name, Protocol, Service, ServiceKey, ServiceType};

use crate::context::Context;
use crate::slices::list;

/// What `spec.clusterIPs` of a headless service holds.
const HEADLESS: &str = "None";

/// An address and port that clients connect to. For a port of the nodes the address is what stands for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frontend {
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
    /// The name of the service's port, by which slices tell the port of their endpoints.
    pub(super) port: Name,
}

/// A protocol that OVN balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transport {
    Tcp,
    Udp,
    Sctp,
}

impl Transport {
    pub(super) const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    pub(super) fn of(protocol: &Protocol) -> Option<Self> {
        match protocol {
            Protocol::Tcp => Some(Self::Tcp),
            Protocol::Udp => Some(Self::Udp),
            Protocol::Sctp => Some(Self::Sctp),
            Protocol::Other(_) => None,
        }
    }

    /// As the column `protocol` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// A port number, if it is one.
pub(super) fn port_number(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|&port| port != 0)
}

/// What a service is reached under. What makes no sense is reported and left out.
pub(super) fn frontends(ctx: &mut Context<'_>, key: &ServiceKey, service: &Service) -> Vec<Frontend> {
    let headless = service.cluster_ips.iter().any(|ip| &**ip == HEADLESS);
    if headless || service.left_to_others || service.r#type == ServiceType::ExternalName {
        return Vec::new();
    }
    let ips = cluster_ips(ctx, key, service);
    if ips.is_empty() {
        return Vec::new();
    }
    let ports = ports(ctx, key, service);
    let frontend = |ip, number, port: &Port<'_>| Frontend {
        address: SocketAddr::new(ip, number),
        transport: port.transport,
        port: port.name.clone(),
    };
    let config = ctx.config();
    ips.into_iter()
        .flat_map(|ip| {
            let node = config.node_address(ip.is_ipv4());
            ports.iter().flat_map(move |port| {
                let on_nodes = port.node_number.map(|number| frontend(node, number, port));
                [frontend(ip, port.number, port)].into_iter().chain(on_nodes)
            })
        })
        .collect()
}

fn cluster_ips(ctx: &mut Context<'_>, key: &ServiceKey, service: &Service) -> Vec<IpAddr> {
    let config = ctx.config();
    if service.cluster_ips.is_empty() {
        let message = format!(
            "the service has no address, and only a Kubernetes API gives it one: write an address of {}, or None for a \
             headless service",
            among(config.service_cidrs())
        );
        ctx.problem(key.clone().into(), "spec.clusterIPs", message);
    }
    let mut ips = Vec::new();
    for (index, text) in service.cluster_ips.iter().enumerate() {
        match cluster_ip(text, config.service_cidrs(), config.cluster_cidrs()) {
            Ok(ip) if ips.contains(&ip) => {}
            Ok(ip) => ips.push(ip),
            Err(fault) => ctx.problem(key.clone().into(), format!("spec.clusterIPs[{index}]"), fault),
        }
    }
    ips
}

fn cluster_ip(text: &str, services: &[IpNetwork], pods: &[IpNetwork]) -> Result<IpAddr, String> {
    let ip: IpAddr = text.parse().map_err(|_| format!("{text:?} is no IP address"))?;
    if !services.is_empty() && !services.iter().any(|cidr| cidr.contains(ip)) {
        return Err(format!(
            "{ip} is not in the service CIDRs ({}), so that hosts cannot reach it: add its network to --service-cidr, or \
             give the service another address",
            list(services)
        ));
    }
    if let Some(cidr) = pods.iter().find(|cidr| cidr.contains(ip)) {
        return Err(format!(
            "{ip} is in the cluster CIDR {cidr}, whose addresses are those of pods: give the service another address"
        ));
    }
    Ok(ip)
}

fn among(cidrs: &[IpNetwork]) -> String {
    if cidrs.is_empty() {
        "the service CIDR".to_owned()
    } else {
        list(cidrs)
    }
}

/// A port of a service whose protocol and number are right.
struct Port<'a> {
    transport: Transport,
    number: u16,
    /// Under which every node is the service, too.
    node_number: Option<u16>,
    name: &'a Name,
}

/// The ports that make sense; the others are reported.
fn ports<'a>(ctx: &mut Context<'_>, key: &ServiceKey, service: &'a Service) -> Vec<Port<'a>> {
    let mut first = HashMap::new();
    let mut ports = Vec::with_capacity(service.ports.len());
    for (index, port) in service.ports.iter().enumerate() {
        let Some(transport) = Transport::of(&port.protocol) else {
            let message = format!("{:?} is none of TCP, UDP, SCTP", port.protocol.to_string());
            ctx.problem(key.clone().into(), format!("spec.ports[{index}].protocol"), message);
            continue;
        };
        let field = || format!("spec.ports[{index}].port");
        let Some(number) = port_number(port.port) else {
            let message = format!("{} is no port: it must be 1 to 65535", port.port);
            ctx.problem(key.clone().into(), field(), message);
            continue;
        };
        if let Some(earlier) = first.get(&(transport, number)) {
            let message = format!(
                "{number}/{} is also that of spec.ports[{earlier}], which keeps it: give one of them another port",
                port.protocol
            );
            ctx.problem(key.clone().into(), field(), message);
            continue;
        }
        first.insert((transport, number), index);
        ports.push(Port {
            transport,
            number,
            node_number: node_number(ctx, key, service, index),
            name: &port.name,
        });
    }
    ports
}

fn node_number(ctx: &mut Context<'_>, key: &ServiceKey, service: &Service, index: usize) -> Option<u16> {
    let on_nodes = matches!(service.r#type, ServiceType::NodePort | ServiceType::LoadBalancer);
    let given = service.ports[index].node_port.filter(|_| on_nodes)?;
    let range = ctx.config().node_port_range();
    let number = port_number(given).filter(|number| range.contains(number));
    if number.is_none() {
        let message = format!(
            "{given} is not among the ports of nodes that belong to services ({} to {}): give the service another, or \
             set --service-node-port-range as kube-apiserver has it",
            range.start(),
            range.end()
        );
        ctx.problem(key.clone().into(), format!("spec.ports[{index}].nodePort"), message);
    }
    number
}
