//! [`Fact`]: what a unit may read while it compiles, and by which it is found again when that changes.

use meridian_model::{Key, Name, PodKey};

use crate::Unit;
use crate::segment::Segment;
use crate::slices::SliceKey;

/// Something a unit can depend on. A new kind of joint knowledge is a new variant, touched where it changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fact {
    /// An object, or that it does not exist; of a service also its endpoints.
    Object(Key),
    /// How a node fares with its slice of a VPC.
    Slice(SliceKey),
    /// How a pod fares with its addresses.
    Fare(PodKey),
    /// Which families a segment has no address left of.
    Shortage(Segment),
    /// A VPC, whether it can be used, and what it is called wrong for.
    Vpc(Name),
    /// In which VPC a namespace is, and whether that can be used.
    Home(Name),
    /// A Subnet, whether it can be used, and what it is called wrong for.
    Subnet(Name),
    /// Whether pods on the node of a slice are in Subnets of its VPC.
    Beside(SliceKey),
    /// Which nodes have slices of a VPC beside the default one.
    SlicesOf(Name),
    /// What addresses a VPC has at one of its gateways.
    Slot(SliceKey),
    /// Which nodes are gateways of a VPC.
    Gateways(Name),
    /// Of which VPCs a node is a gateway.
    GatewayOf(Name),
    /// Whether any node is a gateway.
    AnyGateway,
    /// Whether there are VPCs beside the default one.
    Vpcs,
    /// Whether there are policies.
    Policies,
    /// In which order rules of the cluster's own policies are asked, and what they leave to others.
    Ladder,
    /// The networks of ClusterIPs.
    ServiceCidrs,
    /// The pools that services' addresses come from.
    Pools,
    /// The zones that nodes are in.
    Places,
    /// Which nodes there are, what they are like, and which of them have slices.
    Nodes,
}

impl Fact {
    /// The unit of the object that the fact is about: it compiles again in any case, so there is no need to remember
    /// for each of thousands of pods that it reads itself.
    pub(crate) fn home(&self) -> Option<Unit> {
        match self {
            Self::Object(Key::Node(name)) => Some(Unit::Node(name.clone())),
            Self::Subnet(name) => Some(Unit::Subnet(name.clone())),
            Self::Slice(slice) if slice.is_default() => Some(Unit::Node(slice.node.clone())),
            Self::Slice(slice) | Self::Beside(slice) => Some(Unit::Slice(slice.vpc.clone(), slice.node.clone())),
            Self::Vpc(name) => Some(Unit::Vpc(name.clone())),
            Self::Slot(slot) => Some(Unit::Gateway(slot.vpc.clone(), slot.node.clone())),
            Self::GatewayOf(node) => Some(Unit::Node(node.clone())),
            Self::Object(Key::Pod(namespace, name)) => Some(Unit::Pod(namespace.clone(), name.clone())),
            Self::Fare(pod) => Some(pod.clone().into()),
            Self::Object(Key::NetworkPolicy(namespace, name)) => Some(Unit::Policy(namespace.clone(), name.clone())),
            Self::Object(Key::ClusterPolicy(key)) => Some(Unit::ClusterPolicy(key.clone())),
            Self::Object(Key::Service(namespace, name)) => Some(Unit::Service(namespace.clone(), name.clone())),
            Self::Object(
                Key::Namespace(_)
                | Key::EndpointSlice(..)
                | Key::ServiceCidr(_)
                | Key::AddressPool(_)
                | Key::Vpc(_)
                | Key::NetworkAttachment(..)
                | Key::Subnet(_)
                | Key::VpcPeering(_),
            )
            | Self::Shortage(_)
            | Self::Home(_)
            | Self::SlicesOf(_)
            | Self::Gateways(_)
            | Self::AnyGateway
            | Self::Vpcs
            | Self::Policies
            | Self::Ladder
            | Self::ServiceCidrs
            | Self::Pools
            | Self::Places
            | Self::Nodes => None,
        }
    }
}
