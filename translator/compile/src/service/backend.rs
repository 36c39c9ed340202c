//! [`Backends`]: the endpoints behind a port of a service, and who of them answers where.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_model::{AddressType, Endpoint, EndpointSlice, EndpointState, Name, ServiceKey};

use super::frontend::{Port, port_number, transport};
use crate::context::Context;
use crate::ip;
use crate::names::default_vpc;

const SELECTOR: &str = "spec.selector";

/// The endpoints of one family behind one port, sorted, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Backends<'a>(BTreeMap<SocketAddr, &'a Endpoint>);

/// Where which endpoints answer, if the endpoints say for whom they are meant (KEP-2433, KEP-3015).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// They do not: all of them everywhere.
    Everywhere,
    /// Those of a zone in that zone, and all where there are none.
    ByZone(BTreeMap<Name, Vec<SocketAddr>>),
    /// Those of a node on that node; elsewhere those of the zone, and all where there are none.
    ByNode(BTreeMap<Name, Vec<SocketAddr>>, BTreeMap<Name, Vec<SocketAddr>>),
}

impl<'a> Backends<'a> {
    /// Of slices, the endpoints that connections may go to.
    pub(super) fn of(
        port: &Port,
        v4: bool,
        slices: &[&'a Arc<EndpointSlice>],
        is_fit: &dyn Fn(&EndpointSlice, &Endpoint) -> bool,
    ) -> Self {
        let mut found: BTreeMap<SocketAddr, &Endpoint> = BTreeMap::new();
        let of_family = |slice: &&&'a Arc<EndpointSlice>| match slice.address_type {
            AddressType::Ipv4 => v4,
            AddressType::Ipv6 => !v4,
            AddressType::Fqdn => false,
        };
        for slice in slices.iter().filter(of_family) {
            for number in ports(port, slice) {
                for endpoint in &slice.endpoints {
                    if !is_fit(slice, endpoint) {
                        continue;
                    }
                    // While an endpoint moves from one slice to another it may be in both.
                    let known = found
                        .entry(SocketAddr::new(endpoint.address, number))
                        .or_insert(endpoint);
                    if endpoint.state > known.state {
                        *known = endpoint;
                    }
                }
            }
        }
        Self(found)
    }

    /// Those that answer: what is ready, or as long as nothing is, what is on its way out and still answers.
    pub(super) fn answering(&self) -> Vec<SocketAddr> {
        self.answering_among(|_| true)
    }

    /// The same on each node by itself.
    pub(super) fn by_node(&self) -> BTreeMap<Name, Vec<SocketAddr>> {
        // Once over all of them, and not once for each node: there may be as many nodes as endpoints.
        let mut nodes: BTreeMap<&Name, (EndpointState, Vec<SocketAddr>)> = BTreeMap::new();
        for (address, endpoint) in &self.0 {
            let Some(node) = endpoint
                .node
                .as_ref()
                .filter(|_| endpoint.state > EndpointState::Unready)
            else {
                continue;
            };
            let (state, addresses) = nodes.entry(node).or_insert((endpoint.state, Vec::new()));
            if endpoint.state > *state {
                *state = endpoint.state;
                addresses.clear();
            }
            if endpoint.state == *state {
                addresses.push(*address);
            }
        }
        let answering = nodes
            .into_iter()
            .map(|(node, (_, addresses))| (node.clone(), addresses));
        answering.collect()
    }

    /// The same of endpoints that say of no node that they are there.
    pub(super) fn on_no_node(&self) -> Vec<SocketAddr> {
        self.answering_among(|endpoint| endpoint.node.is_none())
    }

    /// The addresses that connections go to, at some node or at all.
    pub(super) fn used(&self) -> impl Iterator<Item = IpAddr> {
        let locally = self.by_node().into_values().flatten();
        self.answering().into_iter().chain(locally).map(|address| address.ip())
    }

    /// Those that are ready, with where they run.
    pub(super) fn ready(&self) -> impl Iterator<Item = (SocketAddr, &'a Endpoint)> {
        let all = self.0.iter().map(|(address, endpoint)| (*address, *endpoint));
        all.filter(|(_, endpoint)| endpoint.state == EndpointState::Ready)
    }

    /// For whom the endpoints that are ready are meant. They must all say so: while only some do, the others have just come, and
    /// nobody knows yet where they will be needed.
    pub(super) fn meant(&self) -> Meant {
        let hints = || self.ready().map(|(_, endpoint)| endpoint.hints.as_deref());
        if hints().next().is_none() {
            return Meant::Everywhere;
        }
        let by_zone = hints().all(|hints| hints.is_some_and(|hints| !hints.zones.is_empty()));
        let by_node = hints().all(|hints| hints.is_some_and(|hints| !hints.nodes.is_empty()));
        let zones = self.grouped(|endpoint| endpoint.hints.iter().flat_map(|hints| &*hints.zones));
        match (by_node, by_zone) {
            (true, _) => {
                let nodes = self.grouped(|endpoint| endpoint.hints.iter().flat_map(|hints| &*hints.nodes));
                Meant::ByNode(nodes, if by_zone { zones } else { BTreeMap::new() })
            }
            (false, true) => Meant::ByZone(zones),
            (false, false) => Meant::Everywhere,
        }
    }

    fn grouped<'n, I: Iterator<Item = &'n Name>>(
        &self,
        names: impl Fn(&'a Endpoint) -> I,
    ) -> BTreeMap<Name, Vec<SocketAddr>> {
        let mut groups: BTreeMap<Name, Vec<SocketAddr>> = BTreeMap::new();
        for (address, endpoint) in self.ready() {
            for name in names(endpoint) {
                groups.entry(name.clone()).or_default().push(address);
            }
        }
        groups
    }

    fn answering_among(&self, among: impl Fn(&Endpoint) -> bool) -> Vec<SocketAddr> {
        let in_state = |state| {
            let matching = self
                .0
                .iter()
                .filter(|(_, endpoint)| endpoint.state == state && among(endpoint));
            matching.map(|(address, _)| *address).collect::<Vec<_>>()
        };
        let ready = in_state(EndpointState::Ready);
        if ready.is_empty() {
            in_state(EndpointState::Draining)
        } else {
            ready
        }
    }
}

/// The ports by which a slice's endpoints answer for a port of the service: hardly ever more than one.
fn ports(port: &Port, slice: &EndpointSlice) -> impl Iterator<Item = u16> {
    slice
        .ports
        .iter()
        .filter(|of| of.name == port.name && transport(&of.protocol) == Some(port.transport))
        .filter_map(|of| port_number(of.port?))
}

/// Reports what a slice says that makes no sense.
pub(super) fn report(ctx: &mut Context<'_>, slice: &EndpointSlice) {
    if slice.address_type == AddressType::Fqdn {
        return;
    }
    for (index, port) in slice.ports.iter().enumerate() {
        if transport(&port.protocol).is_none() {
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
        let address = endpoint.address;
        let field = || format!("endpoints[{index}].addresses[0]");
        if let Some(fault) = fault(ctx.service_cidrs().networks(), slice.address_type, address) {
            ctx.problem(
                slice.key(),
                field(),
                format!("{address} {fault}: the endpoint is left out"),
            );
        } else if slice.by_hand
            && let Some(message) = in_no_slice(ctx, address)
        {
            ctx.problem(slice.key(), field(), message);
        }
    }
}

/// Reports that pods which a service selects are not in its VPC; once, however many they are.
pub(super) fn report_strays(ctx: &mut Context<'_>, key: &ServiceKey, vpc: &Name, slices: &[&Arc<EndpointSlice>]) {
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    let strays: BTreeSet<&Name> = endpoints
        .filter_map(|endpoint| Some(ctx.stray(&key.namespace, endpoint)?.1))
        .collect();
    if strays.is_empty() {
        return;
    }
    let strays: Vec<&str> = strays.into_iter().map(|vpc| &**vpc).collect();
    let message = format!(
        "it selects pods that are in VPC {} since before namespace {} was in VPC {vpc}, as the service is: no connection goes to \
         them; delete these pods, so that others take their place (explain service {key} tells which they are)",
        strays.join(" and "),
        key.namespace
    );
    ctx.problem(key.clone().into(), SELECTOR, message);
}

/// Why an endpoint that somebody wrote by hand answers nobody: its address is a pod's, and no node has pods with such.
fn in_no_slice(ctx: &Context<'_>, address: IpAddr) -> Option<String> {
    let cidr = ctx
        .config()
        .cluster_cidrs()
        .iter()
        .find(|cidr| cidr.contains(address))?;
    let is_somewhere = ctx.nodes().any(|node| {
        ctx.slice_of(&default_vpc(), &node.name)
            .iter()
            .any(|slice| slice.contains(address))
    });
    (!is_somewhere).then(|| {
        format!("{address} is in the cluster CIDR {cidr} and in no node's slice of it, so that nothing can have it")
    })
}

/// Why nothing can be sent to an endpoint.
pub(super) fn fault(service_cidrs: &[IpNetwork], of: AddressType, address: IpAddr) -> Option<&'static str> {
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
    if ip::is_link_local(address) {
        return Some("is a link-local address, which nothing routes");
    }
    if service_cidrs.iter().any(|cidr| cidr.contains(address)) {
        return Some("is in a service CIDR, and no service sends to another");
    }
    None
}
