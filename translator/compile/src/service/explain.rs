//! [`ServiceExplanation`]: what becomes of a service and why, for people.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use meridian_api::service::ServiceFacts;
use meridian_model::{AddressType, EndpointSlice, EndpointState, Service, ServiceKey, ServiceType, TrafficPolicy};
use serde::Serialize;

use super::backend::{self, Backends};
use super::frontend::{self, Face, Frontend, TRANSPORTS, port_number, transport};
use super::spread::{self, Place};
use super::{Behind, Told, facts};
use crate::context::Context;
use crate::places;
use crate::segment::Segment;

/// What a service is reached under, by whom it is answered where, and what is left out and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceExplanation {
    /// `namespace/name`.
    pub service: String,
    /// The VPC of its namespace, if that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    /// `spec.type`.
    pub r#type: &'static str,
    /// Why there is nothing to balance, if there is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nothing: Option<String>,
    /// What load balancers of the VPC know.
    pub frontends: Vec<FrontendExplanation>,
    /// Every endpoint of every slice.
    pub endpoints: Vec<EndpointExplanation>,
    /// What hosts are told, if they have to do with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<ServiceFacts>,
}

/// An address and port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendExplanation {
    /// Under which clients connect.
    pub address: SocketAddr,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
    /// The name of the service's port.
    pub port: String,
    /// What kind of address it is.
    pub kind: &'static str,
    /// Whether only endpoints of the client's own node answer.
    pub local: bool,
    /// Who answers where.
    pub answers: Vec<Answer>,
}

/// Who answers at some nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// To clients at which nodes.
    pub at: String,
    /// The row that says so: a `Load_Balancer`.
    pub row: String,
    /// Where connections go; none are refused.
    pub backends: Vec<SocketAddr>,
}

/// An endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointExplanation {
    /// Its address.
    pub address: IpAddr,
    /// The slice that tells of it.
    pub slice: String,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The zone of that node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// `ready`, `draining` or `unready`.
    pub state: &'static str,
    /// The zones and nodes it is meant for, if it says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub meant_for: Vec<String>,
    /// Why no connection goes there, if none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
}

/// What becomes of a service, if it is there.
pub(crate) fn explain(ctx: &mut Context<'_>, key: &ServiceKey) -> Option<ServiceExplanation> {
    let service = ctx.service(key)?;
    let slices = ctx.slices_of(key);
    let vpc = super::vpc(ctx, key);
    let mut explanation = ServiceExplanation {
        service: key.to_string(),
        vpc: vpc.as_ref().ok().map(ToString::to_string),
        r#type: match service.r#type {
            ServiceType::ClusterIp => "ClusterIP",
            ServiceType::NodePort => "NodePort",
            ServiceType::LoadBalancer => "LoadBalancer",
            ServiceType::ExternalName => "ExternalName",
        },
        nothing: None,
        frontends: Vec::new(),
        endpoints: Vec::new(),
        hosts: None,
    };
    let vpc = match vpc {
        Ok(vpc) => vpc,
        Err(why) => {
            explanation.nothing = Some(why);
            return Some(explanation);
        }
    };
    let Some(told) = Told::of(ctx, key, service, vpc, &slices) else {
        explanation.nothing = Some(nothing(service).to_owned());
        return Some(explanation);
    };
    explanation.frontends = balanced(ctx, &told);
    let slices = slices.iter();
    explanation.endpoints = slices
        .flat_map(|slice| endpoints(ctx, &told.face, &told.behind, slice))
        .collect();
    explanation.hosts = facts::facts(ctx, &told);
    Some(explanation)
}

fn nothing(service: &Service) -> &'static str {
    if service.r#type == ServiceType::ExternalName {
        "a service of type ExternalName is a name for another, which DNS answers"
    } else if service.left_to_others {
        "its labels leave it to another proxy (service.kubernetes.io/service-proxy-name) or to nobody"
    } else if service.cluster_ips.iter().any(|ip| frontend::is_headless(ip)) {
        "a headless service has no address of its own: DNS answers with those of its endpoints"
    } else {
        "it has no ClusterIP that could be used"
    }
}

fn balanced(ctx: &Context<'_>, told: &Told<'_>) -> Vec<FrontendExplanation> {
    let Told { key, face, .. } = told;
    let mut explained = Vec::new();
    for of in TRANSPORTS {
        let frontends = told.of_transport(of);
        let balancers = spread::spread(ctx, &told.vpc, &frontends, &told.behind);
        for frontend in frontends {
            let answer = |(place, vips): &(Place, spread::Vips)| {
                Some(Answer {
                    at: at(place),
                    row: ctx.names().load_balancer(key, of.name(), &place.suffix()).to_string(),
                    backends: vips.get(&frontend.address)?.clone(),
                })
            };
            explained.push(FrontendExplanation {
                address: frontend.address,
                protocol: of.name(),
                port: face.ports[frontend.port].name.to_string(),
                kind: kind(ctx, face, frontend),
                local: frontend.policy == TrafficPolicy::Local,
                answers: balancers.iter().filter_map(answer).collect(),
            });
        }
    }
    explained
}

fn at(place: &Place) -> String {
    match place {
        Place::Everywhere => "all nodes".to_owned(),
        Place::Zone(Some(zone)) => format!("nodes of zone {zone}"),
        Place::Zone(None) => "nodes of no zone".to_owned(),
        Place::Node(node) => format!("node {node}"),
        Place::Rest(_, segments) => {
            let nodes = segments.iter().filter_map(|segment| match segment {
                Segment::Slice(slice) => Some(&*slice.node),
                Segment::Subnet(_) => None,
            });
            let subnets = segments.iter().filter_map(Segment::subnet).map(|subnet| &*subnet.name);
            let (nodes, subnets): (Vec<&str>, Vec<&str>) = (nodes.collect(), subnets.collect());
            let all = [("nodes", nodes), ("Subnets", subnets)];
            let all = all.iter().filter(|(_, names)| !names.is_empty());
            let all: Vec<String> = all
                .map(|(what, names)| format!("{what} {}", names.join(", ")))
                .collect();
            all.join("; ")
        }
    }
}

fn kind(ctx: &Context<'_>, face: &Face, frontend: &Frontend) -> &'static str {
    let ip = frontend.address.ip();
    if ip == ctx.config().node_address(ip.is_ipv4()) {
        return "port of every node";
    }
    match face.addresses.external.iter().find(|external| external.address == ip) {
        Some(external) if external.is_ingress => "load balancer's address",
        Some(_) => "external IP",
        None => "ClusterIP",
    }
}

fn endpoints<'a>(
    ctx: &Context<'_>,
    face: &'a Face,
    behind: &'a Behind<'_>,
    slice: &'a Arc<EndpointSlice>,
) -> Vec<EndpointExplanation> {
    let v4 = slice.address_type == AddressType::Ipv4;
    let behind: Vec<&Backends<'_>> = (0..face.ports.len()).map(|port| behind.backends(port, v4)).collect();
    let used: BTreeSet<IpAddr> = behind.iter().flat_map(|backends| backends.used()).collect();
    let explain = |endpoint: &meridian_model::Endpoint| {
        let reason = || reason(ctx, face, slice, endpoint);
        let node = endpoint.node.as_ref();
        let hints = endpoint.hints.as_deref();
        EndpointExplanation {
            address: endpoint.address,
            slice: slice.name.to_string(),
            node: node.map(ToString::to_string),
            zone: node
                .and_then(|node| places::zone(ctx.node(node)?))
                .map(ToString::to_string),
            state: match endpoint.state {
                EndpointState::Ready => "ready",
                EndpointState::Draining => "draining",
                EndpointState::Unready => "unready",
            },
            meant_for: hints
                .into_iter()
                .flat_map(|hints| hints.zones.iter().chain(&*hints.nodes))
                .map(ToString::to_string)
                .collect(),
            left_out: (!used.contains(&endpoint.address)).then(reason),
        }
    };
    slice.endpoints.iter().map(explain).collect()
}

/// Why no connection goes to an endpoint.
fn reason(ctx: &Context<'_>, face: &Face, slice: &EndpointSlice, endpoint: &meridian_model::Endpoint) -> String {
    let v4 = endpoint.address.is_ipv4();
    if let Some(fault) = backend::fault(ctx.service_cidrs().networks(), slice.address_type, endpoint.address) {
        return format!("it {fault}");
    }
    if !face.addresses.cluster.iter().any(|ip| ip.is_ipv4() == v4) {
        let family = if v4 { "IPv4" } else { "IPv6" };
        return format!("the service has no {family} ClusterIP");
    }
    let answers = |port: &frontend::Port| {
        slice.ports.iter().any(|of| {
            of.name == port.name
                && transport(&of.protocol) == Some(port.transport)
                && of.port.and_then(port_number).is_some()
        })
    };
    if !face.ports.iter().any(answers) {
        return format!(
            "its slice {} has no port of the name and protocol of one of the service's",
            slice.name
        );
    }
    match endpoint.state {
        EndpointState::Unready => "it is not ready".to_owned(),
        EndpointState::Draining => "it is on its way out, and others are ready".to_owned(),
        // It is ready, and so it counts wherever it can be reached.
        EndpointState::Ready => "another slice says something else of it".to_owned(),
    }
}
