//! A service: its load balancers, one per protocol.
//!
//! ```text
//! [ Logical_Switch vpc-default-N ] -load_balancer_group-> [ Load_Balancer_Group vpc-default ]
//!                                                                  |
//!                                                            load_balancer
//!                                                                  v
//!                                                     [ Load_Balancer shop_web_tcp ]
//! ```
//!
//! A service is reached under its [`Frontend`]s, and each sends connections to backends. A change of endpoints changes
//! the `vips` of the service's own load balancers and nothing else. A frontend without backends stays, and refuses.

mod backend;
mod frontend;

use std::net::SocketAddr;
use std::sync::Arc;

use meridian_model::{EndpointSlice, Service, ServiceKey};
use ovsdb::Datum;
use ovsdb_schemas::northbound::{load_balancer, load_balancer_group};

use self::frontend::{Frontend, Transport};
use crate::context::Context;
use crate::names::DEFAULT_VPC;

/// Whether a client is told at once that nothing answers.
const REJECT: &str = "reject";
/// For how many seconds after its last connection a client is sent to the same endpoint.
const AFFINITY_TIMEOUT: &str = "affinity_timeout";
/// The longest that OVN remembers: the idle timeout of a flow has 16 bits.
const LONGEST_AFFINITY: u32 = 65_535;

pub(crate) fn compile(ctx: &mut Context<'_>, key: &ServiceKey) {
    let Some(service) = ctx.service(key) else { return };
    let frontends = frontend::frontends(ctx, key, service);
    if frontends.is_empty() {
        return;
    }
    let slices = ctx.slices_of(key);
    for slice in &slices {
        backend::report(ctx, slice);
    }
    for transport in Transport::ALL {
        let mut of_transport = frontends
            .iter()
            .filter(|frontend| frontend.transport == transport)
            .peekable();
        if of_transport.peek().is_some() {
            let vips = vips(ctx, of_transport, &slices);
            balancer(ctx, key, service, transport, vips);
        }
    }
}

/// The column `vips`: backends by frontend, each written as address and port.
fn vips<'a>(ctx: &Context<'_>, frontends: impl Iterator<Item = &'a Frontend>, slices: &[&Arc<EndpointSlice>]) -> Datum {
    let text = |addresses: Vec<SocketAddr>| {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        texts.join(",")
    };
    Datum::map(frontends.map(|frontend| {
        let backends = backend::backends(ctx.config(), frontend, slices);
        (frontend.address.to_string(), text(backends))
    }))
}

fn balancer(ctx: &mut Context<'_>, key: &ServiceKey, service: &Service, transport: Transport, vips: Datum) {
    let names = ctx.names();
    let name = names.load_balancer(key, transport.name());
    let affinity = service
        .affinity_seconds
        .map(|seconds| seconds.min(LONGEST_AFFINITY).to_string());
    let options = [(REJECT, "true")]
        .into_iter()
        .chain(affinity.as_deref().map(|seconds| (AFFINITY_TIMEOUT, seconds)));
    let columns = [
        (load_balancer::NAME, Datum::scalar(&name)),
        (load_balancer::PROTOCOL, Datum::scalar(ctx.text(transport.name()))),
        (load_balancer::VIPS, vips),
        (load_balancer::OPTIONS, ctx.map(options)),
    ];
    let group = ctx.uuid(load_balancer_group::TABLE, &names.load_balancers(DEFAULT_VPC));
    let balancer = ctx.row(load_balancer::TABLE, name, columns, []);
    ctx.link(
        load_balancer_group::TABLE,
        group,
        load_balancer_group::LOAD_BALANCER,
        balancer,
    );
}
