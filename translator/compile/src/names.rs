//! Names of rows. They are what a person sees in `ovn-nbctl show`, and OVN wants those of ports unique in a database.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use ipnetwork::IpNetwork;
use meridian_api::name;
use meridian_model::{Name, PodKey, PortKey, ServiceKey};
use ovsdb::Uuid;

use crate::segment::Segment;

pub(crate) use meridian_api::name::DEFAULT_VPC;

/// The end of the name of a switch's port towards its router.
const UPLINK: &str = "-router";

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

    /// The switch of a Subnet. No name of another begins like this, and names of Subnets have no dots.
    pub(crate) fn subnet(&self, subnet: &str) -> Arc<str> {
        self.name(format_args!("subnet-{subnet}"))
    }

    /// The router's port in that switch's network.
    pub(crate) fn subnet_router_port(&self, subnet: &str) -> Arc<str> {
        self.subnet(subnet)
    }

    /// The switch's port towards the router.
    pub(crate) fn subnet_uplink(&self, subnet: &str) -> Arc<str> {
        self.name(format_args!("subnet-{subnet}.router"))
    }

    /// The route for what leaves the VPC from a Subnet, per family.
    pub(crate) fn subnet_egress_route(&self, subnet: &str, ipv4: bool) -> Arc<str> {
        self.name(format_args!("subnet-{subnet}.egress-{}", family(ipv4)))
    }

    /// What DHCP says in a Subnet, per family.
    pub(crate) fn dhcp(&self, subnet: &str, ipv4: bool) -> Arc<str> {
        self.name(format_args!("subnet-{subnet}.dhcp-{}", family(ipv4)))
    }

    /// The route from a Subnet to a network of a peer's: its pod network, or the Subnet of that name.
    pub(crate) fn subnet_peer_route(&self, subnet: &str, peer: &str, of: Option<&str>, ipv4: bool) -> Arc<str> {
        let of = of.map(|of| format!("@{of}")).unwrap_or_default();
        self.name(format_args!("subnet-{subnet}.peer.{peer}{of}-{}", family(ipv4)))
    }

    /// The addresses of pods on a node that are in Subnets of a VPC, per family, and the policy for what they send out of it.
    pub(crate) fn beside(&self, vpc: &str, node: &str, ipv4: bool) -> Arc<str> {
        self.name(format_args!("subnets-{vpc}.{node}-{}", family(ipv4)))
    }

    /// The policy for what of it the own host is for, where the rest leaves by other ways.
    pub(crate) fn beside_own(&self, vpc: &str, node: &str, ipv4: bool) -> Arc<str> {
        self.name(format_args!("subnets-{vpc}.{node}.own-{}", family(ipv4)))
    }

    /// The policy for what leaves a Subnet as the routes say, per family.
    pub(crate) fn subnet_routed(&self, subnet: &str, ipv4: bool) -> Arc<str> {
        self.name(format_args!("subnet-{subnet}.routed-{}", family(ipv4)))
    }

    /// The policy for what stays in a VPC, per family.
    pub(crate) fn inside(&self, vpc: &str, ipv4: bool) -> Arc<str> {
        self.name(format_args!("inside-{vpc}-{}", family(ipv4)))
    }

    /// The switch of a segment.
    pub(crate) fn switch_of(&self, segment: &Segment) -> Arc<str> {
        match segment {
            Segment::Slice(slice) => self.switch(&slice.vpc, &slice.node),
            Segment::Subnet(subnet) => self.subnet(&subnet.name),
        }
    }

    /// The router's port in that switch's network. It has the switch's name, unless that could be an uplink's, of a node whose name
    /// is the shorter by that ending: ports of routers and of switches share their names.
    pub(crate) fn router_port(&self, vpc: &str, node: &str) -> Arc<str> {
        if node.ends_with(UPLINK) {
            self.name(format_args!("router-{}", name::part(vpc, node)))
        } else {
            self.switch(vpc, node)
        }
    }

    /// The switch's port towards the router.
    pub(crate) fn uplink(&self, vpc: &str, node: &str) -> Arc<str> {
        self.name(format_args!("vpc-{}{UPLINK}", name::part(vpc, node)))
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
        self.name(format_args!("vpc-{}-egress-{}", name::part(vpc, node), family(ipv4)))
    }

    /// The router's port at one of its gateways. Names of VPCs have no dots.
    pub(crate) fn slot(&self, vpc: &str, node: &str) -> Arc<str> {
        self.name(format_args!("egress-{vpc}.{node}"))
    }

    /// What leads from the hosts' switch to it.
    pub(crate) fn slot_uplink(&self, vpc: &str, node: &str) -> Arc<str> {
        self.name(format_args!("uplink-{vpc}.{node}"))
    }

    /// That it may be at a chassis. Names of nodes have no `@`.
    pub(crate) fn residence(&self, vpc: &str, node: &str, chassis: &str) -> Arc<str> {
        self.name(format_args!("egress-{vpc}.{node}@{chassis}"))
    }

    /// That what leaves by it has its address, per family: from the VPC's pod network, or from the Subnet of that name.
    pub(crate) fn translation(&self, vpc: &str, node: &str, of: Option<&str>, ipv4: bool) -> Arc<str> {
        // No name of a node has an @.
        let of = of.map(|of| format!("@{of}")).unwrap_or_default();
        self.name(format_args!("egress-{vpc}.{node}{of}-{}", family(ipv4)))
    }

    /// The route for what leaves by a gateway, instead of another route.
    pub(crate) fn gateway_route(instead_of: &str, gateway: &str) -> Arc<str> {
        format!("{instead_of}@{gateway}").into()
    }

    /// The route for what does not leave by gateways, where the rest does. No name of a node has a slash.
    pub(crate) fn own_route(instead_of: &str, network: IpNetwork) -> Arc<str> {
        format!("{instead_of}@{network}").into()
    }

    /// The route by one next hop, of several perhaps, for what another route would be for.
    pub(crate) fn hop_route(instead_of: &str, network: IpNetwork, hop: IpAddr) -> Arc<str> {
        format!("{instead_of}@{network}@{hop}").into()
    }

    /// The switch between VPCs' routers and the hosts that are their gateways, and the hosts' port of it.
    pub(crate) fn egress(&self) -> Arc<str> {
        name::egress_port(&self.prefix).into()
    }

    /// The port that tells a node that it is a gateway.
    pub(crate) fn gateway(&self, node: &str) -> Arc<str> {
        self.name(format_args!("gateway-{node}"))
    }

    /// The router's port towards a peer. Names of VPCs have no dots.
    pub(crate) fn peer_port(&self, vpc: &str, peer: &str) -> Arc<str> {
        self.name(format_args!("peer-{vpc}.{peer}"))
    }

    /// The route from a node's slice to a network of a peer's, per family: its pod network, or the Subnet of that name.
    pub(crate) fn peer_route(&self, vpc: &str, peer: &str, node: &str, of: Option<&str>, ipv4: bool) -> Arc<str> {
        // No name of a node has an @.
        let of = of.map(|of| format!("@{of}")).unwrap_or_default();
        self.name(format_args!("peer-{vpc}.{peer}.{node}{of}-{}", family(ipv4)))
    }

    /// A pod's port.
    pub(crate) fn pod(&self, pod: &PodKey) -> Arc<str> {
        name::pod_port(&self.prefix, &pod.namespace, &pod.name).into()
    }

    /// The port of one of a pod's interfaces.
    pub(crate) fn port(&self, port: &PortKey) -> Arc<str> {
        let PodKey { namespace, name } = &port.pod;
        match &port.interface {
            None => self.pod(&port.pod),
            Some(interface) => name::interface_port(&self.prefix, namespace, name, interface).into(),
        }
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

    /// What limits how much is logged of what policies decide.
    pub(crate) fn policy_log(&self) -> Arc<str> {
        self.name(format_args!("policy-log"))
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

fn family(ipv4: bool) -> &'static str {
    if ipv4 { "v4" } else { "v6" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_ports_have_one_name_whatever_the_nodes_are_called() {
        let names = Names::new(None);
        let mut seen = BTreeSet::new();
        for vpc in [DEFAULT_VPC, "blue", "router"] {
            for node in [
                "a",
                "a-router",
                "a-router-router",
                "router",
                "-router",
                "router-default-a",
            ] {
                for name in [
                    names.router_port(vpc, node),
                    names.uplink(vpc, node),
                    names.management(vpc, node),
                    names.services(vpc, node),
                ] {
                    assert!(seen.insert(name.clone()), "{name} of {node} in {vpc}");
                }
            }
        }
        assert_eq!(&*names.router_port("blue", "a"), "vpc-blue.a");
        assert_eq!(&*names.router_port("blue", "a-router"), "router-blue.a-router");
    }
}
