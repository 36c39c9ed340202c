//! A service: its load balancers, one per protocol, and what hosts need to know of it.
//!
//! ```text
//! [ Logical_Switch vpc-default-N ] -load_balancer_group-> [ Load_Balancer_Group vpc-default ]
//!        |           |                                             |
//!        |           +-load_balancer_group-> [ … @ZONE ]      load_balancer
//!        |                                      |                  v
//!        +-load_balancer-> [ …@node/N ]   [ …@zone/ZONE ]   [ Load_Balancer shop_web_tcp ]
//!
//! [ Logical_Switch services-default ] -ports-> [ LSP shop_web_service ]
//! ```
//!
//! A service is reached under its [`frontend`]s, and each sends connections to [`backend`]s. A change of endpoints changes
//! the `vips` of the service's own load balancers and nothing else. A frontend without backends stays, and refuses. Only
//! where endpoints answer on their own node, or are meant for a zone or a node, there are load balancers that not
//! all switches have ([`spread`]).
//!
//! A service is in the VPC of its namespace. Hosts reach those of other VPCs than the default one, and hand on what others may
//! send them, by a [`way`] of its own.

mod address;
mod backend;
mod explain;
mod facts;
mod frontend;
mod spread;
mod way;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_model::{EndpointSlice, Name, Service, ServiceKey};
use ovsdb::Datum;
use ovsdb_schemas::northbound::{load_balancer, load_balancer_group, logical_switch};

use self::backend::Backends;
use self::frontend::{Face, Frontend, TRANSPORTS};
use self::spread::{Place, Vips};
use crate::context::Context;
use crate::names::{DEFAULT_VPC, default_vpc};
use crate::segment::Segment;
use crate::slices::SliceKey;
use crate::vpcs::Home;

pub(crate) use self::explain::explain;
pub use self::explain::{Answer, EndpointExplanation, FrontendExplanation, ServiceExplanation};
pub(crate) use self::frontend::{Transport, vips_of};
pub(crate) use self::way::matches;

/// Whether a client is told at once that nothing answers.
const REJECT: &str = "reject";
/// Whether what is tracked of connections to a backend is forgotten with the backend.
const CT_FLUSH: &str = "ct_flush";
/// For how many seconds after its last connection a client is sent to the same endpoint.
const AFFINITY_TIMEOUT: &str = "affinity_timeout";
/// The longest that OVN remembers: the idle timeout of a flow has 16 bits.
const LONGEST_AFFINITY: u32 = 65_535;
/// By what a client is told from others.
const CLIENT: &str = "ip_src";

pub(crate) fn compile(ctx: &mut Context<'_>, key: &ServiceKey) {
    let Some(service) = ctx.service(key) else { return };
    let vpc = match vpc(ctx, key) {
        Ok(vpc) => vpc,
        Err(why) => {
            // Nobody else is to be told of it: what is nothing to balance works in no VPC, either.
            return if frontend::is_balanced(service) {
                ctx.problem(key.clone().into(), "metadata.namespace", why);
            };
        }
    };
    let slices = ctx.slices_of(key);
    let Some(told) = Told::of(ctx, key, service, vpc, &slices) else {
        return;
    };
    for slice in &slices {
        backend::report(ctx, slice);
    }
    for transport in TRANSPORTS {
        for (place, vips) in spread::spread(ctx, &told.vpc, &told.of_transport(transport), &told.behind) {
            let at = In { vpc: &told.vpc, place };
            balancer(ctx, key, service, transport, &at, &vips);
        }
    }
    facts::compile(ctx, &told);
    way::compile(ctx, &told);
}

/// A service that is balanced, and what follows from it and its endpoints.
struct Told<'a> {
    vpc: Name,
    key: &'a ServiceKey,
    service: &'a Service,
    face: Face,
    frontends: Vec<Frontend>,
    behind: Behind<'a>,
}

impl<'a> Told<'a> {
    /// `None` if it is nothing that is balanced. What makes no sense of the service is reported.
    fn of(
        ctx: &mut Context<'_>,
        key: &'a ServiceKey,
        service: &'a Service,
        vpc: Name,
        slices: &[&'a Arc<EndpointSlice>],
    ) -> Option<Self> {
        let face = frontend::face(ctx, key, service)?;
        let behind = Behind::of(ctx.service_cidrs().networks(), &face, slices);
        let frontends = face.frontends(ctx, key, service, &vpc);
        Some(Self {
            vpc,
            key,
            service,
            face,
            frontends,
            behind,
        })
    }

    fn of_transport(&self, transport: Transport) -> Vec<&Frontend> {
        let frontends = self.frontends.iter();
        frontends
            .filter(|frontend| self.face.ports[frontend.port].transport == transport)
            .collect()
    }

    /// Whether the service is in another VPC than the default one.
    fn is_elsewhere(&self) -> bool {
        &*self.vpc != DEFAULT_VPC
    }
}

/// Where a load balancer is.
struct In<'a> {
    vpc: &'a Name,
    place: Place,
}

/// The VPC of a service, or why it works in none.
pub(crate) fn vpc(ctx: &Context<'_>, key: &ServiceKey) -> Result<Name, String> {
    match ctx.home(&key.namespace) {
        Home::Default => Ok(default_vpc()),
        Home::Vpc(state) if state.is_usable() => Ok(state.object.name.clone()),
        Home::Vpc(state) => Err(state.refusal().unwrap_or_default()),
        Home::Unknown => Err(format!(
            "namespace {} is not known, which tells the VPC: the service follows once the namespace is",
            key.namespace
        )),
    }
}

/// The endpoints behind each port, family by family.
#[derive(Debug)]
struct Behind<'a>(Vec<[Backends<'a>; 2]>);

impl<'a> Behind<'a> {
    fn of(service_cidrs: &[IpNetwork], face: &Face, slices: &[&'a Arc<EndpointSlice>]) -> Self {
        let families: BTreeSet<bool> = face.addresses.cluster.iter().map(std::net::IpAddr::is_ipv4).collect();
        let of = |port: &frontend::Port| {
            [true, false].map(|v4| {
                if families.contains(&v4) {
                    Backends::of(service_cidrs, port, v4, slices)
                } else {
                    Backends::default()
                }
            })
        };
        Self(face.ports.iter().map(of).collect())
    }

    fn backends(&self, port: usize, v4: bool) -> &Backends<'a> {
        &self.0[port][usize::from(!v4)]
    }
}

fn balancer(
    ctx: &mut Context<'_>,
    key: &ServiceKey,
    service: &Service,
    transport: Transport,
    at: &In<'_>,
    vips: &Vips,
) {
    let names = ctx.names();
    let name = names.load_balancer(key, transport.name(), &at.place.suffix());
    // What is longer than OVN can remember is for good: where a client goes follows from its address, as long as the
    // endpoints are the same. Not so with IPv6: before OVN 24.03 there is no word for such an address, and by a field that
    // no packet has all clients would go to one endpoint.
    let for_good = service
        .affinity_seconds
        .is_some_and(|seconds| seconds > LONGEST_AFFINITY && vips.keys().all(SocketAddr::is_ipv4));
    let timeout = service.affinity_seconds.filter(|_| !for_good);
    let timeout = timeout.map(|seconds| seconds.min(LONGEST_AFFINITY).to_string());
    // A client that goes on sending UDP from one port would stay with an endpoint that is no more. TCP would not, and ends
    // what it has begun.
    let flush = (transport == Transport::Udp).then_some((CT_FLUSH, "true"));
    let options = [(REJECT, "true")]
        .into_iter()
        .chain(timeout.as_deref().map(|seconds| (AFFINITY_TIMEOUT, seconds)))
        .chain(flush);
    let columns = [
        (load_balancer::NAME, Datum::scalar(&name)),
        (load_balancer::PROTOCOL, Datum::scalar(ctx.text(transport.name()))),
        (load_balancer::VIPS, texts(vips)),
        (load_balancer::OPTIONS, ctx.map(options)),
        (
            load_balancer::SELECTION_FIELDS,
            Datum::set(for_good.then(|| ctx.known_text(CLIENT))),
        ),
    ];
    let balancer = ctx.row(load_balancer::TABLE, name, columns, []);
    let group = match &at.place {
        Place::Everywhere => names.load_balancers(at.vpc),
        Place::Zone(zone) => names.load_balancers_of(at.vpc, zone.as_deref()),
        Place::Node(node) => {
            let slice = SliceKey::new(at.vpc.clone(), node.clone());
            return on_switches(ctx, &[slice.into()], balancer);
        }
        Place::Rest(_, segments) => return on_switches(ctx, segments, balancer),
    };
    let group = ctx.uuid(load_balancer_group::TABLE, &group);
    ctx.link(
        load_balancer_group::TABLE,
        group,
        load_balancer_group::LOAD_BALANCER,
        balancer,
    );
}

fn on_switches(ctx: &mut Context<'_>, segments: &[Segment], balancer: ovsdb::Uuid) {
    for segment in segments {
        let switch = ctx.switch(segment);
        ctx.link(logical_switch::TABLE, switch, logical_switch::LOAD_BALANCER, balancer);
    }
}

/// The column `vips`: backends by frontend, each written as address and port.
fn texts(vips: &Vips) -> Datum {
    let text = |addresses: &[SocketAddr]| {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        texts.join(",")
    };
    Datum::map(
        vips.iter()
            .map(|(frontend, backends)| (frontend.to_string(), text(backends))),
    )
}
