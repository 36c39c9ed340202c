//! Which load balancers a service has, and where: one for all nodes, unless endpoints answer only where they are or are
//! meant for some.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use meridian_model::{Name, TrafficPolicy};

use super::Behind;
use super::backend::Meant;
use super::frontend::Frontend;
use crate::context::Context;
use crate::places;
use crate::segment::{Segment, SubnetKey};
use crate::slices::{SliceKey, Standing};

/// Backends by frontend.
pub(super) type Vips = BTreeMap<SocketAddr, Vec<SocketAddr>>;

/// Who has a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// All nodes of the VPC.
    Everywhere,
    /// The nodes of a zone, or those in no zone.
    Zone(Option<Name>),
    /// One node.
    Node(Name),
    /// The nodes of a zone, or of none, that have no load balancer of their own, and beside those of none the Subnets.
    Rest(Option<Name>, Vec<Segment>),
}

impl Place {
    /// What tells its load balancer from the service's others.
    pub(super) fn suffix(&self) -> String {
        match self {
            Self::Everywhere => String::new(),
            Self::Zone(zone) => format!("@zone/{}", zone.as_deref().unwrap_or_default()),
            Self::Node(node) => format!("@node/{node}"),
            Self::Rest(zone, _) => format!("@rest/{}", zone.as_deref().unwrap_or_default()),
        }
    }
}

/// The load balancers of frontends of one protocol.
pub(super) fn spread(
    ctx: &Context<'_>,
    vpc: &Name,
    frontends: &[&Frontend],
    behind: &Behind<'_>,
) -> Vec<(Place, Vips)> {
    let mut spread = Spread::of(vpc.clone());
    for frontend in frontends {
        spread.add(ctx, frontend, behind);
    }
    spread.split_by_node(ctx);
    spread.finish()
}

#[derive(Default)]
struct Spread {
    vpc: Name,
    everywhere: Vips,
    zones: BTreeMap<Option<Name>, Vips>,
    nodes: BTreeMap<Name, Vips>,
    rest: BTreeMap<Option<Name>, (Vips, Vec<Segment>)>,
    meant_for_nodes: Vec<MeantForNodes>,
}

/// A frontend some of whose endpoints are meant for nodes.
struct MeantForNodes {
    address: SocketAddr,
    nodes: BTreeMap<Name, Vec<SocketAddr>>,
    zones: BTreeMap<Name, Vec<SocketAddr>>,
    all: Vec<SocketAddr>,
}

impl Spread {
    fn of(vpc: Name) -> Self {
        Self { vpc, ..Self::default() }
    }

    fn add(&mut self, ctx: &Context<'_>, frontend: &Frontend, behind: &Behind<'_>) {
        let backends = behind.backends(frontend.port, frontend.address.is_ipv4());
        let all = backends.answering();
        if frontend.policy == TrafficPolicy::Local && !all.is_empty() {
            for (node, own) in backends.by_node() {
                let slice = SliceKey::new(self.vpc.clone(), node.clone());
                if matches!(ctx.slice(&slice), Some(Standing::Slice(_))) {
                    self.nodes.entry(node).or_default().insert(frontend.address, own);
                }
            }
            return;
        }
        match backends.meant() {
            Meant::ByZone(zones) if ctx.places().any() => {
                for place in ctx.zones_of(&self.vpc) {
                    let own = place.and_then(|zone| zones.get(zone)).unwrap_or(&all).clone();
                    self.zones
                        .entry(place.cloned())
                        .or_default()
                        .insert(frontend.address, own);
                }
            }
            Meant::ByNode(nodes, zones) => self.meant_for_nodes.push(MeantForNodes {
                address: frontend.address,
                nodes,
                zones,
                all,
            }),
            Meant::Everywhere | Meant::ByZone(_) => {
                self.everywhere.insert(frontend.address, all);
            }
        }
    }

    /// A node that endpoints are meant for has a load balancer of its own; the others of its zone share one.
    fn split_by_node(&mut self, ctx: &Context<'_>) {
        if self.meant_for_nodes.is_empty() {
            return;
        }
        let nodes = ctx
            .nodes()
            .filter(|node| !ctx.slice_of(&self.vpc, &node.name).is_empty());
        for node in nodes {
            let zone = places::zone(node);
            let own = |meant: &MeantForNodes| {
                let of_zone = || zone.and_then(|zone| meant.zones.get(zone));
                let backends = meant.nodes.get(&node.name).or_else(of_zone).unwrap_or(&meant.all);
                (meant.address, backends.clone())
            };
            let vips = self.meant_for_nodes.iter().map(own);
            if self
                .meant_for_nodes
                .iter()
                .any(|meant| meant.nodes.contains_key(&node.name))
            {
                self.nodes.entry(node.name.clone()).or_default().extend(vips);
            } else {
                let rest = self
                    .rest
                    .entry(zone.cloned())
                    .or_insert_with(|| (vips.collect(), Vec::new()));
                rest.1.push(SliceKey::new(self.vpc.clone(), node.name.clone()).into());
            }
        }
        let subnets = ctx.vpc(&self.vpc).into_iter().flat_map(|state| &state.subnets);
        for (name, _) in subnets {
            let vips = self
                .meant_for_nodes
                .iter()
                .map(|meant| (meant.address, meant.all.clone()));
            let rest = self.rest.entry(None).or_insert_with(|| (vips.collect(), Vec::new()));
            rest.1.push(Segment::Subnet(SubnetKey {
                vpc: self.vpc.clone(),
                name: name.clone(),
            }));
        }
    }

    fn finish(self) -> Vec<(Place, Vips)> {
        let everywhere = (!self.everywhere.is_empty()).then_some((Place::Everywhere, self.everywhere));
        let zones = self.zones.into_iter().map(|(zone, vips)| (Place::Zone(zone), vips));
        let nodes = self.nodes.into_iter().map(|(node, vips)| (Place::Node(node), vips));
        let rest = self
            .rest
            .into_iter()
            .map(|(zone, (vips, nodes))| (Place::Rest(zone, nodes), vips));
        everywhere.into_iter().chain(zones).chain(nodes).chain(rest).collect()
    }
}
