//! The lab's stand-in for a Kubernetes API: a folder of manifests, and the loops that turn
//! workloads into pods and pods into namespaces with a network.

pub mod cni;
pub mod controllers;
pub mod kubelet;
pub mod nodes;
pub mod object;
pub mod sandbox;
pub mod schedule;
pub mod store;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::plan::{WORLD_V4, WORLD_V6};
use crate::probe::matrix::{Endpoint, Kind};
use object::{Key, Object};
use sandbox::Sandbox;
use store::{Applied, Store};

/// Puts objects, and brings pods in line.
pub fn apply(lab: &Lab, mut objects: Vec<Object>) -> Result<Vec<(Key, Applied)>> {
    let store = Store::of(&lab.plan().dir);
    // What others refer to goes first, as it is written or in files named in any order.
    objects.sort_by_key(|o| match o.kind() {
        "Namespace" => 0,
        "CustomResourceDefinition" => 1,
        _ => 2,
    });
    let mut applied = Vec::new();
    for object in objects {
        let key = object.key();
        if !key.namespace.is_empty() && store.get(&Key::new("Namespace", "", &key.namespace))?.is_none() {
            return Err(Error::Object {
                object: key.to_string(),
                reason: format!("there is no namespace {}", key.namespace),
            });
        }
        let object = match key.kind.as_str() {
            "Namespace" => labelled(object),
            _ => object,
        };
        applied.push((key, store.apply(object)?));
    }
    kubelet::sync(lab)?;
    Ok(applied)
}

/// Deletes objects with everything that belongs to them; those that are not there are left out
/// of the result.
pub fn delete(lab: &Lab, keys: &[Key]) -> Result<Vec<Key>> {
    let store = Store::of(&lab.plan().dir);
    let mut deleted = Vec::new();
    let mut namespaces = Vec::new();
    for key in keys {
        if store.get(key)?.is_none() {
            continue;
        }
        deleted.push(key.clone());
        if key.kind == "Namespace" {
            // A namespace ends after what is in it.
            for object in store.all()?.iter().filter(|o| o.namespace() == key.name) {
                kubelet::retire(&store, &object.key())?;
            }
            namespaces.push(key);
        } else {
            kubelet::retire(&store, key)?;
        }
    }
    kubelet::sync(lab)?;
    for key in namespaces {
        store.remove(key)?;
    }
    Ok(deleted)
}

/// Sets how many pods a workload has.
pub fn scale(lab: &Lab, key: &Key, replicas: u32) -> Result<()> {
    let store = Store::of(&lab.plan().dir);
    let mut object = store.get(key)?.ok_or_else(|| Error::Object {
        object: key.to_string(),
        reason: "not found".into(),
    })?;
    object.0["spec"]["replicas"] = json!(replicas);
    store.put(&object)?;
    kubelet::sync(lab)
}

/// Reads manifests from a file, or from every YAML and JSON file of a folder and those below.
pub fn read_manifests(path: &Path) -> Result<Vec<Object>> {
    let mut files = Vec::new();
    collect(path, &mut files)?;
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(Error::file("read", &file))?;
        objects.extend(object::parse(&text).map_err(|reason| Error::Malformed { path: file, reason })?);
    }
    Ok(objects)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(Error::file("read", path))?;
    if !metadata.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(Error::file("list", path))? {
        let path = entry.map_err(Error::file("list", path))?.path();
        let manifest = path
            .extension()
            .is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if path.is_dir() || manifest {
            collect(&path, files)?;
        }
    }
    Ok(())
}

/// Pods that run, with a network of their own, the hosts, and somebody outside: who takes part in
/// the matrix.
pub fn endpoints(lab: &Lab) -> Result<Vec<Endpoint>> {
    let vpcs = vpcs(lab)?;
    let mut endpoints = Vec::new();
    for sandbox in Sandbox::all(lab)? {
        if sandbox.host_network || sandbox.ips.is_empty() {
            continue;
        }
        endpoints.push(Endpoint {
            name: sandbox.pod(),
            kind: Kind::Pod,
            host: sandbox.node.clone(),
            vpc: vpcs.get(&sandbox.uid).cloned(),
            netns: sandbox.netns.clone(),
            ips: sandbox.ips.iter().filter_map(|ip| ip.parse().ok()).collect(),
            ports: sandbox.tcp.clone(),
        });
    }
    endpoints.extend(lab.plan().hosts().iter().map(|host| Endpoint {
        name: host.name.clone(),
        kind: Kind::Host,
        host: host.name.clone(),
        vpc: None,
        netns: lab.plan().netns(&host.name),
        ips: lab.plan().management_ips(host),
        ports: Vec::new(),
    }));
    let families = lab.plan().options.families;
    let v4 = families.v4().then_some(WORLD_V4.into());
    let v6 = families.v6().then_some(WORLD_V6.into());
    endpoints.push(Endpoint {
        name: "outside".into(),
        kind: Kind::Outside,
        host: String::new(),
        vpc: None,
        netns: lab.plan().fabric(),
        ips: v4.into_iter().chain(v6).collect(),
        ports: Vec::new(),
    });
    Ok(endpoints)
}

/// The VPCs of pods by their UIDs, those in the default one left out: a namespace may have moved, so it is their ports that know.
fn vpcs(lab: &Lab) -> Result<BTreeMap<String, String>> {
    let mut vpcs = BTreeMap::new();
    // Whoever has no VPC shall not need the database.
    if Store::of(&lab.plan().dir).list("Vpc")?.is_empty() {
        return Ok(vpcs);
    }
    let args = ["--format=json", "--columns=external_ids", "find", "Logical_Switch_Port"];
    let text = lab.ovn("ovn-nbctl", &[&args[..], &["external_ids:meridian/kind=pod"]].concat())?;
    let table: Value = serde_json::from_str(&text).map_err(|e| Error::Object {
        object: "the table Logical_Switch_Port".into(),
        reason: e.to_string(),
    })?;
    // Rows of one column each: ["map", [[key, value], ...]].
    for row in table["data"].as_array().into_iter().flatten() {
        let pairs = row[0][1].as_array().into_iter().flatten();
        let ids: BTreeMap<&str, &str> = pairs
            .filter_map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?)))
            .collect();
        if let (Some(uid), Some(vpc)) = (ids.get("meridian/uid"), ids.get("meridian/vpc")) {
            vpcs.insert((*uid).to_owned(), (*vpc).to_owned());
        }
    }
    Ok(vpcs)
}

fn labelled(mut namespace: Object) -> Object {
    let name = namespace.name().to_owned();
    namespace.0["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
    namespace
}
