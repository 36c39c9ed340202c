//! [`VpcReport`]: how a VPC fares.
//!
//! A stand-in, to be replaced by `meridian_compile::VpcReport`: the compiler does not tell yet.

use meridian_model::{Name, PodKey};

/// How a VPC beside the default one fares, for those who watch it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VpcReport {
    /// Its name.
    pub name: Name,
    /// Whether it was known to be on its way out when this was found: from then on nothing new comes in.
    pub deleting: bool,
    /// Why no pod can be in it; empty if pods can. Field and message.
    pub faults: Vec<(String, String)>,
    /// Whether the faults are clashes with something that was there before, so that it would do somewhere else.
    pub conflict: bool,
    /// Namespaces whose new pods are in it, sorted.
    pub namespaces: Vec<Name>,
    /// Namespaces that it selects and an older VPC has: namespace, VPC. Sorted.
    pub lost: Vec<(Name, Name)>,
    /// Nodes with pods of it.
    pub nodes: usize,
    /// Pods in it.
    pub pods: usize,
    /// Pods in it whose namespace is in another VPC by now; the first hundred, sorted.
    pub remaining: Vec<PodKey>,
    /// The first ten pods in it, sorted (what keeps it from being deleted).
    pub first: Vec<PodKey>,
}
