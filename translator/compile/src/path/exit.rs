//! [`Exit`]: where OVN hands a packet over.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use meridian_model::{Name, PortKey};

use super::trail::{OvnClaim, OvnOutcome};
use crate::names::Names;
use crate::slices::SliceKey;

/// Where OVN hands it over.
#[derive(Clone, Debug)]
pub(super) enum Exit {
    /// To a pod.
    Pod(PortKey),
    /// To the host, by the management port of a slice.
    Host { slice: SliceKey },
    /// To the host, by its port towards services.
    Services(SliceKey),
    /// To the host of one of the VPC's gateways, by which all have.
    Gateways(Vec<Name>),
    /// To one of those that forward it for the VPC: their addresses, and who has them.
    Forwarded(Vec<(IpAddr, Option<PortKey>)>),
    /// To the router.
    Router(String),
    /// To nobody: no port has the address.
    Nobody(String),
    /// To nobody: no route leads there.
    Nowhere(String),
}

impl Exit {
    /// What `ovn-trace` says, too, if a load balancer has chosen that endpoint.
    pub(super) fn claim(&self, names: &Names, endpoint: Option<SocketAddr>) -> OvnClaim {
        let delivered = |port: Arc<str>| (OvnOutcome::Delivered, vec![port.to_string()]);
        let (outcome, ports) = match self {
            Self::Pod(pod) => delivered(names.port(pod)),
            Self::Host { slice } => delivered(names.management(&slice.vpc, &slice.node)),
            Self::Services(slice) => delivered(names.services(&slice.vpc, &slice.node)),
            Self::Gateways(_) => delivered(names.egress()),
            Self::Forwarded(hops) => {
                let ports = hops.iter().filter_map(|(_, port)| port.as_ref());
                let ports: Vec<String> = ports.map(|port| names.port(port).to_string()).collect();
                let outcome = if ports.is_empty() {
                    OvnOutcome::Dropped
                } else {
                    OvnOutcome::Delivered
                };
                (outcome, ports)
            }
            Self::Router(_) => (OvnOutcome::Router, Vec::new()),
            Self::Nobody(_) | Self::Nowhere(_) => (OvnOutcome::Dropped, Vec::new()),
        };
        OvnClaim::new(outcome, ports, endpoint)
    }
}
