//! Calling network plugins as a container runtime does (CNI 1.1): configuration on standard input,
//! the rest in `CNI_*`, every plugin of the list in turn. It knows no plugin by name.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::command::{Cmd, said};
use crate::component;
use crate::error::{Error, Result};
use crate::netns;
use crate::plan::{Host, Plan};
use crate::process::MARK;

/// The interface's name in every pod.
pub const INTERFACE: &str = "eth0";
/// Seconds after which a plugin is killed; it has its own, shorter deadline.
const LIMIT: &str = "120";

/// One attachment of a pod.
#[derive(Clone, Debug)]
pub struct Attachment<'a> {
    /// `namespace/name`
    pub pod: (&'a str, &'a str),
    /// The pod's UID.
    pub uid: &'a str,
    /// Id of the sandbox.
    pub container: &'a str,
    /// Its namespace's name.
    pub netns: &'a str,
}

/// A host's network configuration and where its plugins are.
#[derive(Debug)]
pub struct Network {
    list: Value,
    plugins: Vec<Value>,
    version: String,
    bin_dir: PathBuf,
    host: String,
    host_netns: String,
    lab: PathBuf,
}

impl Network {
    /// Reads the configuration that the agent of the host wrote.
    pub fn of(plan: &Plan, host: &Host) -> Result<Self> {
        let path = component::conflist(plan, host).ok_or_else(|| Error::State {
            what: format!("{} has no network configuration", host.name),
            next: format!("meridian-lab logs {}/agent", host.name),
        })?;
        let text = std::fs::read(&path).map_err(Error::file("read", &path))?;
        let malformed = |reason: String| Error::Malformed {
            path: path.clone(),
            reason,
        };
        let list: Value = serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
        let plugins = list["plugins"]
            .as_array()
            .filter(|plugins| !plugins.is_empty())
            .ok_or_else(|| malformed("has no plugins".into()))?
            .clone();
        let version = version(&list).ok_or_else(|| malformed("names no CNI version we speak".into()))?;
        Ok(Self {
            list,
            plugins,
            version,
            bin_dir: component::cni_bin_dir(plan, host),
            host: host.name.clone(),
            host_netns: plan.netns(&host.name),
            lab: plan.dir.clone(),
        })
    }

    /// ADD, plugin by plugin; the last one's result.
    pub fn add(&self, attachment: &Attachment<'_>) -> Result<Value> {
        let mut result = Value::Null;
        for plugin in &self.plugins {
            let text = self.call("ADD", plugin, Some(attachment), &result)?;
            result = serde_json::from_str(&text).map_err(|e| Error::Cni {
                pod: subject(Some(attachment), &self.host),
                command: "ADD",
                reason: format!("its result is no JSON ({e}): {text}"),
            })?;
        }
        Ok(result)
    }

    /// CHECK against the result of ADD.
    pub fn check(&self, attachment: &Attachment<'_>, result: &Value) -> Result<()> {
        for plugin in &self.plugins {
            self.call("CHECK", plugin, Some(attachment), result)?;
        }
        Ok(())
    }

    /// DEL in reverse order, with the result of ADD if there is one.
    pub fn del(&self, attachment: &Attachment<'_>, result: &Value) -> Result<()> {
        for plugin in self.plugins.iter().rev() {
            self.call("DEL", plugin, Some(attachment), result)?;
        }
        Ok(())
    }

    /// GC: everything that is not among these sandboxes may go.
    pub fn gc(&self, containers: &[String]) -> Result<()> {
        let valid: Vec<_> = containers
            .iter()
            .map(|id| json!({ "containerID": id, "ifname": INTERFACE }))
            .collect();
        for plugin in &self.plugins {
            let mut plugin = plugin.clone();
            plugin["cni.dev/valid-attachments"] = json!(valid);
            self.call("GC", &plugin, None, &Value::Null)?;
        }
        Ok(())
    }

    /// STATUS: whether ADD would have a chance.
    pub fn status(&self) -> Result<()> {
        for plugin in &self.plugins {
            self.call("STATUS", plugin, None, &Value::Null)?;
        }
        Ok(())
    }

    fn call(
        &self,
        command: &'static str,
        plugin: &Value,
        attachment: Option<&Attachment<'_>>,
        previous: &Value,
    ) -> Result<String> {
        let refused = |reason: String| Error::Cni {
            pod: subject(attachment, &self.host),
            command,
            reason,
        };
        let kind = plugin["type"]
            .as_str()
            .ok_or_else(|| refused("the configuration names no plugin".into()))?;
        let mut config = plugin.clone();
        config["name"] = self.list["name"].clone();
        config["cniVersion"] = json!(self.version);
        if !previous.is_null() {
            config["prevResult"] = previous.clone();
        }
        let output = Cmd::new("timeout")
            .args(["-k", "5", LIMIT])
            .arg(self.bin_dir.join(kind))
            .env_clear()
            .envs(self.env(command, attachment))
            .netns(&self.host_netns)
            .input(config.to_string())
            .output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(refused(reason(&output)))
    }

    fn env(&self, command: &str, attachment: Option<&Attachment<'_>>) -> Vec<(&'static str, String)> {
        let mut env = vec![
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            // Should the lab be killed now, `down` finds a plugin that lingers.
            (MARK, self.lab.display().to_string()),
            ("CNI_COMMAND", command.to_owned()),
            ("CNI_PATH", self.bin_dir.display().to_string()),
        ];
        if let Some(it) = attachment {
            let (namespace, name) = it.pod;
            env.extend([
                ("CNI_CONTAINERID", it.container.to_owned()),
                ("CNI_NETNS", netns::path(it.netns).display().to_string()),
                ("CNI_IFNAME", INTERFACE.to_owned()),
                (
                    "CNI_ARGS",
                    format!(
                        "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};\
                         K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
                        it.container, it.uid
                    ),
                ),
            ]);
        }
        env
    }
}

/// Versions of CNI we speak, newest first: the others differ in nothing we use.
const VERSIONS: &[&str] = &["1.1.0", "1.0.0", "0.4.0"];

/// The newest version both sides speak.
fn version(list: &Value) -> Option<String> {
    let offered: Vec<_> = match list["cniVersions"].as_array() {
        Some(versions) => versions.iter().filter_map(Value::as_str).collect(),
        None => list["cniVersion"].as_str().into_iter().collect(),
    };
    VERSIONS
        .iter()
        .find(|version| offered.contains(version))
        .map(|version| (*version).to_owned())
}

fn subject(attachment: Option<&Attachment<'_>>, host: &str) -> String {
    attachment.map_or_else(
        || host.to_owned(),
        |it| format!("pod {}/{} on {host}", it.pod.0, it.pod.1),
    )
}

/// A plugin tells its error as JSON on standard output; one that died tells what it can.
fn reason(output: &std::process::Output) -> String {
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let Some(message) = json["msg"].as_str() else {
        return format!("{}: {}", output.status, said(output));
    };
    let code = json["code"].as_u64().unwrap_or_default();
    match json["details"].as_str() {
        Some(details) if !details.is_empty() => format!("{message} ({details}, code {code})"),
        _ => format!("{message} (code {code})"),
    }
}

/// The addresses of a result.
pub fn ips(result: &Value) -> Vec<String> {
    result["ips"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|ip| ip["address"].as_str()?.split('/').next().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken() {
        let list = json!({"cniVersion": "1.0.0", "cniVersions": ["0.4.0", "1.0.0", "1.1.0", "9.9.9"]});
        assert_eq!(version(&list).unwrap(), "1.1.0");
        assert_eq!(version(&json!({"cniVersion": "0.4.0"})).unwrap(), "0.4.0");
        assert_eq!(version(&json!({"cniVersion": "0.1.0"})), None);
    }

    #[test]
    fn addresses_are_taken_without_their_prefix_length() {
        let result = json!({"ips": [{"address": "10.0.0.5/24"}, {"address": "fd00::5/64"}]});
        assert_eq!(ips(&result), ["10.0.0.5", "fd00::5"]);
    }
}
