//! The plugin and its configuration, where the runtime looks for them.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ovsdb::Remote;
use serde_json::json;

use super::config::{Config, Install};

const PLUGIN: &str = "meridian-cni";
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

/// Puts the configuration in place, which is what makes the kubelet report the node ready. True if it was not yet.
pub(super) fn conflist(config: &Config, install: &Install) -> anyhow::Result<bool> {
    let target = install.conf_dir.join(CONFLIST);
    let content = format!("{:#}\n", configuration(config, install));
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

fn configuration(config: &Config, install: &Install) -> serde_json::Value {
    let mut plugin = json!({
        "type": PLUGIN,
        "agentSocket": config.socket,
        "bridge": config.bridge,
    });
    if !config.port_prefix.is_empty() {
        plugin["portPrefix"] = json!(config.port_prefix);
    }
    if let Some(log_file) = &install.log_file {
        plugin["logFile"] = json!(log_file);
    }
    if let Remote::Unix(path) = &config.ovs {
        plugin["ovsSocket"] = json!(format!("unix:{}", path.display()));
    }
    let mut plugins = vec![plugin];
    if install.portmap {
        plugins.push(json!({"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}));
    }
    let mut conflist = json!({
        // The newest that containerd 1.6 knows.
        "cniVersion": "1.0.0",
        "name": "meridian",
        "plugins": plugins,
    });
    if !install.portmap {
        // Newer runtimes choose 1.1.0 from this list, and with it GC and STATUS; the reference portmap may not speak it.
        conflist["cniVersions"] = json!(["0.4.0", "1.0.0", "1.1.0"]);
    }
    conflist
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
    use super::*;

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
