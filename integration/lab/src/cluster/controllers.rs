//! Deployments, ReplicaSets, StatefulSets and DaemonSets to pods: which pods should be there, and
//! which should not. Pure: it reads a list of objects and says what to create and delete.
//!
//! Pods are named as the real controllers name them, so that what is seen in a lab looks like a
//! cluster: `web-6b7f9d5c4b-x2x7q`, `db-0`, `agent-9kzpl`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::object::{Key, Object};

/// What the controllers want changed.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Objects to create.
    pub create: Vec<Object>,
    /// Objects to delete; pods among them are to be stopped first.
    pub delete: Vec<Key>,
}

impl Changes {
    /// Whether all is as it should be.
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty()
    }
}

/// Compares what the workloads ask for with what is there.
pub fn reconcile(objects: &[Object]) -> Changes {
    let mut changes = Changes::default();
    orphans(objects, &mut changes);
    for object in objects.iter().filter(|o| !o.deleting()) {
        match object.kind() {
            "Deployment" => deployment(object, objects, &mut changes),
            "ReplicaSet" => replica_set(object, objects, &mut changes),
            "StatefulSet" => stateful_set(object, objects, &mut changes),
            "DaemonSet" => daemon_set(object, objects, &mut changes),
            _ => {}
        }
    }
    changes.delete.sort();
    changes.delete.dedup();
    changes
}

/// What belongs to a controller that is gone goes too.
fn orphans(objects: &[Object], changes: &mut Changes) {
    for object in objects {
        if let Some(owner) = object.controller()
            && !objects.iter().any(|o| o.uid() == owner)
        {
            changes.delete.push(object.key());
        }
    }
}

fn owned<'a>(owner: &'a Object, objects: &'a [Object]) -> impl Iterator<Item = &'a Object> {
    objects
        .iter()
        .filter(|o| o.controller() == Some(owner.uid()) && !o.deleting())
}

/// One ReplicaSet per version of the template; older ones go at once.
fn deployment(deployment: &Object, objects: &[Object], changes: &mut Changes) {
    let template = &deployment.0["spec"]["template"];
    let hash = hash(template);
    let name = format!("{}-{hash}", deployment.name());
    let replicas = replicas(deployment);
    let mut found = false;
    for set in owned(deployment, objects) {
        if set.name() != name {
            changes.delete.push(set.key());
        } else if set.0["spec"]["replicas"] == json!(replicas) {
            found = true;
        }
    }
    if found {
        return;
    }
    let mut set = child(deployment, "apps/v1", "ReplicaSet", &name);
    let mut template = template.clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    set["metadata"]["labels"] = template["metadata"]["labels"].clone();
    set["spec"] = json!({
        "replicas": replicas,
        "selector": deployment.0["spec"]["selector"],
        "template": template,
    });
    changes.create.push(Object(set));
}

fn replica_set(set: &Object, objects: &[Object], changes: &mut Changes) {
    let pods: Vec<_> = owned(set, objects).collect();
    let wanted = replicas(set);
    for _ in pods.len()..wanted {
        let name = format!("{}-{}", set.name(), suffix());
        changes.create.push(pod(set, &name));
    }
    changes.delete.extend(pods.iter().skip(wanted).map(|pod| pod.key()));
}

fn stateful_set(set: &Object, objects: &[Object], changes: &mut Changes) {
    let hash = hash(&set.0["spec"]["template"]);
    let names: Vec<_> = (0..replicas(set))
        .map(|ordinal| format!("{}-{ordinal}", set.name()))
        .collect();
    let outdated = |pod: &Object| pod.labels().get("controller-revision-hash") != Some(&hash);
    changes.delete.extend(
        owned(set, objects)
            .filter(|pod| !names.iter().any(|n| n == pod.name()) || outdated(pod))
            .map(Object::key),
    );
    for name in names {
        // The old pod of this name must be gone entirely before its successor.
        let key = Key::new("Pod", set.namespace(), &name);
        if objects.iter().any(|o| o.key() == key) {
            continue;
        }
        let mut pod = pod(set, &name);
        let labels = &mut pod.0["metadata"]["labels"];
        labels["controller-revision-hash"] = json!(hash);
        labels["statefulset.kubernetes.io/pod-name"] = json!(name);
        pod.0["spec"]["hostname"] = json!(name);
        if let Some(service) = set.0["spec"]["serviceName"].as_str() {
            pod.0["spec"]["subdomain"] = json!(service);
        }
        changes.create.push(pod);
    }
}

fn daemon_set(set: &Object, objects: &[Object], changes: &mut Changes) {
    let hash = hash(&set.0["spec"]["template"]);
    let mut pods: BTreeMap<&str, &Object> = BTreeMap::new();
    for pod in owned(set, objects) {
        let current = pod.labels().get("controller-revision-hash") == Some(&hash);
        let node = pod.0["spec"]["nodeName"].as_str().unwrap_or_default();
        if !current || pods.insert(node, pod).is_some() {
            changes.delete.push(pod.key());
        }
    }
    let spec = &set.0["spec"]["template"]["spec"];
    for node in objects.iter().filter(|o| o.kind() == "Node") {
        let kept = pods.remove(node.name());
        if !super::schedule::fits(spec, node) {
            changes.delete.extend(kept.map(Object::key));
        } else if kept.is_none() {
            let mut pod = pod(set, &format!("{}-{}", set.name(), suffix()));
            pod.0["metadata"]["labels"]["controller-revision-hash"] = json!(hash);
            pod.0["spec"]["nodeName"] = json!(node.name());
            changes.create.push(pod);
        }
    }
}

fn replicas(workload: &Object) -> usize {
    workload.0["spec"]["replicas"]
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(1)
}

fn pod(owner: &Object, name: &str) -> Object {
    let template = &owner.0["spec"]["template"];
    let mut pod = child(owner, "v1", "Pod", name);
    for part in ["labels", "annotations"] {
        let value = &template["metadata"][part];
        if !value.is_null() {
            pod["metadata"][part] = value.clone();
        }
    }
    pod["spec"] = template["spec"].clone();
    Object(pod)
}

fn child(owner: &Object, api_version: &str, kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": owner.namespace(),
            "ownerReferences": [{
                "apiVersion": owner.0["apiVersion"],
                "kind": owner.kind(),
                "name": owner.name(),
                "uid": owner.uid(),
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
    })
}

/// Kubernetes' letters for generated names: no vowels, so that no word comes about.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Ten letters that stand for a template; JSON objects are sorted, so equal templates agree.
fn hash(template: &Value) -> String {
    letters(Uuid::new_v5(&Uuid::NAMESPACE_OID, template.to_string().as_bytes()), 10)
}

/// Five random letters.
fn suffix() -> String {
    letters(Uuid::new_v4(), 5)
}

fn letters(uuid: Uuid, count: usize) -> String {
    let mut number = uuid.as_u128();
    let base = LETTERS.len() as u128;
    (0..count)
        .map(|_| {
            let index = usize::try_from(number % base).expect("less than 27");
            number /= base;
            char::from(LETTERS[index])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the store and the loops do with changes, without files and pods.
    fn settle(objects: &mut Vec<Object>) {
        loop {
            let changes = reconcile(objects);
            if changes.is_empty() {
                return;
            }
            objects.retain(|o| !changes.delete.contains(&o.key()));
            for mut object in changes.create {
                let old = objects.iter().position(|o| o.key() == object.key());
                let old = old.map(|index| objects.remove(index));
                let uid = old.map_or_else(|| Uuid::new_v4().to_string(), |o| o.uid().to_owned());
                object.0["metadata"]["uid"] = json!(uid);
                objects.push(object);
            }
        }
    }

    fn workload(kind: &str, name: &str, replicas: u64) -> Object {
        Object(json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")},
            "spec": {"replicas": replicas, "template": {
                "metadata": {"labels": {"app": name}}, "spec": {"containers": []}}},
        }))
    }

    fn node(name: &str, disk: &str) -> Object {
        Object(json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "uid": name, "labels": {"disk": disk}}}))
    }

    fn pods(objects: &[Object]) -> Vec<String> {
        objects
            .iter()
            .filter(|o| o.kind() == "Pod")
            .map(|o| o.name().to_owned())
            .collect()
    }

    #[test]
    fn a_deployment_gets_a_replica_set_and_its_pods() {
        let mut objects = vec![workload("Deployment", "web", 3)];
        settle(&mut objects);
        let pods = pods(&objects);
        assert_eq!(pods.len(), 3);
        assert!(
            pods.iter()
                .all(|name| name.starts_with("web-") && name.len() == 4 + 10 + 1 + 5)
        );
        let pod = objects.iter().find(|o| o.kind() == "Pod").unwrap();
        assert!(pod.labels().contains_key("pod-template-hash"));
    }

    #[test]
    fn scaling_keeps_the_pods_that_may_stay() {
        let mut objects = vec![workload("Deployment", "web", 3)];
        settle(&mut objects);
        let before = pods(&objects);
        objects[0].0["spec"]["replicas"] = json!(2);
        settle(&mut objects);
        let after = pods(&objects);
        assert_eq!(after.len(), 2);
        assert!(after.iter().all(|name| before.contains(name)));
    }

    #[test]
    fn a_changed_template_replaces_every_pod() {
        let mut objects = vec![workload("Deployment", "web", 2)];
        settle(&mut objects);
        let before = pods(&objects);
        objects[0].0["spec"]["template"]["metadata"]["labels"]["version"] = json!("2");
        settle(&mut objects);
        let after = pods(&objects);
        assert_eq!(after.len(), 2);
        assert!(after.iter().all(|name| !before.contains(name)));
    }

    #[test]
    fn a_stateful_set_counts_its_pods_from_zero() {
        let mut objects = vec![workload("StatefulSet", "db", 2)];
        settle(&mut objects);
        assert_eq!(pods(&objects), ["db-0", "db-1"]);
    }

    #[test]
    fn a_daemon_set_has_one_pod_on_each_node_its_selector_takes() {
        let mut set = workload("DaemonSet", "agent", 1);
        set.0["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "ssd"});
        let mut objects = vec![set, node("node-1", "ssd"), node("node-2", "hdd"), node("node-3", "ssd")];
        settle(&mut objects);
        let mut nodes: Vec<_> = objects
            .iter()
            .filter(|o| o.kind() == "Pod")
            .map(|o| o.0["spec"]["nodeName"].as_str().unwrap())
            .collect();
        nodes.sort_unstable();
        assert_eq!(nodes, ["node-1", "node-3"]);
    }

    #[test]
    fn what_belongs_to_a_deleted_workload_goes() {
        let mut objects = vec![workload("Deployment", "web", 2)];
        settle(&mut objects);
        objects.remove(0);
        settle(&mut objects);
        assert!(objects.is_empty());
    }
}
