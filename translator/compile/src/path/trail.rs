//! [`Trail`]: steps on the way, and how it ends; [`Way`] is what is shown of it.

use std::net::SocketAddr;

use meridian_model::PodKey;
use serde::Serialize;

/// One thing that happens on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Where.
    pub at: String,
    /// What.
    pub does: String,
    /// The object that makes it so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The row of the Northbound database that does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// The host's rule that does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// How a way ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Whoever has the address gets it.
    Reached,
    /// Somebody else gets it than who was asked for.
    Another,
    /// It leaves the cluster, and what becomes of it there is not known.
    Leaves,
    /// A pod gets it that forwards for the VPC, and what becomes of it there is not known.
    Forwarded,
    /// The sender is told at once that it may not be, or that nobody is there.
    Refused,
    /// It is lost, and the sender waits.
    Dropped,
    /// It depends on which endpoint is chosen.
    Depends,
    /// Nothing can be said.
    Unknown,
}

/// The way to one address and port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    /// The address, and with a port also that and the protocol.
    pub destination: String,
    /// How it ends.
    pub verdict: Verdict,
    /// Where it ends.
    pub place: String,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// What happens then, for each endpoint that may be chosen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Branch>,
    /// The logical switch where it enters OVN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<String>,
    /// What OVN does up to the first host or pod: what `ovn-trace` says, too. One for each endpoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ovn: Vec<OvnClaim>,
}

/// What happens if one of several endpoints is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Branch {
    /// Which.
    pub endpoint: SocketAddr,
    /// How it ends.
    pub verdict: Verdict,
    /// Where it ends.
    pub place: String,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// What OVN does with a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OvnClaim {
    /// If a load balancer chooses this endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<SocketAddr>,
    /// What.
    pub outcome: OvnOutcome,
    /// To which logical port it is delivered: to one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
}

/// What OVN may do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OvnOutcome {
    /// It puts it out of a port.
    Delivered,
    /// It loses it.
    Dropped,
    /// It answers that nobody is there.
    Rejected,
    /// It is for the router itself.
    Router,
}

/// Steps, and how they end.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    pub(super) steps: Vec<Step>,
    end: End,
}

#[derive(Clone, Debug)]
enum End {
    At(Verdict, String, Option<PodKey>),
    Split(Vec<(SocketAddr, Trail)>),
}

impl Step {
    /// What a host does by a rule.
    pub(super) fn rule(node: &str, does: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            at: format!("node {node}"),
            does: does.into(),
            object: None,
            row: None,
            rule: Some(rule.into()),
        }
    }

    /// What an object makes happen.
    pub(super) fn of(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }
}

impl OvnClaim {
    pub(super) fn new(outcome: OvnOutcome, ports: Vec<String>, endpoint: Option<SocketAddr>) -> Self {
        Self {
            endpoint,
            outcome,
            ports,
        }
    }
}

impl Trail {
    pub(super) fn end(steps: impl IntoIterator<Item = Step>, verdict: Verdict, place: impl Into<String>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            end: End::At(verdict, place.into(), None),
        }
    }

    pub(super) fn reached(steps: impl IntoIterator<Item = Step>, place: String, pod: Option<PodKey>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            end: End::At(Verdict::Reached, place, pod),
        }
    }

    /// After a step, one of several trails; a single one simply goes on.
    pub(super) fn split(step: Step, mut branches: Vec<(SocketAddr, Self)>) -> Self {
        if branches.len() == 1
            && let Some((_, only)) = branches.pop()
        {
            return only.after([step]);
        }
        Self {
            steps: vec![step],
            end: End::Split(branches),
        }
    }

    /// The same with steps before it.
    pub(super) fn after(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps = steps.into_iter().chain(self.steps).collect();
        self
    }

    pub(super) fn into_way(self, first: Step, destination: String, target: Option<&PodKey>) -> Way {
        let judge = |verdict, pod: Option<&PodKey>| match (verdict, target) {
            (Verdict::Reached, Some(target)) if pod != Some(target) => Verdict::Another,
            _ => verdict,
        };
        let mut way = Way {
            destination,
            verdict: Verdict::Unknown,
            place: String::new(),
            steps: std::iter::once(first).chain(self.steps).collect(),
            branches: Vec::new(),
            switch: None,
            ovn: Vec::new(),
        };
        match self.end {
            End::At(verdict, place, pod) => (way.verdict, way.place) = (judge(verdict, pod.as_ref()), place),
            End::Split(branches) => {
                way.branches = branches
                    .into_iter()
                    .flat_map(|(endpoint, trail)| trail.into_branches(endpoint))
                    .collect();
                let first = way.branches.first().map(|branch| branch.verdict);
                let agree = way.branches.iter().all(|branch| Some(branch.verdict) == first);
                way.verdict = first.filter(|_| agree).unwrap_or(Verdict::Depends);
                way.place = format!("{} endpoints, see below", way.branches.len());
            }
        }
        way
    }

    /// Where an endpoint leads to further choices, each of them is a branch.
    fn into_branches(self, endpoint: SocketAddr) -> Vec<Branch> {
        match self.end {
            End::At(verdict, place, _) => vec![Branch {
                endpoint,
                verdict,
                place,
                steps: self.steps,
            }],
            End::Split(branches) => {
                let steps = self.steps;
                let further = branches.into_iter().map(|(endpoint, trail)| {
                    let trail = trail.after(steps.clone());
                    trail.into_branches(endpoint)
                });
                further.flatten().collect()
            }
        }
    }
}

impl Way {
    /// One that ends before it begins.
    pub(super) fn stopped(verdict: Verdict, at: String, why: String) -> Self {
        Self {
            destination: String::new(),
            verdict,
            place: at.clone(),
            steps: vec![Step {
                at,
                does: why,
                object: None,
                row: None,
                rule: None,
            }],
            branches: Vec::new(),
            switch: None,
            ovn: Vec::new(),
        }
    }
}
