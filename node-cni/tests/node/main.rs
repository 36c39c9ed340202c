//! Plugin and agent with real Open vSwitch, ovn-controller and northd, each test on a host of its own.
//!
//! Needs root and Debian's `ovn-central ovn-host openvswitch-switch`; fails without.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod concurrent;
#[cfg(test)]
mod housekeeping;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod support;
#[cfg(test)]
mod waiting;
