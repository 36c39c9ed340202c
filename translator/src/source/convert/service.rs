//! Services and the slices of their endpoints.

use std::fmt;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use meridian_api::vpc::SHARED;
use meridian_model::{
    AddressType, Endpoint, EndpointPort, EndpointSlice, EndpointState, Hints, Labels, Name, Protocol, Service,
    ServiceCidr, ServicePort, ServiceType, TrafficPolicy,
};

use super::{FieldError, Meta, ip};

/// The label by which a slice names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The label by which a slice says who keeps it, and who keeps those of services with a selector.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const SLICE_CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// The labels by which a service, or a slice of its endpoints, is another proxy's business, or nobody's.
const LEFT_TO_OTHERS: [&str; 2] = [
    "service.kubernetes.io/service-proxy-name",
    "service.kubernetes.io/headless",
];

/// The `ipMode` of an ingress that hosts do not answer for themselves (KEP-1860).
const LEFT_TO_LOAD_BALANCER: &str = "Proxy";

/// What Kubernetes takes for `timeoutSeconds` where an object says nothing.
const DEFAULT_AFFINITY_SECONDS: u32 = 10_800;

pub(super) fn service(mut service: core::Service) -> Result<Service, FieldError> {
    let annotations = service.metadata.annotations.take().unwrap_or_default();
    let meta = Meta::read(service.metadata)?;
    let spec = service.spec.unwrap_or_default();
    let mut cluster_ips: Vec<Name> = spec
        .cluster_ips
        .unwrap_or_default()
        .into_iter()
        .map(Name::from)
        .collect();
    if cluster_ips.is_empty() {
        cluster_ips.extend(spec.cluster_ip.filter(|ip| !ip.is_empty()).map(Name::from));
    }
    let ports = spec.ports.unwrap_or_default().into_iter().map(|port| ServicePort {
        name: port.name.unwrap_or_default().into(),
        protocol: protocol(port.protocol.as_deref()),
        port: port.port,
        // The API has 0 for none.
        node_port: port.node_port.filter(|&port| port != 0),
    });
    let load_balancer = service.status.unwrap_or_default().load_balancer.unwrap_or_default();
    let ingress = load_balancer.ingress.unwrap_or_default().into_iter();
    Ok(Service {
        namespace: meta.namespace_or_default(),
        name: meta.name,
        created: meta.created,
        r#type: service_type(spec.type_.as_deref())?,
        cluster_ips: cluster_ips.into(),
        external_ips: names(spec.external_ips),
        ingress_ips: ingress
            .filter(|ingress| ingress.ip_mode.as_deref() != Some(LEFT_TO_LOAD_BALANCER))
            .filter_map(|ingress| ingress.ip.map(Name::from))
            .collect(),
        source_ranges: names(spec.load_balancer_source_ranges),
        external_policy: policy("spec.externalTrafficPolicy", spec.external_traffic_policy.as_deref())?,
        internal_policy: policy("spec.internalTrafficPolicy", spec.internal_traffic_policy.as_deref())?,
        health_check_port: spec.health_check_node_port.filter(|&port| port != 0),
        ports: ports.collect(),
        left_to_others: is_left_to_others(&meta.labels),
        affinity_seconds: affinity(spec.session_affinity.as_deref(), spec.session_affinity_config)?,
        // Whatever else it says opens nothing, and takes no service away.
        shared: annotations.get(SHARED).is_some_and(|value| value == "true"),
    })
}

fn is_left_to_others(labels: &Labels) -> bool {
    LEFT_TO_OTHERS.iter().any(|label| labels.get(label).is_some())
}

fn names(texts: Option<Vec<String>>) -> Box<[Name]> {
    texts.unwrap_or_default().into_iter().map(Name::from).collect()
}

fn policy(field: &'static str, text: Option<&str>) -> Result<TrafficPolicy, FieldError> {
    match text {
        None | Some("" | "Cluster") => Ok(TrafficPolicy::Cluster),
        Some("Local") => Ok(TrafficPolicy::Local),
        Some(other) => Err(FieldError::new(
            field,
            format_args!("{other:?} is none of Cluster, Local"),
        )),
    }
}

pub(super) fn service_cidr(cidr: networking::ServiceCIDR) -> Result<ServiceCidr, FieldError> {
    let meta = Meta::read(cidr.metadata)?;
    Ok(ServiceCidr {
        name: meta.name,
        cidrs: names(cidr.spec.unwrap_or_default().cidrs),
    })
}

fn service_type(text: Option<&str>) -> Result<ServiceType, FieldError> {
    match text {
        None | Some("" | "ClusterIP") => Ok(ServiceType::ClusterIp),
        Some("NodePort") => Ok(ServiceType::NodePort),
        Some("LoadBalancer") => Ok(ServiceType::LoadBalancer),
        Some("ExternalName") => Ok(ServiceType::ExternalName),
        Some(other) => Err(FieldError::new(
            "spec.type",
            format_args!("{other:?} is none of ClusterIP, NodePort, LoadBalancer, ExternalName"),
        )),
    }
}

fn affinity(kind: Option<&str>, config: Option<core::SessionAffinityConfig>) -> Result<Option<u32>, FieldError> {
    match kind {
        None | Some("" | "None") => return Ok(None),
        Some("ClientIP") => {}
        Some(other) => {
            let message = format_args!("{other:?} is none of None, ClientIP");
            return Err(FieldError::new("spec.sessionAffinity", message));
        }
    }
    let given = config.and_then(|config| config.client_ip?.timeout_seconds);
    match given.map(u32::try_from) {
        None => Ok(Some(DEFAULT_AFFINITY_SECONDS)),
        Some(Ok(seconds)) if seconds > 0 => Ok(Some(seconds)),
        Some(_) => Err(FieldError::new(
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            format_args!("{} is no time: it must be positive", given.unwrap_or_default()),
        )),
    }
}

pub(super) fn endpoint_slice(slice: discovery::EndpointSlice) -> Result<EndpointSlice, FieldError> {
    let meta = Meta::read(slice.metadata)?;
    let address_type = match slice.address_type.as_str() {
        "IPv4" => AddressType::Ipv4,
        "IPv6" => AddressType::Ipv6,
        "FQDN" => AddressType::Fqdn,
        other => {
            let message = format_args!("{other:?} is none of IPv4, IPv6, FQDN");
            return Err(FieldError::new("addressType", message));
        }
    };
    let ports = slice.ports.unwrap_or_default().into_iter().map(|port| EndpointPort {
        name: port.name.unwrap_or_default().into(),
        protocol: protocol(port.protocol.as_deref()),
        port: port.port,
    });
    let endpoints = slice.endpoints.iter().enumerate();
    let endpoints = endpoints
        .filter(|_| address_type != AddressType::Fqdn)
        .map(|(index, endpoint)| self::endpoint(format_args!("endpoints[{index}]"), endpoint));
    Ok(EndpointSlice {
        namespace: meta.namespace_or_default(),
        name: meta.name,
        // Of a slice, too, the label says that connections are not for us to send there.
        service: (meta.labels.get(SERVICE_NAME))
            .filter(|name| !name.is_empty() && !is_left_to_others(&meta.labels))
            .cloned(),
        address_type,
        ports: ports.collect(),
        endpoints: endpoints.collect::<Result<_, _>>()?,
        by_hand: meta.labels.get(MANAGED_BY).is_none_or(|by| &**by != SLICE_CONTROLLER),
    })
}

fn endpoint(field: fmt::Arguments<'_>, endpoint: &discovery::Endpoint) -> Result<Endpoint, FieldError> {
    let Some(address) = endpoint.addresses.first() else {
        return Err(FieldError::new(format!("{field}.addresses"), "missing"));
    };
    Ok(Endpoint {
        address: ip(format_args!("{field}.addresses[0]"), address)?,
        state: state(endpoint.conditions.as_ref()),
        node: endpoint.node_name.as_deref().map(Name::from),
        hints: endpoint.hints.as_ref().and_then(hints),
    })
}

fn hints(hints: &discovery::EndpointHints) -> Option<Box<Hints>> {
    let zones = hints.for_zones.iter().flatten().map(|zone| Name::from(&*zone.name));
    let nodes = hints.for_nodes.iter().flatten().map(|node| Name::from(&*node.name));
    let hints = Hints {
        zones: zones.collect(),
        nodes: nodes.collect(),
    };
    (hints != Hints::default()).then(|| Box::new(hints))
}

/// Unknown counts as ready, and what does not say whether it serves serves when it is ready.
fn state(conditions: Option<&discovery::EndpointConditions>) -> EndpointState {
    let condition = |of: fn(&discovery::EndpointConditions) -> Option<bool>| conditions.and_then(of);
    let ready = condition(|conditions| conditions.ready).unwrap_or(true);
    let serving = condition(|conditions| conditions.serving).unwrap_or(ready);
    let terminating = condition(|conditions| conditions.terminating).unwrap_or(false);
    match (ready, serving && terminating) {
        (true, _) => EndpointState::Ready,
        (false, true) => EndpointState::Draining,
        (false, false) => EndpointState::Unready,
    }
}

pub(super) fn protocol(text: Option<&str>) -> Protocol {
    match text {
        None | Some("" | "TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        Some(other) => Protocol::Other(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use meridian_model::{Key, Object, ServiceKey};
    use serde_json::{Value, json};

    use super::*;
    use crate::source::convert::from_value;

    fn read_service(spec: &Value) -> Service {
        let value = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
        let Ok(Some(Object::Service(service))) = from_value(value) else {
            panic!("no service");
        };
        service
    }

    fn slice_value() -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "web-x7", "namespace": "shop", "labels": {SERVICE_NAME: "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
            "endpoints": [{"addresses": ["10.244.0.5"], "conditions": {"ready": true}}],
        })
    }

    fn read_slice(value: Value) -> EndpointSlice {
        let Ok(Some(Object::EndpointSlice(slice))) = from_value(value) else {
            panic!("no slice");
        };
        slice
    }

    #[test]
    fn a_service_is_reduced_to_what_compiling_needs() {
        let service = read_service(&json!({
            "type": "NodePort", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00:10:96::7"],
            "selector": {"app": "web"}, "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}},
            "ports": [{"name": "dns", "protocol": "UDP", "port": 53, "targetPort": "dns", "nodePort": 30053}],
        }));
        assert_eq!(service.key(), ServiceKey::new("shop", "web"));
        assert_eq!(service.r#type, ServiceType::NodePort);
        assert_eq!(service.cluster_ips.len(), 2);
        assert_eq!(service.affinity_seconds, Some(10));
        let port = ServicePort {
            name: "dns".into(),
            protocol: Protocol::Udp,
            port: 53,
            node_port: Some(30053),
        };
        assert_eq!(&*service.ports, [port]);
    }

    #[test]
    fn a_service_is_shared_only_if_its_annotation_is_true() {
        let shared = |value: &str| {
            let metadata = json!({"name": "web", "namespace": "shop", "annotations": {SHARED: value}});
            let value = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata});
            match from_value(value) {
                Ok(Some(Object::Service(service))) => service.shared,
                other => panic!("{other:?}"),
            }
        };
        assert!(shared("true"));
        for other in ["false", "True", "yes", ""] {
            assert!(!shared(other), "{other:?}");
        }
        assert!(!read_service(&json!({})).shared);
    }

    #[test]
    fn what_a_service_leaves_out_is_what_kubernetes_takes() {
        let service = read_service(&json!({
            "clusterIP": "10.96.0.7", "sessionAffinity": "ClientIP", "ports": [{"port": 80}],
        }));
        assert_eq!(service.r#type, ServiceType::ClusterIp);
        assert_eq!(service.cluster_ips.len(), 1);
        assert_eq!(service.affinity_seconds, Some(10_800));
        assert_eq!(
            (&*service.ports[0].name, &service.ports[0].protocol),
            ("", &Protocol::Tcp)
        );
        assert_eq!(read_service(&json!({})).affinity_seconds, None);
    }

    #[test]
    fn a_slice_names_its_service_by_label() {
        let slice = read_slice(slice_value());
        assert_eq!(slice.service_key(), Some(ServiceKey::new("shop", "web")));
        assert_eq!(slice.key(), Key::endpoint_slice("shop", "web-x7"));
        assert_eq!(slice.ports[0].port, Some(8080));
        let mut value = slice_value();
        value["metadata"]["labels"] = json!({});
        assert_eq!(read_slice(value).service_key(), None);
        let mut value = slice_value();
        value["metadata"]["labels"]["service.kubernetes.io/headless"] = json!("");
        assert_eq!(
            read_slice(value).service_key(),
            None,
            "kube-proxy does not see it either"
        );
    }

    #[test]
    fn conditions_tell_whether_an_endpoint_may_be_used() {
        use EndpointState::{Draining, Ready, Unready};
        for (conditions, expected) in [
            (json!({}), Ready),
            (json!({"ready": true}), Ready),
            (json!({"ready": false}), Unready),
            (json!({"ready": false, "serving": true, "terminating": true}), Draining),
            (json!({"ready": false, "serving": false, "terminating": true}), Unready),
            (json!({"ready": false, "serving": true, "terminating": false}), Unready),
        ] {
            let mut value = slice_value();
            value["endpoints"][0]["conditions"] = conditions.clone();
            assert_eq!(read_slice(value).endpoints[0].state, expected, "{conditions}");
        }
    }

    #[test]
    fn names_instead_of_addresses_are_left_to_others() {
        let mut value = slice_value();
        value["addressType"] = json!("FQDN");
        value["endpoints"][0]["addresses"] = json!(["web.example.org"]);
        assert!(read_slice(value).endpoints.is_empty());
    }

    #[test]
    fn an_endpoint_whose_address_does_not_parse_is_named() {
        let mut value = slice_value();
        value["endpoints"][0]["addresses"] = json!(["web"]);
        assert_eq!(
            from_value(value).unwrap_err().to_string(),
            "endpointslice/shop/web-x7: endpoints[0].addresses[0]: \"web\" is no IP address"
        );
    }
}
