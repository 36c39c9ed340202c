//! Names of rows. They are what a person sees in `ovn-nbctl show`, and OVN wants those of ports unique in a database.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use meridian_api::name;
use meridian_model::{Name, PodKey, ServiceKey};
use ovsdb::Uuid;

pub(crate) use meridian_api::name::DEFAULT_VPC;

/// The name of the default VPC, one copy for all.
pub(crate) fn default_vpc() -> Name {
    static NAME: LazyLock<Name> = LazyLock::new(|| DEFAULT_VPC.into());
    NAME.clone()
}

/// What OVN calls a port group or an address set, where only letters, digits and underscores will do.
pub(crate) fn of_row(row: Uuid) -> Arc<str> {
    format!("mrd_{}", row.simple()).into()
}

/// The names in one cluster.
#[derive(Debug)]
pub(crate) struct Names {
    /// Where clusters share a database, each prefixes its names with its id.
    prefix: String,
}

impl Names {
    pub(crate) fn new(cluster: Option<&Name>) -> Self {
        Self {
            prefix: name::prefix(cluster.map(|id| &**id)),
        }
    }

    /// A VPC's router.
    pub(crate) fn router(&self, vpc: &str) -> Arc<str> {
        self.name(format_args!("vpc-{vpc}"))
    }

    /// The switch of a VPC on a node.
    pub(crate) fn switch(&self, vpc: &str, node: &str) -> Arc<str> {
        self.name(format_args!("vpc-{}", name::part(vpc, node)))
    }

    /// The router's port in that switch's network.
    pub(crate) fn router_port(&self, vpc: &str, node: &str) -> Arc<str> {
        self.switch(vpc, node)
    }

    /// The switch's port towards the router.
    pub(crate) fn uplink(&self, vpc: &str, node: &str) -> Arc<str> {
        self.name(format_args!("vpc-{}-router", name::part(vpc, node)))
    }

    /// The port of the node itself in the VPC.
    pub(crate) fn management(&self, vpc: &str, node: &str) -> Arc<str> {
        name::management_port(&self.prefix, vpc, node).into()
    }

    /// The port through which the node connects to services of the VPC.
    pub(crate) fn services(&self, vpc: &str, node: &str) -> Arc<str> {
        name::service_port(&self.prefix, vpc, node).into()
    }

    /// The route for what leaves a node's slice, per family.
    pub(crate) fn egress_route(&self, vpc: &str, node: &str, ipv4: bool) -> Arc<str> {
        let family = if ipv4 { "v4" } else { "v6" };
        self.name(format_args!("vpc-{}-egress-{family}", name::part(vpc, node)))
    }

    /// The router's port towards a peer. Names of VPCs have no dots.
    pub(crate) fn peer_port(&self, vpc: &str, peer: &str) -> Arc<str> {
        self.name(format_args!("peer-{vpc}.{peer}"))
    }

    /// The route from a node's slice to a peer, per family.
    pub(crate) fn peer_route(&self, vpc: &str, peer: &str, node: &str, ipv4: bool) -> Arc<str> {
        let family = if ipv4 { "v4" } else { "v6" };
        self.name(format_args!("peer-{vpc}.{peer}.{node}-{family}"))
    }

    /// A pod's port.
    pub(crate) fn pod(&self, pod: &PodKey) -> Arc<str> {
        name::pod_port(&self.prefix, &pod.namespace, &pod.name).into()
    }

    /// The load balancers of a VPC.
    pub(crate) fn load_balancers(&self, vpc: &str) -> Arc<str> {
        self.router(vpc)
    }

    /// The load balancers of a VPC that only the nodes of a zone have, or those that are in no zone.
    pub(crate) fn load_balancers_of(&self, vpc: &str, zone: Option<&str>) -> Arc<str> {
        self.name(format_args!("vpc-{vpc}@{}", zone.unwrap_or_default()))
    }

    /// A service's load balancer, per protocol; `only` says where, if it is not everywhere.
    pub(crate) fn load_balancer(&self, service: &ServiceKey, protocol: &str, only: &str) -> Arc<str> {
        let ServiceKey { namespace, name } = service;
        self.name(format_args!("{namespace}_{name}_{protocol}{only}"))
    }

    /// The switch whose ports stand for services. Nothing is connected to it.
    pub(crate) fn service_switch(&self) -> Arc<str> {
        self.name(format_args!("services-{DEFAULT_VPC}"))
    }

    /// The port that tells hosts of each other. Ports of pods and services have underscores.
    pub(crate) fn hosts(&self) -> Arc<str> {
        self.name(format_args!("hosts-{DEFAULT_VPC}"))
    }

    /// What leads from the default VPC to a service of another one, by its address.
    pub(crate) fn service_way(&self, service: &ServiceKey, address: IpAddr) -> Arc<str> {
        let ServiceKey { namespace, name } = service;
        self.name(format_args!("{namespace}_{name}_{address}"))
    }

    /// The port that stands for a service. With two underscores, because with one it could be a pod's.
    pub(crate) fn service_port(&self, service: &ServiceKey) -> Arc<str> {
        let ServiceKey { namespace, name } = service;
        self.name(format_args!("{namespace}_{name}_service"))
    }

    fn name(&self, rest: fmt::Arguments<'_>) -> Arc<str> {
        format!("{}{rest}", self.prefix).into()
    }
}
