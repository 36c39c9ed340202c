//! [`Destination`]: an address, and what is asked for there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use meridian_api::service::Protocol;
use meridian_model::{PodKey, ServiceKey};

use super::{Map, PathError, PathPort, PathQuestion, PathTarget};
use crate::context::Context;
use crate::pod::explain::seat;
use crate::{Unit, service};

/// To where something is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) address: IpAddr,
    pub(super) protocol: Protocol,
    /// None for what has no ports, such as a ping.
    pub(super) port: Option<u16>,
}

/// What a question is about.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) name: String,
    /// The pod that is meant, if one is.
    pub(super) pod: Option<PodKey>,
    pub(super) notes: Vec<String>,
    pub(super) destinations: Vec<Destination>,
    /// Why there are none.
    pub(super) reason: Option<String>,
}

impl Destination {
    /// The same, sent on to an endpoint.
    pub(super) fn translated(&self, endpoint: SocketAddr) -> Self {
        Self {
            address: endpoint.ip(),
            port: Some(endpoint.port()),
            ..self.clone()
        }
    }

    /// Address and port, if there is a port.
    pub(super) fn socket(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address, self.port?))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket() {
            Some(address) => write!(f, "{address}/{}", self.protocol),
            None => write!(f, "{}", self.address),
        }
    }
}

/// Finds out to where something is sent.
pub(super) fn resolve(map: Map<'_>, question: &PathQuestion) -> Result<Resolved, PathError> {
    let mut resolved = Resolved {
        name: String::new(),
        pod: None,
        notes: Vec::new(),
        destinations: Vec::new(),
        reason: None,
    };
    let addresses: Vec<IpAddr> = match &question.to {
        PathTarget::Service(key) => return of_service(map, question, key, resolved),
        PathTarget::Address(address) => {
            resolved.name = address.to_string();
            if question.port.is_none() && question.protocol.is_none() {
                return Ok(Resolved {
                    destinations: of_cluster_ip(map, *address),
                    ..resolved
                });
            }
            vec![*address]
        }
        PathTarget::Node(name) => {
            let node = map.world.cluster.node(name);
            let node = node.ok_or_else(|| PathError::Absent(format!("node {name}")))?;
            resolved.name = format!("node {name}");
            resolved.reason = Some("its status tells no InternalIP".to_owned());
            node.internal_ips.to_vec()
        }
        PathTarget::Pod(key) => {
            let pod = map.world.cluster.pod(key);
            let pod = pod.ok_or_else(|| PathError::Absent(format!("pod {key}")))?;
            resolved.name = format!("pod {key}");
            if pod.host_network {
                resolved
                    .notes
                    .push(format!("pod {key} has the network of its host (spec.hostNetwork)"));
                resolved.reason = Some("its status has no address yet".to_owned());
                pod.ips.to_vec()
            } else {
                resolved.pod = Some(key.clone());
                match seat(map.world, pod) {
                    Ok(seat) => seat.ips,
                    Err(why) => {
                        resolved.reason = Some(why);
                        Vec::new()
                    }
                }
            }
        }
    };
    let port = match &question.port {
        Some(PathPort::Name(name)) => return Err(PathError::PortName(name.clone())),
        Some(PathPort::Number(port)) => Some(*port),
        None => None,
    };
    let destination = |address| Destination {
        address,
        protocol: question.protocol.unwrap_or(Protocol::Tcp),
        port,
    };
    resolved.destinations = addresses.into_iter().map(destination).collect();
    Ok(resolved)
}

/// Who asks for an address alone, which is a service's, is told of its ports.
fn of_cluster_ip(map: Map<'_>, address: IpAddr) -> Vec<Destination> {
    let text = address.to_string();
    let mut services = map.world.cluster.services();
    let service = services.find(|service| service.cluster_ips.iter().any(|ip| **ip == *text));
    let mut destinations = service.map_or_else(Vec::new, |service| frontends(map, &service.key()).0);
    destinations.retain(|destination| destination.address == address);
    if destinations.is_empty() {
        destinations.push(Destination {
            address,
            protocol: Protocol::Tcp,
            port: None,
        });
    }
    destinations
}

fn of_service(
    map: Map<'_>,
    question: &PathQuestion,
    key: &ServiceKey,
    mut resolved: Resolved,
) -> Result<Resolved, PathError> {
    if map.world.cluster.service(key).is_none() {
        return Err(PathError::Absent(format!("service {key}")));
    }
    resolved.name = format!("service {key}");
    let unit: Unit = key.clone().into();
    let explanation = service::explain(&mut Context::new(map.world, &unit), key);
    let Some(explanation) = explanation else {
        return Ok(resolved);
    };
    resolved.reason = explanation.nothing;
    if let Some(vpc) = &explanation.vpc {
        let shared = explanation.hosts.as_ref().is_some_and(|facts| facts.shared);
        let shared = if shared {
            ", and shared with every VPC"
        } else {
            ", and not shared with others"
        };
        resolved.notes.push(format!("service {key} is in VPC {vpc}{shared}"));
    }
    let (all, names) = frontends(map, key);
    let matches = |destination: &Destination, name: &str| {
        let of_port = match &question.port {
            None => true,
            Some(PathPort::Number(port)) => destination.port == Some(*port),
            Some(PathPort::Name(wanted)) => wanted == name,
        };
        of_port
            && question
                .protocol
                .is_none_or(|protocol| protocol == destination.protocol)
    };
    let pairs = || all.iter().zip(&names);
    let found = pairs().filter(|(destination, name)| matches(destination, name));
    resolved.destinations = found.map(|(destination, _)| destination.clone()).collect();
    if resolved.destinations.is_empty() && resolved.reason.is_none() {
        let port = match &question.port {
            Some(PathPort::Number(port)) => port.to_string(),
            Some(PathPort::Name(name)) => name.clone(),
            None => "of that protocol".to_owned(),
        };
        let mut known: Vec<String> = pairs()
            .filter_map(|(to, name)| Some(format!("{}/{} {name}", to.port?, to.protocol).trim_end().to_owned()))
            .collect();
        known.dedup();
        return Err(PathError::Port {
            service: key.clone(),
            port,
            known: known.join(", "),
        });
    }
    Ok(resolved)
}

/// The ClusterIPs and ports of a service, and how the ports are called.
fn frontends(map: Map<'_>, key: &ServiceKey) -> (Vec<Destination>, Vec<String>) {
    let unit: Unit = key.clone().into();
    let explanation = service::explain(&mut Context::new(map.world, &unit), key);
    let service = map.world.cluster.service(key);
    let is_cluster = |address: &SocketAddr| {
        let text = address.ip().to_string();
        service.is_some_and(|service| service.cluster_ips.iter().any(|ip| **ip == *text))
    };
    let frontends = explanation.into_iter().flat_map(|explanation| explanation.frontends);
    let mut found = (Vec::new(), Vec::new());
    for frontend in frontends.filter(|frontend| is_cluster(&frontend.address)) {
        let protocol = match frontend.protocol {
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        found.0.push(Destination {
            address: frontend.address.ip(),
            protocol,
            port: Some(frontend.address.port()),
        });
        found.1.push(frontend.port);
    }
    found
}
