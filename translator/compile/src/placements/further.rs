//! Where a further interface of a pod belongs.

use meridian_api::attachment::NETWORKS;
use meridian_model::{AttachmentConfig, Cluster, Name, NetworkRequest, Pod};

use super::{Place, refusal};
use crate::addresses::{Addresses, wants_port};
use crate::segment::{Segment, Spot};
use crate::slices::SliceKey;
use crate::vpcs::{SubnetState, Vpcs};

/// Where a further interface belongs.
///
/// Its definition names the VPC or a Subnet of it, but who may write definitions has no say in who is in a VPC, nor has who may
/// write pods: the VPC itself has to allow the pod's namespace. Wherever the definition is, because a pod may name one of any
/// namespace.
pub(crate) fn place(
    pod: &Pod,
    request: &NetworkRequest,
    cluster: &Cluster,
    vpcs: &Vpcs,
    addresses: &Addresses,
) -> Place {
    let Some(node) = pod.node.as_ref().filter(|_| wants_port(pod)) else {
        return Place::Unwanted;
    };
    let config = cluster
        .network_attachment(&request.definition)
        .map(|found| &found.config);
    if config == Some(&AttachmentConfig::Foreign) {
        return Place::Unwanted;
    }
    match spot(pod, node, request, config, cluster, vpcs, addresses) {
        Ok(spot) => Place::In(spot),
        Err(why) => Place::Nowhere(NETWORKS, why),
    }
}

fn spot(
    pod: &Pod,
    node: &Name,
    request: &NetworkRequest,
    config: Option<&AttachmentConfig>,
    cluster: &Cluster,
    vpcs: &Vpcs,
    addresses: &Addresses,
) -> Result<Spot, String> {
    let definition = format!("NetworkAttachmentDefinition {}", request.definition);
    let (vpc, subnet) = match config {
        Some(AttachmentConfig::Ours { vpc, subnet }) => (vpc, subnet),
        Some(AttachmentConfig::Unreadable(why)) => return Err(format!("{definition}: {why}")),
        Some(AttachmentConfig::Foreign) | None => {
            return Err(format!("there is no {definition}: create it, or name another"));
        }
    };
    let subnet = match subnet {
        None => None,
        Some(name) => {
            let absent = || format!("{definition}: there is no Subnet {name}: create it, or name another");
            Some(vpcs.subnet(name).ok_or_else(absent)?)
        }
    };
    let vpc = match (vpc, subnet) {
        (Some(vpc), Some(subnet)) if subnet.object.vpc != *vpc => {
            return Err(format!(
                "{definition}: Subnet {} is of VPC {}, not of VPC {vpc}: leave one of the two out",
                subnet.object.name, subnet.object.vpc
            ));
        }
        (Some(vpc), _) => vpc,
        (None, Some(subnet)) => &subnet.object.vpc,
        (None, None) => {
            return Err(format!(
                "{definition}: spec.config names neither \"vpc\" nor \"subnet\": name the one it is to be in"
            ));
        }
    };
    let state = vpcs.get(vpc).ok_or_else(|| {
        format!("{definition}: there is no VPC {vpc} beside the default one: create it, or name another")
    })?;
    if let Some(why) = vpcs.refuses(state, &pod.namespace, cluster) {
        return Err(why);
    }
    // What is in a VPC stays in it, also when nothing new is let in; and so it is with a Subnet.
    let port = request.port(pod.key());
    let is_in_vpc = addresses.vpc_of(&port, &pod.uid) == Some(vpc);
    let is_in = |subnet: &SubnetState| is_in_vpc && addresses.has(&port, &pod.uid, |ip| subnet.contains(ip));
    let refused = |subnet: &&SubnetState| !is_in(subnet);
    let of_vpc = refusal(state, pod, "name another definition").filter(|_| !is_in_vpc);
    let refusal = of_vpc.or_else(|| subnet.filter(refused).and_then(SubnetState::refusal));
    if let Some(why) = refusal {
        return Err(why);
    }
    Ok(match subnet {
        None => Spot::in_slice(SliceKey::new(vpc.clone(), node.clone())),
        Some(subnet) => Spot {
            segment: Segment::Subnet(subnet.key()),
            node: node.clone(),
        },
    })
}
