//! What the compiler makes of a cluster, seen from outside.

#![allow(clippy::unwrap_used)] // in tests' own helpers, which clippy does not know for tests

mod addresses;
mod claims;
mod documented;
mod effort;
mod golden;
mod node_ports;
mod pods;
mod properties;
mod services;
mod slices;
mod support;
