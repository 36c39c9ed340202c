//! The plugin and its configuration, where the runtime looks for them.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use ovsdb::Remote;
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::config::{Config, Install};
use crate::cni::Version;

/// The CNI network.
pub(super) const NETWORK: &str = "meridian";
const PLUGIN: &str = "meridian-cni";
/// The reference plugin for hostPort.
const PORTMAP: &str = "portmap";
const CNI_VERSION: &str = "1.0.0";
/// A plugin answers in milliseconds; what takes longer is none.
const ANSWER: Duration = Duration::from_secs(3);
/// Runtimes take the first by name.
const CONFLIST: &str = "10-meridian.conflist";

/// Puts the plugin in place. The runtime may execute it at any moment, and so never sees half of it.
pub(super) fn plugin(install: &Install) -> anyhow::Result<()> {
    let target = install.bin_dir.join(PLUGIN);
    let content = fs::read(&install.plugin).with_context(|| format!("read {}", install.plugin.display()))?;
    if fs::read(&target).is_ok_and(|installed| installed == content) {
        return Ok(());
    }
    replace(&target, &content, 0o755).with_context(|| format!("install {}", target.display()))
}

/// Who serves hostPort.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HostPorts {
    /// The reference plugin, chained after ours, and the versions of CNI that both speak.
    #[error("the chained plugin portmap (CNI {})", .versions.join(", "))]
    Portmap { versions: Vec<&'static str> },
    #[error("not served, as configured (--cni-portmap off)")]
    Off,
    #[error("not served: there is no {}", .0.display())]
    Absent(PathBuf),
    #[error("not served: {}: {reason}", .plugin.display())]
    Unusable { plugin: PathBuf, reason: String },
}

impl HostPorts {
    /// Looks for the plugin, and asks it what it speaks: a chain can speak no version that one of its plugins does not.
    pub(super) async fn look(install: &Install) -> Self {
        if !install.portmap {
            return Self::Off;
        }
        let plugin = install.bin_dir.join(PORTMAP);
        if !plugin.exists() {
            return Self::Absent(plugin);
        }
        match versions(&plugin).await {
            Ok(versions) => Self::Portmap { versions },
            Err(error) => Self::Unusable {
                plugin,
                reason: format!("{error:#}"),
            },
        }
    }
}

/// The versions of CNI that a plugin and we speak.
async fn versions(plugin: &Path) -> anyhow::Result<Vec<&'static str>> {
    let mut asking = tokio::process::Command::new(plugin)
        .env("CNI_COMMAND", "VERSION")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = asking.stdin.take() {
        // One that does not read may answer all the same.
        let _ = stdin.write_all(br#"{"cniVersion":"1.0.0"}"#).await;
    }
    let output = tokio::time::timeout(ANSWER, asking.wait_with_output())
        .await
        .context("no answer to VERSION")??;
    let answer: Versions = serde_json::from_slice(&output.stdout).context("its answer to VERSION")?;
    let speaks = |version: &&str| answer.supported_versions.iter().any(|theirs| theirs == version);
    let common: Vec<_> = Version::ALL.map(Version::as_str).into_iter().filter(speaks).collect();
    if common.is_empty() {
        anyhow::bail!("it speaks CNI {}", answer.supported_versions.join(", "));
    }
    Ok(common)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    supported_versions: Vec<String>,
}

/// Puts the configuration in place, which is what makes the kubelet report the node ready. True if it was not yet.
pub(super) fn conflist(config: &Config, install: &Install, host_ports: &HostPorts) -> anyhow::Result<bool> {
    let target = install.conf_dir.join(CONFLIST);
    let content = format!("{:#}\n", configuration(config, install, host_ports));
    if fs::read_to_string(&target).is_ok_and(|installed| installed == content) {
        return Ok(false);
    }
    // Only the administrator: other plugins' configurations hold credentials, and some scanners expect it of all.
    replace(&target, content.as_bytes(), 0o600).with_context(|| format!("install {}", target.display()))?;
    Ok(true)
}

/// Removes both, the configuration first: the runtime must not be told to execute what is not there.
pub(super) fn uninstall(bin_dir: &Path, conf_dir: &Path) -> anyhow::Result<()> {
    for path in [conf_dir.join(CONFLIST), bin_dir.join(PLUGIN)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn configuration(config: &Config, install: &Install, host_ports: &HostPorts) -> serde_json::Value {
    let mut plugin = json!({
        "type": PLUGIN,
        "capabilities": {"bandwidth": true},
        "agentSocket": config.socket,
        "bridge": config.bridge,
    });
    if !config.port_prefix.is_empty() {
        plugin["portPrefix"] = json!(config.port_prefix);
    }
    if let Some(log_file) = &install.log_file {
        plugin["logFile"] = json!(log_file);
        plugin["logLevel"] = json!(install.log_level.name());
    }
    if let Remote::Unix(path) = &config.ovs {
        plugin["ovsSocket"] = json!(format!("unix:{}", path.display()));
    }
    let mut plugins = vec![plugin];
    let mut versions = Version::ALL.map(Version::as_str).to_vec();
    if let HostPorts::Portmap { versions: common } = host_ports {
        plugins.push(json!({"type": PORTMAP, "capabilities": {"portMappings": true}, "snat": true}));
        versions.clone_from(common);
    }
    // The newest that containerd 1.6 knows, or what is nearest to it.
    let newest = versions.iter().rfind(|version| **version <= CNI_VERSION);
    json!({
        "cniVersion": newest.unwrap_or(&versions[0]),
        // Newer runtimes choose the newest of this list: with 1.1.0 come GC and STATUS.
        "cniVersions": versions,
        "name": NETWORK,
        "plugins": plugins,
    })
}

/// Writes a file beside its target and renames it.
fn replace(target: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    // Runtimes pass over names that begin with a dot.
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary: PathBuf = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let write = || {
        let mut file = File::create(&temporary)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        // A node that loses power right after must not come back with an empty plugin.
        file.sync_all()?;
        fs::rename(&temporary, target)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::agent::args::{Cli, Command};

    /// A configuration whose plugin folder is this one.
    fn config(folder: &Path, more: &[&str]) -> Config {
        let folder = folder.display().to_string();
        let mut arguments = vec!["meridian-node", "run", "--node-name", "n1", "--datapath", "netdev"];
        arguments.extend(["--southbound", "unix:/sb", "--encap-ip", "10.0.0.2"]);
        arguments.extend(["--cni-bin-dir", &folder, "--cni-conf-dir", &folder]);
        arguments.extend(more);
        match Cli::try_parse_from(arguments).unwrap().command {
            Command::Run(run) => Config::new(*run).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn write_portmap(folder: &Path, script: &str) {
        replace(
            &folder.join(PORTMAP),
            format!("#!/bin/sh\n{script}\n").as_bytes(),
            0o755,
        )
        .unwrap();
    }

    /// What hostPort is served by, and the configuration that follows.
    async fn configured(folder: &Path, more: &[&str]) -> (HostPorts, serde_json::Value) {
        let config = config(folder, more);
        let install = config.install.clone().unwrap();
        let host_ports = HostPorts::look(&install).await;
        let configuration = configuration(&config, &install, &host_ports);
        (host_ports, configuration)
    }

    #[tokio::test]
    async fn without_portmap_every_version_is_spoken_and_the_status_tells() {
        let folder = tempfile::tempdir().unwrap();
        let (host_ports, conflist) = configured(folder.path(), &[]).await;
        assert!(
            host_ports.to_string().starts_with("not served: there is no /"),
            "{host_ports}"
        );
        assert_eq!(conflist["cniVersion"], "1.0.0");
        assert_eq!(conflist["cniVersions"], json!(["0.4.0", "1.0.0", "1.1.0"]));
        assert_eq!(conflist["plugins"].as_array().unwrap().len(), 1);
        assert_eq!(conflist["plugins"][0]["capabilities"], json!({"bandwidth": true}));
    }

    #[tokio::test]
    async fn portmap_is_chained_and_the_chain_speaks_what_both_do() {
        let folder = tempfile::tempdir().unwrap();
        for (theirs, newest, both) in [
            (r#"["0.3.1","0.4.0","1.0.0"]"#, "1.0.0", json!(["0.4.0", "1.0.0"])),
            (r#"["1.0.0","1.1.0"]"#, "1.0.0", json!(["1.0.0", "1.1.0"])),
            (r#"["0.4.0"]"#, "0.4.0", json!(["0.4.0"])),
        ] {
            let answer = format!(r#"{{"cniVersion":"1.0.0","supportedVersions":{theirs}}}"#);
            write_portmap(folder.path(), &format!("cat >/dev/null; echo '{answer}'"));
            let (host_ports, conflist) = configured(folder.path(), &[]).await;
            assert!(
                host_ports.to_string().starts_with("the chained plugin portmap"),
                "{host_ports}"
            );
            assert_eq!(
                (&conflist["cniVersion"], &conflist["cniVersions"]),
                (&json!(newest), &both)
            );
            assert_eq!(conflist["plugins"][1]["type"], "portmap");
            assert_eq!(conflist["plugins"][1]["capabilities"], json!({"portMappings": true}));
        }
    }

    #[tokio::test]
    async fn a_portmap_that_cannot_be_used_keeps_no_pod_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        for (script, reason) in [
            ("exit 1", "its answer to VERSION"),
            (r#"echo '{"supportedVersions":["0.2.0"]}'"#, "it speaks CNI 0.2.0"),
        ] {
            write_portmap(folder.path(), script);
            let (host_ports, conflist) = configured(folder.path(), &[]).await;
            assert!(host_ports.to_string().contains(reason), "{host_ports}");
            assert_eq!(conflist["plugins"].as_array().unwrap().len(), 1);
        }
        let (host_ports, _) = configured(folder.path(), &["--cni-portmap", "off"]).await;
        assert_eq!(host_ports, HostPorts::Off);
    }

    #[test]
    fn replacing_leaves_no_temporary_file_and_sets_the_mode() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("bin/plugin");
        replace(&target, b"one", 0o755).unwrap();
        replace(&target, b"two", 0o755).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"two");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn uninstalling_twice_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFLIST), "{}").unwrap();
        uninstall(folder.path(), folder.path()).unwrap();
        uninstall(folder.path(), folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
