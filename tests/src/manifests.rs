//! A cluster as a folder of manifests, which `meridian-translator run --manifests` watches.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder of manifests, removed when dropped.
#[derive(Debug)]
pub struct Manifests {
    folder: TempDir,
}

impl Default for Manifests {
    fn default() -> Self {
        let folder = tempfile::Builder::new().prefix("manifests-").tempdir();
        Self {
            folder: folder.expect("a temporary folder can be made"),
        }
    }
}

impl Manifests {
    /// A folder with these objects.
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Self {
        let manifests = Self::default();
        for object in objects {
            manifests.put(object);
        }
        manifests
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes an object, replacing what was there; readers see the old text or the new, never half.
    pub fn put(&self, object: &Value) {
        self.put_text(&file_name(object), &object.to_string());
    }

    /// Writes any text under a file name.
    pub fn put_text(&self, name: &str, text: &str) {
        let beside = self.path().join(format!(".{name}.new"));
        fs::write(&beside, text).expect("the folder is writable");
        fs::rename(&beside, self.path().join(name)).expect("the folder is writable");
    }

    /// Removes an object.
    pub fn remove(&self, object: &Value) {
        let file: PathBuf = self.path().join(file_name(object));
        fs::remove_file(file).expect("the object was put before");
    }
}

fn file_name(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{kind}-{namespace}-{name}.json"),
        None => format!("{kind}-{name}.json"),
    }
}

/// A node that has these pod CIDRs.
pub fn node(name: &str, pod_cidrs: &[&str]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"podCIDR": pod_cidrs.first(), "podCIDRs": pod_cidrs},
        "status": {"addresses": [{"type": "Hostname", "address": name}]},
    })
}

/// A service in namespace `default` under these ClusterIPs, with ports written `PROTOCOL/NAME/NUMBER`.
pub fn service(name: &str, cluster_ips: &[&str], ports: &[&str]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": cluster_ips.first(), "clusterIPs": cluster_ips, "ports": ports_of(ports)},
    })
}

/// A slice with these ready endpoints of a service in namespace `default`, with ports written `PROTOCOL/NAME/NUMBER`.
/// Its family is that of the first endpoint, without one IPv4.
pub fn endpoint_slice(service: &str, suffix: &str, endpoints: &[&str], ports: &[&str]) -> Value {
    let is_ipv6 = endpoints.first().is_some_and(|ip| ip.contains(':'));
    let ready = |ip: &&str| json!({"addresses": [ip], "conditions": {"ready": true}});
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-{suffix}"),
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": if is_ipv6 { "IPv6" } else { "IPv4" },
        "ports": ports_of(ports),
        "endpoints": endpoints.iter().map(ready).collect::<Vec<_>>(),
    })
}

fn ports_of(ports: &[&str]) -> Value {
    let port = |text: &&str| {
        let words: Vec<&str> = text.split('/').collect();
        let [protocol, name, number] = words[..] else {
            panic!("{text} is not PROTOCOL/NAME/NUMBER");
        };
        let number: u16 = number.parse().expect("a port is a number");
        json!({"protocol": protocol, "name": name, "port": number})
    };
    ports.iter().map(port).collect()
}

/// A pending pod in namespace `default`, scheduled to a node, without addresses yet.
pub fn pod(name: &str, node: &str) -> Pod {
    Pod(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-01-02T00:00:00Z",
        },
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "example.com/main"}]},
        "status": {"phase": "Pending"},
    }))
}

/// A pod being described.
#[derive(Clone, Debug)]
pub struct Pod(Value);

impl Pod {
    /// Puts it in another namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.0["metadata"]["namespace"] = namespace.into();
        self
    }

    /// A pod of the same name but another life.
    #[must_use]
    pub fn uid(mut self, uid: &str) -> Self {
        self.0["metadata"]["uid"] = uid.into();
        self
    }

    /// Running, with these addresses in its status.
    #[must_use]
    pub fn running(mut self, ips: &[&str]) -> Self {
        let pod_ips: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        self.0["status"] = json!({"phase": "Running", "podIP": ips.first(), "podIPs": pod_ips});
        self
    }

    /// The manifest.
    pub fn build(self) -> Value {
        self.0
    }
}
