//! VPCs beside the default one with real packets: who reaches whom, by which address, and what is left of a VPC afterwards.
//!
//! All tests share one lab, which is there as long as some test needs it. Its VPCs `blue` (namespace `sky`) and `green`
//! (namespace `grass`) have the same networks, and some of their pods the same addresses.

#[path = "../common/client.rs"]
mod client;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/probe.rs"]
mod probe;
#[path = "../common/service.rs"]
mod service;

mod beyond;
mod cluster;
mod gateways;
mod hosts;
mod leftovers;
mod pods;
mod reachability;
mod routes;
mod services;
mod subnets;
mod told;
