//! Keeps the node as the Southbound database and the configuration want it.
//!
//! One loop compares everything whenever anything may have changed and sets what differs. It remembers nothing that
//! matters, so a restart of the agent, of Open vSwitch or of the host is the same to it as any other change.

use std::sync::Arc;
use std::time::Duration;

use ovsdb::Session;
use tokio::sync::watch;
use tokio::time::Instant;

use super::announce::Announcer;
use super::config::Config;
use super::configuration::Configuration;
use super::controller::Controller;
use super::host::{self, Device};
use super::install::HostPorts;
use super::kernel::Kernel;
use super::nftables::Nftables;
use super::off_link::OffLink;
use super::services::{self, Stale};
use super::serving::{Rules, Serving};
use super::southbound::{ManagementPort, Southbound};
use super::status::{self, Seen};
use super::{ovs, remains, shields};
use crate::plugin::USERSPACE;
use crate::protocol::NodeStatus;

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
    pub(super) vpcs: watch::Sender<services::Vpcs>,
    pub(super) announcer: Arc<Announcer>,
}

#[derive(Debug)]
pub(super) struct Reconciler {
    config: Config,
    ovs: Session,
    southbound: Arc<Southbound>,
    kernel: Arc<Kernel>,
    controller: watch::Receiver<Controller>,
    outputs: Outputs,
    /// The Southbound database has told everything once. Before, that something is not there does not mean that nobody
    /// wants it.
    told: bool,
    serving: Serving,
    /// None before the first look at it.
    off_link: Option<OffLink>,
    /// Moves to a blocking thread and back, as do the stale connections.
    nftables: Nftables,
    stale: Stale,
    /// What the host was last configured for.
    devices: Option<Vec<Device>>,
    configured: Vec<String>,
    /// Problems of the host that the last look found.
    host_problems: Vec<String>,
    configuration: Configuration,
    /// Look also for what nothing notifies of.
    look_around: bool,
}

impl Reconciler {
    pub(super) fn new(
        config: Config,
        ovs: Session,
        southbound: Arc<Southbound>,
        controller: watch::Receiver<Controller>,
        outputs: Outputs,
    ) -> Self {
        let serving = Serving::new(&config.node, Arc::clone(&outputs.announcer));
        Self {
            config,
            ovs,
            southbound,
            kernel: Kernel::watch(),
            controller,
            outputs,
            told: false,
            serving,
            off_link: None,
            nftables: Nftables::default(),
            stale: Stale::default(),
            devices: None,
            configured: Vec::new(),
            host_problems: Vec::new(),
            configuration: Configuration::default(),
            look_around: true,
        }
    }

    /// Runs until a session is closed, which nobody does.
    pub(super) async fn run(mut self) {
        let mut ovs_rows = self.ovs.subscribe();
        let mut southbound_rows = self.southbound.subscribe();
        let mut ovs_state = self.ovs.state();
        let mut southbound_state = self.southbound.state();
        // Since the last full look, and not since the last event: where there is always news, it would never come.
        let mut looked = Instant::now();
        loop {
            let failed = self.reconcile().await;
            let unserved = self.serving.retry();
            let kernel = Arc::clone(&self.kernel);
            let look = looked + if failed { RETRY } else { RECHECK };
            let open = tokio::select! {
                changes = ovs_rows.changed() => changes.is_some(),
                changes = southbound_rows.changed() => changes.is_some(),
                changed = ovs_state.changed() => changed.is_ok(),
                changed = southbound_state.changed() => changed.is_ok(),
                changed = self.controller.changed() => changed.is_ok(),
                () = kernel.changed() => true,
                () = tokio::time::sleep(RETRY), if unserved && !failed => true,
                () = tokio::time::sleep_until(look) => {
                    looked = Instant::now();
                    self.devices = None;
                    self.configuration.doubt();
                    self.look_around = true;
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
        if self.look_around {
            self.configuration.look_for_portmap(&self.config).await;
        }
        if changed.routes || self.devices.is_none() {
            self.measure(&mut problems).await;
        }
        let mtu = *self.outputs.mtu.borrow();
        // Before anything is read: what is read then is all there is.
        self.told |= self.southbound.is_ready();
        let management = self.southbound.management_ports();
        self.reconcile_ovs(&management, mtu, &mut problems).await;

        let datapath = ovs::datapath(&self.ovs.replica());
        let userspace = datapath.as_deref() == Some(USERSPACE);
        let mut devices: Vec<Device> = management
            .iter()
            .map(|port| Device {
                name: self.config.management_device(port),
                facts: port.facts.clone(),
                userspace,
                local_host_ports: matches!(self.configuration.host_ports(), Some(HostPorts::Portmap { .. })),
                pods: Vec::new(),
            })
            .collect();
        if self.told {
            self.find_pods(&mut devices, &mut problems).await;
        }
        let vpcs = services::vpcs(&devices);
        self.outputs.vpcs.send_if_modified(|known| {
            let changed = *known != vpcs;
            known.clone_from(&vpcs);
            changed
        });
        let planned = self.serving.learn(self.southbound.services(), vpcs);
        if self.told && (changed.routes || changed.nftables || planned || self.devices.as_ref() != Some(&devices)) {
            self.reconcile_host(devices, changed.nftables, planned, userspace).await;
        }
        if self.told {
            self.serving.announce(changed.routes);
        }
        problems.extend(self.host_problems.iter().cloned());
        if self.look_around && self.ovs.state().borrow().is_ready() {
            // Until Open vSwitch can be asked it has yet to be done.
            self.look_around = false;
            if let Err(error) = remains::remove(&self.ovs).await {
                problems.push(format!("ports of pods that are no more: {error}"));
            }
        }
        let failed = !problems.is_empty();
        let controller = *self.controller.borrow_and_update();
        // What comes for services is served without a VPC that only just came to this node.
        let connected = management
            .iter()
            .filter(|port| port.facts.is_of_default_vpc())
            .all(|port| self.configured.contains(&self.config.management_device(port)));
        let services = self.serving.serve(self.told, connected);
        let seen = Seen {
            config: &self.config,
            ovs: &self.ovs,
            southbound: &self.southbound,
            controller,
            management: &management,
            configured: &self.configured,
            mtu,
            datapath,
            problems,
            pod_problems: self
                .off_link
                .as_ref()
                .map_or_else(Vec::new, |pods| pods.problems().to_vec()),
            services,
        };
        self.publish(seen.status()).await;
        failed || self.configuration.problem().is_some()
    }

    /// Gives devices the pods that the host reaches by them alone.
    async fn find_pods(&mut self, devices: &mut [Device], problems: &mut Vec<String>) {
        let mut off_link = match self.off_link.take() {
            Some(off_link) => off_link,
            // Whoever had an address before this agent came keeps it.
            None => match tokio::task::spawn_blocking(host::routed_addresses).await {
                Ok(Ok(routed)) => OffLink::found(routed),
                Ok(Err(error)) => {
                    problems.push(error.to_string());
                    OffLink::default()
                }
                Err(error) => {
                    problems.push(format!("bug in meridian-node: {error}"));
                    OffLink::default()
                }
            },
        };
        let facts: Vec<_> = devices
            .iter()
            .map(|device| (device.name.clone(), &device.facts))
            .collect();
        let services = self.southbound.services();
        off_link.settle(&facts, &self.southbound.pods(), &services.hosts);
        for device in devices {
            device.pods = off_link.by_device(&device.name);
        }
        self.off_link = Some(off_link);
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

    async fn reconcile_host(&mut self, devices: Vec<Device>, nftables: bool, planned: bool, userspace: bool) {
        let mut table = std::mem::take(&mut self.nftables);
        let mut stale = std::mem::take(&mut self.stale);
        let plan = Arc::clone(self.serving.plan());
        let touched = nftables || self.devices.is_none() || !self.host_problems.is_empty();
        let check_nftables = touched || planned || self.devices.as_ref() != Some(&devices);
        let (wanted, tunnel) = (devices.clone(), self.config.tunnel());
        let there = if devices.is_empty() {
            Rules::Absent
        } else {
            Rules::Current
        };
        let work = move || {
            let mut problems = Vec::new();
            let mut rules = None;
            let mut isolated = true;
            if let Err(error) = host::enable_forwarding() {
                problems.push(error.to_string());
            }
            if check_nftables {
                rules = match table.ensure(&wanted, &plan, tunnel, touched) {
                    // Connections that begin anew must meet the rules.
                    Ok(anew) => {
                        let stale = stale.remove(&plan, &wanted, anew).err();
                        Some((there, stale.map(|error| error.to_string())))
                    }
                    Err(error) => {
                        problems.push(error.to_string());
                        Some((Rules::Late, None))
                    }
                };
                // Without the rules that keep it apart, the way into a VPC is not opened.
                isolated = !matches!(rules, Some((Rules::Late, _)));
                if userspace && let Err(error) = shields::restore() {
                    problems.push(error.to_string());
                }
            }
            // After the rules, which need no device.
            let ready = |device: &&Device| isolated || device.is_default();
            let ready: Vec<Device> = wanted.iter().filter(ready).cloned().collect();
            let (configured, device_problems) = host::configure(&ready);
            problems.extend(device_problems);
            (table, stale, configured, problems, rules)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((table, stale, configured, problems, rules)) => {
                self.nftables = table;
                self.stale = stale;
                self.configured = configured;
                self.host_problems = problems;
                let still_there = matches!(rules, Some((_, Some(_))));
                if let Some((rules, stale)) = rules {
                    self.serving.note(rules, stale);
                }
                // Looked at again with the services' other troubles.
                self.devices = (!still_there).then_some(devices);
            }
            Err(error) => self.host_problems = vec![format!("bug in meridian-node: {error}")],
        }
    }

    /// Writes the configuration if the node is ready for it, and says how the node is.
    async fn publish(&mut self, mut status: NodeStatus) {
        if status.ready {
            self.configuration.write(&self.config).await;
        }
        status.problems.extend(self.configuration.problem().cloned());
        status.host_ports = self.configuration.host_ports().map(ToString::to_string);
        status.unavailable = status::unavailable(&status);
        self.log_difference(&status);
        self.outputs.status.send_replace(status);
    }

    fn log_difference(&self, status: &NodeStatus) {
        let previous = self.outputs.status.borrow();
        if previous.ready != status.ready {
            tracing::info!(ready = status.ready, "node");
        }
        let all = |status: &NodeStatus| {
            let problems = status.problems.iter().chain(&status.services.problems);
            problems.chain(&status.pod_problems).cloned().collect::<Vec<_>>()
        };
        let before = all(&previous);
        for problem in all(status).iter().filter(|problem| !before.contains(problem)) {
            tracing::warn!(problem, "not as it should be");
        }
    }
}
