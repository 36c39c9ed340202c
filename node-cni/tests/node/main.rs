//! Plugin and agent with real Open vSwitch, ovn-controller and northd, each test on a host of its own.
//!
//! Needs root and Debian's `ovn-central ovn-host openvswitch-switch`; fails without.

mod agent;
mod concurrent;
mod housekeeping;
mod killed;
mod pods;
mod restarts;
mod support;
mod waiting;
