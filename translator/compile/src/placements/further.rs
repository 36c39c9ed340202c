//! Where a further interface of a pod belongs.

use meridian_model::{AttachmentConfig, Cluster, Name, NetworkRequest, Pod};

use super::Place;
use crate::addresses::{Addresses, wants_port};
use crate::segment::Spot;
use crate::slices::SliceKey;
use crate::vpcs::Vpcs;

/// Where a further interface belongs.
///
/// Its definition names the VPC, but who may write definitions has no say in who is in a VPC, nor has who may write pods: the VPC
/// itself has to allow the pod's namespace. Wherever the definition is, because a pod may name one of any namespace.
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
    let definition = &request.definition;
    let vpc = match cluster.network_attachment(definition).map(|found| &found.config) {
        None => {
            let message = format!("there is no NetworkAttachmentDefinition {definition}: create it, or name another");
            return Place::Nowhere(message);
        }
        Some(AttachmentConfig::Foreign) => return Place::Unwanted,
        Some(AttachmentConfig::Unreadable(why)) => {
            return Place::Nowhere(format!("NetworkAttachmentDefinition {definition}: {why}"));
        }
        Some(AttachmentConfig::Ours { vpc, subnet }) => match in_vpc(vpc.as_ref(), subnet.as_ref()) {
            Ok(vpc) => vpc,
            Err(why) => return Place::Nowhere(format!("NetworkAttachmentDefinition {definition}: {why}")),
        },
    };
    let Some(state) = vpcs.get(vpc) else {
        return Place::Nowhere(format!(
            "NetworkAttachmentDefinition {definition}: there is no VPC {vpc} beside the default one: create it, or name another"
        ));
    };
    if let Some(why) = vpcs.refuses(state, &pod.namespace, cluster) {
        return Place::Nowhere(why);
    }
    // What is in a VPC stays in it, also when nothing new is let in.
    let port = request.port(pod.key());
    let is_in_it = addresses.vpc_of(&port, &pod.uid) == Some(vpc);
    match state.refusal() {
        Some(why) if !is_in_it => Place::Nowhere(why),
        _ => Place::In(Spot::in_slice(SliceKey::new(vpc.clone(), node.clone()))),
    }
}

/// The VPC that a configuration names.
fn in_vpc<'a>(vpc: Option<&'a Name>, subnet: Option<&Name>) -> Result<&'a Name, String> {
    match (vpc, subnet) {
        (Some(vpc), None) => Ok(vpc),
        (_, Some(subnet)) => Err(format!("there is no Subnet {subnet}")),
        (None, None) => Err("spec.config names neither \"vpc\" nor \"subnet\": name the one it is to be in".to_owned()),
    }
}
