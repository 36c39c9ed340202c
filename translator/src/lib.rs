//! The translator: Kubernetes objects to OVN Northbound rows.
//!
//! This crate is the edge: sources of objects, the command line, health and metrics. It is the only one that knows
//! kube. What objects mean is decided in `meridian-compile`, and what is written in `meridian-northbound`.

pub mod admin;
pub mod chassis;
pub mod cli;
pub mod commands;
pub mod events;
pub mod logging;
pub mod metrics;
pub mod pools;
pub mod problems;
pub mod source;
mod upkeep;
pub mod vpcs;
