//! A cluster of any size, as events and as manifests.

use meridian_model::{Event, Kind, Node, Object, Pod};
use serde_json::{Value, json};

/// How many nodes and pods.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) pods: usize,
}

/// 500 nodes with 40 pods each, the size the project is judged by.
pub(crate) const LARGE: Size = Size {
    nodes: 500,
    pods: 20_000,
};
/// A twentieth of it, with as many pods a node.
pub(crate) const SMALL: Size = Size { nodes: 25, pods: 1_000 };

impl Size {
    /// The full lists a source begins with.
    pub(crate) fn events(self) -> [Event; 2] {
        let nodes = (0..self.nodes).map(|at| Object::Node(node(at)));
        let pods = (0..self.pods).map(|at| Object::Pod(self.pod(at)));
        [
            Event::Replace(Kind::Node, nodes.collect()),
            Event::Replace(Kind::Pod, pods.collect()),
        ]
    }

    /// The same as manifests.
    pub(crate) fn manifests(self) -> impl Iterator<Item = Value> {
        let nodes = (0..self.nodes).map(|at| meridian_tests::node(&node_name(at), &[&slice(at)]));
        nodes.chain((0..self.pods).map(move |at| manifest(&self.pod(at))))
    }

    /// A running pod, with its address in its status.
    pub(crate) fn pod(self, at: usize) -> Pod {
        let (node, index) = (at % self.nodes, at / self.nodes);
        let [high, low] = octets(node);
        let mut pod = pending(at, node);
        pod.ips = [format!("10.{high}.{low}.{}", index + 4)]
            .iter()
            .map(|ip| ip.parse().expect("an address"))
            .collect();
        pod.phase = meridian_model::Phase::Running;
        pod
    }
}

/// A pod that has just been scheduled.
pub(crate) fn newcomer(at: usize) -> Pod {
    pending(1_000_000 + at, at % SMALL.nodes)
}

fn pending(at: usize, node: usize) -> Pod {
    let mut pod = Pod::test(
        &format!("namespace-{}", at % 100),
        &format!("workload-{}-{at:08x}", at % 500),
    );
    pod.uid = uuid::Uuid::from_u128(0x4d45_5249_4449_414e << 64 | at as u128)
        .to_string()
        .into();
    pod.node = Some(node_name(node).into());
    pod.labels = [
        ("app", format!("workload-{}", at % 500)),
        ("pod-template-hash", format!("{:08x}", at % 500)),
    ]
    .into_iter()
    .collect();
    pod
}

pub(crate) fn node(at: usize) -> Node {
    Node::test(&node_name(at)).with_cidrs([slice(at).as_str()])
}

pub(crate) fn node_name(at: usize) -> String {
    format!("node-{at}")
}

fn slice(at: usize) -> String {
    let [high, low] = octets(at);
    format!("10.{high}.{low}.0/24")
}

fn octets(node: usize) -> [usize; 2] {
    [128 + node / 256, node % 256]
}

/// What a real API server would say of the pod, so that the cost of reading it is real too.
fn manifest(pod: &Pod) -> Value {
    let ips: Vec<Value> = pod.ips.iter().map(|ip| json!({"ip": ip})).collect();
    let labels: serde_json::Map<String, Value> = pod
        .labels
        .iter()
        .map(|(key, value)| (key.to_string(), Value::from(value.to_string())))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name, "namespace": pod.namespace, "uid": pod.uid, "labels": labels,
            "creationTimestamp": "2026-01-02T00:00:00Z", "resourceVersion": "123456",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "workload", "uid": "2f0c", "controller": true}],
            "managedFields": [{"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:status": {"f:conditions": {}, "f:podIPs": {}}}}],
        },
        "spec": {
            "nodeName": pod.node, "restartPolicy": "Always", "serviceAccountName": "default",
            "containers": [{"name": "main", "image": "registry.example.com/workload:1.2.3",
                "ports": [{"containerPort": 8080, "name": "http"}],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
        "status": {
            "phase": "Running", "podIP": pod.ips.first(), "podIPs": ips, "hostIP": "172.18.0.2",
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
        },
    })
}
