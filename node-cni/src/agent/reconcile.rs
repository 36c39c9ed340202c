//! Keeps the node as the Southbound database and the configuration want it.
//!
//! One loop compares everything whenever anything may have changed and sets what differs. It remembers nothing that
//! matters, so a restart of the agent, of Open vSwitch or of the host is the same to it as any other change.

use std::sync::Arc;
use std::time::Duration;

use ovsdb::Session;
use tokio::sync::watch;

use super::config::Config;
use super::host::{self, Device};
use super::kernel::Kernel;
use super::masquerade::Masquerade;
use super::southbound::{ManagementPort, Southbound, connection};
use super::{install, ovs};
use crate::plugin::USERSPACE;
use crate::protocol::{ManagementStatus, NodeStatus};

/// After something failed.
const RETRY: Duration = Duration::from_secs(2);
/// In case a notification was lost.
const RECHECK: Duration = Duration::from_mins(1);
/// Settings, then bridge, then ports: the third finds nothing to do.
const OVS_ROUNDS: usize = 4;

/// What the loop tells the socket's server.
#[derive(Debug)]
pub(super) struct Outputs {
    /// Something changed on which a waiting plugin may depend.
    pub(super) changes: Arc<watch::Sender<u64>>,
    pub(super) mtu: watch::Sender<Option<u16>>,
    pub(super) status: watch::Sender<NodeStatus>,
}

#[derive(Debug)]
pub(super) struct Reconciler {
    config: Config,
    ovs: Session,
    southbound: Arc<Southbound>,
    kernel: Arc<Kernel>,
    outputs: Outputs,
    /// Moves to a blocking thread and back.
    masquerade: Masquerade,
    /// What the host was last configured for.
    devices: Option<Vec<Device>>,
    configured: Vec<String>,
    /// Problems of the host that the last look found.
    host_problems: Vec<String>,
    announced: bool,
}

impl Reconciler {
    pub(super) fn new(config: Config, ovs: Session, southbound: Arc<Southbound>, outputs: Outputs) -> Self {
        Self {
            config,
            ovs,
            southbound,
            kernel: Kernel::watch(),
            outputs,
            masquerade: Masquerade::default(),
            devices: None,
            configured: Vec::new(),
            host_problems: Vec::new(),
            announced: false,
        }
    }

    /// Runs until a session is closed, which nobody does.
    pub(super) async fn run(mut self) {
        let mut ovs_rows = self.ovs.subscribe();
        let mut southbound_rows = self.southbound.subscribe();
        let mut ovs_state = self.ovs.state();
        let mut southbound_state = self.southbound.state();
        loop {
            let failed = self.reconcile().await;
            let kernel = Arc::clone(&self.kernel);
            let open = tokio::select! {
                changes = ovs_rows.changed() => changes.is_some(),
                changes = southbound_rows.changed() => changes.is_some(),
                changed = ovs_state.changed() => changed.is_ok(),
                changed = southbound_state.changed() => changed.is_ok(),
                () = kernel.changed() => true,
                () = tokio::time::sleep(if failed { RETRY } else { RECHECK }) => {
                    self.devices = None;
                    true
                }
            };
            if !open {
                return;
            }
        }
    }

    /// One comparison of everything; true if something failed that a retry may mend.
    async fn reconcile(&mut self) -> bool {
        let mut problems = Vec::new();
        let changed = self.kernel.take();
        if changed.routes || self.devices.is_none() {
            self.measure(&mut problems).await;
        }
        let mtu = *self.outputs.mtu.borrow();
        let management = self.southbound.management_ports();
        self.reconcile_ovs(&management, mtu, &mut problems).await;

        let datapath = ovs::datapath(&self.ovs.replica());
        let userspace = datapath.as_deref() == Some(USERSPACE);
        let devices: Vec<Device> = management
            .iter()
            .map(|port| Device {
                name: self.config.management_device(&port.name),
                facts: port.facts.clone(),
                userspace,
            })
            .collect();
        if changed.routes || changed.nftables || self.devices.as_ref() != Some(&devices) {
            self.reconcile_host(devices, changed.nftables).await;
        }
        problems.extend(self.host_problems.iter().cloned());
        let failed = !problems.is_empty();
        self.publish(&management, mtu, datapath, problems);
        failed
    }

    async fn measure(&self, problems: &mut Vec<String>) {
        let encap_ip = self.config.encap_ip;
        // Elsewhere: while the kernel takes a pod's namespace apart, even looking waits, and plugins' questions must not.
        let link_mtu = match tokio::task::spawn_blocking(move || host::uplink_mtu(encap_ip)).await {
            Ok(Ok(link_mtu)) => link_mtu,
            Ok(Err(error)) => return problems.push(error.to_string()),
            Err(error) => return problems.push(format!("bug in meridian-node: {error}")),
        };
        let mtu = self.config.pod_mtu(link_mtu);
        let replaced = self
            .outputs
            .mtu
            .send_if_modified(|current| std::mem::replace(current, mtu) != mtu);
        if replaced {
            tracing::info!(?mtu, ?link_mtu, "MTU of pods");
            self.outputs.changes.send_modify(|count| *count += 1);
        }
    }

    async fn reconcile_ovs(&self, management: &[ManagementPort], mtu: Option<u16>, problems: &mut Vec<String>) {
        // What is in an old snapshot may have been changed by whoever restarted the server.
        if !self.ovs.state().borrow().is_ready() {
            return;
        }
        let wanted = ovs::Wanted {
            config: &self.config,
            // Before the first snapshot no port is known, which does not mean that there is none.
            management: self.southbound.is_ready().then_some(management),
            mtu,
        };
        for _ in 0..OVS_ROUNDS {
            let plan = ovs::plan(&wanted, &self.ovs.replica());
            let Some(transaction) = plan else {
                return;
            };
            tracing::info!(operations = transaction.len() - 1, "configuring Open vSwitch");
            if let Err(error) = self.ovs.transact(transaction).await {
                problems.push(format!("Open vSwitch's database: {error}"));
                return;
            }
        }
        problems.push("Open vSwitch's database does not stay as configured; is another agent on this node?".to_owned());
    }

    async fn reconcile_host(&mut self, devices: Vec<Device>, nftables: bool) {
        let mut masquerade = std::mem::take(&mut self.masquerade);
        let check_nftables = nftables || self.devices.as_ref() != Some(&devices) || !self.host_problems.is_empty();
        let wanted = devices.clone();
        let work = move || {
            let mut problems = Vec::new();
            if let Err(error) = host::enable_forwarding() {
                problems.push(error.to_string());
            }
            let (configured, device_problems) = host::configure(&wanted);
            problems.extend(device_problems);
            if check_nftables && let Err(error) = masquerade.ensure(&wanted) {
                problems.push(error.to_string());
            }
            (masquerade, configured, problems)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((masquerade, configured, problems)) => {
                self.masquerade = masquerade;
                self.configured = configured;
                self.host_problems = problems;
                self.devices = Some(devices);
            }
            Err(error) => self.host_problems = vec![format!("bug in meridian-node: {error}")],
        }
    }

    fn publish(
        &mut self,
        management: &[ManagementPort],
        mtu: Option<u16>,
        datapath: Option<String>,
        mut problems: Vec<String>,
    ) {
        let ovs_connection = connection(&self.ovs);
        let southbound = self.southbound.connection();
        let chassis_registered = self.southbound.chassis().is_some();
        let mut ready = true;
        let mut require = |met: bool, problem: &dyn Fn() -> String| {
            if !met {
                ready = false;
                problems.push(problem());
            }
        };
        require(ovs_connection.connected, &|| {
            format!("Open vSwitch: {}", ovs_connection.detail)
        });
        require(southbound.connected, &|| {
            format!("Southbound database: {}", southbound.detail)
        });
        if ovs_connection.connected {
            require(datapath.is_some(), &|| {
                format!("bridge {} does not exist", self.config.bridge)
            });
        }
        if southbound.connected {
            require(chassis_registered, &|| {
                format!("ovn-controller has not registered chassis {:?}", self.config.node)
            });
        }
        require(mtu.is_some(), &|| {
            format!(
                "no device has the tunnel address {}, so the MTU is unknown",
                self.config.encap_ip
            )
        });
        let replica = self.ovs.replica();
        let management = management
            .iter()
            .map(|port| {
                let device = self.config.management_device(&port.name);
                let (error, installed) = ovs::management_state(&replica, &device);
                let configured = self.configured.contains(&device);
                if let Some(error) = error {
                    require(false, &|| format!("device {device}: {error}"));
                }
                // The kubelet's probes go through it.
                require(configured, &|| {
                    format!(
                        "device {device} of port {} is not there or has no carrier; is ovs-vswitchd running?",
                        port.name
                    )
                });
                ManagementStatus {
                    port: port.name.clone(),
                    addresses: port.facts.ips.iter().map(ipnetwork::IpNetwork::ip).collect(),
                    device,
                    configured,
                    installed,
                }
            })
            .collect();
        drop(replica);
        let (ports, ports_claimed) = self.southbound.counts();
        let status = NodeStatus {
            ready,
            problems,
            node: self.config.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ovs: ovs_connection,
            southbound,
            chassis_registered,
            datapath,
            mtu,
            ports,
            ports_claimed,
            management,
        };
        self.log_difference(&status);
        if status.ready {
            self.announce();
        }
        self.outputs.status.send_replace(status);
    }

    fn log_difference(&self, status: &NodeStatus) {
        let previous = self.outputs.status.borrow();
        if previous.ready != status.ready {
            tracing::info!(ready = status.ready, "node");
        }
        for problem in status
            .problems
            .iter()
            .filter(|problem| !previous.problems.contains(problem))
        {
            tracing::warn!(problem, "not as it should be");
        }
    }

    /// Writes the configuration that makes the kubelet report the node ready, once the node is.
    fn announce(&mut self) {
        let Some(install) = self.config.install.as_ref().filter(|_| !self.announced) else {
            return;
        };
        match install::conflist(&self.config, install) {
            Ok(written) => {
                self.announced = true;
                if written {
                    tracing::info!(folder = %install.conf_dir.display(), "the runtime may start pods");
                }
            }
            Err(error) => tracing::error!(error = format!("{error:#}"), "cannot write the network configuration"),
        }
    }
}
