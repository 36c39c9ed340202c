//! The network configuration that the runtime reads. The kubelet reports the node as ready because it is there, so it is
//! written once the node is ready for pods.

use super::config::Config;
use super::install::{self, HostPorts};

/// The file, and what is chained in it.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    /// None until looked for, and if installing is not the agent's.
    host_ports: Option<HostPorts>,
    written: bool,
    problem: Option<String>,
}

impl Configuration {
    /// Whether `portmap` is there for hostPort, which somebody may install at any time.
    pub(super) async fn look_for_portmap(&mut self, config: &Config) {
        let Some(install) = &config.install else {
            return;
        };
        let found = HostPorts::look(install).await;
        if self.host_ports.as_ref() != Some(&found) {
            match &found {
                HostPorts::Portmap { .. } | HostPorts::Off => tracing::info!("hostPort: {found}"),
                HostPorts::Absent(_) | HostPorts::Unusable { .. } => tracing::warn!("hostPort: {found}"),
            }
            self.host_ports = Some(found);
            self.written = false;
        }
    }

    /// Writes it, unless it is known to be there.
    pub(super) async fn write(&mut self, config: &Config) {
        let Some(install) = config.install.clone().filter(|_| !self.written) else {
            return;
        };
        let config = config.clone();
        let host_ports = self.host_ports.clone().unwrap_or(HostPorts::Off);
        let folder = install.conf_dir.display().to_string();
        let written = tokio::task::spawn_blocking(move || install::conflist(&config, &install, &host_ports)).await;
        self.problem = match written {
            Ok(Ok(written)) => {
                self.written = true;
                if written {
                    tracing::info!(folder, "network configuration written: the runtime may start pods");
                }
                None
            }
            Ok(Err(error)) => Some(format!("cannot write the network configuration: {error:#}")),
            Err(error) => Some(format!("bug in meridian-node: {error}")),
        };
    }

    /// Somebody may have removed it.
    pub(super) fn doubt(&mut self) {
        self.written = false;
    }

    /// Who serves hostPort.
    pub(super) fn host_ports(&self) -> Option<&HostPorts> {
        self.host_ports.as_ref()
    }

    pub(super) fn problem(&self) -> Option<&String> {
        self.problem.as_ref()
    }
}
