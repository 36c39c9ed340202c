//! What crosses Meridian's boundaries, so that neither side imports the other.
//!
//! [`port`] and [`name`] are the contract between the compiler (which writes Northbound logical ports) and the
//! node (which reads them from the Southbound database). It does no I/O and knows neither OVSDB
//! nor Kubernetes.

pub mod name;
pub mod port;
