//! [`SliceUse`]: how full a slice is, for those who watch it, and [`VpcReport`], [`VpcPeeringReport`] and [`SubnetReport`]: how VPCs,
//! peerings and Subnets fare.

use ipnetwork::IpNetwork;
use meridian_model::{Name, PodKey};

/// How full one network of a slice is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SliceUse {
    /// The VPC.
    pub vpc: Name,
    /// The node.
    pub node: Name,
    /// The network.
    pub network: IpNetwork,
    /// Addresses that pods have.
    pub used: u128,
    /// Addresses that pods can have at most.
    pub capacity: u128,
}

/// How a VPC fares with another that it names as its peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peering {
    /// Pods of the one reach pods of the other.
    Connected,
    /// The other one does not exist, does not agree or cannot be used, and why.
    Waiting(String),
    /// The two cannot be peers, and why.
    Refused(String),
}

/// How a VPC fares with its gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayReport {
    /// The nodes, sorted.
    pub nodes: Vec<Name>,
    /// Why it has none, or not all that it selects.
    pub lack: Option<String>,
    /// Whether that is a clash with something else.
    pub conflict: bool,
}

/// How a `VpcPeering` fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcPeeringReport {
    /// Its name.
    pub name: Name,
    /// How the two VPCs fare with each other.
    pub peering: Peering,
}

/// How a VPC beside the default one fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VpcReport {
    /// Its name.
    pub name: Name,
    /// Whether it was known to be on its way out: from then on nothing new comes in.
    pub deleting: bool,
    /// Why no pod can be in it, field and message; empty if pods can.
    pub faults: Vec<(String, String)>,
    /// Whether what keeps pods out is a clash with something that was there before.
    pub conflict: bool,
    /// The namespaces whose new pods are in it, sorted.
    pub namespaces: Vec<Name>,
    /// The namespaces that it selects and an older VPC has, with that VPC, sorted.
    pub lost: Vec<(Name, Name)>,
    /// The peers that it names, in its order, and then those that only `VpcPeering`s name for it.
    pub peers: Vec<(Name, Peering)>,
    /// Its routes, if it has any.
    pub routes: Option<RouteReport>,
    /// Its gateways, if pods reach the world through such.
    pub gateways: Option<GatewayReport>,
    /// How many nodes have pods of it.
    pub nodes: usize,
    /// How many pods are in it, also with a further interface only.
    pub pods: usize,
    /// Pods in it whose namespace is in another VPC by now: the first hundred, sorted.
    pub remaining: Vec<PodKey>,
    /// The first ten pods in it, sorted by node.
    pub first: Vec<PodKey>,
}

/// How the routes of a VPC fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteReport {
    /// For how many networks there is one.
    pub count: usize,
    /// What is wrong with the others, or with next hops, field and message.
    pub faults: Vec<(String, String)>,
    /// Whether one of these is a clash with something else.
    pub conflict: bool,
}

/// How a Subnet fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubnetReport {
    /// Its name.
    pub name: Name,
    /// The VPC that it is of.
    pub vpc: Name,
    /// Whether it was known to be on its way out: from then on nothing new comes in.
    pub deleting: bool,
    /// Why no pod can be in it, field and message; empty if pods can, as far as it is about the Subnet itself.
    pub faults: Vec<(String, String)>,
    /// Whether what keeps pods out is a clash with something that was there before.
    pub conflict: bool,
    /// Why its VPC cannot have it yet.
    pub waiting: Option<String>,
    /// What is wrong and keeps nobody out, field and message.
    pub flaws: Vec<(String, String)>,
    /// How full each of its networks is; empty while no pod can be in it.
    pub fill: Vec<Fill>,
    /// How many nodes have pods of it.
    pub nodes: usize,
    /// How many pods are in it.
    pub pods: usize,
    /// The first ten pods in it, sorted.
    pub first: Vec<PodKey>,
}

/// How full a network is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The network.
    pub network: IpNetwork,
    /// Addresses that pods have.
    pub used: u128,
    /// Addresses that pods can still be given without asking for them.
    pub free: u128,
}
