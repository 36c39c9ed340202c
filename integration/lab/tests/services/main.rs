//! Services with real packets: pods, hosts and the world outside as clients, pods and hosts as endpoints, both families, TCP
//! and UDP.
//!
//! All tests share one lab, which is there as long as some test needs it; each has services, addresses and ports of its own,
//! by number.

#[path = "../common/mod.rs"]
mod common;

mod affinity;
mod change;
#[path = "../common/client.rs"]
mod client;
mod cluster;
mod endpoints;
mod inside;
mod outside;
mod policy;
#[path = "../common/probe.rs"]
mod probe;
#[path = "../common/service.rs"]
mod service;
