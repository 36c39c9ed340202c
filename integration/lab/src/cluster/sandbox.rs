//! A pod's sandbox: its namespace, its network, the server in it, and the record of all that. The
//! record is written before anything is made, so that a sandbox half made can be taken down.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::cni::{self, Attachment, Network};
use super::object::Object;
use crate::error::{Error, LogTail, Result};
use crate::host::Site;
use crate::lab::Lab;
use crate::plan::{Host, log_in};
use crate::process::Daemon;
use crate::{netns, wait};

/// What is known of a sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sandbox {
    /// The pod's namespace in the cluster.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's UID.
    pub uid: String,
    /// Where it runs.
    pub node: String,
    /// The sandbox's id, new with every sandbox.
    pub container: String,
    /// Whether it lives in its host's namespace.
    pub host_network: bool,
    /// The network namespace its processes live in.
    pub netns: String,
    /// Ports on which it serves HTTP.
    pub tcp: Vec<u16>,
    /// Ports of UDP on which it answers.
    pub udp: Vec<u16>,
    /// The plugins' result; null before ADD succeeded.
    pub result: Value,
    /// Its addresses.
    pub ips: Vec<String>,
}

impl Sandbox {
    /// A sandbox for a pod that has a node; nothing of it exists yet.
    pub fn plan(lab: &Lab, pod: &Object, host: &Host) -> Self {
        let spec = &pod.0["spec"];
        let host_network = spec["hostNetwork"].as_bool() == Some(true);
        let id = Uuid::new_v4().simple().to_string();
        let (tcp, udp) = ports(spec);
        Self {
            namespace: pod.namespace().to_owned(),
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            node: host.name.clone(),
            netns: if host_network {
                lab.plan().netns(&host.name)
            } else {
                lab.plan().netns(&format!("pod-{}", &id[..12]))
            },
            // As long as a runtime's.
            container: format!("{id}{}", Uuid::new_v4().simple()),
            host_network,
            tcp,
            udp,
            result: Value::Null,
            ips: Vec::new(),
        }
    }

    /// All sandboxes of a lab.
    pub fn all(lab: &Lab) -> Result<Vec<Self>> {
        let dir = lab.plan().dir.join("pods");
        let mut all = Vec::new();
        for entry in fs::read_dir(&dir).map_err(Error::file("list", &dir))? {
            let path = entry.map_err(Error::file("list", &dir))?.path();
            let text = fs::read(&path).map_err(Error::file("read", &path))?;
            // Written by rename: whole, or a leftover of the rename.
            if path.extension().is_some_and(|e| e == "json") {
                all.push(serde_json::from_slice(&text).map_err(|e| Error::Malformed {
                    path,
                    reason: e.to_string(),
                })?);
            }
        }
        all.sort_by(|a: &Self, b: &Self| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        Ok(all)
    }

    /// `namespace/name`
    pub fn pod(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether it is complete and its server runs.
    pub fn running(&self, lab: &Lab) -> bool {
        !self.ips.is_empty() && lab.processes().running(&self.process()).is_some()
    }

    /// The log of its server.
    pub fn log(&self, lab: &Lab) -> PathBuf {
        log_in(&lab.plan().dir, &format!("pods/{}/{}", self.namespace, self.name))
    }

    /// Makes the namespace, has it plugged, starts the server.
    pub fn start(&mut self, lab: &Lab) -> Result<()> {
        self.save(lab)?;
        if self.host_network {
            let host = self.host(lab)?;
            let ips = lab.plan().node_ips(&host);
            self.ips = ips.iter().map(|net| net.ip().to_string()).collect();
        } else {
            lab.journal().create_netns(&self.netns)?;
            let network = Network::of(lab.plan(), &self.host(lab)?)?;
            self.result = network.add(&self.attachment())?;
            self.ips = cni::ips(&self.result);
            if self.ips.is_empty() {
                return Err(Error::Cni {
                    pod: format!("pod {}", self.pod()),
                    command: "ADD",
                    reason: format!("its result has no addresses: {}", self.result),
                });
            }
        }
        self.save(lab)?;
        self.serve(lab)
    }

    /// Starts the server and waits until it listens.
    pub fn serve(&self, lab: &Lab) -> Result<()> {
        let program = lab.binaries().lab()?;
        let mut command = vec![
            program.display().to_string(),
            "serve".into(),
            format!("--pod={}", self.pod()),
            format!("--node={}", self.node),
        ];
        command.extend(self.tcp.iter().map(|port| format!("--tcp={port}")));
        command.extend(self.udp.iter().map(|port| format!("--udp={port}")));
        let log = self.log(lab);
        let process = lab.processes().start(&Daemon {
            name: &self.process(),
            command,
            env: BTreeMap::new(),
            site: Site::Network(&self.netns),
            cgroup: None,
            log: log.clone(),
        })?;
        let ended = || Error::Ended {
            component: format!("the server of pod {}", self.pod()),
            log: LogTail::of(&log),
        };
        let Some(&port) = self.tcp.first() else {
            return process.alive().then_some(()).ok_or_else(ended);
        };
        let local = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let up = wait::until(wait::PATIENCE, || {
            if !process.alive() {
                return Some(false);
            }
            let connected = netns::within(&self.netns, || {
                std::net::TcpStream::connect(local).map_err(Error::net("connect"))
            });
            // Somebody else may listen there, in a host's namespace.
            connected.is_ok().then(|| process.alive())
        });
        match up {
            Some(true) => Ok(()),
            _ => Err(ended()),
        }
    }

    /// Ends the server, has the network unplugged, removes the namespace and the record.
    pub fn stop(&self, lab: &Lab) -> Result<()> {
        // It has nothing to save.
        lab.processes().crash(&self.process())?;
        lab.processes().forget(&self.process())?;
        if !self.host_network {
            let network = Network::of(lab.plan(), &self.host(lab)?)?;
            network.del(&self.attachment(), &self.result)?;
            netns::remove(&self.netns)?;
        }
        let file = self.file(lab);
        fs::remove_file(&file).map_err(Error::file("remove", &file))
    }

    /// How plugins know it.
    pub fn attachment(&self) -> Attachment<'_> {
        Attachment {
            pod: (&self.namespace, &self.name),
            uid: &self.uid,
            container: &self.container,
            netns: &self.netns,
        }
    }

    fn host(&self, lab: &Lab) -> Result<Host> {
        lab.plan().host(&self.node).ok_or_else(|| Error::Object {
            object: format!("pod {}", self.pod()),
            reason: format!("is on {}, which is no host of this lab", self.node),
        })
    }

    fn process(&self) -> String {
        format!("pod.{}", self.container)
    }

    fn file(&self, lab: &Lab) -> PathBuf {
        lab.plan().dir.join("pods").join(format!("{}.json", self.container))
    }

    fn save(&self, lab: &Lab) -> Result<()> {
        let path = self.file(lab);
        let new = path.with_extension("new");
        let text = serde_json::to_vec_pretty(self).expect("plain data");
        fs::write(&new, text).map_err(Error::file("write", &new))?;
        fs::rename(&new, &path).map_err(Error::file("replace", &path))
    }
}

/// The TCP and UDP ports the containers declare; port 80 where they declare none.
fn ports(spec: &Value) -> (Vec<u16>, Vec<u16>) {
    let (mut tcp, mut udp) = (Vec::new(), Vec::new());
    let declared = spec["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|container| container["ports"].as_array().into_iter().flatten());
    for port in declared {
        let number = port["containerPort"].as_u64().and_then(|n| u16::try_from(n).ok());
        match (number, port["protocol"].as_str().unwrap_or("TCP")) {
            (Some(number), "TCP") => tcp.push(number),
            (Some(number), "UDP") => udp.push(number),
            _ => {}
        }
    }
    if tcp.is_empty() && udp.is_empty() {
        tcp.push(80);
    }
    (tcp, udp)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_come_from_all_containers_and_default_to_80() {
        let spec = json!({"containers": [
            {"ports": [{"containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]},
            {"ports": [{"containerPort": 9090, "protocol": "TCP"}]}]});
        assert_eq!(ports(&spec), (vec![8080, 9090], vec![53]));
        assert_eq!(ports(&json!({"containers": [{}]})), (vec![80], vec![]));
    }
}
