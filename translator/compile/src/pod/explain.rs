//! [`PodExplanation`]: what becomes of a pod and why, for people.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Namespace, Pod, PodKey};
use serde::Serialize;

use super::Lack;
use crate::context::{Context, World};
use crate::slices::{SliceKey, Standing};
use crate::vpcs::Home;
use crate::{Claim, Unit, ip};

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
    /// Its row in the database has it, and its status nothing yet.
    Kept,
    /// It was free.
    Allocated,
}

/// Where a pod's port is, and its addresses.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) slice: SliceKey,
    pub(crate) ips: Vec<IpAddr>,
}

/// Where a pod's port is, or why there is none.
pub(crate) fn seat(world: World<'_>, pod: &Pod) -> Result<Seat, String> {
    let unit: Unit = pod.key().into();
    match super::seat(&Context::new(world, &unit), pod) {
        Ok(seat) => Ok(Seat {
            slice: seat.slice,
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
    let slice = match &seat {
        Ok(seat) => Some(seat.slice.clone()),
        Err(Lack::Wrong { slice, .. }) => slice.clone(),
        Err(Lack::Unwanted(_)) => None,
    };
    let mut explanation = PodExplanation {
        pod: key.to_string(),
        uid: pod.uid.to_string(),
        vpc: slice.as_ref().map(|slice| VpcExplanation {
            name: slice.vpc.to_string(),
            why: why(world, pod, slice),
        }),
        node: pod.node.as_ref().map(ToString::to_string),
        slice: slice.as_ref().map(|slice| SliceExplanation {
            switch: world.names.switch(&slice.vpc, &slice.node).to_string(),
            networks: match world.slices.standing(slice) {
                Some(Standing::Slice(networks)) => networks.to_vec(),
                _ => Vec::new(),
            },
        }),
        addresses: Vec::new(),
        port: None,
        mac: None,
        missing: None,
    };
    match seat {
        Ok(seat) => {
            let had = |address: &IpAddr| {
                claims.iter().any(|claim| match claim {
                    Claim::Pod { pod: of, uid, ips, .. } => of == key && *uid == pod.uid && ips.contains(address),
                    Claim::Slice { .. } | Claim::Gateway { .. } => false,
                })
            };
            let explain = |address: &IpAddr| {
                let network = seat.networks.iter().find(|network| network.contains(*address))?;
                Some(AddressExplanation {
                    address: *address,
                    gateway: ip::gateway(*network),
                    source: if pod.ips.contains(address) {
                        AddressSource::Status
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

/// Why a pod is in the VPC of its slice.
fn why(world: World<'_>, pod: &Pod, slice: &SliceKey) -> String {
    if world.vpcs.is_empty() {
        return "the cluster has no other".to_owned();
    }
    let namespace = &pod.namespace;
    let home = match world.vpcs.home(namespace) {
        Home::Default => Some(crate::names::default_vpc()),
        Home::Vpc(state) => Some(state.object.name.clone()),
        Home::Unknown => None,
    };
    match home {
        None => format!("its address is of that VPC; namespace {namespace} is not known"),
        Some(home) if home != slice.vpc => format!(
            "it has addresses of that VPC and keeps them; namespace {namespace} is in VPC {home} by now: delete the pod to move it"
        ),
        Some(_) => selected(
            world,
            world.cluster.namespace(namespace).map(|namespace| &**namespace),
            slice,
        ),
    }
}

/// Which VPCs select a namespace.
fn selected(world: World<'_>, namespace: Option<&Namespace>, slice: &SliceKey) -> String {
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
        _ => format!("; so would {}, which {} is older than", others.join(", "), slice.vpc),
    };
    format!("it selects namespace {} ({selector}){others}", namespace.name)
}
