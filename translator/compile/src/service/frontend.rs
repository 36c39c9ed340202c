//! [`Frontend`]: what a service is reached under.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use meridian_api::service::Protocol as Known;
use meridian_model::{Name, Protocol, Service, ServiceKey, ServiceType, TrafficPolicy};

use super::address::{self, Addresses};
use crate::Config;
use crate::context::Context;
use crate::names::DEFAULT_VPC;
use crate::vips::Claimed;

/// What `spec.clusterIPs` of a headless service holds.
const HEADLESS: &str = "None";

/// An address and port that clients in the cluster connect to. For a port of the nodes the address is what stands for
/// each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frontend {
    pub(super) address: SocketAddr,
    /// Which of the service's ports it is.
    pub(super) port: usize,
    /// Which endpoints may answer.
    pub(super) policy: TrafficPolicy,
}

/// A protocol that OVN balances.
pub(crate) type Transport = Known;

pub(super) const TRANSPORTS: [Transport; 3] = [Known::Tcp, Known::Udp, Known::Sctp];

/// The protocol if OVN balances it.
pub(super) fn transport(protocol: &Protocol) -> Option<Transport> {
    match protocol {
        Protocol::Tcp => Some(Known::Tcp),
        Protocol::Udp => Some(Known::Udp),
        Protocol::Sctp => Some(Known::Sctp),
        Protocol::Other(_) => None,
    }
}

/// A port number, if it is one.
pub(super) fn port_number(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|&port| port != 0)
}

/// A port of a service whose protocol and number are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) transport: Transport,
    pub(super) number: u16,
    /// Under which every node is the service, too.
    pub(super) node_number: Option<u16>,
    /// By which slices tell the port of their endpoints.
    pub(super) name: Name,
}

/// What of a service makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) ports: Vec<Port>,
    pub(super) addresses: Addresses,
}

/// What a service is reached under, or `None` if it is nothing that is balanced. What makes no sense is reported and left
/// out.
pub(super) fn face(ctx: &mut Context<'_>, key: &ServiceKey, service: &Service) -> Option<Face> {
    if !is_balanced(service) {
        return None;
    }
    let addresses = address::addresses(ctx, key, service);
    if addresses.cluster.is_empty() {
        return None;
    }
    let ports = ports(ctx, key, service);
    let mut face = Face { ports, addresses };
    face.yield_to_others(ctx, key);
    Some(face)
}

/// Whether anything is to be done for a service.
pub(super) fn is_balanced(service: &Service) -> bool {
    let headless = service.cluster_ips.iter().any(|ip| is_headless(ip));
    !headless && !service.left_to_others && service.r#type != ServiceType::ExternalName
}

/// Whether what `spec.clusterIPs` says is that there are none.
pub(super) fn is_headless(ip: &str) -> bool {
    ip == HEADLESS
}

/// Whether a service is also reached under ports of the nodes.
fn is_on_nodes(service: &Service) -> bool {
    matches!(service.r#type, ServiceType::NodePort | ServiceType::LoadBalancer)
}

impl Face {
    /// What the load balancers of the VPC have to know.
    pub(super) fn frontends(
        &self,
        ctx: &mut Context<'_>,
        key: &ServiceKey,
        service: &Service,
        vpc: &str,
    ) -> Vec<Frontend> {
        let config = ctx.config();
        let mut frontends = Vec::new();
        for (port, of) in self.ports.iter().enumerate() {
            let mut add = |ip, number, policy| {
                frontends.push(Frontend {
                    address: SocketAddr::new(ip, number),
                    port,
                    policy,
                });
            };
            for &ip in &self.addresses.cluster {
                let own = (SocketAddr::new(ip, of.number), of.transport, false);
                if is_ours(ctx, key, "spec.clusterIPs", own) {
                    add(ip, of.number, service.internal_policy);
                }
                // Into other VPCs hosts translate by themselves.
                if let Some(number) = of.node_number.filter(|_| vpc == DEFAULT_VPC) {
                    // Who comes from beyond the cluster with a policy of Local never gets here.
                    add(config.node_address(ip.is_ipv4()), number, TrafficPolicy::Cluster);
                }
            }
            for external in self.addresses.external.iter().filter(|external| !external.restricted) {
                add(external.address, of.number, TrafficPolicy::Cluster);
            }
        }
        frontends
    }

    /// Ports of nodes and external addresses that another service has are reported and given up.
    fn yield_to_others(&mut self, ctx: &mut Context<'_>, key: &ServiceKey) {
        let config = ctx.config();
        let Self { ports, addresses } = self;
        addresses.external.retain(|external| {
            let vip = |port: &Port| (SocketAddr::new(external.address, port.number), port.transport);
            ports.iter().all(|port| {
                let (address, transport) = vip(port);
                is_ours(ctx, key, external.field(), (address, transport, true))
            })
        });
        for port in ports {
            port.node_number = port.node_number.filter(|&number| {
                addresses.cluster.iter().all(|ip| {
                    let address = SocketAddr::new(config.node_address(ip.is_ipv4()), number);
                    is_ours(ctx, key, "spec.ports", (address, port.transport, false))
                })
            });
        }
    }
}

/// Whether a service is the one that is reached under an address and port; if another is, that is reported.
fn is_ours(ctx: &mut Context<'_>, key: &ServiceKey, field: &str, claimed: Claimed) -> bool {
    let (address, transport, from_beyond) = claimed;
    let holder = ctx.holder((address, transport));
    let Some((holder, theirs_too)) = holder.filter(|(holder, _)| *holder != key) else {
        return true;
    };
    let what = if address.ip() == ctx.config().node_address(address.is_ipv4()) {
        format!("port {} of the nodes", address.port())
    } else {
        address.to_string()
    };
    let which = if from_beyond && !theirs_too {
        "which has it for a ClusterIP"
    } else {
        "which is older and keeps it"
    };
    let message = format!("{what} ({transport}) is that of service {holder}, {which}: take another");
    ctx.problem(key.clone().into(), field, message);
    false
}

/// Every address and port that a service claims, whether or not it makes sense, and whether only as an address from beyond
/// the cluster.
pub(crate) fn vips_of(service: &Service, config: &Config) -> Box<[Claimed]> {
    if !is_balanced(service) {
        return Box::default();
    }
    let parse = |texts: &[Name]| -> Vec<IpAddr> { texts.iter().filter_map(|text| text.parse().ok()).collect() };
    let cluster = parse(&service.cluster_ips);
    let external = parse(&service.external_ips)
        .into_iter()
        .chain(address::ingress_of(service))
        // Without a ClusterIP of its family it leads nowhere.
        .filter(|ip| cluster.iter().any(|own| own.is_ipv4() == ip.is_ipv4()) && !cluster.contains(ip));
    let own = cluster.iter().map(|&ip| (ip, false));
    let all: Vec<(IpAddr, bool)> = own.chain(external.map(|ip| (ip, true))).collect();
    let mut vips = Vec::new();
    for port in &service.ports {
        let Some(transport) = transport(&port.protocol) else {
            continue;
        };
        if let Some(number) = port_number(port.port) {
            vips.extend(
                all.iter()
                    .map(|&(ip, external)| (SocketAddr::new(ip, number), transport, external)),
            );
        }
        let on_nodes = port.node_port.filter(|_| is_on_nodes(service)).and_then(port_number);
        if let Some(number) = on_nodes {
            let nodes = cluster.iter().map(|ip| config.node_address(ip.is_ipv4()));
            vips.extend(nodes.map(|ip| (SocketAddr::new(ip, number), transport, false)));
        }
    }
    vips.sort_unstable();
    vips.dedup();
    vips.into()
}

/// The ports that make sense; the others are reported.
fn ports(ctx: &mut Context<'_>, key: &ServiceKey, service: &Service) -> Vec<Port> {
    let mut first = HashMap::new();
    let mut first_on_nodes = HashMap::new();
    let mut ports = Vec::with_capacity(service.ports.len());
    for (index, port) in service.ports.iter().enumerate() {
        let Some(transport) = transport(&port.protocol) else {
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
        let mut node_number = node_number(ctx, key, service, index);
        let earlier = node_number.map(|number| *first_on_nodes.entry((transport, number)).or_insert(index));
        if let (Some(taken), Some(earlier)) = (node_number, earlier.filter(|&earlier| earlier != index)) {
            node_number = None;
            let message = format!(
                "{taken}/{} is also that of spec.ports[{earlier}], which keeps it: give one of them another nodePort",
                port.protocol
            );
            ctx.problem(key.clone().into(), format!("spec.ports[{index}].nodePort"), message);
        }
        ports.push(Port {
            transport,
            number,
            node_number,
            name: port.name.clone(),
        });
    }
    ports
}

fn node_number(ctx: &mut Context<'_>, key: &ServiceKey, service: &Service, index: usize) -> Option<u16> {
    let given = service.ports[index].node_port.filter(|_| is_on_nodes(service))?;
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
