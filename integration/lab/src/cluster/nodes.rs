//! The hosts as Kubernetes sees them.

use serde_json::json;

use super::object::Object;
use super::store::Store;
use crate::error::Result;
use crate::lab::Lab;
use crate::plan::{Host, Plan};

/// Writes a Node manifest per host, and the namespace every cluster has.
pub(crate) fn write(lab: &Lab) -> Result<()> {
    let plan = lab.plan();
    let store = Store::of(&plan.dir);
    for host in plan.hosts() {
        store.apply(node(plan, &host)?)?;
    }
    for name in ["default", "kube-system"] {
        store.apply(namespace(name)?)?;
    }
    Ok(())
}

/// A namespace with the label Kubernetes gives it.
pub fn namespace(name: &str) -> Result<Object> {
    Object::from_value(json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": name, "labels": { "kubernetes.io/metadata.name": name } },
        "status": { "phase": "Active" },
    }))
}

fn node(plan: &Plan, host: &Host) -> Result<Object> {
    let cidrs: Vec<_> = plan.pod_cidrs(host).iter().map(ToString::to_string).collect();
    let mut addresses: Vec<_> = plan
        .node_ips(host)
        .iter()
        .map(|net| json!({ "type": "InternalIP", "address": net.ip() }))
        .collect();
    addresses.push(json!({ "type": "Hostname", "address": host.name }));
    Object::from_value(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": host.name,
            "labels": {
                "kubernetes.io/hostname": host.name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
            },
        },
        "spec": { "podCIDR": cidrs[0], "podCIDRs": cidrs },
        "status": {
            "addresses": addresses,
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    }))
}
