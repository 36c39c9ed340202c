//! How a writer behaves.

use std::sync::Arc;

use super::budget::DeletionBudget;
use crate::observer::{Observer, Unobserved};
use crate::ownership::Ownership;

/// How a writer behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which rows are ours.
    pub ownership: Ownership,
    /// The lock that makes one translator the writer; the session must be configured with it.
    pub lock: String,
    /// How much may be deleted at once.
    pub budget: DeletionBudget,
    /// The sources that must have told all there is.
    pub sources: Vec<&'static str>,
    /// Who wants to know.
    pub observer: Arc<dyn Observer>,
}

impl Settings {
    /// The usual ones.
    pub fn new(ownership: Ownership, lock: impl Into<String>, sources: Vec<&'static str>) -> Self {
        Self {
            ownership,
            lock: lock.into(),
            budget: DeletionBudget::default(),
            sources,
            observer: Arc::new(Unobserved),
        }
    }
}
