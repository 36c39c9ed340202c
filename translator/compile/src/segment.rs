//! [`Segment`]: the switch that a pod's port is on, and what its addresses are of.

use meridian_model::Name;

use crate::slices::SliceKey;

/// A network of one switch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Segment {
    /// What a node has of a VPC.
    Slice(SliceKey),
    /// A Subnet of a VPC, which pods of any node are in.
    Subnet(SubnetKey),
}

/// Names a Subnet, and the VPC that it is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SubnetKey {
    pub(crate) vpc: Name,
    pub(crate) name: Name,
}

/// A segment, and the node of whoever is in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spot {
    pub(crate) segment: Segment,
    pub(crate) node: Name,
}

impl Segment {
    pub(crate) fn vpc(&self) -> &Name {
        match self {
            Self::Slice(slice) => &slice.vpc,
            Self::Subnet(subnet) => &subnet.vpc,
        }
    }

    /// Whether it is what a node has of the default VPC.
    pub(crate) fn is_default(&self) -> bool {
        matches!(self, Self::Slice(slice) if slice.is_default())
    }

    /// The Subnet, if it is one.
    pub(crate) fn subnet(&self) -> Option<&SubnetKey> {
        match self {
            Self::Slice(_) => None,
            Self::Subnet(subnet) => Some(subnet),
        }
    }
}

impl Spot {
    pub(crate) fn in_slice(slice: SliceKey) -> Self {
        Self {
            node: slice.node.clone(),
            segment: Segment::Slice(slice),
        }
    }

    pub(crate) fn vpc(&self) -> &Name {
        self.segment.vpc()
    }

    /// What the node has of the VPC. Of a slice it is that slice; who is in a Subnet has it beside that, because the host reaches
    /// the VPC by it, and is reached.
    pub(crate) fn slice(&self) -> SliceKey {
        match &self.segment {
            Segment::Slice(slice) => slice.clone(),
            Segment::Subnet(subnet) => SliceKey::new(subnet.vpc.clone(), self.node.clone()),
        }
    }
}

impl From<SliceKey> for Segment {
    fn from(slice: SliceKey) -> Self {
        Self::Slice(slice)
    }
}
