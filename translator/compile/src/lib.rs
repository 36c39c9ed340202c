//! The compiler: what the Northbound database must hold for the cluster to be as it is.
//!
//! ```text
//! Event -> model -> slices -> selections -> addresses -> dirty units -> rows, links and problems -> Delta
//! ```
//!
//! The cluster is cut into [`Unit`]s (a VPC, a node, a slice, a Subnet, a gateway, a policy, the pods that it selects, a pod, a
//! service). Each unit compiles by itself to rows it owns, links into set columns of rows that others own, and problems. While it
//! compiles it notes which facts it read, and it compiles again when one of them changes: so an event costs what depends on it,
//! whatever the size of the cluster.
//!
//! The result is a pure function of the current objects, the configuration and the [`Claim`]s (addresses handed out
//! and not yet recorded in the cluster). After any sequence of events it equals a compile from scratch.
//!
//! This crate does no I/O and knows neither kube nor an OVSDB session. It never looks at what the Northbound database
//! holds: comparing is the business of whoever writes it.

mod address_pools;
mod address_set;
mod addresses;
mod arbiter;
mod claim;
mod compiler;
mod config;
mod context;
mod desired;
mod egress;
mod engine;
mod fact;
mod fixed;
mod gateway;
mod gateways;
mod host_ports;
mod identity;
mod ip;
mod names;
mod node;
mod path;
mod peers;
mod placements;
mod places;
mod pod;
mod policy;
mod pool;
mod port;
mod problem;
mod ranges;
mod router;
mod routes;
mod segment;
mod service;
mod service_cidrs;
mod slice;
mod slices;
mod strays;
mod subnet;
mod switch;
mod topology;
mod unit;
mod usage;
mod vips;
mod vpc;
mod vpcs;

pub use claim::Claim;
pub use compiler::Compiler;
pub use config::{Config, ConfigError, Settings};
pub use desired::{Contributors, Delta, Desired, DesiredRow, Link, LinkId};
pub use identity::row_uuid;
pub use path::{
    Branch, OvnClaim, OvnOutcome, PathError, PathExplanation, PathPort, PathQuestion, PathTarget, Step, Verdict, Way,
};
pub use pod::explain::{
    AddressExplanation, AddressSource, InterfaceExplanation, PodExplanation, SliceExplanation, SubnetExplanation,
    VpcExplanation,
};
pub use policy::explain::{PolicyExplanation, PolicyInVpc, PolicyMatch, PolicyOrder, PolicyRuleExplanation};
pub use problem::Problem;
pub use service::{Answer, EndpointExplanation, FrontendExplanation, ServiceExplanation};
pub use topology::{Cell, Host, Network, PeerState, PeerUse, RouteUse, SharedService, SubnetUse, Topology};
pub use unit::{Unit, UnitParseError};
pub use usage::{Fill, GatewayReport, Peering, RouteReport, SliceUse, SubnetReport, VpcPeeringReport, VpcReport};
