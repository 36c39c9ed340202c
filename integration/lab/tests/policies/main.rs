//! Policies with real packets: who is let through, what a change does to connections, and that a pod is never without what isolates it.
//!
//! All tests share one lab, which is there as long as some test needs it; each has a namespace of its own.

#[path = "../common/client.rs"]
mod client;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod egress;
mod ingress;
mod logged;
#[path = "../common/probe.rs"]
mod probe;
#[path = "../common/service.rs"]
mod service;
mod starting;
mod tiers;
