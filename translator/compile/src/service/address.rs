//! [`Addresses`]: the addresses of a service that make sense.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Service, ServiceKey, ServiceType};

use crate::Config;
use crate::context::Context;
use crate::ip;
use crate::slices::list;

/// The addresses of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    /// `spec.clusterIPs`.
    pub(super) cluster: Vec<IpAddr>,
    /// `spec.externalIPs` and `status.loadBalancer.ingress`.
    pub(super) external: Vec<External>,
    /// `spec.loadBalancerSourceRanges`.
    pub(super) source_ranges: Vec<IpNetwork>,
}

/// An address that leads into the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct External {
    pub(super) address: IpAddr,
    /// A load balancer's, and so possibly one of ours to announce.
    pub(super) is_ingress: bool,
    /// Only for some: hosts see to that, so that the VPC must not know the address.
    pub(super) restricted: bool,
}

impl External {
    /// Where a service says so.
    pub(super) fn field(&self) -> &'static str {
        if self.is_ingress {
            "status.loadBalancer.ingress"
        } else {
            "spec.externalIPs"
        }
    }
}

/// The addresses that make sense; the others are reported.
pub(super) fn addresses(ctx: &mut Context<'_>, key: &ServiceKey, service: &Service) -> Addresses {
    let cluster = cluster_ips(ctx, key, service);
    let source_ranges = source_ranges(ctx, key, service);
    let restricted = !service.source_ranges.is_empty();
    let mut external: Vec<External> = Vec::new();
    let mut add = |ctx: &mut Context<'_>, field: String, text: &str, is_ingress: bool| {
        let address = match external_ip(ctx, text, &cluster) {
            Ok(address) => address,
            Err(fault) => return ctx.problem(key.clone().into(), field, fault),
        };
        if external.iter().all(|known| known.address != address) {
            external.push(External {
                address,
                is_ingress,
                restricted: is_ingress && restricted,
            });
        }
    };
    for (index, text) in service.external_ips.iter().enumerate() {
        add(ctx, format!("spec.externalIPs[{index}]"), text, false);
    }
    if service.r#type == ServiceType::LoadBalancer {
        for (index, text) in service.ingress_ips.iter().enumerate() {
            add(ctx, format!("status.loadBalancer.ingress[{index}].ip"), text, true);
        }
    }
    Addresses {
        cluster,
        external,
        source_ranges,
    }
}

/// The addresses that load balancers have for a service, as far as they can be read.
pub(super) fn ingress_of(service: &Service) -> impl Iterator<Item = IpAddr> {
    let of_type = service.r#type == ServiceType::LoadBalancer;
    let texts = service.ingress_ips.iter().filter(move |_| of_type);
    texts.filter_map(|text| text.parse().ok())
}

fn cluster_ips(ctx: &mut Context<'_>, key: &ServiceKey, service: &Service) -> Vec<IpAddr> {
    let services = ctx.service_cidrs().networks();
    if service.cluster_ips.is_empty() {
        let among = if services.is_empty() {
            "the service CIDR".to_owned()
        } else {
            list(services)
        };
        let message = format!(
            "the service has no address, and only a Kubernetes API gives it one: write an address of {among}, or None for a \
             headless service"
        );
        ctx.problem(key.clone().into(), "spec.clusterIPs", message);
    }
    let mut ips = Vec::new();
    for (index, text) in service.cluster_ips.iter().enumerate() {
        match cluster_ip(text, services, ctx.config()) {
            Ok(ip) if ips.contains(&ip) => {}
            Ok(ip) => ips.push(ip),
            Err(fault) => ctx.problem(key.clone().into(), format!("spec.clusterIPs[{index}]"), fault),
        }
    }
    ips
}

fn cluster_ip(text: &str, services: &[IpNetwork], config: &Config) -> Result<IpAddr, String> {
    let ip = client_side(text, config)?;
    if !services.is_empty() && !services.iter().any(|cidr| cidr.contains(ip)) {
        return Err(format!(
            "{ip} is not in the service CIDRs ({}), so that hosts cannot reach it: add its network to --service-cidr, or \
             give the service another address",
            list(services)
        ));
    }
    if let Some(cidr) = config.cluster_cidrs().iter().find(|cidr| cidr.contains(ip)) {
        return Err(format!(
            "{ip} is in the cluster CIDR {cidr}, whose addresses are those of pods: give the service another address"
        ));
    }
    Ok(ip)
}

/// An address that clients can connect to, and that is not what stands for nodes.
fn client_side(text: &str, config: &Config) -> Result<IpAddr, String> {
    let ip: IpAddr = text.parse().map_err(|_| format!("{text:?} is no IP address"))?;
    if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip::is_link_local(ip) {
        return Err(format!("{ip} is no address that a client could connect to"));
    }
    if ip == config.node_address(ip.is_ipv4()) {
        return Err(format!("{ip} stands for nodes that services have ports of"));
    }
    Ok(ip)
}

fn external_ip(ctx: &Context<'_>, text: &str, cluster: &[IpAddr]) -> Result<IpAddr, String> {
    let ip = client_side(text, ctx.config())?;
    if cluster.contains(&ip) {
        return Err(format!("{ip} is a ClusterIP of the service already"));
    }
    let inside = |cidrs: &[IpNetwork]| cidrs.iter().find(|cidr| cidr.contains(ip)).copied();
    if let Some(cidr) = inside(ctx.config().cluster_cidrs()) {
        return Err(format!(
            "{ip} is in the cluster CIDR {cidr}, whose addresses are those of pods"
        ));
    }
    if let Some(cidr) = inside(ctx.service_cidrs().networks()) {
        return Err(format!(
            "{ip} is in the service CIDR {cidr}, whose addresses are ClusterIPs"
        ));
    }
    if !cluster.iter().any(|own| own.is_ipv4() == ip.is_ipv4()) {
        let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(format!(
            "{ip} leads nowhere, because the service has no {family} ClusterIP: set spec.ipFamilyPolicy to PreferDualStack, \
             or take an address of the other family"
        ));
    }
    Ok(ip)
}

fn source_ranges(ctx: &mut Context<'_>, key: &ServiceKey, service: &Service) -> Vec<IpNetwork> {
    let mut ranges = Vec::new();
    for (index, text) in service.source_ranges.iter().enumerate() {
        if let Ok(range) = text.trim().parse() {
            ranges.push(ip::canonical(range));
        } else {
            let message = format!("{text:?} is no network: nobody is let in for it");
            let field = format!("spec.loadBalancerSourceRanges[{index}]");
            ctx.problem(key.clone().into(), field, message);
        }
    }
    ranges
}
