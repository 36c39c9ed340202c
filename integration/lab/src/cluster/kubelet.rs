//! Pods to sandboxes: what a scheduler, the kubelets and a container runtime do, in one pass that
//! ends when everything is as the manifests say.
//!
//! It is a pass and not a daemon, so that a command that returned has done its work, and a lab
//! has one thing less that can die.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::cni::Network;
use super::controllers;
use super::object::{Key, Object};
use super::sandbox::Sandbox;
use super::schedule;
use super::store::{self, Store};
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::parallel;

/// Controllers settle within a few rounds: workload, replica set, pods, successors of pods.
const ROUNDS: usize = 8;

/// Brings pods and sandboxes in line with the manifests.
pub fn sync(lab: &Lab) -> Result<()> {
    let store = Store::of(&lab.plan().dir);
    for _ in 0..ROUNDS {
        let objects = store.all()?;
        let changes = controllers::reconcile(&objects);
        for mut object in changes.create {
            store.create_or_replace(&mut object)?;
        }
        for key in &changes.delete {
            retire(&store, key)?;
        }
        assign(&store)?;
        let stopped = stop_retired(lab, &store)?;
        if changes.delete.is_empty() && !stopped && controllers::reconcile(&store.all()?).is_empty() {
            break;
        }
    }
    start_missing(lab, &store)
}

/// Deletes an object; a pod first gets notice, because its sandbox goes before it.
pub fn retire(store: &Store, key: &Key) -> Result<()> {
    if key.kind != "Pod" {
        return store.remove(key);
    }
    let Some(mut pod) = store.get(key)? else {
        return Ok(());
    };
    if !pod.deleting() {
        pod.0["metadata"]["deletionTimestamp"] = json!(store::now());
        pod.0["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        store.put(&pod)?;
    }
    Ok(())
}

/// Tells the plugins of every host which sandboxes there are, as a runtime does after its start.
pub fn collect_garbage(lab: &Lab) -> Result<()> {
    let sandboxes = Sandbox::all(lab)?;
    parallel::each(lab.plan().hosts(), |host| {
        let containers: Vec<_> = sandboxes
            .iter()
            .filter(|s| s.node == host.name && !s.host_network)
            .map(|s| s.container.clone())
            .collect();
        Network::of(lab.plan(), &host)?.gc(&containers)
    })
}

/// Gives every pod without a node one; a pod nobody takes stays Pending and says why.
fn assign(store: &Store) -> Result<()> {
    for mut pod in store.list("Pod")? {
        if pod.deleting() || pod.0["spec"]["nodeName"].is_string() {
            continue;
        }
        match schedule::choose(&pod, &store.all()?) {
            Some(node) => pod.0["spec"]["nodeName"] = json!(node),
            None => pending(&mut pod, "Unschedulable", "no node fits its nodeSelector"),
        }
        store.put(&pod)?;
    }
    Ok(())
}

/// Stops every sandbox whose pod is to go, and lets the pod go. Whether there was one.
fn stop_retired(lab: &Lab, store: &Store) -> Result<bool> {
    let pods = store.list("Pod")?;
    let staying: BTreeSet<_> = pods.iter().filter(|p| !p.deleting()).map(Object::uid).collect();
    let mut going = Sandbox::all(lab)?;
    going.retain(|s| !staying.contains(s.uid.as_str()));
    parallel::each(&going, |sandbox| sandbox.stop(lab))?;
    for pod in pods.iter().filter(|p| p.deleting()) {
        store.remove(&pod.key())?;
    }
    Ok(!going.is_empty() || staying.len() != pods.len())
}

fn start_missing(lab: &Lab, store: &Store) -> Result<()> {
    let sandboxes = Sandbox::all(lab)?;
    let running: BTreeSet<_> = sandboxes
        .iter()
        .filter(|s| s.running(lab))
        .map(|s| s.uid.as_str())
        .collect();
    let mut missing = store.list("Pod")?;
    missing.retain(|p| p.0["spec"]["nodeName"].is_string() && !running.contains(p.uid()));
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("{} pods plugged by meridian-cni", missing.len());
    lab.ui().step(&what, || {
        parallel::each(missing, |mut pod| {
            let found = sandboxes.iter().find(|s| s.uid == pod.uid());
            let started = start(lab, &pod, found);
            match &started {
                Ok(sandbox) => running_status(lab, &mut pod, sandbox),
                Err(e) => pending(&mut pod, "FailedCreatePodSandBox", &e.to_string()),
            }
            store.put(&pod)?;
            started.map(drop)
        })
    })
}

fn start(lab: &Lab, pod: &Object, found: Option<&Sandbox>) -> Result<Sandbox> {
    match found {
        // Only its server ended: the sandbox outlives it, as it outlives containers.
        Some(sandbox) if !sandbox.ips.is_empty() => {
            sandbox.serve(lab)?;
            return Ok(sandbox.clone());
        }
        // Half made: away with it, as a runtime does after a failed ADD.
        Some(sandbox) => sandbox.stop(lab)?,
        None => {}
    }
    let node = pod.0["spec"]["nodeName"].as_str().unwrap_or_default();
    let host = lab.plan().host(node).ok_or_else(|| Error::Object {
        object: pod.key().to_string(),
        reason: format!("wants {node}, which is no host of this lab"),
    })?;
    let mut sandbox = Sandbox::plan(lab, pod, &host);
    sandbox.start(lab)?;
    Ok(sandbox)
}

fn pending(pod: &mut Object, reason: &str, message: &str) {
    pod.0["status"] = json!({
        "phase": "Pending",
        "conditions": [{
            "type": if reason == "Unschedulable" { "PodScheduled" } else { "Ready" },
            "status": "False", "reason": reason, "message": message,
        }],
    });
}

fn running_status(lab: &Lab, pod: &mut Object, sandbox: &Sandbox) {
    let ips: Vec<Value> = sandbox.ips.iter().map(|ip| json!({ "ip": ip })).collect();
    let host_ips: Vec<_> = lab
        .plan()
        .host(&sandbox.node)
        .map(|host| lab.plan().node_ips(&host))
        .unwrap_or_default()
        .iter()
        .map(|net| json!({ "ip": net.ip() }))
        .collect();
    let now = store::now();
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": now });
    pod.0["status"] = json!({
        "phase": "Running",
        "podIP": sandbox.ips[0],
        "podIPs": ips,
        "hostIP": host_ips[0]["ip"],
        "hostIPs": host_ips,
        "startTime": now,
        "conditions": [
            condition("PodScheduled"), condition("Initialized"),
            condition("ContainersReady"), condition("Ready"),
        ],
    });
}
