//! [`Compiler`]: events in, changed rows out.

use meridian_model::{Cluster, Event};

use crate::{Claim, Config, Delta, Desired, Problem};

/// Keeps the desired state of a cluster up to date.
#[derive(Debug)]
pub struct Compiler {
    config: Config,
    cluster: Cluster,
    desired: Desired,
    problems: std::collections::BTreeSet<Problem>,
}

impl Compiler {
    /// A compiler that has seen nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            cluster: Cluster::default(),
            desired: Desired::default(),
            problems: std::collections::BTreeSet::new(),
        }
    }

    /// Takes note of an event. Nothing is compiled yet: several events may share a [`Self::compile`].
    pub fn apply(&mut self, event: Event) {
        self.cluster.apply(event);
    }

    /// Takes note of what a former compile handed out.
    pub fn claim(&mut self, claims: impl IntoIterator<Item = Claim>) {
        let _ = claims.into_iter().count();
    }

    /// Brings the desired state up to date and returns what is to be compared with the database again.
    pub fn compile(&mut self) -> Delta {
        Delta::default()
    }

    /// The desired state as of the last [`Self::compile`].
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// What could not be compiled, sorted by object.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// Everything handed out at present, as [`Self::claim`] takes it.
    pub fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    /// The objects as of the last event.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
