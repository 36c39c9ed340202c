//! Who answers whom: asked until it is so, over TCP and UDP.

#![allow(dead_code, reason = "each test uses its own part")]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meridian_lab::plan::Host;
use meridian_lab::{netns, wait};

use crate::client::{self, AT_ONCE, Outcome, PATIENT};
use crate::cluster::Cluster;
use crate::service::Frontend;

/// How often something is asked that several may answer: that one of two is never met has a chance of 2^-31.
const OFTEN: usize = 32;
/// How often something is asked that one must always answer.
const SOME: usize = 6;

/// How often something is asked that nobody is to answer: the first packets may be lost as those of good connections are.
const TRIES: usize = 4;

/// A question, from all of `from` to all of `to`.
#[derive(Clone)]
pub(crate) struct Probe<'a> {
    cluster: &'a Cluster,
    from: &'a [&'a str],
    to: Vec<Frontend>,
    seen: Option<[IpAddr; 2]>,
    /// Whether not all that are expected need answer.
    any: bool,
    /// Whether an answer that is not expected is one too many.
    always: bool,
    protocols: &'static [Protocol],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

impl Cluster {
    pub(crate) fn from<'a>(&'a self, from: &'a [&'a str], to: impl IntoIterator<Item = Frontend>) -> Probe<'a> {
        Probe {
            cluster: self,
            from,
            to: to.into_iter().collect(),
            seen: None,
            any: false,
            always: false,
            protocols: &[Protocol::Tcp, Protocol::Udp],
        }
    }

    /// What `work` yields, done where a pod or a host is.
    pub(crate) fn within<T: Send>(&self, who: &str, work: impl FnOnce() -> T + Send) -> T {
        let done = netns::within(&self.place(who), || Ok(work()));
        done.unwrap_or_else(|e| panic!("{who}: {e}"))
    }

    /// Does something while others go on asking: whoever is asked answers each time.
    pub(crate) fn undisturbed(&self, from: &[&str], to: &[Frontend], work: impl FnOnce()) {
        let done = AtomicBool::new(false);
        let before = self.crashes();
        let failures = std::thread::scope(|scope| {
            let mut askers = Vec::new();
            for (who, at) in from.iter().flat_map(|who| to.iter().map(move |at| (*who, *at))) {
                let done = &done;
                askers.push(scope.spawn(move || self.within(who, || ask_until(who, at, done))));
            }
            // They end even if this fails.
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            done.store(true, Ordering::Relaxed);
            let failures: Vec<String> = askers.into_iter().filter_map(|asker| asker.join().ok()?).collect();
            if let Err(panic) = worked {
                std::panic::resume_unwind(panic);
            }
            failures
        });
        // OVS 3.1.0 does so at an ICMP error to a translated connection: some client that is no more.
        let crashed = self.crashes() > before;
        assert!(failures.is_empty() || crashed, "{failures:#?}");
    }

    /// How often the switch of a host was started.
    fn crashes(&self) -> usize {
        let plan = self.lab.lab.plan();
        let starts = |host: &Host| {
            let log = std::fs::read_to_string(plan.log(&format!("{}/vswitchd", host.name)));
            log.map_or(0, |log| log.matches("ovs-vswitchd (Open vSwitch)").count())
        };
        plan.hosts().iter().map(starts).sum()
    }
}

/// Asks until it is done, or until something else than an answer comes, which it tells. Now and then: it is no benchmark.
fn ask_until(who: &str, at: Frontend, done: &AtomicBool) -> Option<String> {
    wait::until(wait::PATIENCE, || {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let outcome = protocol.ask(at, PATIENT);
            if !matches!(outcome, Outcome::Answer { .. }) {
                return Some(Some(format!("{who} to {}, {protocol:?}: {outcome}", at.ip)));
            }
        }
        done.load(Ordering::Relaxed).then_some(None)
    })
    .flatten()
}

impl Probe<'_> {
    /// And the endpoint sees the client as one of these, by family.
    pub(crate) fn seen_as(mut self, seen: [IpAddr; 2]) -> Self {
        self.seen = Some(seen);
        self
    }

    /// Only by TCP.
    pub(crate) fn over_tcp(mut self) -> Self {
        self.protocols = &[Protocol::Tcp];
        self
    }

    /// All of these answer, and nobody else.
    pub(crate) fn answered_by(self, pods: &[&str]) {
        self.becomes(pods);
    }

    /// Some of these answer, and nobody else.
    pub(crate) fn answered_by_any(mut self, pods: &[&str]) {
        self.any = true;
        self.becomes(pods);
    }

    /// Nobody listens, which is said at once.
    pub(crate) fn refused(self) {
        self.becomes(&["refused"]);
    }

    /// The same, and nobody else answers while we ask.
    pub(crate) fn always_refused(mut self) {
        self.always = true;
        self.refused();
    }

    /// Whether said or not: nobody answers any of several requests.
    pub(crate) fn unanswered(self) {
        std::thread::scope(|scope| {
            for (who, at) in self
                .from
                .iter()
                .flat_map(|who| self.to.iter().map(move |at| (*who, *at)))
            {
                for protocol in self.protocols {
                    let ask = move || (0..TRIES).map(|_| protocol.ask(at, AT_ONCE)).collect::<Vec<_>>();
                    let cluster = self.cluster;
                    scope.spawn(move || {
                        let outcomes = cluster.within(who, ask);
                        let answered = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Answer { .. }));
                        assert!(!answered, "{who} to {at:?}, {protocol:?}: {outcomes:?}");
                    });
                }
            }
        });
    }

    /// Nothing comes back.
    pub(crate) fn lost(self) {
        self.becomes(&["lost"]);
    }

    fn becomes(&self, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        std::thread::scope(|scope| {
            for who in self.from {
                for at in &self.to {
                    for protocol in self.protocols {
                        let expected = &expected;
                        scope.spawn(move || {
                            let mut last = BTreeSet::new();
                            let so = self.cluster.within(who, || {
                                wait::until(wait::PATIENCE, || {
                                    last = self.ask_often(*protocol, *at, expected);
                                    let wrong = |name: &String| name != "lost" && !expected.contains(name);
                                    let right = last == *expected || self.any && last.is_subset(expected);
                                    let over = right || self.always && last.iter().any(wrong);
                                    over.then_some(right)
                                })
                            });
                            assert!(
                                so == Some(true),
                                "{who} to {at:?}, {protocol:?}: {last:?}, not {expected:?}"
                            );
                        });
                    }
                }
            }
        });
    }

    /// Who answers, until that is clear.
    fn ask_often(&self, protocol: Protocol, at: Frontend, expected: &BTreeSet<String>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let times = match expected.len() {
            // Each takes its time, and a host says to nobody more than once a second that nothing is there.
            1 if expected.contains("lost") || expected.contains("refused") => 1,
            1 => SOME,
            _ => OFTEN,
        };
        for asked in 1..=times {
            let outcome = protocol.ask(at, AT_ONCE);
            let name = match (&outcome, self.seen) {
                (Outcome::Answer { pod, seen }, Some(wanted)) if !wanted.contains(seen) => {
                    format!("{pod}, to {seen}")
                }
                _ => outcome.to_string(),
            };
            found.insert(name);
            if !found.is_subset(expected) || (found == *expected && asked >= SOME) {
                break;
            }
        }
        found
    }
}

impl Protocol {
    pub(crate) fn ask(self, at: Frontend, patience: Duration) -> Outcome {
        match self {
            Self::Tcp => client::over_tcp(SocketAddr::new(at.ip, at.tcp), patience),
            Self::Udp => client::over_udp(SocketAddr::new(at.ip, at.udp), patience),
        }
    }
}
