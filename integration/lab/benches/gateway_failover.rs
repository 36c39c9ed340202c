//! How long the world is away for those whose gateway dies, and how many packets they lose: 100 datagrams a second, each answered, with OVN's own BFD
//! timers and with shorter ones, and again when the gateway comes back.
//!
//! The translator, the Northbound database and ovn-northd are dead all the while. Everything of a gateway's host is killed at once. Two cores run
//! three hosts here, in userspace; nothing is bounded.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use meridian_lab::cluster::{self, object, sandbox::Sandbox};
use meridian_lab::component::Component;
use meridian_lab::error::Error;
use meridian_lab::lab::Lab;
use meridian_lab::plan::{Families, Options, WORLD_V4};
use meridian_lab::{Result, netns, wait};

const NAME: &str = "failover";
const PORT: u16 = 9200;
/// Between two datagrams.
const PACE: Duration = Duration::from_millis(10);
/// How long it is looked at.
const WATCHED: Duration = Duration::from_secs(10);
/// OVN's own timers first, then what `NB_Global` is told.
const TIMERS: [(&str, &[&str]); 3] = [
    ("OVN's own", &[]),
    (
        "300 ms, three times",
        &["bfd-min-rx=300", "bfd-min-tx=300", "bfd-mult=3"],
    ),
    (
        "100 ms, three times",
        &["bfd-min-rx=100", "bfd-min-tx=100", "bfd-mult=3"],
    ),
];

const MANIFESTS: &str = "
apiVersion: meridian.dev/v1alpha1
kind: Vpc
metadata: {name: blue}
spec:
  namespaceSelector: {matchLabels: {vpc: blue}}
  podNetwork: {cidrs: [10.10.0.0/16]}
  egress: {mode: Gateway, gatewayNodeSelector: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node-2, node-3]}]}}
---
apiVersion: v1
kind: Namespace
metadata: {name: sky, labels: {vpc: blue}}
---
apiVersion: v1
kind: Pod
metadata: {namespace: sky, name: client}
spec: {nodeName: node-1, containers: [{name: c}]}
";

fn main() {
    let options = Options {
        name: NAME.into(),
        hosts: 3,
        families: Families::V4,
        bare: false,
        kubernetes: None,
    };
    common::in_lab(options, measure);
}

fn measure(lab: &Lab) -> Result<()> {
    for object in object::parse(MANIFESTS).expect("written here") {
        cluster::apply(lab, vec![object])?;
    }
    answer(lab)?;
    let pod = Sandbox::all(lab)?.remove(0);
    println!("\n{:<24} {:>22} {:>22}", "BFD", "gateway dies", "gateway comes back");
    for (what, options) in TIMERS {
        for option in options {
            lab.ovn(
                "ovn-nbctl",
                &["--wait=hv", "set", "NB_Global", ".", &format!("options:{option}")],
            )?;
        }
        let client = Client::new(&pod.netns)?;
        let gateway = client.gateway()?;
        for component in ["translator", "central/nb", "central/northd"] {
            kill(lab, component)?;
        }
        let dies = client.lost(WATCHED, || kill(lab, &gateway))?;
        let comes = client.lost(WATCHED, || lab.repair().map(drop))?;
        println!("{what:<24} {dies:>22} {comes:>22}");
    }
    Ok(())
}

fn kill(lab: &Lab, what: &str) -> Result<()> {
    for component in Component::select(lab.plan(), what)? {
        lab.processes().crash(&component.pid_name())?;
    }
    Ok(())
}

/// Somebody outside answers each datagram with the last part of the address that it is seen to come from. Ends with the program.
fn answer(lab: &Lab) -> Result<()> {
    let socket = netns::within(&lab.plan().fabric(), || {
        UdpSocket::bind((WORLD_V4, PORT)).map_err(Error::net("listen outside"))
    })?;
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let number = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let last = peer
                .ip()
                .to_string()
                .rsplit('.')
                .next()
                .map(str::to_owned)
                .unwrap_or_default();
            socket.send_to(format!("{number} {last}").as_bytes(), peer).ok();
        }
    });
    Ok(())
}

struct Client(UdpSocket);

impl Client {
    fn new(netns: &str) -> Result<Self> {
        let socket = netns::within(netns, || {
            let socket = UdpSocket::bind("0.0.0.0:0").map_err(Error::net("bind"))?;
            let world: SocketAddr = (WORLD_V4, PORT).into();
            socket.connect(world).map_err(Error::net("connect"))?;
            Ok(socket)
        })?;
        Ok(Self(socket))
    }

    /// Sends one after the other for so long while something happens; which number was answered by whom.
    fn talk(&self, time: Duration, work: impl FnOnce() -> Result<()> + Send) -> Result<Vec<Option<String>>> {
        let count = usize::try_from(time.as_nanos() / PACE.as_nanos()).expect("some thousands");
        let mut answers = vec![None; count];
        std::thread::scope(|scope| {
            let worker = scope.spawn(work);
            let (start, mut buffer) = (Instant::now(), [0; 64]);
            for number in 0..count {
                self.0.send(number.to_string().as_bytes()).ok();
                let mut due = start + PACE * u32::try_from(number + 1).expect("some thousands");
                if number + 1 == count {
                    // The last answers are on their way.
                    due += Duration::from_secs(1);
                }
                while let Some(rest) = due
                    .checked_duration_since(Instant::now())
                    .filter(|rest| !rest.is_zero())
                {
                    self.0.set_read_timeout(Some(rest)).ok();
                    let Ok(length) = self.0.recv(&mut buffer) else { continue };
                    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    let answer = answer
                        .split_once(' ')
                        .and_then(|(number, by)| Some((number.parse::<usize>().ok()?, by)));
                    if let Some((answers, by)) = answer.and_then(|(number, by)| Some((answers.get_mut(number)?, by))) {
                        *answers = Some(by.to_owned());
                    }
                }
            }
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        Ok(answers)
    }

    /// The gateway that carries everything.
    fn gateway(&self) -> Result<String> {
        let by = wait::for_some("an answer from outside", wait::PATIENCE, || {
            let answers = self.talk(Duration::from_secs(1), || Ok(())).ok()?;
            answers
                .iter()
                .all(Option::is_some)
                .then(|| answers.last().cloned().flatten())?
        })?;
        // The addresses of nodes on their network are 11 and so on.
        Ok(format!("node-{}", by.trim_start_matches('1')))
    }

    /// What is lost while something happens: how many, and from the first to the last.
    fn lost(&self, time: Duration, work: impl FnOnce() -> Result<()> + Send) -> Result<String> {
        let answers = self.talk(time, work)?;
        let lost: Vec<usize> = (0..answers.len()).filter(|number| answers[*number].is_none()).collect();
        let gap = lost.last().zip(lost.first()).map_or(0, |(last, first)| last - first);
        let gap = PACE * u32::try_from(gap).expect("some thousands");
        Ok(format!("{} lost, {:.1} s", lost.len(), gap.as_secs_f64()))
    }
}
