//! Kubernetes objects to the model, for every source alike.
//!
//! Whatever a source read is a [`serde_json::Value`] first: so an object that does not fit its type
//! is an error about that object and field, and never about the stream it came in. Must not: do
//! I/O, or judge more than whether a field can be read.

mod address_pool;
mod attachment;
mod cluster_policy;
mod network_policy;
mod selector;
mod service;
mod subnet;
mod vpc;
mod vpc_peering;

use std::fmt;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use meridian_api::annotation::{FIXED_IPS, POLICY_LOG, SUBNET};
use meridian_model::{
    ClusterPolicyKey, ClusterPolicyKind, Key, Kind, Labels, Name, NamedPort, Namespace, Node, Object, Phase, Pod,
    Timestamp,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An object that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {field}: {message}")]
pub struct InvalidObject {
    /// The object as far as it could be told: `pod/default/web`.
    pub object: String,
    /// The same, when that was far enough.
    pub key: Option<Key>,
    /// Path of the field: `spec.containers[0].name`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// A field that cannot be read.
#[derive(Debug)]
struct FieldError {
    field: String,
    message: String,
}

/// Reads an object of any kind; `None` is a kind that Meridian does not use.
pub fn from_value(value: Value) -> Result<Option<Object>, InvalidObject> {
    match used_kind(&value) {
        Ok(Some(kind)) => from_value_of(kind, value).map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(error.of(None, &value)),
    }
}

/// Reads an object of a known kind.
pub fn from_value_of(kind: Kind, value: Value) -> Result<Object, InvalidObject> {
    // Kept aside, because the typed read consumes the rest.
    let identity = value.get("metadata").map(|metadata| {
        let text = |field| metadata.get(field).cloned().unwrap_or(Value::Null);
        serde_json::json!({"metadata": {"namespace": text("namespace"), "name": text("name")}})
    });
    let result = match kind {
        Kind::Node => typed(value).and_then(node).map(Object::Node),
        Kind::Namespace => typed(value).and_then(namespace).map(Object::Namespace),
        Kind::Pod => typed(value).and_then(pod).map(Object::Pod),
        Kind::Service => typed(value).and_then(service::service).map(Object::Service),
        Kind::EndpointSlice => typed(value)
            .and_then(service::endpoint_slice)
            .map(Object::EndpointSlice),
        Kind::ServiceCidr => typed(value).and_then(service::service_cidr).map(Object::ServiceCidr),
        Kind::AddressPool => typed(value)
            .and_then(address_pool::address_pool)
            .map(Object::AddressPool),
        Kind::Vpc => typed(value).and_then(vpc::vpc).map(Object::Vpc),
        Kind::NetworkAttachment => typed(value)
            .and_then(attachment::definition)
            .map(Object::NetworkAttachment),
        Kind::Subnet => typed(value).and_then(subnet::subnet).map(Object::Subnet),
        Kind::VpcPeering => typed(value).and_then(vpc_peering::vpc_peering).map(Object::VpcPeering),
        Kind::NetworkPolicy => typed(value)
            .and_then(network_policy::network_policy)
            .map(Object::NetworkPolicy),
        Kind::ClusterPolicy(kind) => {
            use ClusterPolicyKind::{AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy};
            let policy = match kind {
                ClusterNetworkPolicy => typed(value).and_then(cluster_policy::cluster_network_policy),
                AdminNetworkPolicy => typed(value).and_then(cluster_policy::admin_network_policy),
                BaselineAdminNetworkPolicy => typed(value).and_then(cluster_policy::baseline_admin_network_policy),
            };
            policy.map(Object::ClusterPolicy)
        }
    };
    result.map_err(|error| error.of(Some(kind), &identity.unwrap_or(Value::Null)))
}

/// The kind if Meridian uses it.
fn used_kind(value: &Value) -> Result<Option<Kind>, FieldError> {
    let kind = value
        .get("kind")
        .and_then(Value::as_str)
        .ok_or_else(|| FieldError::new("kind", "missing"))?;
    let version = value
        .get("apiVersion")
        .and_then(Value::as_str)
        .ok_or_else(|| FieldError::new("apiVersion", "missing"))?;
    Ok(match (version, kind) {
        ("v1", "Node") => Some(Kind::Node),
        ("v1", "Namespace") => Some(Kind::Namespace),
        ("v1", "Pod") => Some(Kind::Pod),
        ("v1", "Service") => Some(Kind::Service),
        ("discovery.k8s.io/v1", "EndpointSlice") => Some(Kind::EndpointSlice),
        ("networking.k8s.io/v1", "ServiceCIDR") => Some(Kind::ServiceCidr),
        ("meridian.dev/v1alpha1", "AddressPool") => Some(Kind::AddressPool),
        ("meridian.dev/v1alpha1", "Vpc") => Some(Kind::Vpc),
        ("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition") => Some(Kind::NetworkAttachment),
        ("meridian.dev/v1alpha1", "Subnet") => Some(Kind::Subnet),
        ("meridian.dev/v1alpha1", "VpcPeering") => Some(Kind::VpcPeering),
        ("networking.k8s.io/v1", "NetworkPolicy") => Some(Kind::NetworkPolicy),
        // The two have the same fields.
        ("policy.networking.k8s.io/v1alpha2" | "policy.networking.k8s.io/v1beta1", "ClusterNetworkPolicy") => {
            Some(ClusterPolicyKind::ClusterNetworkPolicy.into())
        }
        ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy") => {
            Some(ClusterPolicyKind::AdminNetworkPolicy.into())
        }
        ("policy.networking.k8s.io/v1alpha1", "BaselineAdminNetworkPolicy") => {
            Some(ClusterPolicyKind::BaselineAdminNetworkPolicy.into())
        }
        _ => None,
    })
}

/// What names an object, if its metadata say it. Without a namespace what needs one is in `default`, as for kubectl.
pub fn key_of(kind: Kind, value: &Value) -> Option<Key> {
    let metadata = value.get("metadata")?;
    let name = metadata.get("name")?.as_str()?;
    let namespace = || {
        let namespace = metadata.get("namespace").and_then(Value::as_str);
        namespace.unwrap_or(DEFAULT_NAMESPACE)
    };
    Some(match kind {
        Kind::Node => Key::node(name),
        Kind::Namespace => Key::namespace(name),
        Kind::Pod => Key::pod(namespace(), name),
        Kind::Service => Key::service(namespace(), name),
        Kind::EndpointSlice => Key::endpoint_slice(namespace(), name),
        Kind::ServiceCidr => Key::service_cidr(name),
        Kind::AddressPool => Key::address_pool(name),
        Kind::Vpc => Key::vpc(name),
        Kind::NetworkAttachment => Key::network_attachment(namespace(), name),
        Kind::Subnet => Key::subnet(name),
        Kind::VpcPeering => Key::vpc_peering(name),
        Kind::NetworkPolicy => Key::network_policy(namespace(), name),
        Kind::ClusterPolicy(kind) => Key::ClusterPolicy(ClusterPolicyKey {
            kind,
            name: name.into(),
        }),
    })
}

const DEFAULT_NAMESPACE: &str = "default";

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|e| FieldError::new(e.path().to_string(), e.inner()))
}

fn node(node: core::Node) -> Result<Node, FieldError> {
    let meta = Meta::read(node.metadata)?;
    let spec = node.spec.unwrap_or_default();
    let mut pod_cidrs: Vec<Name> = spec.pod_cidrs.unwrap_or_default().into_iter().map(Name::from).collect();
    if pod_cidrs.is_empty() {
        pod_cidrs.extend(spec.pod_cidr.filter(|cidr| !cidr.is_empty()).map(Name::from));
    }
    let status = node.status.unwrap_or_default();
    let addresses = status.addresses.unwrap_or_default();
    let internal_ips = addresses
        .iter()
        .enumerate()
        .filter(|(_, address)| address.type_ == "InternalIP")
        .map(|(n, address)| ip(format_args!("status.addresses[{n}].address"), &address.address))
        .collect::<Result<_, _>>()?;
    Ok(Node {
        name: meta.name,
        uid: meta.uid,
        created: meta.created,
        pod_cidrs: pod_cidrs.into(),
        internal_ips,
        labels: meta.labels,
        ready: status
            .conditions
            .unwrap_or_default()
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
    })
}

fn namespace(mut namespace: core::Namespace) -> Result<Namespace, FieldError> {
    let mut annotations = namespace.metadata.annotations.take().unwrap_or_default();
    let meta = Meta::read(namespace.metadata)?;
    Ok(Namespace {
        name: meta.name,
        labels: meta.labels,
        subnet: annotations.remove(SUBNET).map(Name::from),
        policy_log: annotations.remove(POLICY_LOG).map(Name::from),
    })
}

/// On the API's copy of a static pod: the UID that the kubelet runs the pod under, and tells the CNI plugin.
pub(crate) const MIRRORED: &str = "kubernetes.io/config.mirror";

fn pod(mut pod: core::Pod) -> Result<Pod, FieldError> {
    let mut annotations = pod.metadata.annotations.take().unwrap_or_default();
    let mirrored = annotations.remove(MIRRORED).filter(|uid| !uid.is_empty());
    let meta = Meta::read(pod.metadata)?;
    let mut spec = pod.spec.unwrap_or_default();
    let status = pod.status.unwrap_or_default();
    Ok(Pod {
        named_ports: named_ports(&mut spec)?,
        networks: attachment::networks(&annotations, &meta.namespace_or_default()),
        namespace: meta.namespace_or_default(),
        name: meta.name,
        uid: mirrored.map_or(meta.uid, Name::from),
        created: meta.created,
        node: spec.node_name.filter(|name| !name.is_empty()).map(Name::from),
        host_network: spec.host_network.unwrap_or(false),
        phase: phase(status.phase.as_deref())?,
        ips: pod_ips(status.pod_ips, status.pod_ip)?,
        deleting: meta.deleting,
        labels: meta.labels,
        subnet: annotations.remove(SUBNET).map(Name::from),
        fixed_ips: annotations.remove(FIXED_IPS).map(Name::from),
    })
}

/// Of containers, and of those that run beside them from the start (sidecars).
fn named_ports(spec: &mut core::PodSpec) -> Result<Box<[NamedPort]>, FieldError> {
    let containers = std::mem::take(&mut spec.containers).into_iter().enumerate();
    let containers = containers.map(|(at, container)| ("containers", at, container));
    let sidecars = spec.init_containers.take().unwrap_or_default().into_iter().enumerate();
    let sidecars = sidecars.map(|(at, container)| ("initContainers", at, container));
    let sidecars = sidecars.filter(|(.., container)| container.restart_policy.as_deref() == Some("Always"));
    let mut named = Vec::new();
    for (list, at, container) in containers.chain(sidecars) {
        for (n, port) in container.ports.unwrap_or_default().into_iter().enumerate() {
            let Some(name) = port.name.filter(|name| !name.is_empty()) else {
                continue;
            };
            let number = u16::try_from(port.container_port).map_err(|_| {
                let field = format!("spec.{list}[{at}].ports[{n}].containerPort");
                FieldError::new(field, format_args!("{} is no port", port.container_port))
            })?;
            named.push(NamedPort {
                name: name.into(),
                protocol: service::protocol(port.protocol.as_deref()),
                number,
            });
        }
    }
    named.sort_unstable();
    named.dedup();
    Ok(named.into())
}

fn phase(phase: Option<&str>) -> Result<Phase, FieldError> {
    match phase {
        None | Some("" | "Pending") => Ok(Phase::Pending),
        Some("Running") => Ok(Phase::Running),
        Some("Succeeded") => Ok(Phase::Succeeded),
        Some("Failed") => Ok(Phase::Failed),
        Some("Unknown") => Ok(Phase::Unknown),
        Some(other) => Err(FieldError::new(
            "status.phase",
            format_args!("{other:?} is none of Pending, Running, Succeeded, Failed, Unknown"),
        )),
    }
}

fn pod_ips(many: Option<Vec<core::PodIP>>, one: Option<String>) -> Result<Box<[IpAddr]>, FieldError> {
    let many = many.unwrap_or_default();
    if many.is_empty() {
        return one
            .filter(|address| !address.is_empty())
            .map(|address| ip(format_args!("status.podIP"), &address))
            .into_iter()
            .collect();
    }
    many.iter()
        .enumerate()
        .map(|(n, address)| ip(format_args!("status.podIPs[{n}].ip"), &address.ip))
        .collect()
}

fn ip(field: fmt::Arguments<'_>, text: &str) -> Result<IpAddr, FieldError> {
    text.parse()
        .map_err(|_| FieldError::new(field.to_string(), format_args!("{text:?} is no IP address")))
}

/// What the model keeps of an object's metadata.
struct Meta {
    namespace: Option<Name>,
    name: Name,
    uid: Name,
    created: Timestamp,
    deleting: bool,
    labels: Labels,
}

impl Meta {
    fn read(meta: ObjectMeta) -> Result<Self, FieldError> {
        let name = meta
            .name
            .filter(|name| !name.is_empty())
            .ok_or_else(|| FieldError::new("metadata.name", "missing"))?;
        Ok(Self {
            namespace: meta.namespace.filter(|ns| !ns.is_empty()).map(Name::from),
            name: name.into(),
            uid: meta.uid.unwrap_or_default().into(),
            created: Timestamp(meta.creation_timestamp.map_or(0, |time| time.0.as_second())),
            deleting: meta.deletion_timestamp.is_some(),
            labels: meta.labels.unwrap_or_default().into_iter().collect(),
        })
    }

    fn namespace_or_default(&self) -> Name {
        self.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.into())
    }
}

impl FieldError {
    fn new(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            field: field.into(),
            message: message.to_string(),
        }
    }

    fn of(self, kind: Option<Kind>, value: &Value) -> InvalidObject {
        let key = kind.and_then(|kind| key_of(kind, value));
        let object = key.as_ref().map_or_else(
            || {
                let kind = value.get("kind").and_then(Value::as_str);
                let name = value.pointer("/metadata/name").and_then(Value::as_str);
                format!("{}/{}", kind.unwrap_or("object"), name.unwrap_or("?"))
            },
            ToString::to_string,
        );
        InvalidObject {
            object,
            key,
            field: self.field,
            message: self.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use meridian_model::PodKey;
    use serde_json::json;

    use super::*;

    fn pod_value() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u-1",
                "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "web"},
            },
            "spec": {"nodeName": "node-a", "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": "Running", "podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}, {"ip": "fd00::5"}]},
        })
    }

    #[test]
    fn a_pod_is_reduced_to_what_compiling_needs() {
        let Some(Object::Pod(pod)) = from_value(pod_value()).unwrap() else {
            panic!("no pod");
        };
        assert_eq!(pod.key(), PodKey::new("shop", "web"));
        assert_eq!(pod.node.as_deref(), Some("node-a"));
        assert_eq!(pod.phase, Phase::Running);
        assert_eq!(pod.ips.len(), 2);
        assert_eq!(pod.created, Timestamp(1_767_225_600));
        assert_eq!(pod.labels.get("app").map(|v| &**v), Some("web"));
    }

    #[test]
    fn a_mirror_pod_has_the_uid_of_the_static_pod_that_runs() {
        let mut value = pod_value();
        value["metadata"]["annotations"] = json!({MIRRORED: "a5e5e84d", "kubernetes.io/config.source": "file"});
        let Some(Object::Pod(pod)) = from_value(value).unwrap() else {
            panic!("no pod");
        };
        assert_eq!(&*pod.uid, "a5e5e84d");
    }

    #[test]
    fn what_a_pod_and_its_namespace_ask_for_is_read() {
        let mut value = pod_value();
        value["metadata"]["annotations"] = json!({SUBNET: "vms", FIXED_IPS: "10.20.0.17"});
        let Some(Object::Pod(pod)) = from_value(value).unwrap() else {
            panic!("no pod");
        };
        assert_eq!(
            (pod.subnet.as_deref(), pod.fixed_ips.as_deref()),
            (Some("vms"), Some("10.20.0.17"))
        );
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "annotations": {SUBNET: "vms"}}});
        let Some(Object::Namespace(namespace)) = from_value(value).unwrap() else {
            panic!("no namespace");
        };
        assert_eq!(namespace.subnet.as_deref(), Some("vms"));
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named_with_its_object() {
        let mut value = pod_value();
        value["spec"]["containers"][0]["ports"] = json!([{"containerPort": "http"}]);
        let error = from_value(value).unwrap_err();
        assert_eq!(error.object, "pod/shop/web");
        assert_eq!(error.field, "spec.containers[0].ports[0].containerPort");
    }

    #[test]
    fn an_address_that_does_not_parse_is_named_with_its_value() {
        let mut value = pod_value();
        value["status"]["podIPs"][1]["ip"] = json!("10.244.0.500");
        assert_eq!(
            from_value(value).unwrap_err().to_string(),
            "pod/shop/web: status.podIPs[1].ip: \"10.244.0.500\" is no IP address"
        );
    }

    #[test]
    fn kinds_that_are_not_used_are_left_alone_however_they_look() {
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": 7});
        assert_eq!(from_value(value).unwrap(), None);
    }

    #[test]
    fn an_object_without_kind_is_an_error() {
        let error = from_value(json!({"metadata": {"name": "x"}})).unwrap_err();
        assert_eq!(error.to_string(), "object/x: kind: missing");
    }

    #[test]
    fn a_node_without_pod_cidrs_has_none() {
        let value = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}, "spec": {"podCIDR": ""}});
        let Some(Object::Node(node)) = from_value(value).unwrap() else {
            panic!("no node");
        };
        assert!(node.pod_cidrs.is_empty());
    }

    #[test]
    fn a_pod_without_namespace_is_in_default() {
        let value = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        let object = from_value(value).unwrap().unwrap();
        assert_eq!(object.key(), Key::pod("default", "a"));
    }
}
