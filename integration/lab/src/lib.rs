//! Several hosts on one machine: network namespaces with real OVN and Open vSwitch, Meridian's own
//! translator, agents and plugin, and pods to send packets between.
//!
//! ```text
//!  mlab-central   NB, SB, ovn-northd, meridian-translator ◄── <dir>/cluster/*.json ("the API")
//!       │ eth0
//!  mlab-fabric ── br-node, br-tun
//!       │ eth0, eth1
//!  mlab-node-N    ovsdb-server, ovs-vswitchd, ovn-controller, meridian-node
//!       └─ mlab-pod-…   one namespace per pod, plugged by meridian-cni, with an HTTP server in it
//! ```
//!
//! It must not know what Meridian writes into OVN: the lab plays the machine, the container runtime
//! and the Kubernetes controllers, and Meridian's programs run as they would run anywhere. It must
//! not leave anything in the machine's own network namespace, and `down` must find everything a
//! lab made, however it ended.

pub mod binaries;
pub mod cluster;
pub mod command;
pub mod component;
pub mod error;
pub mod host;
pub mod journal;
pub mod kubernetes;
pub mod lab;
mod links;
pub mod lock;
pub mod machine;
pub mod netns;
mod parallel;
pub mod plan;
pub mod probe;
pub mod process;
pub mod serve;
pub mod supervise;
pub mod ui;
pub mod wait;

pub use error::{Error, Result};
pub use lab::Lab;
