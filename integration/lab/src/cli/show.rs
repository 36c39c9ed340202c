//! Results on standard output, for people and for scripts.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use meridian_lab::cluster::object::Object;
use meridian_lab::cluster::sandbox::Sandbox;
use meridian_lab::component::Component;
use meridian_lab::lab::Lab;
use meridian_lab::machine::Datapath;
use meridian_lab::plan::Options;
use meridian_lab::ui::Ui;
use serde::Serialize;
use serde_json::Value;

/// Prints one line.
pub(crate) fn line(text: &str) -> anyhow::Result<ExitCode> {
    self::text(&format!("{text}\n"))
}

/// Prints text that ends its own lines.
pub(crate) fn text(text: &str) -> anyhow::Result<ExitCode> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Prints JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> anyhow::Result<ExitCode> {
    line(&serde_json::to_string_pretty(value)?)
}

/// How a lab is.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    options: Options,
    datapath: Datapath,
    dir: std::path::PathBuf,
    components: Vec<ComponentStatus>,
    pods: Vec<PodStatus>,
}

#[derive(Debug, Serialize)]
struct ComponentStatus {
    name: String,
    pid: Option<i32>,
    running: bool,
    ready: bool,
}

#[derive(Debug, Serialize)]
struct PodStatus {
    name: String,
    node: String,
    ips: Vec<String>,
    netns: String,
    running: bool,
}

impl Status {
    pub(crate) fn of(lab: &Lab) -> anyhow::Result<Self> {
        let components = Component::all(lab.plan())
            .into_iter()
            .map(|component| {
                let process = lab.processes().running(&component.pid_name());
                ComponentStatus {
                    name: component.to_string(),
                    pid: process.map(|p| p.pid),
                    running: process.is_some(),
                    ready: process.is_some_and(|p| component.ready(lab.plan(), p)),
                }
            })
            .collect();
        let pods = Sandbox::all(lab)?
            .into_iter()
            .map(|sandbox| PodStatus {
                running: sandbox.running(lab),
                name: sandbox.pod(),
                node: sandbox.node,
                ips: sandbox.ips,
                netns: sandbox.netns,
            })
            .collect();
        Ok(Self {
            options: lab.plan().options.clone(),
            datapath: lab.datapath(),
            dir: lab.plan().dir.clone(),
            components,
            pods,
        })
    }

    pub(crate) fn good(&self) -> bool {
        self.components.iter().all(|c| c.ready) && self.pods.iter().all(|p| p.running)
    }

    pub(crate) fn render(&self, ui: Ui) -> String {
        let mut out = format!(
            "lab {:?} in {}: {} hosts, {:?} addresses, {:?} datapath\n",
            self.options.name,
            self.dir.display(),
            self.options.hosts,
            self.options.families,
            self.datapath
        );
        let rows = self.components.iter().map(|c| {
            let state = match (c.running, c.ready) {
                (true, true) => ui.paint("running", "32"),
                (true, false) => ui.paint("not ready", "33"),
                (false, _) => ui.paint("ended", "31"),
            };
            vec![c.name.clone(), c.pid.map_or("-".into(), |pid| pid.to_string()), state]
        });
        table(&mut out, &["COMPONENT", "PID", "STATE"], rows);
        if !self.pods.is_empty() {
            out.push('\n');
            let rows = self.pods.iter().map(|p| {
                let state = if p.running {
                    ui.paint("running", "32")
                } else {
                    ui.paint("ended", "31")
                };
                vec![p.name.clone(), p.node.clone(), p.ips.join(","), state]
            });
            table(&mut out, &["POD", "NODE", "IP", "STATE"], rows);
        }
        out
    }
}

/// Objects of one kind as `kubectl get -o wide` shows the important columns.
pub(crate) fn objects(kind: &str, objects: &[Object]) -> String {
    let mut out = String::new();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    match kind {
        "Pod" => {
            let rows = objects.iter().map(|o| {
                let ips: Vec<_> = o.0["status"]["podIPs"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|ip| ip["ip"].as_str())
                    .collect();
                let phase = if o.deleting() {
                    "Terminating".into()
                } else {
                    text(&o.0["status"]["phase"])
                };
                let reason = text(&o.0["status"]["conditions"][0]["reason"]);
                let state = if phase == "Pending" {
                    format!("{phase} ({reason})")
                } else {
                    phase
                };
                vec![
                    o.namespace().into(),
                    o.name().into(),
                    state,
                    text(&o.0["spec"]["nodeName"]),
                    if ips.is_empty() { "-".into() } else { ips.join(",") },
                ]
            });
            table(&mut out, &["NAMESPACE", "NAME", "STATUS", "NODE", "IP"], rows);
        }
        "Node" => {
            let list = |value: &Value, key: Option<&str>| -> String {
                let items: Vec<_> = value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|v| key.map_or(v, |k| &v[k]).as_str())
                    .collect();
                items.join(",")
            };
            let rows = objects.iter().map(|o| {
                vec![
                    o.name().into(),
                    list(&o.0["spec"]["podCIDRs"], None),
                    list(&o.0["status"]["addresses"], Some("address")),
                ]
            });
            table(&mut out, &["NAME", "POD-CIDRS", "ADDRESSES"], rows);
        }
        _ => {
            let rows = objects.iter().map(|o| {
                let replicas = &o.0["spec"]["replicas"];
                vec![
                    if o.namespace().is_empty() {
                        "-".into()
                    } else {
                        o.namespace().into()
                    },
                    o.name().into(),
                    if replicas.is_null() {
                        "-".into()
                    } else {
                        replicas.to_string()
                    },
                ]
            });
            table(&mut out, &["NAMESPACE", "NAME", "REPLICAS"], rows);
        }
    }
    out
}

/// Columns as wide as their widest cell; the last is free.
fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let head = head.iter().map(|h| (*h).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let widths: Vec<_> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let (last, rest) = row.split_last().expect("a table has columns");
        for (cell, width) in rest.iter().zip(&widths) {
            write!(out, "{cell:width$}   ").ok();
        }
        writeln!(out, "{last}").ok();
    }
}
