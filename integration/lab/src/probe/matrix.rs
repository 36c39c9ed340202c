//! Every pod to every pod, every host to its own pods, every pod to its host: what to probe, and
//! probing it. How it looks on a screen is [`super::table`]'s.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use super::{http, icmp};
use crate::error::{Error, Result};
use crate::netns;
use crate::serve::PADDING;

/// Probes at once from one place, and places at once: a broken network costs a timeout per
/// probe, a working one is limited by two cores.
const PROBES_AT_ONCE: usize = 8;
const PLACES_AT_ONCE: usize = 16;

/// Somebody who sends or answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// `namespace/pod`, or a node's name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The host it is on, or is.
    pub host: String,
    /// The VPC it is in; none is the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    /// Where it sends from.
    #[serde(skip)]
    pub netns: String,
    /// Where it answers.
    pub ips: Vec<IpAddr>,
    /// Ports on which it answers HTTP with its name.
    pub ports: Vec<u16>,
}

/// What an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A pod, which answers ICMP and HTTP.
    Pod,
    /// A host, at its management address.
    Host,
    /// Somebody beyond the cluster, who answers and does not ask.
    Outside,
}

/// How to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Echo request.
    Icmp,
    /// GET on a port.
    Http(u16),
}

/// What came of one probe.
#[derive(Clone, Debug, Serialize)]
pub struct Probe {
    /// Index of the sender.
    pub from: usize,
    /// Index of the target.
    pub to: usize,
    /// The target's address.
    pub ip: IpAddr,
    /// How.
    pub method: Method,
    /// The time it took, or why it failed.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The end of a probe.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Milliseconds to the answer.
    #[serde(rename = "ms", serialize_with = "milliseconds")]
    Time(Duration),
    /// Why there was none.
    Error(String),
}

/// The whole result.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    /// Who took part.
    pub endpoints: Vec<Endpoint>,
    /// Everything that was tried.
    pub probes: Vec<Probe>,
    /// Milliseconds for all of it.
    #[serde(rename = "ms", serialize_with = "milliseconds")]
    pub time: Duration,
}

impl Matrix {
    /// The probes that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Probe> {
        self.probes.iter().filter(|p| matches!(p.outcome, Outcome::Error(_)))
    }

    /// Times of the probes of one kind, sorted.
    pub fn times(&self, icmp: bool) -> Vec<Duration> {
        let mut times: Vec<_> = self
            .probes
            .iter()
            .filter(|p| (p.method == Method::Icmp) == icmp)
            .filter_map(|p| match p.outcome {
                Outcome::Time(time) => Some(time),
                Outcome::Error(_) => None,
            })
            .collect();
        times.sort();
        times
    }
}

/// Who is to reach whom: pods those of their VPC and the outside, a host and its own pods each other. From another VPC than the
/// default one pods reach no host, and what is outside is the VPC's to say.
fn related(from: &Endpoint, to: &Endpoint) -> bool {
    match (from.kind, to.kind) {
        (Kind::Pod, Kind::Pod) => from != to && from.vpc == to.vpc,
        (Kind::Pod, Kind::Outside) => from.vpc.is_none(),
        (Kind::Pod, Kind::Host) => from.host == to.host && from.vpc.is_none(),
        (Kind::Host, Kind::Pod) => from.host == to.host,
        (Kind::Host | Kind::Outside, _) => false,
    }
}

/// Where one sender sends: each address is pinged first and asked by HTTP then, so that the packet
/// that is lost while neighbours are learned is a ping, which is repeated soon.
fn plan(endpoints: &[Endpoint], from: usize) -> VecDeque<(usize, IpAddr)> {
    endpoints
        .iter()
        .enumerate()
        .filter(|(_, target)| related(&endpoints[from], target))
        .flat_map(|(to, target)| target.ips.iter().map(move |ip| (to, *ip)))
        .collect()
}

/// What is tried at an address.
fn methods(target: &Endpoint) -> impl Iterator<Item = Method> {
    std::iter::once(Method::Icmp).chain(target.ports.iter().map(|port| Method::Http(*port)))
}

/// Sends every probe.
pub fn run(endpoints: Vec<Endpoint>) -> Matrix {
    let start = Instant::now();
    let places = Mutex::new((0..endpoints.len()).collect::<VecDeque<_>>());
    let probes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PLACES_AT_ONCE.min(endpoints.len()) {
            scope.spawn(|| {
                while let Some(from) = pop(&places) {
                    let found = from_place(&endpoints, from);
                    probes.lock().expect("nobody panics").extend(found);
                }
            });
        }
    });
    let mut probes = probes.into_inner().expect("nobody panics");
    probes.sort_by_key(|p: &Probe| (p.from, p.to, p.ip));
    Matrix {
        endpoints,
        probes,
        time: start.elapsed(),
    }
}

fn from_place(endpoints: &[Endpoint], from: usize) -> Vec<Probe> {
    let queue = Mutex::new(plan(endpoints, from));
    if endpoints[from].kind == Kind::Outside {
        return Vec::new();
    }
    let probes = Mutex::new(Vec::new());
    let entered = netns::within(&endpoints[from].netns, || {
        // Threads are born in the namespace of the thread that starts them.
        std::thread::scope(|scope| {
            for _ in 0..PROBES_AT_ONCE {
                scope.spawn(|| {
                    while let Some((to, ip)) = pop(&queue) {
                        for method in methods(&endpoints[to]) {
                            let outcome = one(&endpoints[to], ip, method);
                            probes.lock().expect("nobody panics").push(Probe {
                                from,
                                to,
                                ip,
                                method,
                                outcome,
                            });
                        }
                    }
                });
            }
        });
        Ok(())
    });
    let mut probes = probes.into_inner().expect("nobody panics");
    if let Err(e) = entered {
        for (to, ip) in queue.into_inner().expect("nobody panics") {
            probes.extend(methods(&endpoints[to]).map(|method| Probe {
                from,
                to,
                ip,
                method,
                outcome: Outcome::Error(e.to_string()),
            }));
        }
    }
    probes
}

fn pop<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    queue.lock().expect("nobody panics").pop_front()
}

fn one(target: &Endpoint, ip: IpAddr, method: Method) -> Outcome {
    let time = match method {
        Method::Icmp => icmp::ping(ip).map(|reply| reply.time),
        Method::Http(port) => get(target, SocketAddr::new(ip, port)),
    };
    match time {
        Ok(time) => Outcome::Time(time),
        Err(e) => Outcome::Error(e.to_string()),
    }
}

/// Asks for the name of who answers: the right answer from the wrong pod is a failure, and so is
/// one of which only the first packet came.
fn get(target: &Endpoint, address: SocketAddr) -> Result<Duration> {
    let start = Instant::now();
    let answer = http::get(address, "/probe")?;
    let time = start.elapsed();
    let said = answer.body.lines().next().unwrap_or_default();
    if said == target.name && answer.body.len() > PADDING {
        return Ok(time);
    }
    let reason = format!("status {}, {} bytes, from {said:?}", answer.status, answer.body.len());
    Err(Error::net(format!("GET http://{address}/probe"))(
        std::io::Error::other(reason),
    ))
}

fn milliseconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((time.as_secs_f64() * 1e6).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, kind: Kind, host: &str) -> Endpoint {
        Endpoint {
            name: name.into(),
            kind,
            host: host.into(),
            vpc: None,
            netns: String::new(),
            ips: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            ports: if kind == Kind::Pod { vec![80] } else { vec![] },
        }
    }

    #[test]
    fn pods_probe_all_pods_and_their_own_host_and_hosts_their_own_pods() {
        let endpoints = [
            endpoint("default/a", Kind::Pod, "node-1"),
            endpoint("default/b", Kind::Pod, "node-2"),
            endpoint("node-1", Kind::Host, "node-1"),
            endpoint("node-2", Kind::Host, "node-2"),
            endpoint("outside", Kind::Outside, ""),
        ];
        let targets = |from| plan(&endpoints, from).into_iter().map(|(to, _)| to).collect::<Vec<_>>();
        assert_eq!(targets(0), [1, 1, 2, 2, 4, 4]);
        assert_eq!(targets(2), [0, 0]);
        assert_eq!(methods(&endpoints[0]).count(), 2);
        assert_eq!(methods(&endpoints[2]).count(), 1);
    }

    #[test]
    fn pods_of_a_vpc_probe_each_other_and_their_hosts_probe_them() {
        let of = |vpc: &str, mut endpoint: Endpoint| {
            endpoint.vpc = Some(vpc.into());
            endpoint
        };
        let endpoints = [
            endpoint("default/a", Kind::Pod, "node-1"),
            of("blue", endpoint("sky/a", Kind::Pod, "node-1")),
            of("blue", endpoint("sky/b", Kind::Pod, "node-1")),
            of("green", endpoint("grass/a", Kind::Pod, "node-1")),
            endpoint("node-1", Kind::Host, "node-1"),
            endpoint("outside", Kind::Outside, ""),
        ];
        let targets = |from| plan(&endpoints, from).into_iter().map(|(to, _)| to).collect::<Vec<_>>();
        assert_eq!(targets(0), [4, 4, 5, 5]);
        assert_eq!(targets(1), [2, 2]);
        assert!(targets(3).is_empty());
        assert_eq!(targets(4), [0, 0, 1, 1, 2, 2, 3, 3]);
    }
}
