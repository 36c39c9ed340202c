//! Plugin and agent with real Open vSwitch, ovn-controller and northd, each test on a host of its own.
//!
//! Needs root and Debian's `ovn-central ovn-host openvswitch-switch nftables iptables containernetworking-plugins`; fails
//! without.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod announce;
#[cfg(test)]
mod bandwidth;
#[cfg(test)]
mod concurrent;
#[cfg(test)]
#[path = "../fake_api/mod.rs"]
mod fake_api;
#[cfg(test)]
mod gateways;
#[cfg(test)]
mod hostport;
#[cfg(test)]
mod housekeeping;
#[cfg(test)]
mod interfaces;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod reboot;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod restored;
#[cfg(test)]
mod service_health;
#[cfg(test)]
mod services;
#[cfg(test)]
mod subnets;
#[cfg(test)]
mod support;
#[cfg(test)]
mod vpcs;
#[cfg(test)]
mod waiting;
