//! What Meridian's programs are told and may do where no chart says so.

use serde_json::{Value, json};

use super::control_plane::list;
use super::identity::NAMESPACE;
use crate::component::{SOUTHBOUND_PORT, TRANSLATOR_HEALTH};
use crate::machine::Datapath;
use crate::plan::Plan;

/// As the chart would be rendered.
pub(crate) fn objects(plan: &Plan, datapath: Datapath) -> Vec<Value> {
    let northbound = format!(
        "--northbound=unix:{}",
        plan.central_run().join("ovnnb_db.sock").display()
    );
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let mut objects = vec![json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } })];
    for (name, rules) in [
        (
            "meridian-translator",
            json!([
                { "apiGroups": [""], "resources": ["nodes", "namespaces", "pods", "services"], "verbs": ["get", "list", "watch"] },
                { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"] },
                { "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"] },
            ]),
        ),
        (
            "meridian-node",
            json!([
                { "apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"] },
                { "apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"] },
            ]),
        ),
    ] {
        objects.push(json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": NAMESPACE } }));
        objects.push(json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": name }, "rules": rules }));
        objects.push(json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": NAMESPACE }] }));
    }
    objects.push(
        json!({ "kind": "Deployment", "spec": { "template": { "spec": { "containers": [{
            "name": "meridian-translator",
            "args": ["run", northbound, format!("--cluster-cidr={}", list(&plan.cluster_cidrs())),
                format!("--service-cidr={}", list(&plan.service_cidrs())), format!("--listen={TRANSLATOR_HEALTH}")],
            "env": [field("POD_NAME", "metadata.name")],
        }]}}}}),
    );
    objects.push(json!({ "kind": "DaemonSet", "spec": { "template": { "spec": { "containers": [{
        "name": "meridian-node",
        "args": ["run", format!("--southbound={}", plan.central_remote(SOUTHBOUND_PORT)), "--node-name=$(NODE_NAME)",
            format!("--datapath={datapath}")],
        "env": [field("NODE_NAME", "spec.nodeName"), field("MERIDIAN_ENCAP_IP", "status.hostIP")],
    }]}}}}));
    objects
}
