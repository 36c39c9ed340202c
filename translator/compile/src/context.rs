//! [`Context`]: what a unit may read while it compiles, and how it puts a row together.
//!
//! Whatever a unit reads goes through here, so that nothing it depends on goes unnoticed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_api::port;
use meridian_model::{
    Cluster, ClusterPolicy, ClusterPolicyKey, DefinitionKey, Endpoint, EndpointSlice, Interner, Key, Name, Namespace,
    NetworkAttachment, NetworkPolicy, NetworkRequest, Node, Pod, PodKey, PolicyKey, PortKey, Service, ServiceKey,
};
use ovsdb::{Atom, Datum, Uuid};
use ovsdb_schemas::northbound;

use crate::address_pools::AddressPools;
use crate::addresses::{Addresses, Fare};
use crate::desired::Output;
use crate::engine::Compiled;
use crate::fact::Fact;
use crate::gateways::{Gateways, SlotKey};
use crate::identity::row_uuid;
use crate::names::{DEFAULT_VPC, Names};
use crate::placements::{Place, Placements, place_further};
use crate::places::Places;
use crate::policy::{Ladder, Policies};
use crate::segment::{Segment, Spot};
use crate::service_cidrs::ServiceCidrs;
use crate::slices::{SliceKey, Slices, Standing};
use crate::strays::Strays;
use crate::vips::{Vip, Vips};
use crate::vpcs::{Home, State, SubnetState, Vpcs};
use crate::{Config, DesiredRow, Link, Problem, Unit};

/// The column of every table Meridian writes, but one.
const EXTERNAL_IDS: &str = northbound::logical_switch_port::EXTERNAL_IDS;

/// The table whose rows have no place for ids: that they are ours shows in their UUIDs alone.
const UNLABELLED: &str = northbound::load_balancer_group::TABLE;

/// Everything that compiling depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World<'a> {
    pub(crate) config: &'a Config,
    pub(crate) names: &'a Names,
    pub(crate) cluster: &'a Cluster,
    pub(crate) vpcs: &'a Vpcs,
    pub(crate) placements: &'a Placements,
    pub(crate) strays: &'a Strays,
    pub(crate) slices: &'a Slices,
    pub(crate) gateways: &'a Gateways,
    pub(crate) addresses: &'a Addresses,
    pub(crate) service_cidrs: &'a ServiceCidrs,
    pub(crate) policies: &'a Policies,
    pub(crate) pools: &'a AddressPools,
    pub(crate) places: &'a Places,
    pub(crate) vips: &'a Vips,
    /// Texts that many rows repeat.
    pub(crate) texts: &'a RefCell<Texts>,
}

/// Texts that many rows repeat, one copy of each. Says nothing that what it was made from does not say.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    shared: Interner,
    /// Those that the program knows, a dozen or two: where they are tells them apart.
    known: Vec<(&'static str, Name)>,
    /// The switch asked for last: pods of a node compile side by side.
    switch: Option<(Segment, Uuid)>,
}

impl Texts {
    fn known(&mut self, text: &'static str) -> Name {
        if let Some((_, name)) = self.known.iter().find(|(known, _)| std::ptr::eq(*known, text)) {
            return name.clone();
        }
        let name = self.shared.intern(text);
        self.known.push((text, name.clone()));
        name
    }
}

#[derive(Debug)]
pub(crate) struct Context<'a> {
    world: World<'a>,
    unit: &'a Unit,
    reads: RefCell<BTreeSet<Fact>>,
    output: Output,
}

impl<'a> Context<'a> {
    pub(crate) fn new(world: World<'a>, unit: &'a Unit) -> Self {
        Self {
            world,
            unit,
            reads: RefCell::default(),
            output: Output::default(),
        }
    }

    pub(crate) fn finish(self) -> Compiled {
        Compiled {
            output: self.output,
            reads: self.reads.into_inner(),
        }
    }

    pub(crate) fn config(&self) -> &'a Config {
        self.world.config
    }

    pub(crate) fn names(&self) -> &'a Names {
        self.world.names
    }

    pub(crate) fn node(&self, name: &Name) -> Option<&'a Arc<Node>> {
        self.note(Fact::Object(Key::Node(name.clone())));
        self.world.cluster.node(name)
    }

    pub(crate) fn namespace(&self, name: &Name) -> Option<&'a Arc<Namespace>> {
        self.note(Fact::Object(Key::Namespace(name.clone())));
        self.world.cluster.namespace(name)
    }

    pub(crate) fn pod(&self, key: &PodKey) -> Option<&'a Arc<Pod>> {
        self.note(Fact::Object(key.clone().into()));
        self.world.cluster.pod(key)
    }

    pub(crate) fn service(&self, key: &ServiceKey) -> Option<&'a Arc<Service>> {
        self.note(Fact::Object(key.clone().into()));
        self.world.cluster.service(key)
    }

    pub(crate) fn policy(&self, key: &PolicyKey) -> Option<&'a Arc<NetworkPolicy>> {
        self.note(Fact::Object(key.clone().into()));
        self.world.cluster.policy(key)
    }

    pub(crate) fn cluster_policy(&self, key: &ClusterPolicyKey) -> Option<&'a Arc<ClusterPolicy>> {
        self.note(Fact::Object(key.clone().into()));
        self.world.cluster.cluster_policy(key)
    }

    /// In which order rules of the cluster's own policies are asked.
    pub(crate) fn ladder(&self) -> &'a Ladder {
        self.note(Fact::Ladder);
        self.world.policies.ladder()
    }

    /// Whether there are policies.
    pub(crate) fn has_policies(&self) -> bool {
        self.note(Fact::Policies);
        self.world.policies.any()
    }

    /// Which pods policies mean. Whoever reads what is theirs there, as a policy, a selection or a pod, is compiled again when it
    /// changes.
    pub(crate) fn policies(&self) -> &'a Policies {
        self.world.policies
    }

    /// The slices of a service's endpoints, sorted by name.
    pub(crate) fn slices_of(&self, service: &ServiceKey) -> Vec<&'a Arc<EndpointSlice>> {
        self.note(Fact::Object(service.clone().into()));
        self.world.cluster.slices_of(service).collect()
    }

    /// How a node fares with its slice of a VPC, if it is to have one.
    pub(crate) fn slice(&self, slice: &SliceKey) -> Option<Standing<'a>> {
        self.note(Fact::Slice(slice.clone()));
        self.world.slices.standing(slice)
    }

    /// A VPC beside the default one.
    pub(crate) fn vpc(&self, name: &Name) -> Option<&'a State> {
        self.note(Fact::Vpc(name.clone()));
        self.world.vpcs.get(name)
    }

    /// Whether there are VPCs beside the default one.
    pub(crate) fn has_vpcs(&self) -> bool {
        self.note(Fact::Vpcs);
        !self.world.vpcs.is_empty()
    }

    /// Where what is in a namespace belongs.
    pub(crate) fn home(&self, namespace: &Name) -> Home<'a> {
        self.note(Fact::Home(namespace.clone()));
        self.world.vpcs.home(namespace)
    }

    /// Where a pod belongs. It is compiled again when that changes.
    pub(crate) fn place(&self, pod: &Pod) -> Place {
        let World {
            placements,
            vpcs,
            addresses,
            config,
            ..
        } = self.world;
        placements.place(pod, vpcs, addresses, config)
    }

    /// The pod that an endpoint of a namespace is, and its VPC, if that is not the namespace's. A service that has the endpoint, and
    /// has asked where its namespace is, is compiled again when that changes.
    pub(crate) fn stray(&self, namespace: &Name, endpoint: &Endpoint) -> Option<(&'a PodKey, &'a Name)> {
        self.world.strays.find(namespace, endpoint)
    }

    /// Where a further interface of a pod belongs. The pod is compiled again when that changes.
    pub(crate) fn place_further(&self, pod: &Pod, request: &NetworkRequest) -> Place {
        let World {
            placements,
            cluster,
            vpcs,
            addresses,
            ..
        } = self.world;
        match placements.of(&request.port(pod.key())) {
            Some(spot) => Place::In(spot.clone()),
            None => place_further(pod, request, cluster, vpcs, addresses),
        }
    }

    /// What a further interface is to be like. The pod is compiled again when that changes.
    pub(crate) fn definition(&self, key: &DefinitionKey) -> Option<&'a Arc<NetworkAttachment>> {
        self.world.cluster.network_attachment(key)
    }

    /// Why an interface cannot have the addresses that it asks for. It is compiled again when that changes.
    pub(crate) fn address_refusal(
        &self,
        port: &PortKey,
        request: &NetworkRequest,
        segment: &Segment,
    ) -> Option<String> {
        self.world.addresses.refusal(port, request, segment)
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &'a Arc<Node>> + use<'a> {
        self.note(Fact::Nodes);
        self.world.cluster.nodes()
    }

    /// What any of [`Self::nodes`] has of a VPC, empty if nothing.
    pub(crate) fn slice_of(&self, vpc: &Name, node: &Name) -> &'a [IpNetwork] {
        let slice = SliceKey::new(vpc.clone(), node.clone());
        self.note(if slice.is_default() {
            Fact::Nodes
        } else {
            Fact::SlicesOf(vpc.clone())
        });
        match self.world.slices.standing(&slice) {
            Some(Standing::Slice(networks)) => networks,
            _ => &[],
        }
    }

    /// The addresses that a VPC has at one of its gateways, none if there is no such slot.
    pub(crate) fn slot(&self, slot: &SlotKey) -> Vec<IpNetwork> {
        self.note(Fact::Slot(slot.clone()));
        self.world.gateways.addresses(slot)
    }

    /// The nodes that are gateways of a VPC, by name.
    pub(crate) fn gateways(&self, vpc: &Name) -> impl Iterator<Item = &'a Name> + use<'a> {
        self.note(Fact::Gateways(vpc.clone()));
        self.world.gateways.of_vpc(vpc)
    }

    /// Why a VPC lacks gateways that it selects, and whether it is a clash.
    pub(crate) fn gateway_fault(&self, vpc: &Name) -> Option<(String, bool)> {
        self.note(Fact::Gateways(vpc.clone()));
        self.world.gateways.fault(vpc)
    }

    /// The VPCs that a node is a gateway of, by name.
    pub(crate) fn gateway_of(&self, node: &Name) -> impl Iterator<Item = &'a Name> + use<'a> {
        self.note(Fact::GatewayOf(node.clone()));
        self.world.gateways.of_node(node)
    }

    /// Whether any node is a gateway.
    pub(crate) fn any_gateway(&self) -> bool {
        self.note(Fact::AnyGateway);
        !self.world.gateways.is_empty()
    }

    /// The zones that nodes are in.
    pub(crate) fn places(&self) -> &'a Places {
        self.note(Fact::Places);
        self.world.places
    }

    /// The networks of ClusterIPs.
    pub(crate) fn service_cidrs(&self) -> &'a ServiceCidrs {
        self.note(Fact::ServiceCidrs);
        self.world.service_cidrs
    }

    /// The pools that services' addresses come from.
    pub(crate) fn pools(&self) -> &'a AddressPools {
        self.note(Fact::Pools);
        self.world.pools
    }

    /// Which service is reached under an address and port, and whether only as an address from beyond the cluster. Whoever
    /// claims it is compiled again when that changes.
    pub(crate) fn holder(&self, vip: Vip) -> Option<(&'a ServiceKey, bool)> {
        self.world.vips.holder(vip)
    }

    /// How an interface fares with its addresses, if there is its slice and the pod's status makes sense.
    pub(crate) fn fare(&self, port: &PortKey) -> Option<Fare<'a>> {
        self.note(Fact::Fare(port.pod.clone()));
        self.world.addresses.fare(port)
    }

    /// A Subnet, of whatever VPC.
    pub(crate) fn subnet(&self, name: &Name) -> Option<&'a SubnetState> {
        self.note(Fact::Subnet(name.clone()));
        self.world.vpcs.subnet(name)
    }

    /// Whether pods on the node of a slice are in Subnets of its VPC.
    pub(crate) fn has_beside(&self, slice: &SliceKey) -> bool {
        self.note(Fact::Beside(slice.clone()));
        self.world.placements.has_beside(slice)
    }

    /// Where a pod is, if not in the default VPC.
    pub(crate) fn spot_of(&self, port: &PortKey) -> Option<&'a Spot> {
        self.note(Fact::Fare(port.pod.clone()));
        self.world.placements.of(port)
    }

    /// The zones that load balancers of a VPC are for, and `None` for what is in none: nodes, and Subnets, which are everywhere.
    pub(crate) fn zones_of(&self, vpc: &Name) -> Vec<Option<&'a Name>> {
        let places = self.places();
        let mut zones: Vec<Option<&Name>> = places.iter().collect();
        let has_subnets = || self.vpc(vpc).is_some_and(|state| !state.subnets.is_empty());
        if places.any() && !zones.contains(&None) && has_subnets() {
            zones.push(None);
        }
        zones
    }

    /// What of a pod cannot be right in its segment, and why.
    pub(crate) fn address_fault(&self, pod: &Pod, segment: &Segment) -> Option<(&'static str, String)> {
        self.note(match segment {
            Segment::Slice(slice) => Fact::Slice(slice.clone()),
            Segment::Subnet(subnet) => Fact::Subnet(subnet.name.clone()),
        });
        self.world.addresses.fault(pod, segment)
    }

    /// Why a segment has no addresses for a pod.
    pub(crate) fn shortage(&self, segment: &Segment) -> Option<String> {
        self.note(Fact::Shortage(segment.clone()));
        self.world.addresses.shortage(segment)
    }

    /// The one copy of a text that many rows repeat, such as a node's name or a key of `external_ids`.
    pub(crate) fn text(&self, text: &str) -> Arc<str> {
        self.world.texts.borrow_mut().shared.intern(text)
    }

    /// The same of a text that the program knows, such as a key of `external_ids`.
    pub(crate) fn known_text(&self, text: &'static str) -> Arc<str> {
        self.world.texts.borrow_mut().known(text)
    }

    /// A map column; its keys, and its values too, are texts that many rows repeat.
    pub(crate) fn map<'t>(&self, pairs: impl IntoIterator<Item = (&'t str, &'t str)>) -> Datum {
        Datum::map(pairs.into_iter().map(|(key, value)| (self.text(key), self.text(value))))
    }

    /// The UUID of a row, whoever owns it.
    pub(crate) fn uuid(&self, table: &str, key: &str) -> Uuid {
        row_uuid(self.world.config.cluster_id().map(|id| &**id), table, key)
    }

    /// A short text that stands for a long one.
    pub(crate) fn digest(&self, text: &str) -> String {
        self.uuid("", text).simple().to_string()
    }

    /// The UUID of a segment's switch.
    pub(crate) fn switch(&self, segment: &Segment) -> Uuid {
        let last = &mut self.world.texts.borrow_mut().switch;
        if let Some((known, uuid)) = last
            && known == segment
        {
            return *uuid;
        }
        let uuid = self.uuid(northbound::logical_switch::TABLE, &self.names().switch_of(segment));
        *last = Some((segment.clone(), uuid));
        uuid
    }

    /// The UUID of the default VPC's router.
    pub(crate) fn default_router(&self) -> Uuid {
        self.uuid(northbound::logical_router::TABLE, &self.names().router(DEFAULT_VPC))
    }

    /// Adds a row. Its `external_ids`, where its table has them, are what identifies it, and `ids`.
    pub(crate) fn row(
        &mut self,
        table: &'static str,
        key: Arc<str>,
        columns: impl IntoIterator<Item = (&'static str, Datum)>,
        ids: impl IntoIterator<Item = (&'static str, Atom)>,
    ) -> Uuid {
        let uuid = self.uuid(table, &key);
        let identity = [
            (port::OWNER, Some(Atom::from(self.unit.text()))),
            (port::KEY, Some(Atom::from(&key))),
            (port::CLUSTER, self.config().cluster_id().map(Atom::from)),
        ];
        let ids = identity
            .into_iter()
            .filter_map(|(id, value)| Some((id, value?)))
            .chain(ids);
        let ids = Datum::map(ids.map(|(id, value)| (self.known_text(id), value)));
        let ids = (table != UNLABELLED).then_some((EXTERNAL_IDS, ids));
        let mut columns: Vec<_> = columns.into_iter().chain(ids).collect();
        columns.sort_unstable_by_key(|&(column, _)| column);
        let owner = self.unit.clone();
        self.output.rows.push(DesiredRow {
            table,
            uuid,
            owner,
            key,
            columns: columns.into(),
        });
        uuid
    }

    /// Contributes an element to a set column of a row.
    pub(crate) fn link(&mut self, table: &'static str, parent: Uuid, column: &'static str, value: impl Into<Atom>) {
        self.output.links.push(Link {
            table,
            parent,
            column,
            value: value.into(),
            owner: self.unit.clone(),
        });
    }

    /// Reports what keeps the unit from compiling as asked.
    pub(crate) fn problem(&mut self, object: Key, field: impl Into<Name>, message: impl Into<Name>) {
        let problem = Problem {
            object,
            field: field.into(),
            message: message.into(),
            unit: self.unit.clone(),
        };
        self.output.problems.push(problem);
    }

    fn note(&self, fact: Fact) {
        if fact.home().as_ref() != Some(self.unit) {
            self.reads.borrow_mut().insert(fact);
        }
    }
}
