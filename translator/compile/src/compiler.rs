//! [`Compiler`]: events in, changed rows out.

mod report;
mod settle;

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use meridian_model::{Cluster, DefinitionKey, Event, Key, Name, PodKey, PolicyKey, ServiceKey};

use crate::address_pools::AddressPools;
use crate::addresses::Addresses;
use crate::context::{Context, Texts, World};
use crate::engine::{Compiled, Engine};
use crate::fact::Fact;
use crate::gateways::{Gateways, SlotKey};
use crate::names::{DEFAULT_VPC, Names};
use crate::placements::Placements;
use crate::places::Places;
use crate::policy::{self, Policies};
use crate::service_cidrs::ServiceCidrs;
use crate::slices::{SliceKey, Slices};
use crate::strays::Strays;
use crate::vips::Vips;
use crate::vpcs::{State, Vpcs};
use crate::{
    Claim, Config, Delta, Desired, PathError, PathExplanation, PathQuestion, Peering, PodExplanation,
    PolicyExplanation, Problem, ServiceExplanation, SliceUse, SubnetReport, Topology, Unit, VpcPeeringReport,
    VpcReport, claim, gateway, node, path, pod, service, slice, subnet, topology, vpc,
};

/// Keeps the desired state of a cluster up to date.
///
/// [`Self::claim`] what the database holds, [`Self::apply`] everything there is, then [`Self::compile`]; from then on
/// apply and compile as things happen.
#[derive(Debug)]
pub struct Compiler {
    config: Config,
    names: Names,
    cluster: Cluster,
    vpcs: Vpcs,
    placements: Placements,
    strays: Strays,
    slices: Slices,
    gateways: Gateways,
    addresses: Addresses,
    service_cidrs: ServiceCidrs,
    policies: Policies,
    pools: AddressPools,
    places: Places,
    vips: Vips,
    engine: Engine,
    texts: RefCell<Texts>,
    nodes: BTreeSet<Name>,
    vpc_news: VpcNews,
    policy_news: policy::News,
    pods: BTreeSet<PodKey>,
    /// What a compile in pieces has still to compile.
    queue: VecDeque<Unit>,
    /// Whether the slices are settled and the addresses in them are not yet.
    half_settled: bool,
    /// Whether there are claims that no compile has considered yet.
    claimed: bool,
    started: bool,
}

/// What VPCs are to be looked at again for.
#[derive(Debug, Default)]
struct VpcNews {
    namespaces: BTreeSet<Name>,
    /// Something changed that decides which VPCs can be used.
    judge: bool,
    /// Of no VPC it is known which nodes are its gateways.
    gateways: bool,
}

impl Compiler {
    /// A compiler that has seen nothing yet.
    pub fn new(config: Config) -> Self {
        let mut engine = Engine::default();
        engine.mark(Unit::Vpc(DEFAULT_VPC.into()));
        Self {
            names: Names::new(config.cluster_id()),
            slices: Slices::new(&config),
            gateways: Gateways::new(&config),
            service_cidrs: ServiceCidrs::of(&config, &Cluster::default()),
            config,
            cluster: Cluster::default(),
            vpcs: Vpcs::default(),
            placements: Placements::default(),
            strays: Strays::default(),
            addresses: Addresses::default(),
            policies: Policies::default(),
            pools: AddressPools::default(),
            places: Places::default(),
            vips: Vips::default(),
            engine,
            texts: RefCell::default(),
            nodes: BTreeSet::new(),
            vpc_news: VpcNews::default(),
            policy_news: policy::News::default(),
            pods: BTreeSet::new(),
            queue: VecDeque::new(),
            half_settled: false,
            claimed: false,
            started: false,
        }
    }

    /// Takes note of an event. Nothing is compiled yet: several events may share a [`Self::compile`].
    pub fn apply(&mut self, event: Event) {
        for key in self.cluster.apply(event) {
            self.engine.touch(&Fact::Object(key.clone()));
            match key {
                Key::Node(name) => {
                    let node = self.cluster.node(&name).map(|node| &**node);
                    self.vpc_news.judge |= self.vpcs.depend_on(&name, node);
                    self.nodes.insert(name);
                }
                Key::Namespace(name) => {
                    self.policy_news.namespaces.insert(name.clone());
                    self.vpc_news.namespaces.insert(name);
                }
                Key::Vpc(_) | Key::Subnet(_) => self.vpc_news.judge = true,
                Key::VpcPeering(name) => {
                    self.vpc_news.judge = true;
                    // So that somebody says how it fares, even if there is no such VPC.
                    if let Some(peering) = self.cluster.vpc_peering(&name) {
                        self.engine.mark(Unit::Vpc(peering.vpc.clone()));
                    }
                }
                Key::Pod(namespace, name) => {
                    self.pods.insert(PodKey { namespace, name });
                }
                Key::Service(namespace, name) => {
                    let key = ServiceKey { namespace, name };
                    let service = self.cluster.service(&key).map(|service| &**service);
                    for other in self.vips.set(&key, service, &self.config) {
                        self.engine.mark(other.into());
                    }
                }
                Key::ServiceCidr(_) => {
                    self.service_cidrs = ServiceCidrs::of(&self.config, &self.cluster);
                    self.engine.touch(&Fact::ServiceCidrs);
                    self.vpc_news.judge |= !self.vpcs.is_empty() || self.vpcs.has_subnets();
                }
                Key::AddressPool(_) => {
                    self.pools = AddressPools::of(&self.cluster);
                    self.engine.touch(&Fact::Pools);
                }
                Key::NetworkAttachment(namespace, name) => {
                    let key = DefinitionKey { namespace, name };
                    for pod in self.cluster.pods_attached(&key) {
                        self.engine.mark(pod.clone().into());
                        self.pods.insert(pod.clone());
                    }
                }
                Key::NetworkPolicy(namespace, name) => {
                    self.policy_news.policies.insert(PolicyKey { namespace, name }.into());
                }
                Key::ClusterPolicy(key) => {
                    self.policy_news.policies.insert(key.into());
                }
                Key::EndpointSlice(..) => {}
            }
        }
    }

    /// Takes note of what was handed out before, as the database has it. What nobody has a right to any more (the object
    /// is gone or another of the same name, the cluster says otherwise) is ignored.
    ///
    /// After the first compile they go before whatever this compiler handed out meanwhile, which stays only where they say
    /// nothing to the contrary: a standby that becomes the writer takes over what its predecessor wrote.
    pub fn claim(&mut self, claims: impl IntoIterator<Item = Claim>) {
        let claims: Vec<Claim> = claims.into_iter().collect();
        if self.half_settled {
            // What was applied since has to find its slice before it finds its addresses.
            self.settle_slices();
            self.settle_addresses();
        }
        if self.started && !self.claimed {
            let ours = self.claims();
            if claims.iter().all(|claim| ours.binary_search(claim).is_ok()) {
                // What the database says is what we hold: nothing is to be taken over.
                return;
            }
            self.slices = Slices::new(&self.config);
            self.gateways = Gateways::new(&self.config);
            self.vpc_news.gateways = true;
            self.addresses = Addresses::default();
            self.placements = Placements::default();
            self.strays = Strays::default();
            self.nodes.extend(self.cluster.nodes().map(|node| node.name.clone()));
            self.pods.extend(self.cluster.pods().map(|pod| pod.key()));
            self.set_subnets();
            // Whatever the two forget without a successor nobody would touch.
            self.engine.mark_all();
            self.note_claims(claim::uncontradicted(ours, &claims));
        }
        self.note_claims(claims);
        self.claimed = true;
    }

    /// Brings the desired state up to date and returns what is to be compared with the database again.
    pub fn compile(&mut self) -> Delta {
        self.compile_piece(usize::MAX)
    }

    /// Does a part of [`Self::compile`], about so many units of it: for whoever can do something with the first rows
    /// while the rest is compiled. What others hang on comes first, then pods, those of a node side by side.
    ///
    /// What a piece says of a row is the last word, provided nothing is applied or claimed before the last piece. Of what
    /// no piece has spoken of, nothing is known: that it is not desired does not mean it should go.
    pub fn compile_piece(&mut self, about: usize) -> Delta {
        self.started = true;
        self.settle_slices();
        let mut units = Vec::from_iter(self.engine.take_dirty_before(&first_pod()));
        if units.len() < about {
            self.settle_addresses();
            self.take_queued(about, &mut units);
        }
        self.run(units)
    }

    /// Whether there is something to compile.
    pub fn is_pending(&self) -> bool {
        self.half_settled || self.claimed || self.engine.is_dirty() || !self.queue.is_empty()
    }

    /// Takes units until there are `about` so many.
    fn take_queued(&mut self, about: usize, units: &mut Vec<Unit>) {
        loop {
            let wanted = about.saturating_sub(units.len()).min(self.queue.len());
            units.extend(self.queue.drain(..wanted));
            if units.len() >= about || !self.engine.is_dirty() {
                return;
            }
            let mut dirty = Vec::from_iter(self.engine.take_dirty());
            // Ports of one switch are written fastest side by side.
            dirty.sort_by_cached_key(|unit| match unit {
                Unit::Pod(namespace, name) => {
                    let pod = self.cluster.pod(&PodKey::new(namespace.clone(), name.clone()));
                    (false, pod.and_then(|pod| pod.node.clone()))
                }
                _ => (true, None),
            });
            self.queue.extend(dirty);
        }
    }

    /// What becomes of a service as of the last [`Self::compile`], and why; `None` if there is no such service.
    pub fn explain_service(&self, key: &ServiceKey) -> Option<ServiceExplanation> {
        let unit = key.clone().into();
        service::explain(&mut Context::new(self.world(), &unit), key)
    }

    /// What becomes of a pod as of the last [`Self::compile`], and why; `None` if there is no such pod. `claims` are those of the
    /// database, and tell which addresses the pod had before.
    pub fn explain_pod(&self, key: &PodKey, claims: &[Claim]) -> Option<PodExplanation> {
        pod::explain::explain(self.world(), key, claims)
    }

    /// Which pods a policy is about as of the last [`Self::compile`], and what its rules come to; `None` if there is no such policy.
    pub fn explain_policy(&self, key: &Key) -> Option<PolicyExplanation> {
        let id = match key {
            Key::NetworkPolicy(namespace, name) => PolicyKey::new(namespace.clone(), name.clone()).into(),
            Key::ClusterPolicy(key) => key.clone().into(),
            _ => return None,
        };
        policy::explain::explain(self.world(), self.desired(), &id)
    }

    /// What becomes of what a pod sends, as of the last [`Self::compile`].
    ///
    /// # Errors
    ///
    /// If what is asked about is not there.
    pub fn explain_path(&self, question: &PathQuestion) -> Result<PathExplanation, PathError> {
        path::explain(self.world(), self.desired(), question)
    }

    /// What there is of networks as of the last [`Self::compile`]. Its cost grows with the cluster.
    pub fn topology(&self) -> Topology {
        topology::of(self.world(), self.desired())
    }

    fn world(&self) -> World<'_> {
        World {
            config: &self.config,
            names: &self.names,
            cluster: &self.cluster,
            vpcs: &self.vpcs,
            placements: &self.placements,
            strays: &self.strays,
            slices: &self.slices,
            gateways: &self.gateways,
            addresses: &self.addresses,
            service_cidrs: &self.service_cidrs,
            policies: &self.policies,
            pools: &self.pools,
            places: &self.places,
            vips: &self.vips,
            texts: &self.texts,
        }
    }

    fn run(&mut self, units: Vec<Unit>) -> Delta {
        // Taken out, because what units compile from is everything else.
        let mut engine = std::mem::take(&mut self.engine);
        let delta = engine.run(units, |unit| compile(self.world(), unit));
        self.engine = engine;
        delta
    }

    /// The desired state as of the last [`Self::compile`].
    pub fn desired(&self) -> &Desired {
        self.engine.desired()
    }

    /// What could not be compiled, sorted by object.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.engine.problems().iter()
    }

    /// Everything handed out at present, sorted, as [`Self::claim`] takes it.
    pub fn claims(&self) -> Vec<Claim> {
        let mut claims: Vec<Claim> = self.slices.claims().chain(self.addresses.claims()).collect();
        claims.extend(self.gateways.claims());
        claims.sort_unstable();
        claims
    }

    /// How the VPCs beside the default one fare as of the last [`Self::compile`], the oldest first. Its cost grows with what is in
    /// them.
    pub fn vpcs(&self) -> Vec<VpcReport> {
        let mut namespaces = self.vpcs.namespaces();
        let report = |state: &State| {
            let namespaces = namespaces.remove(&state.object.name).unwrap_or_default();
            report::vpc(state, namespaces, self.world())
        };
        self.vpcs.iter().map(report).collect()
    }

    /// How the Subnets fare as of the last [`Self::compile`], by name. Its cost grows with what is in them.
    pub fn subnets(&self) -> Vec<SubnetReport> {
        let report = |state| report::subnet(state, &self.addresses, &self.placements);
        self.vpcs.subnets().map(report).collect()
    }

    /// How the consents to peerings fare as of the last [`Self::compile`], by name.
    pub fn vpc_peerings(&self) -> Vec<VpcPeeringReport> {
        let report = |(name, peering): (&Name, &Peering)| VpcPeeringReport {
            name: name.clone(),
            peering: peering.clone(),
        };
        self.vpcs.consents().map(report).collect()
    }

    /// How full each slice is as of the last [`Self::compile`], sorted by VPC and node. Its cost grows with the slices.
    pub fn usage(&self) -> Vec<SliceUse> {
        let mut usage: Vec<SliceUse> = self.addresses.usage().collect();
        usage.sort_unstable();
        usage
    }

    /// The objects as of the last event.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn note_claims(&mut self, claims: Vec<Claim>) {
        for claim in claims {
            match claim {
                Claim::Pod { port, uid, vpc, ips } => self.addresses.claim(port, uid, vpc, ips),
                Claim::Slice { vpc, node, networks } => self.slices.claim(SliceKey::new(vpc, node), networks),
                Claim::Gateway { vpc, node, addresses } => self.gateways.claim(SlotKey::new(vpc, node), &addresses),
            }
        }
    }
}

/// Units before this one have nothing to do with addresses, and the others hang on them.
fn first_pod() -> Unit {
    Unit::Pod(Name::default(), Name::default())
}

fn compile(world: World<'_>, unit: &Unit) -> Compiled {
    let mut ctx = Context::new(world, unit);
    match unit {
        Unit::Vpc(name) => vpc::compile(&mut ctx, name),
        Unit::Node(name) => node::compile(&mut ctx, name),
        Unit::Slice(vpc, node) => slice::compile(&mut ctx, vpc, node),
        Unit::Subnet(name) => subnet::compile(&mut ctx, name),
        Unit::Gateway(vpc, node) => gateway::compile(&mut ctx, vpc, node),
        Unit::Selection(name) => policy::compile_selection(&mut ctx, name),
        Unit::ClusterPolicy(key) => policy::compile_cluster(&mut ctx, key),
        Unit::Policy(namespace, name) => policy::compile(&mut ctx, &PolicyKey::new(namespace.clone(), name.clone())),
        Unit::Pod(namespace, name) => pod::compile(&mut ctx, &PodKey::new(namespace.clone(), name.clone())),
        Unit::Service(namespace, name) => {
            service::compile(&mut ctx, &ServiceKey::new(namespace.clone(), name.clone()));
        }
    }
    ctx.finish()
}
