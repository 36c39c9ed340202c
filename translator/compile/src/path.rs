//! [`PathExplanation`]: what becomes of what a pod sends, step by step, for people.
//!
//! ```text
//! pod -> its switch -> load balancer? -> router -> pod
//!                                          |
//!                                          +-> a pod that forwards for the VPC
//!                                          +-> gateway's slot -> another host -> refused, world
//!                                          +-> management port -> host -> refused, world, pod of another VPC
//!                                                                   |
//!                                                                   +-> default VPC (services) -> load balancer -> pod
//! ```
//!
//! What OVN does is read from the rows that are desired ([`ovn`]), not from the objects they are made of: a test compares it with
//! `ovn-trace`. What hosts do ([`host`]) is told by the rules of `node-cni`, which nothing here can read. Of network interfaces, firewalls
//! and programs that listen or not, nothing is known.

mod destination;
mod exit;
mod host;
mod known;
mod ovn;
mod policy;
mod trail;

use std::net::IpAddr;

use meridian_api::service::Protocol;
use meridian_model::{Name, Pod, PodKey, PortKey, ServiceKey};
use serde::Serialize;

use self::destination::{Destination, Resolved};
use self::exit::Exit;
use self::host::Arrival;
use self::ovn::Entry;
use self::trail::Trail;
pub use self::trail::{Branch, OvnClaim, OvnOutcome, Step, Verdict, Way};
use crate::Desired;
use crate::context::World;
use crate::ip;
use crate::pod::explain::{self as pod};
use crate::slices::{SliceKey, Standing};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathQuestion {
    /// Who sends.
    pub from: PodKey,
    /// To whom.
    pub to: PathTarget,
    /// By what; of a service, all that it has if this says nothing, and of anything else TCP.
    pub protocol: Option<Protocol>,
    /// To which port.
    pub port: Option<PathPort>,
}

/// To whom something is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathTarget {
    /// A pod's addresses.
    Pod(PodKey),
    /// A service's ClusterIPs.
    Service(ServiceKey),
    /// The addresses of a host.
    Node(Name),
    /// An address, whosoever it is.
    Address(IpAddr),
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPort {
    /// By its number.
    Number(u16),
    /// By the name that a service gives it.
    Name(String),
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The object is not there.
    #[error("there is no {0}")]
    Absent(String),
    /// The service has another port, or none.
    #[error("service {service} has no port {port}; it has {}", if .known.is_empty() { "none that is balanced" } else { .known })]
    Port {
        /// Which service.
        service: ServiceKey,
        /// What was asked for.
        port: String,
        /// What there is.
        known: String,
    },
    /// A name where only a number says anything.
    #[error("port {0:?} is a name, which only services give: write its number")]
    PortName(String),
}

/// What becomes of what a pod sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathExplanation {
    /// The pod that sends.
    pub from: String,
    /// Its VPC, if it has a port in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    /// To whom it sends.
    pub to: String,
    /// What is to be known before: who is in which VPC.
    pub notes: Vec<String>,
    /// For each address and port of whom it sends to.
    pub ways: Vec<Way>,
}

/// What everything here reads.
#[derive(Clone, Copy, Debug)]
struct Map<'a> {
    world: World<'a>,
    desired: &'a Desired,
}

pub(crate) fn explain(
    world: World<'_>,
    desired: &Desired,
    question: &PathQuestion,
) -> Result<PathExplanation, PathError> {
    let map = Map { world, desired };
    let Some(from) = world.cluster.pod(&question.from) else {
        return Err(PathError::Absent(format!("pod {}", question.from)));
    };
    let Resolved {
        name,
        pod: target,
        mut notes,
        destinations,
        reason,
    } = destination::resolve(map, question)?;
    let origin = pod::seat(world, from);
    if let (Ok(origin), Some(target)) = (&origin, &target)
        && let Some(theirs) = world.cluster.pod(target).and_then(|pod| pod::seat(world, pod).ok())
        && theirs.spot.vpc() != origin.spot.vpc()
        && pod::further(world, from)
            .iter()
            .all(|further| further.seat.spot.vpc() != theirs.spot.vpc())
    {
        notes.push(format!(
            "pod {target} is in VPC {}, pod {} in VPC {}: no route leads from one to the other, and an address means what it means in the \
             sender's",
            theirs.spot.vpc(), question.from, origin.spot.vpc()
        ));
    }
    let ways = match &origin {
        Err(why) => vec![Way::stopped(
            Verdict::Dropped,
            format!("pod {}", question.from),
            why.clone(),
        )],
        Ok(_) if destinations.is_empty() => {
            let why = reason.unwrap_or_else(|| "it has no address".to_owned());
            vec![Way::stopped(Verdict::Dropped, name.clone(), why)]
        }
        Ok(origin) => destinations
            .iter()
            .map(|destination| {
                let (port, origin) = leaving(map, from, origin, destination.address);
                way(map, &port, &origin, target.as_ref(), destination)
            })
            .collect(),
    };
    Ok(PathExplanation {
        from: question.from.to_string(),
        vpc: origin.ok().map(|origin| origin.spot.vpc().to_string()),
        to: name,
        notes,
        ways,
    })
}

/// By which of its interfaces a pod sends to an address, and what that has.
fn leaving(map: Map<'_>, from: &Pod, first: &pod::Seat, to: IpAddr) -> (PortKey, pod::Seat) {
    let further = pod::further(map.world, from).into_iter();
    let mut leading = further.filter(|further| further.networks.iter().any(|network| network.contains(to)));
    match leading.next() {
        Some(further) => (further.port, further.seat),
        None => (from.key().into(), first.clone()),
    }
}

fn way(map: Map<'_>, from: &PortKey, origin: &pod::Seat, target: Option<&PodKey>, to: &Destination) -> Way {
    let label = to.to_string();
    if !origin.ips.iter().any(|ip| ip.is_ipv4() == to.address.is_ipv4()) {
        let family = if to.address.is_ipv4() { "IPv4" } else { "IPv6" };
        let why = format!("the pod has no {family} address to send from");
        return Way {
            destination: label,
            ..Way::stopped(Verdict::Dropped, format!("pod {from}"), why)
        };
    }
    if origin.ips.contains(&to.address) {
        let does = format!("{} is its own address: it never leaves the pod", to.address);
        let step = Step {
            at: format!("pod {from}"),
            does,
            object: None,
            row: None,
            rule: None,
        };
        return Trail::reached([], format!("pod {from} itself"), Some(from.pod.clone())).into_way(step, label, target);
    }
    let entry = Entry {
        spot: origin.spot.clone(),
        port: map.world.names.port(from).to_string(),
        sources: origin.ips.clone(),
        of_host: false,
        pod: from.is_first().then(|| from.pod.clone()),
    };
    let first = Step {
        at: format!("node {}", origin.spot.node),
        does: format!("enters VPC {} by the pod's port", origin.spot.vpc()),
        object: Some(format!("pod {from}")),
        row: Some(format!("Logical_Switch_Port {}", entry.port)),
        rule: None,
    };
    let (trail, claims) = enter(map, &entry, to);
    let mut way = trail.into_way(first, label, target);
    way.switch = Some(map.world.names.switch_of(&origin.spot.segment).to_string());
    way.ovn = claims;
    way
}

/// What becomes of what enters OVN by a port, and what OVN's own part in it is.
fn enter(map: Map<'_>, entry: &Entry, to: &Destination) -> (Trail, Vec<OvnClaim>) {
    let Some(balanced) = ovn::balance(map, &entry.spot.segment, to) else {
        let (trail, claim) = carried(map, entry, to, None);
        return (trail, vec![claim]);
    };
    let step = |does: String| Step {
        at: format!("node {}", entry.spot.node),
        does,
        object: Some(balanced.service.clone()),
        row: Some(format!("Load_Balancer {}", balanced.row)),
        rule: None,
    };
    if balanced.backends.is_empty() {
        let trail = Trail::end(
            [step(format!("{to} has no endpoint: refused at once (options:reject)"))],
            Verdict::Refused,
            format!("load balancer {}", balanced.row),
        );
        return (trail, vec![OvnClaim::new(OvnOutcome::Rejected, Vec::new(), None)]);
    }
    let count = balanced.backends.len();
    let does = match count {
        1 => format!("translates {to} to its endpoint {}", balanced.backends[0]),
        _ => format!("translates {to} to one of its {count} endpoints"),
    };
    let mut claims = Vec::new();
    let branches = balanced.backends.iter().map(|&backend| {
        let (trail, claim) = carried(map, entry, &to.translated(backend), Some(backend));
        claims.push(claim);
        (backend, trail)
    });
    let trail = Trail::split(step(does), branches.collect());
    (trail, claims)
}

/// What becomes of it past the load balancers.
fn carried(map: Map<'_>, entry: &Entry, to: &Destination, endpoint: Option<std::net::SocketAddr>) -> (Trail, OvnClaim) {
    let mut before = None;
    if let Some(pod) = &entry.pod {
        match policy::judge(map, (pod, &entry.spot.node), false, to.address, to) {
            Some((step, false)) => return stopped([step], pod, endpoint),
            Some((step, true)) => before = Some(step),
            None => {}
        }
    }
    let (mut steps, exit) = ovn::carry(map, &entry.spot, to.address);
    steps.splice(0..0, before);
    let (port, is_delivered) = match &exit {
        Exit::Pod(port) => (Some(port), true),
        // Of several nobody knows which.
        Exit::Forwarded(hops) if hops.len() == 1 => (hops[0].1.as_ref(), false),
        _ => (None, false),
    };
    if let Some(port) = port.filter(|port| port.is_first() && entry.pod.as_ref() != Some(&port.pod))
        && let Some((step, goes_on)) = let_in(map, entry, &port.pod, to)
    {
        // Delivered is what the last step says.
        let at = steps.len().saturating_sub(usize::from(is_delivered));
        if !goes_on {
            steps.truncate(at);
            steps.push(step);
            return stopped(steps, &port.pod, endpoint);
        }
        steps.insert(at, step);
    }
    let names = map.world.names;
    let claim = exit.claim(names, endpoint);
    let trail = match exit {
        Exit::Pod(port) => Trail::reached(steps, format!("pod {port}"), Some(port.pod)),
        Exit::Host { slice, .. } => {
            let arrival = Arrival {
                slice,
                sources: entry.sources.clone(),
                of_host: entry.of_host,
                gateways: Vec::new(),
            };
            host::arrive(map, &arrival, to).after(steps)
        }
        Exit::Gateways(gateways) => {
            // They all do the same.
            let slice = SliceKey::new(entry.spot.vpc().clone(), gateways[0].clone());
            let sources = map.world.gateways.addresses(&slice);
            let arrival = Arrival {
                slice,
                sources: sources.iter().map(ipnetwork::IpNetwork::ip).collect(),
                of_host: false,
                gateways,
            };
            host::arrive(map, &arrival, to).after(steps)
        }
        Exit::Forwarded(hops) => {
            let who: Vec<String> = hops
                .iter()
                .filter_map(|(_, port)| Some(format!("pod {}", port.as_ref()?)))
                .collect();
            if who.is_empty() {
                Trail::end(
                    steps,
                    Verdict::Dropped,
                    format!("router {}", names.router(entry.spot.vpc())),
                )
            } else {
                Trail::end(steps, Verdict::Forwarded, who.join(" or "))
            }
        }
        Exit::Services(slice) => {
            let mut trail = Trail::end(steps, Verdict::Refused, format!("node {}", slice.node));
            trail.steps.push(Step::rule(
                &slice.node,
                "the address is only a source of the host's: what is sent to it would go back into the VPC",
                "inet meridian, chain forward",
            ));
            trail
        }
        Exit::Router(name) => Trail::end(
            steps,
            Verdict::Reached,
            format!("router {name}, which answers pings alone"),
        ),
        Exit::Nobody(at) | Exit::Nowhere(at) => Trail::end(steps, Verdict::Dropped, at),
    };
    (trail, claim)
}

/// What a pod's policies say of what comes to it. Its own host reaches it in any case.
fn let_in(map: Map<'_>, entry: &Entry, pod: &PodKey, to: &Destination) -> Option<(Step, bool)> {
    let node = map.world.cluster.pod(pod)?.node.as_ref()?;
    let source = entry.sources.iter().find(|ip| ip.is_ipv4() == to.address.is_ipv4())?;
    let slice = map.world.slices.standing(&entry.spot.slice());
    let is_own_host = match slice {
        Some(Standing::Slice(networks)) => {
            entry.pod.is_none()
                && entry.spot.node == *node
                && networks.iter().any(|network| ip::management(*network) == *source)
        }
        _ => false,
    };
    if is_own_host {
        return None;
    }
    policy::judge(map, (pod, node), true, *source, to)
}

/// The end of what policies do not let through.
fn stopped(
    steps: impl IntoIterator<Item = Step>,
    pod: &PodKey,
    endpoint: Option<std::net::SocketAddr>,
) -> (Trail, OvnClaim) {
    let trail = Trail::end(steps, Verdict::Dropped, format!("policies of pod {pod}"));
    (trail, OvnClaim::new(OvnOutcome::Dropped, Vec::new(), endpoint))
}
