//! [`SliceUse`]: how full a node's slice is, for those who watch it.

use ipnetwork::IpNetwork;
use meridian_model::Name;

/// How full one network of a node's slice is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SliceUse {
    /// The node.
    pub node: Name,
    /// The network.
    pub network: IpNetwork,
    /// Addresses that pods have.
    pub used: u128,
    /// Addresses that pods can have at most.
    pub capacity: u128,
}
