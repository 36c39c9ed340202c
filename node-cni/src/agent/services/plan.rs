//! What follows from the services' facts for one node. Must not do I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_api::hosts::HostFacts;
use meridian_api::service::{Port, ServiceFacts};

use super::{At, Frontend, Services, Vpcs};

/// What this host does for services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::agent) struct Plan {
    pub(in crate::agent) frontends: BTreeMap<Frontend, Handling>,
    /// ClusterIPs that pods of every VPC may connect to, wherever they are answered.
    pub(in crate::agent) shared: BTreeSet<Frontend>,
    /// Services whose health check this host answers, by port.
    pub(in crate::agent) health_checks: BTreeMap<u16, HealthCheck>,
    pub(in crate::agent) hosts: HostFacts,
    /// What cannot be done as told.
    pub(in crate::agent) problems: Vec<String>,
}

/// What is done with what comes to a frontend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) struct Handling {
    pub(in crate::agent) service: Arc<ServiceFacts>,
    /// The service's port.
    pub(in crate::agent) port: u16,
    /// Where to goes what any endpoint may answer. None for a ClusterIP, which is that already, and for a port of the host whose
    /// service is of the default VPC: that goes to what stands for the node.
    pub(in crate::agent) target: Option<SocketAddr>,
    /// The endpoints of this node, where it matters which these are; `None` if no node has any. Those of a VPC that the host has
    /// no port in are not among them.
    pub(in crate::agent) here: Option<Vec<SocketAddr>>,
    /// Only the service's source ranges may connect.
    pub(in crate::agent) restricted: bool,
}

/// What a load balancer is told that asks whether this node has endpoints of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) struct HealthCheck {
    pub(in crate::agent) namespace: String,
    pub(in crate::agent) name: String,
    /// Ready endpoints on this node.
    pub(in crate::agent) ready: usize,
}

impl Handling {
    /// The endpoints of this node that what comes from beyond goes to, with such a policy; none of them is no reason to use
    /// another. Where no node has any, the VPC refuses, as it does for any service.
    pub(in crate::agent) fn for_beyond(&self) -> Option<&[SocketAddr]> {
        self.service.local.as_ref().and(self.here.as_deref())
    }

    /// The endpoints of this node that everything goes to: in another VPC than the default one, nothing but the host itself
    /// reaches them from here.
    pub(in crate::agent) fn for_anybody(&self) -> &[SocketAddr] {
        let here = self.here.as_deref().filter(|_| self.service.vpc.is_some());
        here.unwrap_or_default()
    }
}

impl Plan {
    /// Of one node, with the VPCs beside the default one that it has a port in.
    pub(in crate::agent) fn new(services: &Services, node: &str, vpcs: &Vpcs) -> Self {
        let mut plan = Self {
            hosts: services.hosts.clone(),
            ..Self::default()
        };
        for service in &services.facts {
            let here = |port: &Port, v4| {
                let mut here = endpoints(port, node, v4)?;
                here.retain(|endpoint| is_of(service, endpoint.ip(), vpcs));
                Some(here)
            };
            for port in &service.ports {
                plan.add_addresses(service, port, here);
                plan.add_node_port(service, port, here);
                plan.add_cluster_ips(service, port, here);
            }
            plan.add_health_check(service, node);
        }
        plan
    }

    fn add_addresses(&mut self, service: &Arc<ServiceFacts>, port: &Port, here: impl Here) {
        for address in &service.addresses {
            let v4 = address.address.is_ipv4();
            if !serves(port, v4) {
                continue;
            }
            let frontend = Frontend {
                at: At::Address(address.address),
                protocol: port.protocol,
                port: port.port,
            };
            let handling = Handling {
                service: Arc::clone(service),
                port: port.port,
                target: target(port, v4),
                here: by_endpoint(service).then(|| here(port, v4)).flatten(),
                restricted: address.restricted,
            };
            self.add(frontend, handling);
        }
    }

    /// Those of services of which any endpoint may answer are handed on without being known.
    fn add_node_port(&mut self, service: &Arc<ServiceFacts>, port: &Port, here: impl Here) {
        let Some(node_port) = port.node_port.filter(|_| by_endpoint(service)) else {
            return;
        };
        for v4 in [true, false] {
            if !serves(port, v4) {
                continue;
            }
            let frontend = Frontend {
                at: At::Node { v4 },
                protocol: port.protocol,
                port: node_port,
            };
            let handling = Handling {
                service: Arc::clone(service),
                port: port.port,
                target: service.vpc.as_ref().and_then(|_| target(port, v4)),
                here: here(port, v4),
                restricted: false,
            };
            self.add(frontend, handling);
        }
    }

    /// Those of the default VPC are the VPC's work; who else may connect is not.
    fn add_cluster_ips(&mut self, service: &Arc<ServiceFacts>, port: &Port, here: impl Here) {
        for &address in &service.cluster_ips {
            let v4 = address.is_ipv4();
            let frontend = Frontend {
                at: At::Cluster(address),
                protocol: port.protocol,
                port: port.port,
            };
            if service.shared {
                self.shared.insert(frontend);
            }
            if service.vpc.is_some() {
                let handling = Handling {
                    service: Arc::clone(service),
                    port: port.port,
                    target: None,
                    here: here(port, v4),
                    restricted: false,
                };
                self.add(frontend, handling);
            }
        }
    }

    fn add(&mut self, frontend: Frontend, handling: Handling) {
        // Kubernetes lets two services claim the same external address. The first by name has it, on every node.
        if let Some(holder) = self.frontends.get(&frontend) {
            let problem = format!(
                "service {}: {frontend} is already that of service {}",
                full_name(&handling.service),
                full_name(&holder.service)
            );
            self.problems.push(problem);
            return;
        }
        self.frontends.insert(frontend, handling);
    }

    fn add_health_check(&mut self, service: &ServiceFacts, node: &str) {
        let Some(local) = &service.local else {
            return;
        };
        let Some(port) = local.health_check_port else {
            return;
        };
        if let Some(holder) = self.health_checks.get(&port) {
            let problem = format!(
                "service {}: health check port {port} is already that of service {}/{}",
                full_name(service),
                holder.namespace,
                holder.name
            );
            self.problems.push(problem);
            return;
        }
        let check = HealthCheck {
            namespace: service.namespace.clone(),
            name: service.name.clone(),
            ready: local.ready.get(node).copied().unwrap_or_default(),
        };
        self.health_checks.insert(port, check);
    }
}

/// The endpoints of this node by port and family, or `None` if no node has any.
trait Here: Fn(&Port, bool) -> Option<Vec<SocketAddr>> {}

impl<T: Fn(&Port, bool) -> Option<Vec<SocketAddr>>> Here for T {}

/// Whether it matters to a host which endpoints a service has.
fn by_endpoint(service: &ServiceFacts) -> bool {
    service.local.is_some() || service.vpc.is_some()
}

fn target(port: &Port, v4: bool) -> Option<SocketAddr> {
    port.targets.iter().copied().find(|target| target.is_ipv4() == v4)
}

/// Namespace and name.
pub(super) fn full_name(service: &ServiceFacts) -> String {
    format!("{}/{}", service.namespace, service.name)
}

/// Whether an endpoint is of the service's VPC, as far as this host is in it. Who may write an EndpointSlice could otherwise lead
/// others to pods of any VPC on this node; and what is translated to an endpoint without a way to it would leave by that to the
/// world.
fn is_of(service: &ServiceFacts, endpoint: IpAddr, vpcs: &Vpcs) -> bool {
    let has = |networks: &Vec<IpNetwork>| networks.iter().any(|network| network.contains(endpoint));
    match &service.vpc {
        Some(vpc) => vpcs.get(vpc).is_some_and(has),
        None => !vpcs.values().any(has),
    }
}

/// Whether a service answers by a family at all.
fn serves(port: &Port, v4: bool) -> bool {
    let endpoints = port.endpoints.values().flatten();
    port.targets.iter().chain(endpoints).any(|at| at.is_ipv4() == v4)
}

/// The endpoints of one node, each once, or `None` if no node has any.
fn endpoints(port: &Port, node: &str, v4: bool) -> Option<Vec<SocketAddr>> {
    let of_family = |at: &&SocketAddr| at.is_ipv4() == v4;
    port.endpoints.values().flatten().find(of_family)?;
    let here = port.endpoints.get(node).into_iter().flatten();
    let mut endpoints: Vec<_> = here.filter(of_family).copied().collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    Some(endpoints)
}

#[cfg(test)]
pub(in crate::agent) mod tests;
