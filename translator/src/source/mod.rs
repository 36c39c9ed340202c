//! Where the cluster's objects come from: a folder of manifests, or the live API.
//!
//! Both read objects through [`convert`], tell the writer events, and say when they have told all there is. Must not:
//! keep objects; those are the model's.

pub mod convert;
pub mod kubernetes;
pub mod manifests;
