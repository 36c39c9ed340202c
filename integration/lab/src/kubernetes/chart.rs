//! What Meridian's Helm chart says, as far as it concerns the lab: objects to apply, and the
//! command lines and environments of the programs, which the lab runs without images.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::control_plane::{self, API_PORT, list};
use super::identity::NAMESPACE;
use crate::cluster::object;
use crate::command::Cmd;
use crate::component::{SOUTHBOUND_PORT, TRANSLATOR_HEALTH};
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::machine::Datapath;
use crate::plan::{Host, Plan};

/// The release's name.
const RELEASE: &str = "meridian";
/// Kinds that make pods. The programs' images do not exist here: the lab runs what they would.
const WORKLOADS: [&str; 4] = ["Deployment", "DaemonSet", "StatefulSet", "Job"];

/// A program as a container of the chart has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    /// Arguments, with `$(VAR)` still in them.
    args: Vec<String>,
    /// Variables, by name.
    env: BTreeMap<String, Source>,
}

/// Where a variable comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Source {
    Value(String),
    /// A field of the pod (`spec.nodeName`).
    Field(String),
}

/// The programs of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Programs {
    translator: Program,
    node: Program,
}

impl Programs {
    /// Those of a lab, as its chart was rendered when it came up.
    pub(crate) fn read(plan: &Plan) -> Result<Self> {
        let path = file(plan);
        let text = fs::read(&path).map_err(Error::file("read", &path))?;
        serde_json::from_slice(&text).map_err(|e| Error::Malformed {
            path,
            reason: e.to_string(),
        })
    }

    /// The translator's arguments and environment.
    pub(crate) fn translator(&self, plan: &Plan) -> (Vec<String>, BTreeMap<String, String>) {
        self.translator.resolve(plan, None)
    }

    /// The agent's arguments and environment on a host.
    pub(crate) fn node(&self, plan: &Plan, host: &Host) -> (Vec<String>, BTreeMap<String, String>) {
        self.node.resolve(plan, Some(host))
    }
}

impl Program {
    /// Fills in what kubelet would, and what is different in a lab.
    fn resolve(&self, plan: &Plan, host: Option<&Host>) -> (Vec<String>, BTreeMap<String, String>) {
        let mut env: BTreeMap<_, _> = self
            .env
            .iter()
            .map(|(name, source)| {
                let value = match source {
                    Source::Value(value) => value.clone(),
                    Source::Field(field) => field_of(plan, host, field),
                };
                (name.clone(), value)
            })
            .collect();
        let args = self.args.iter().map(|arg| expand(arg, &env)).collect();
        if let Some(host) = host {
            // Tunnels have a network of their own here.
            env.insert("MERIDIAN_ENCAP_IP".into(), plan.encap_ip(host).to_string());
            // A lab is for looking closely.
            env.insert(
                "MERIDIAN_CNI_LOG_FILE".into(),
                plugin_log(plan, host).display().to_string(),
            );
            env.insert("MERIDIAN_CNI_LOG_LEVEL".into(), "debug".into());
        }
        // Not the cluster of whoever started the lab.
        env.insert("HOME".into(), "/nonexistent".into());
        (args, env)
    }
}

/// Where the plugin on a host logs its calls.
pub fn plugin_log(plan: &Plan, host: &Host) -> PathBuf {
    // The folder with the other logs is not the host's to see.
    plan.host_dir(host).join("cni.log")
}

/// A field of the pod that a program would run in.
fn field_of(plan: &Plan, host: Option<&Host>, field: &str) -> String {
    let (name, ips) = match host {
        Some(host) => (host.name.clone(), plan.node_ips(host)),
        None => ("central".to_owned(), plan.central_ips()),
    };
    let ips: Vec<_> = ips.iter().map(|net| net.ip().to_string()).collect();
    match field {
        "spec.nodeName" => name,
        "metadata.name" => format!("meridian-{name}"),
        "metadata.namespace" => NAMESPACE.to_owned(),
        "status.hostIPs" | "status.podIPs" => ips.join(","),
        "status.hostIP" | "status.podIP" => ips[0].clone(),
        _ => String::new(),
    }
}

/// `$(VAR)` as Kubernetes expands it in arguments; an unknown one stays as it is.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    env.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("$({name})"), value)
    })
}

/// Renders the chart, applies its objects and keeps what the programs are told.
pub(crate) fn install(lab: &Lab) -> Result<()> {
    let (workloads, others): (Vec<_>, Vec<_>) = render(lab)?.into_iter().partition(|o| is(o, &WORKLOADS));
    let programs = Programs {
        translator: program(&workloads, "meridian-translator")?,
        node: program(&workloads, "meridian-node")?,
    };
    let path = file(lab.plan());
    let text = serde_json::to_vec_pretty(&programs).expect("plain data");
    fs::write(&path, text).map_err(Error::file("write", &path))?;
    // What others refer to must be there before them.
    let (first, rest): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|o| is(o, &["Namespace", "CustomResourceDefinition"]));
    for items in [first, rest] {
        if !items.is_empty() {
            lab.kubectl_apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string())?;
        }
    }
    Ok(())
}

fn is(object: &Value, kinds: &[&str]) -> bool {
    object["kind"].as_str().is_some_and(|kind| kinds.contains(&kind))
}

fn render(lab: &Lab) -> Result<Vec<Value>> {
    let parts = lab.distribution()?;
    let values = lab.plan().kubernetes_dir().join("values.json");
    let text = serde_json::to_vec_pretty(&values_of(lab.plan(), lab.datapath())).expect("plain data");
    fs::write(&values, text).map_err(Error::file("write", &values))?;
    let text = Cmd::new(parts.program("helm"))
        .args(["template", RELEASE])
        .arg(&parts.chart)
        .args(["--include-crds", "--namespace", NAMESPACE, "--values"])
        .arg(&values)
        .run()?;
    object::documents(&text).map_err(|reason| Error::Malformed {
        path: parts.chart.clone(),
        reason,
    })
}

/// What the lab's hosts are like, to the chart.
fn values_of(plan: &Plan, datapath: Datapath) -> Value {
    json!({
        "clusterCIDR": list(&plan.cluster_cidrs()),
        "serviceCIDR": list(&plan.service_cidrs()),
        "northbound": format!("unix:{}", plan.central_run().join("ovnnb_db.sock").display()),
        "southbound": plan.central_remote(SOUTHBOUND_PORT),
        // The lab's own, as is the Namespace that Helm would make.
        "ovnCentral": { "enabled": false },
        "createNamespace": true,
        "apiServer": { "host": control_plane::api_address(plan).to_string(), "port": API_PORT },
        "listen": TRANSLATOR_HEALTH,
        "datapath": datapath.to_string(),
    })
}

fn file(plan: &Plan) -> PathBuf {
    plan.kubernetes_dir().join("programs.json")
}

/// The container of a program, told by its command or, where the image has that, its name.
fn program(workloads: &[Value], name: &str) -> Result<Program> {
    let pods = workloads.iter().map(|w| &w["spec"]["template"]["spec"]);
    let container = pods
        .flat_map(|pod| pod["containers"].as_array().into_iter().flatten())
        .find(|container| {
            let command = container["command"][0]
                .as_str()
                .map(|c| c.rsplit('/').next().unwrap_or(c));
            container["name"].as_str() == Some(name) || command == Some(name)
        })
        .ok_or_else(|| Error::Object {
            object: format!("Helm release {RELEASE}"),
            reason: format!("has no container {name}"),
        })?;
    let words = |key: &str| -> Vec<String> {
        let list = container[key].as_array().into_iter().flatten();
        list.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let env = container["env"].as_array().into_iter().flatten();
    Ok(Program {
        // The program's own path is the image's.
        args: words("command").into_iter().skip(1).chain(words("args")).collect(),
        env: env.filter_map(variable).collect(),
    })
}

fn variable(env: &Value) -> Option<(String, Source)> {
    let name = env["name"].as_str()?.to_owned();
    let source = match env["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
        Some(field) => Source::Field(field.to_owned()),
        None => Source::Value(env["value"].as_str().unwrap_or_default().to_owned()),
    };
    Some((name, source))
}
