//! Pods to hosts: selectors are respected, siblings are spread, ties go by name. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::object::{Object, strings};

/// Whether a pod with this spec may run on the node.
pub fn fits(spec: &Value, node: &Object) -> bool {
    let labels = node.labels();
    if node.0["spec"]["unschedulable"].as_bool() == Some(true) {
        return false;
    }
    strings(&spec["nodeSelector"])
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// The node for a pod: of those that fit the one with the fewest siblings, then the fewest pods.
pub fn choose(pod: &Object, objects: &[Object]) -> Option<String> {
    let mut siblings: BTreeMap<&str, usize> = BTreeMap::new();
    let mut pods: BTreeMap<&str, usize> = BTreeMap::new();
    for other in objects.iter().filter(|o| o.kind() == "Pod" && !o.deleting()) {
        if let Some(node) = other.0["spec"]["nodeName"].as_str() {
            *pods.entry(node).or_default() += 1;
            if other.controller().is_some() && other.controller() == pod.controller() {
                *siblings.entry(node).or_default() += 1;
            }
        }
    }
    let count = |of: &BTreeMap<&str, usize>, node: &str| of.get(node).copied().unwrap_or(0);
    objects
        .iter()
        .filter(|o| o.kind() == "Node" && fits(&pod.0["spec"], o))
        .map(Object::name)
        .min_by_key(|node| (count(&siblings, node), count(&pods, node), *node))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str) -> Object {
        Object(json!({"kind": "Node", "metadata": {"name": name,
            "labels": {"kubernetes.io/hostname": name}}}))
    }

    fn pod(owner: &str, node: Option<&str>) -> Object {
        Object(json!({"kind": "Pod", "spec": {"nodeName": node},
            "metadata": {"ownerReferences": [{"controller": true, "uid": owner}]}}))
    }

    #[test]
    fn siblings_are_spread_even_where_a_node_has_more_pods() {
        let objects = [
            node("node-1"),
            node("node-2"),
            pod("web", Some("node-1")),
            pod("db", Some("node-2")),
            pod("db", Some("node-2")),
        ];
        assert_eq!(choose(&pod("web", None), &objects).unwrap(), "node-2");
    }

    #[test]
    fn a_selector_no_node_has_leaves_the_pod_without_one() {
        let mut pod = pod("web", None);
        pod.0["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "node-9"});
        assert_eq!(choose(&pod, &[node("node-1")]), None);
        pod.0["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "node-1"});
        assert_eq!(choose(&pod, &[node("node-1")]).unwrap(), "node-1");
    }
}
