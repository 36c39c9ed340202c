//! What crosses Meridian's boundaries, so that neither side imports the other.
//!
//! [`port`], [`service`], [`hosts`] and [`name`] are the contract between the compiler (which writes Northbound logical ports) and
//! the node (which reads them from the Southbound database); [`chassis`] is the one between the node and the translator,
//! which removes the chassis of nodes that are no more; [`annotation`] has what pods and namespaces ask for. It does no I/O and knows neither OVSDB nor Kubernetes.

#[cfg(feature = "crd")]
pub mod address_pool;
pub mod annotation;
pub mod attachment;
pub mod chassis;
#[cfg(feature = "crd")]
pub mod cluster_policy;
pub mod hosts;
pub mod name;
pub mod port;
pub mod range;
pub mod service;
#[cfg(feature = "crd")]
pub mod subnet;
#[cfg(feature = "crd")]
pub mod vpc;
#[cfg(feature = "crd")]
pub mod vpc_peering;
