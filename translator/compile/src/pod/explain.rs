//! [`PodExplanation`]: what becomes of a pod and why, for people.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Name, Namespace, NetworkRequest, Pod, PodKey, PortKey};
use serde::Serialize;

use super::Lack;
use super::further::{self, Further};
use crate::context::{Context, World};
use crate::segment::Spot;
use crate::slices::Standing;
use crate::{Claim, Unit, fixed, ip, placements};

/// In which VPC a pod is, what it has there, and what it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodExplanation {
    /// `namespace/name`.
    pub pod: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Its VPC, if that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc: Option<VpcExplanation>,
    /// `spec.nodeName`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What its node has of the VPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slice: Option<SliceExplanation>,
    /// The Subnet that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<SubnetExplanation>,
    /// Its addresses.
    pub addresses: Vec<AddressExplanation>,
    /// Its logical port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The MAC address of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// What keeps it from having a port, if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Its further interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceExplanation>,
}

/// What becomes of a further interface of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceExplanation {
    /// Its name in the pod.
    pub name: String,
    /// The NetworkAttachmentDefinition, `namespace/name`.
    pub definition: String,
    /// Its VPC, if that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    /// The logical switch, if that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its logical port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The MAC address of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Why it has no port of ours, if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// A VPC, and why it is the pod's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VpcExplanation {
    /// Its name.
    pub name: String,
    /// Why the pod is in it.
    pub why: String,
}

/// What a node has of a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SliceExplanation {
    /// The logical switch.
    pub switch: String,
    /// One network per family; none if it has none.
    pub networks: Vec<IpNetwork>,
}

/// A Subnet, and why it is the pod's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubnetExplanation {
    /// Its name.
    pub name: String,
    /// Why the pod is in it.
    pub why: String,
    /// The logical switch.
    pub switch: String,
    /// One network per family.
    pub networks: Vec<IpNetwork>,
}

/// An address of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressExplanation {
    /// The address.
    pub address: IpAddr,
    /// The router's in the same slice.
    pub gateway: IpAddr,
    /// How come.
    pub source: AddressSource,
}

/// How come a pod has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AddressSource {
    /// `status.podIPs` has it.
    Status,
    /// Its annotation `meridian.dev/ips` asks for it.
    AskedFor,
    /// Its row in the database has it, and its status nothing yet.
    Kept,
    /// It was free.
    Allocated,
}

/// Where a pod's port is, and its addresses.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) spot: Spot,
    pub(crate) ips: Vec<IpAddr>,
}

/// A further interface of a pod that has a port.
#[derive(Clone, Debug)]
pub(crate) struct FurtherSeat {
    pub(crate) port: PortKey,
    pub(crate) seat: Seat,
    /// Where what the pod sends leaves by it.
    pub(crate) networks: Vec<IpNetwork>,
}

/// The further interfaces of a pod that have ports.
pub(crate) fn further(world: World<'_>, pod: &Pod) -> Vec<FurtherSeat> {
    let unit: Unit = pod.key().into();
    let all = further::all(&Context::new(world, &unit), pod).into_iter();
    let seat = |(request, found): (&NetworkRequest, Further)| match found {
        Further::Port { spot, facts } => Some(FurtherSeat {
            port: request.port(pod.key()),
            seat: Seat {
                spot,
                ips: facts.ips.iter().map(IpNetwork::ip).collect(),
            },
            networks: (facts.routes.iter().map(|route| route.destination))
                .chain(facts.ips)
                .collect(),
        }),
        Further::Wrong { .. } | Further::Unwanted => None,
    };
    all.filter_map(seat).collect()
}

/// Where a pod's port is, or why there is none.
pub(crate) fn seat(world: World<'_>, pod: &Pod) -> Result<Seat, String> {
    let unit: Unit = pod.key().into();
    match super::seat(&Context::new(world, &unit), pod) {
        Ok(seat) => Ok(Seat {
            spot: seat.spot,
            ips: seat.ips.into(),
        }),
        Err(Lack::Unwanted(why)) => Err(format!("it has no port: {why}")),
        Err(Lack::Wrong { field, message, .. }) => Err(format!("it has no port: {field}: {message}")),
    }
}

pub(crate) fn explain(world: World<'_>, key: &PodKey, claims: &[Claim]) -> Option<PodExplanation> {
    let pod = world.cluster.pod(key)?;
    let unit: Unit = key.clone().into();
    let ctx = Context::new(world, &unit);
    let seat = super::seat(&ctx, pod);
    let spot = match &seat {
        Ok(seat) => Some(seat.spot.clone()),
        Err(Lack::Wrong { spot, .. }) => spot.clone(),
        Err(Lack::Unwanted(_)) => None,
    };
    let mut explanation = PodExplanation {
        pod: key.to_string(),
        uid: pod.uid.to_string(),
        vpc: spot.as_ref().map(|spot| VpcExplanation {
            name: spot.vpc().to_string(),
            why: why(world, pod, spot),
        }),
        node: pod.node.as_ref().map(ToString::to_string),
        slice: spot.as_ref().map(Spot::slice).map(|slice| SliceExplanation {
            switch: world.names.switch(&slice.vpc, &slice.node).to_string(),
            networks: match world.slices.standing(&slice) {
                Some(Standing::Slice(networks)) => networks.to_vec(),
                _ => Vec::new(),
            },
        }),
        subnet: spot
            .as_ref()
            .and_then(|spot| spot.segment.subnet())
            .map(|subnet| explain_subnet(world, pod, &subnet.name)),
        addresses: Vec::new(),
        port: None,
        mac: None,
        missing: None,
        interfaces: interfaces(&ctx, pod),
    };
    match seat {
        Ok(seat) => {
            let had = |address: &IpAddr| {
                claims.iter().any(|claim| match claim {
                    Claim::Pod { port, uid, ips, .. } => {
                        port.is_first() && port.pod == *key && *uid == pod.uid && ips.contains(address)
                    }
                    Claim::Slice { .. } | Claim::Gateway { .. } => false,
                })
            };
            let asked_for = fixed::addresses(pod).and_then(Result::ok).unwrap_or_default();
            let explain = |address: &IpAddr| {
                let (_, gateway) = seat.networks.iter().find(|(network, _)| network.contains(*address))?;
                Some(AddressExplanation {
                    address: *address,
                    gateway: *gateway,
                    source: if pod.ips.contains(address) {
                        AddressSource::Status
                    } else if asked_for.contains(address) {
                        AddressSource::AskedFor
                    } else if had(address) {
                        AddressSource::Kept
                    } else {
                        AddressSource::Allocated
                    },
                })
            };
            explanation.addresses = seat.ips.iter().filter_map(explain).collect();
            explanation.port = Some(world.names.pod(key).to_string());
            explanation.mac = Some(ip::mac(seat.ips.iter().copied()));
        }
        Err(Lack::Unwanted(why)) => explanation.missing = Some(why.to_owned()),
        Err(Lack::Wrong { field, message, .. }) => explanation.missing = Some(format!("{field}: {message}")),
    }
    Some(explanation)
}

fn interfaces(ctx: &Context<'_>, pod: &Pod) -> Vec<InterfaceExplanation> {
    let explain = |(request, found): (&NetworkRequest, Further)| {
        let explained = InterfaceExplanation {
            name: request.interface.to_string(),
            definition: request.definition.to_string(),
            vpc: None,
            switch: None,
            addresses: Vec::new(),
            port: None,
            mac: None,
            missing: None,
        };
        let at = |spot: &Spot| {
            let switch = ctx.names().switch_of(&spot.segment).to_string();
            (Some(spot.vpc().to_string()), Some(switch))
        };
        match found {
            Further::Port { spot, facts } => {
                let (vpc, switch) = at(&spot);
                InterfaceExplanation {
                    vpc,
                    switch,
                    addresses: facts.ips.iter().map(IpNetwork::ip).collect(),
                    port: Some(ctx.names().port(&request.port(pod.key())).to_string()),
                    mac: Some(facts.mac),
                    ..explained
                }
            }
            Further::Wrong { message, spot } => {
                let (vpc, switch) = spot.as_ref().map_or((None, None), at);
                InterfaceExplanation {
                    vpc,
                    switch,
                    missing: Some(message),
                    ..explained
                }
            }
            Further::Unwanted => InterfaceExplanation {
                missing: Some(if further::is_foreign(ctx, request) {
                    "another plugin makes it".to_owned()
                } else {
                    "the pod has no ports".to_owned()
                }),
                ..explained
            },
        }
    };
    further::all(ctx, pod).into_iter().map(explain).collect()
}

fn explain_subnet(world: World<'_>, pod: &Pod, name: &Name) -> SubnetExplanation {
    let namespace = &pod.namespace;
    let asked_for = fixed::addresses(pod).and_then(Result::ok);
    let state = world.vpcs.subnet(name);
    let why = match placements::wanted(pod, world.vpcs) {
        Some((wanted, placements::SUBNET)) if wanted == name => "its annotation meridian.dev/subnet".to_owned(),
        Some((wanted, _)) if wanted == name => format!("annotation meridian.dev/subnet of namespace {namespace}"),
        _ if pod.ips.iter().any(|ip| state.is_some_and(|state| state.contains(*ip))) => {
            "it has addresses of that Subnet and keeps them".to_owned()
        }
        _ if asked_for.is_some() => "it asks for an address of it by its annotation meridian.dev/ips".to_owned(),
        _ => "spec.defaultSubnet of the VPC".to_owned(),
    };
    SubnetExplanation {
        name: name.to_string(),
        why,
        switch: world.names.subnet(name).to_string(),
        networks: state.map(|state| state.networks().collect()).unwrap_or_default(),
    }
}

/// Why a pod is in the VPC that it is in.
fn why(world: World<'_>, pod: &Pod, spot: &Spot) -> String {
    if world.vpcs.is_empty() {
        return "the cluster has no other".to_owned();
    }
    let namespace = &pod.namespace;
    match world.vpcs.home(namespace).name() {
        None => format!("its address is of that VPC; namespace {namespace} is not known"),
        Some(home) if home != *spot.vpc() => format!(
            "it has addresses of that VPC and keeps them; namespace {namespace} is in VPC {home} by now: delete the pod to move it"
        ),
        Some(_) => selected(
            world,
            world.cluster.namespace(namespace).map(|namespace| &**namespace),
            spot,
        ),
    }
}

/// Which VPCs select a namespace.
fn selected(world: World<'_>, namespace: Option<&Namespace>, spot: &Spot) -> String {
    let Some(namespace) = namespace else {
        return "no VPC selects its namespace".to_owned();
    };
    let selects =
        |selector: Option<&meridian_model::Selector>| selector.is_some_and(|of| of.matches(&namespace.labels));
    let mut by = world
        .vpcs
        .iter()
        .filter(|state| selects(state.object.namespaces.as_ref()));
    let Some(first) = by.next() else {
        return format!("no VPC selects namespace {}", namespace.name);
    };
    let selector = first
        .object
        .namespaces
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let others: Vec<&str> = by.map(|state| &*state.object.name).collect();
    let others = match others.len() {
        0 => String::new(),
        _ => format!("; so would {}, which {} is older than", others.join(", "), spot.vpc()),
    };
    format!("it selects namespace {} ({selector}){others}", namespace.name)
}
