//! How long it takes from a policy's manifest to its being in force on every node, and from its deletion to all being open again: a pod
//! asks another on each of three hosts by UDP, 500 times a second each; what counts is the last question answered after the policy was
//! written, on whichever node that was.
//!
//! Two cores run three hosts here, with Open vSwitch in userspace; nothing is bounded.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use meridian_lab::cluster::object::{Key, Object};
use meridian_lab::cluster::{self, object, sandbox::Sandbox};
use meridian_lab::error::Error;
use meridian_lab::lab::Lab;
use meridian_lab::plan::{Families, Options};
use meridian_lab::{Result, netns, wait};

const NAME: &str = "policy-latency";
const PORT: u16 = 5353;
const HOSTS: usize = 3;
const ROUNDS: usize = 100;
/// Between two questions to one pod.
const PACE: Duration = Duration::from_millis(2);
/// Nothing for so long is no more.
const SILENCE: Duration = Duration::from_millis(300);

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: default, name: closed}
spec: {podSelector: {matchLabels: {app: server}}}
";

/// What has connections be tracked on all nodes, so that those that are going on end, too: see "Limits" in `docs/policies.md`.
const TRACKED: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: default, name: tracked}
spec: {podSelector: {matchLabels: {app: other}}}
";

fn main() {
    let options = Options {
        name: NAME.into(),
        hosts: u8::try_from(HOSTS).expect("three"),
        families: Families::V4,
        bare: false,
        kubernetes: None,
    };
    common::in_lab(options, measure);
}

fn measure(lab: &Lab) -> Result<()> {
    cluster::apply(lab, pods())?;
    cluster::apply(lab, object::parse(TRACKED).expect("written here"))?;
    wait::for_some("connections to be tracked", wait::PATIENCE, || {
        let acls = lab
            .ovn("ovn-nbctl", &["--bare", "--columns=_uuid", "list", "ACL"])
            .ok()?;
        (!acls.trim().is_empty()).then_some(())
    })?;
    lab.ovn("ovn-nbctl", &["--wait=hv", "sync"])?;
    let asked = Asked::of(lab)?;
    let (mut closing, mut opening) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| -> Result<()> {
        let asking = scope.spawn(|| asked.ask());
        let rounds = rounds(lab, &asked, &mut closing, &mut opening);
        asked.done.store(true, Ordering::Relaxed);
        asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        rounds
    })?;
    println!("\n{ROUNDS} rounds, pods on {HOSTS} nodes");
    print("policy applied, until in force on all nodes", closing);
    print("policy deleted, until all are open again", opening);
    Ok(())
}

/// One that asks, and on each node one that answers and one beside it.
fn pods() -> Vec<Object> {
    fn pod(name: &str, app: &str, node: usize) -> Object {
        let text = format!(
            "apiVersion: v1
kind: Pod
metadata: {{namespace: default, name: {name}, labels: {{app: {app}}}}}
spec: {{nodeName: node-{node}, containers: [{{name: c, ports: [{{containerPort: {PORT}, protocol: UDP}}]}}]}}"
        );
        object::parse(&text).expect("written here").remove(0)
    }
    let on_each = |app: &'static str| (1..=HOSTS).map(move |node| pod(&format!("{app}-{node}"), app, node));
    on_each("server")
        .chain(on_each("other"))
        .chain([pod("client", "client", 1)])
        .collect()
}

fn rounds(lab: &Lab, asked: &Asked, closing: &mut Vec<Duration>, opening: &mut Vec<Duration>) -> Result<()> {
    asked.open_since(Duration::ZERO)?;
    for _ in 0..ROUNDS {
        let start = asked.start.elapsed();
        cluster::apply(lab, object::parse(POLICY).expect("written here"))?;
        wait::for_some("the policy to be in force", wait::PATIENCE, || {
            let last = asked.last();
            last.iter()
                .all(|last| asked.start.elapsed().saturating_sub(*last) > SILENCE)
                .then_some(())
        })?;
        let last = asked.last().into_iter().max().unwrap_or_default();
        closing.push(last.saturating_sub(start));
        let start = asked.start.elapsed();
        cluster::delete(lab, &[Key::new("NetworkPolicy", "default", "closed")])?;
        opening.push(asked.open_since(start)?.saturating_sub(start));
    }
    Ok(())
}

/// Who is asked, and when what was answered was asked.
struct Asked {
    start: Instant,
    servers: Vec<SocketAddr>,
    netns: String,
    /// The latest question that each has answered, in microseconds since the start.
    last: [AtomicU64; HOSTS],
    done: AtomicBool,
}

impl Asked {
    fn of(lab: &Lab) -> Result<Self> {
        let pods = Sandbox::all(lab)?;
        let mut servers: Vec<_> = pods.iter().filter(|pod| pod.name.starts_with("server-")).collect();
        servers.sort_by(|one, other| one.name.cmp(&other.name));
        let client = pods.iter().find(|pod| pod.name == "client").expect("it was applied");
        let address = |pod: &&Sandbox| SocketAddr::new(pod.ips[0].parse().expect("an address"), PORT);
        Ok(Self {
            start: Instant::now(),
            servers: servers.iter().map(address).collect(),
            netns: client.netns.clone(),
            last: Default::default(),
            done: AtomicBool::new(false),
        })
    }

    fn last(&self) -> Vec<Duration> {
        let micros = self.last.iter().map(|last| last.load(Ordering::Relaxed));
        micros.map(Duration::from_micros).collect()
    }

    /// Asks all of them, over and over.
    fn ask(&self) {
        let socket = netns::within(&self.netns, || UdpSocket::bind("0.0.0.0:0").map_err(Error::net("bind")));
        let socket = socket.unwrap_or_else(|e| panic!("{e}"));
        let mut asked_at = vec![Duration::ZERO; self.servers.len()];
        let mut buffer = [0; 512];
        while !self.done.load(Ordering::Relaxed) {
            for (server, asked_at) in self.servers.iter().zip(&mut asked_at) {
                socket.send_to(b"/", server).ok();
                *asked_at = self.start.elapsed();
            }
            let due = Instant::now() + PACE;
            while let Some(rest) = due
                .checked_duration_since(Instant::now())
                .filter(|rest| !rest.is_zero())
            {
                socket.set_read_timeout(Some(rest)).ok();
                let Ok((_, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                // An answer is there within the pace, or else it is taken for one to the next question: that is the error.
                if let Some(at) = self.servers.iter().position(|server| *server == from) {
                    let micros = u64::try_from(asked_at[at].as_micros()).unwrap_or(u64::MAX);
                    self.last[at].store(micros, Ordering::Relaxed);
                }
            }
        }
    }

    /// When all of them had answered something that was asked after a time.
    fn open_since(&self, time: Duration) -> Result<Duration> {
        let mut first = [None; HOSTS];
        wait::for_some("all to answer", wait::PATIENCE, || {
            for (first, last) in first.iter_mut().zip(self.last()) {
                if last > time && first.is_none() {
                    *first = Some(last);
                }
            }
            first.iter().copied().collect::<Option<Vec<Duration>>>()
        })
        .map(|all| all.into_iter().max().unwrap_or_default())
    }
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    println!(
        "{what:<46} p50 {:6.1} ms   p99 {:6.1} ms   worst {:6.1} ms",
        at(50),
        at(99),
        at(100)
    );
}
