//! [`Known`]: a service that hosts have to do with, and what they do for it ([`Handling`]).

use std::net::SocketAddr;

use meridian_api::service::{Port, ServiceFacts};
use meridian_model::Name;

use super::Map;
use super::destination::Destination;
use crate::context::Context;
use crate::{Unit, service};

/// A service that hosts know under an address and port.
pub(super) struct Known {
    pub(super) name: String,
    pub(super) facts: ServiceFacts,
    /// Which of its ports it is.
    pub(super) port: usize,
}

/// What a host does with something for a service's address.
pub(super) enum Handling {
    /// It sends it to one of its own endpoints, in the service's VPC.
    Here(Vec<SocketAddr>),
    /// It sends it into the default VPC, to an address that load balancers or other hosts know.
    Into(SocketAddr),
    /// There is no endpoint at all.
    Nobody,
}

/// The service of an address and port, if hosts have to do with it.
pub(super) fn known(map: Map<'_>, to: &Destination, at: Option<SocketAddr>) -> Option<Known> {
    let at = at?;
    let (key, _) = map.world.vips.holder((at, to.protocol))?;
    let unit: Unit = key.clone().into();
    let facts = service::explain(&mut Context::new(map.world, &unit), key)?.hosts?;
    let is_port = |port: &Port| {
        let number = if at.ip() == map.world.config.node_address(at.is_ipv4()) {
            port.node_port
        } else {
            Some(port.port)
        };
        port.protocol == to.protocol && number == Some(at.port())
    };
    let port = facts.ports.iter().position(is_port)?;
    Some(Known {
        name: format!("service {key}"),
        facts,
        port,
    })
}

/// What a host does with what comes for a service.
pub(super) fn handling(known: &Known, node: &Name, to: &Destination) -> Handling {
    let port = &known.facts.ports[known.port];
    let target = port
        .targets
        .iter()
        .find(|target| target.is_ipv4() == to.address.is_ipv4());
    let into = Handling::Into(
        target
            .copied()
            .unwrap_or_else(|| SocketAddr::new(to.address, port.port)),
    );
    if known.facts.vpc.is_none() {
        return into;
    }
    let here = on_node(port, node, to);
    let v4 = to.address.is_ipv4();
    if !here.is_empty() {
        Handling::Here(here)
    } else if port
        .endpoints
        .values()
        .flatten()
        .any(|endpoint| endpoint.is_ipv4() == v4)
    {
        into
    } else {
        Handling::Nobody
    }
}

/// A port's endpoints on a node, of the address's family.
pub(super) fn on_node(port: &Port, node: &Name, to: &Destination) -> Vec<SocketAddr> {
    let endpoints = port.endpoints.get(&**node).into_iter().flatten().copied();
    endpoints
        .filter(|endpoint| endpoint.is_ipv4() == to.address.is_ipv4())
        .collect()
}
