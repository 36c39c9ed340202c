//! What the compiler makes of a cluster, seen from outside.

#![allow(clippy::unwrap_used)] // in tests' own helpers, which clippy does not know for tests

mod addresses;
mod announcers;
mod attachments;
mod claims;
mod documented;
mod duplicates;
mod effort;
mod external;
mod gateways;
mod golden;
mod locality;
mod node_ports;
mod pods;
mod policies;
mod properties;
mod service_cidrs;
mod service_facts;
mod service_faults;
mod services;
mod slices;
mod strays;
mod subnet_paths;
mod subnets;
mod support;
mod vpc_peers;
mod vpc_routes;
mod vpc_scope;
mod vpcs;
