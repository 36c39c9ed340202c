//! The translator on a real kube-apiserver and etcd.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed expectation is a failed test"
)]
#![allow(clippy::print_stderr, reason = "why a test was skipped")]

#[path = "../common/mod.rs"]
mod common;
mod credentials;
mod events;
mod followed;
mod history;
mod pools;
mod setting;
mod subnets;
mod support;
mod translated;
mod vpc_peerings;
mod vpcs;
mod watches;
