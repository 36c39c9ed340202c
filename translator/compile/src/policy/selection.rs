//! [`Selection`]: which pods a policy speaks of, whoever speaks of them.

use std::fmt;

use meridian_model::{Labels, Name, NamedPort, Selector};

/// Which pods are meant. Policies that mean the same pods share what is made of that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Selection {
    pub(crate) within: Within,
    pub(crate) pods: Selector,
    /// Only those of them that have this port.
    pub(crate) port: Option<NamedPort>,
}

/// In which namespaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Within {
    Namespace(Name),
    Labelled(Selector),
}

/// Those of a selection's pods that are in a VPC: what is told by addresses has to tell networks apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seat {
    pub(crate) vpc: Name,
    pub(crate) selection: Selection,
}

impl Selection {
    pub(crate) fn new(within: Within, pods: Selector) -> Self {
        Self {
            within,
            pods,
            port: None,
        }
    }

    /// All pods of the cluster.
    pub(crate) fn everything() -> Self {
        Self::new(Within::Labelled(Selector::default()), Selector::default())
    }

    /// Those that have a port.
    pub(crate) fn with_port(&self, port: NamedPort) -> Self {
        Self {
            port: Some(port),
            ..self.clone()
        }
    }

    /// Whether it selects what has these labels, in a namespace that it speaks of.
    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.pods.matches(labels)
    }

    pub(crate) fn at(&self, vpc: &Name) -> Seat {
        Seat {
            vpc: vpc.clone(),
            selection: self.clone(),
        }
    }
}

/// As people read it, and another for every other selection: labels have neither braces nor colons.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.within {
            Within::Namespace(name) => write!(f, "{name}")?,
            Within::Labelled(selector) => write!(f, "{{{selector}}}")?,
        }
        write!(f, ":{}", self.pods)?;
        self.port.as_ref().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.vpc, self.selection)
    }
}
