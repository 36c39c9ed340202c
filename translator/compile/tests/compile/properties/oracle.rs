//! What kube-proxy would do (`CategorizeEndpoints` in pkg/proxy/topology.go), written down anew from the objects.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use meridian_api::name::part;
use meridian_compile::{Compiler, Unit, row_uuid};
use meridian_model::{
    AddressType, Cluster, Endpoint, EndpointState, Name, Node, Service, ServicePort, ServiceType, TrafficPolicy,
};

use crate::support::{balancers, vips_of};

/// Compares what each node has for the ClusterIPs of services that nothing is wrong with. Yields how many frontends that were.
pub(super) fn check_locality(compiler: &Compiler) -> usize {
    let cluster = compiler.cluster();
    let mut seen = 0;
    for service in cluster.services() {
        let unit = Unit::from(service.key());
        let is_balanced = service.r#type != ServiceType::ExternalName
            && !service.left_to_others
            && service.cluster_ips.iter().all(|ip| &**ip != "None");
        if !is_balanced || compiler.problems().any(|problem| problem.unit == unit) {
            continue;
        }
        for port in &service.ports {
            for ip in service.cluster_ips.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()) {
                let frontend = SocketAddr::new(ip, u16::try_from(port.port).unwrap());
                for node in cluster.nodes() {
                    let Some(found) = found(compiler, service, node, port, frontend) else {
                        continue;
                    };
                    let endpoints = endpoints(cluster, service, port, ip.is_ipv4());
                    let expected = expected(service.internal_policy, &endpoints, node);
                    assert_eq!(
                        found, expected,
                        "{frontend} of {service:?} on {} from {endpoints:#?}",
                        node.name
                    );
                    seen += 1;
                }
            }
        }
    }
    seen
}

/// The backends that a node has for a frontend, if it has the frontend; none if the node has no switch.
#[allow(clippy::option_option, reason = "two questions")]
fn found(
    compiler: &Compiler,
    service: &Service,
    node: &Node,
    port: &ServicePort,
    frontend: SocketAddr,
) -> Option<Option<String>> {
    let desired = compiler.desired();
    let reports = compiler.vpcs();
    let vpc = reports.iter().find(|vpc| vpc.namespaces.contains(&service.namespace));
    let name = format!("vpc-{}", part(vpc.map_or("default", |vpc| &vpc.name), &node.name));
    let switch = row_uuid(None, "Logical_Switch", &name);
    desired.row("Logical_Switch", switch)?;
    let protocol = port.protocol.to_string().to_lowercase();
    let all = balancers(desired, switch);
    let mut of_protocol = all
        .iter()
        .filter(|row| row.get("protocol").unwrap().as_str() == Some(&protocol));
    Some(of_protocol.find_map(|row| vips_of(row).remove(&frontend.to_string())))
}

fn endpoints(cluster: &Cluster, service: &Service, port: &ServicePort, v4: bool) -> Vec<(SocketAddr, Endpoint)> {
    let family = if v4 { AddressType::Ipv4 } else { AddressType::Ipv6 };
    let mut found: BTreeMap<SocketAddr, Endpoint> = BTreeMap::new();
    let key = service.key();
    for slice in cluster.slices_of(&key).filter(|slice| slice.address_type == family) {
        for of in slice
            .ports
            .iter()
            .filter(|of| of.name == port.name && of.protocol == port.protocol)
        {
            for endpoint in &slice.endpoints {
                let address = SocketAddr::new(endpoint.address, u16::try_from(of.port.unwrap()).unwrap());
                let known = found.entry(address).or_insert_with(|| endpoint.clone());
                if known.state < endpoint.state {
                    *known = endpoint.clone();
                }
            }
        }
    }
    found.into_iter().collect()
}

fn expected(policy: TrafficPolicy, endpoints: &[(SocketAddr, Endpoint)], node: &Node) -> Option<String> {
    let text = |wanted: &dyn Fn(&Endpoint) -> bool| {
        let texts = endpoints.iter().filter(|(_, endpoint)| wanted(endpoint));
        texts
            .map(|(address, _)| address.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    let first = |texts: [String; 2]| texts.into_iter().find(|text| !text.is_empty());
    let is_ready = |endpoint: &Endpoint| endpoint.state == EndpointState::Ready;
    let is_draining = |endpoint: &Endpoint| endpoint.state == EndpointState::Draining;
    if policy == TrafficPolicy::Local {
        let is_local = |endpoint: &Endpoint| endpoint.node.as_ref() == Some(&node.name);
        let own = first([
            text(&|e| is_local(e) && is_ready(e)),
            text(&|e| is_local(e) && is_draining(e)),
        ]);
        let has_any = endpoints
            .iter()
            .any(|(_, endpoint)| is_ready(endpoint) || is_draining(endpoint));
        // Refused only where there are none at all.
        return if has_any { own } else { Some(String::new()) };
    }
    let zone = node
        .labels
        .get("topology.kubernetes.io/zone")
        .filter(|zone| !zone.is_empty());
    let nodes = |endpoint: &Endpoint| {
        endpoint
            .hints
            .as_ref()
            .map_or(Box::default(), |hints| hints.nodes.clone())
    };
    let zones = |endpoint: &Endpoint| {
        endpoint
            .hints
            .as_ref()
            .map_or(Box::default(), |hints| hints.zones.clone())
    };
    let ready = || {
        endpoints
            .iter()
            .map(|(_, endpoint)| endpoint)
            .filter(|endpoint| is_ready(endpoint))
    };
    let for_node = |endpoint: &Endpoint| nodes(endpoint).contains(&node.name);
    let for_zone = |endpoint: &Endpoint| zone.is_some_and(|zone: &Name| zones(endpoint).contains(zone));
    let by_node = ready().all(|endpoint| !nodes(endpoint).is_empty()) && ready().any(for_node);
    let by_zone = ready().all(|endpoint| !zones(endpoint).is_empty()) && ready().any(for_zone);
    let chosen = if by_node {
        text(&|endpoint| is_ready(endpoint) && for_node(endpoint))
    } else if by_zone {
        text(&|endpoint| is_ready(endpoint) && for_zone(endpoint))
    } else {
        text(&is_ready)
    };
    first([chosen, text(&is_draining)]).or_else(|| Some(String::new()))
}
