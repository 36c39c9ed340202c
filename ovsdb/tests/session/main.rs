//! The session against real servers, and against peers that misbehave as no real server does.
#![cfg(all(feature = "session", feature = "testing"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

mod basics;
mod cluster;
mod faults;
mod locks;
mod peers;
mod scale;
mod schemas;
mod support;
mod tls;
