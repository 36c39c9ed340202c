//! Backends: where a frontend's connections go.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use meridian_model::{AddressType, EndpointSlice, EndpointState};

use super::frontend::{Frontend, Transport, port_number};
use crate::Config;
use crate::context::Context;

/// Where a frontend's connections go, sorted, each once: what is ready, or as long as nothing is, what is on its way out
/// and still answers.
pub(super) fn backends(config: &Config, frontend: &Frontend, slices: &[&Arc<EndpointSlice>]) -> Vec<SocketAddr> {
    let mut found: BTreeMap<SocketAddr, EndpointState> = BTreeMap::new();
    let of_family = |slice: &&&Arc<EndpointSlice>| match slice.address_type {
        AddressType::Ipv4 => frontend.address.is_ipv4(),
        AddressType::Ipv6 => frontend.address.is_ipv6(),
        AddressType::Fqdn => false,
    };
    for slice in slices.iter().filter(of_family) {
        for number in ports(frontend, slice) {
            for endpoint in &slice.endpoints {
                if fault(config, slice.address_type, endpoint.address).is_some() {
                    continue;
                }
                // While an endpoint moves from one slice to another it may be in both.
                let state = found
                    .entry(SocketAddr::new(endpoint.address, number))
                    .or_insert(EndpointState::Unready);
                *state = endpoint.state.max(*state);
            }
        }
    }
    let in_state = |state| {
        let matching = found.iter().filter(move |&(_, found)| *found == state);
        matching.map(|(address, _)| *address).collect::<Vec<_>>()
    };
    let ready = in_state(EndpointState::Ready);
    if ready.is_empty() {
        in_state(EndpointState::Draining)
    } else {
        ready
    }
}

/// The ports by which a slice's endpoints answer for a frontend: hardly ever more than one.
fn ports(frontend: &Frontend, slice: &EndpointSlice) -> impl Iterator<Item = u16> {
    slice
        .ports
        .iter()
        .filter(|port| port.name == frontend.port && Transport::of(&port.protocol) == Some(frontend.transport))
        .filter_map(|port| port_number(port.port?))
}

/// Reports what a slice says that makes no sense.
pub(super) fn report(ctx: &mut Context<'_>, slice: &EndpointSlice) {
    if slice.address_type == AddressType::Fqdn {
        return;
    }
    for (index, port) in slice.ports.iter().enumerate() {
        if Transport::of(&port.protocol).is_none() {
            let message = format!("{:?} is none of TCP, UDP, SCTP", port.protocol.to_string());
            ctx.problem(slice.key(), format!("ports[{index}].protocol"), message);
        }
        match port.port {
            Some(number) if port_number(number).is_none() => {
                let message = format!("{number} is no port: it must be 1 to 65535");
                ctx.problem(slice.key(), format!("ports[{index}].port"), message);
            }
            // Every port of the endpoints, which is nothing that can be balanced.
            _ => {}
        }
    }
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        if let Some(fault) = fault(ctx.config(), slice.address_type, endpoint.address) {
            let message = format!("{} {fault}: the endpoint is left out", endpoint.address);
            ctx.problem(slice.key(), format!("endpoints[{index}].addresses[0]"), message);
        }
    }
}

/// Why nothing can be sent to an endpoint.
fn fault(config: &Config, of: AddressType, address: IpAddr) -> Option<&'static str> {
    if address.is_ipv4() != (of == AddressType::Ipv4) {
        return Some("is not of the family that addressType says");
    }
    if address.is_unspecified() {
        return Some("is no host's address");
    }
    if address.is_loopback() {
        return Some("is a loopback address, which means another host to each");
    }
    if address.is_multicast() {
        return Some("is a multicast address");
    }
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if link_local {
        return Some("is a link-local address, which nothing routes");
    }
    if config.service_cidrs().iter().any(|cidr| cidr.contains(address)) {
        return Some("is in a service CIDR, and no service sends to another");
    }
    None
}
