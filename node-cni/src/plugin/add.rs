//! ADD: a pod's interface, from its facts to its flows.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::agent::Agent;
use super::del;
use super::link::{self, USERSPACE, Wanted};
use super::ovs::{self, NewPort, Ovs, OvsError, key};
use super::trace::{Step, Trace};
use crate::cni::{Attachment, Bandwidth, CniError, CniResult, Code, Config, Interface, Ip, LogLevel, Route};
use crate::name;
use crate::netlink::{Mac, Rtnetlink};
use crate::netns::Netns;
use crate::protocol::{PortAnswer, PortRequest};

/// Attaches a pod, or leaves nothing behind.
pub(super) fn add(config: &Config, attachment: &Attachment, trace: &Trace) -> Result<CniResult, CniError> {
    let deadline = Instant::now() + config.add_timeout;
    let (namespace, pod) = attachment.require_pod()?;
    let netns = Netns::open(attachment.require_netns()?)?.require_foreign()?;
    let bandwidth = Bandwidth::of_interface(config, &attachment.ifname)?;
    let request = PortRequest {
        port: name::interface_port(&config.port_prefix, namespace, pod, &attachment.ifname),
        uid: attachment.uid.clone(),
        sandbox: Some(attachment.container_id.clone()),
    };
    let agent = Agent::at(&config.agent_socket);
    let question = agent.ask(request.clone());
    let host = name::host_end(&config.network, &attachment.container_id, &attachment.ifname);
    // While the agent looks for its answer.
    let early = Early::connect(config, &request.port, &host);
    let answer = question.answer(deadline, |reason| {
        trace.log(LogLevel::Debug, &format!("waiting: {reason}"));
    })?;
    trace.step(Step::FactsKnown);
    let plan = Plan::new(config, attachment, &request.port, host, bandwidth, &answer)?;

    let attached = attach(config, &plan, &netns, early.fresh(deadline), deadline, trace);
    let result = match attached {
        Err(Failure::NotInstalled(reason)) => Err(CniError::new(
            Code::TryAgainLater,
            format!("no flows for port {} in time: {reason}", request.port),
        )
        .details(agent.explain(request).unwrap_or_default())),
        // Whoever removed our port goes by the same names: what is there now is theirs, and cleaning up would hit them.
        Err(Failure::Overtaken) => {
            let message = "the port was removed while it was coming up, by a DEL or a later ADD of the same attachment";
            return Err(CniError::new(Code::TryAgainLater, message));
        }
        Err(Failure::Error(error)) => Err(error),
        Ok(()) => Ok(plan.result(config, attachment)),
    };
    result.map_err(|error| {
        // A cleanup that fails is for the next ADD, DEL or GC, which find everything by name.
        match del::detach(config, attachment, Instant::now() + del::CLEANUP) {
            Ok(()) => error,
            Err(left) => error.details(format!("left behind for DEL: {left}")),
        }
    })
}

/// Why a port did not come up.
enum Failure {
    Error(CniError),
    /// All is in place but the flows; as far as this side sees.
    NotInstalled(String),
    /// Another call for the same attachment removed the port.
    Overtaken,
}

impl<E: Into<CniError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Everything that follows from the facts.
struct Plan<'a> {
    host: String,
    ifname: &'a str,
    port: &'a str,
    mac: Mac,
    mtu: u16,
    bandwidth: Bandwidth,
    answer: &'a PortAnswer,
    /// `external_ids` of the OVS interface.
    ids: Vec<(&'static str, String)>,
    alias: String,
    interface: Uuid,
}

impl<'a> Plan<'a> {
    fn new(
        config: &Config,
        attachment: &'a Attachment,
        port: &'a str,
        host: String,
        bandwidth: Bandwidth,
        answer: &'a PortAnswer,
    ) -> Result<Self, CniError> {
        let facts = &answer.facts;
        let bad = |what: String| CniError::new(Code::Internal, format!("facts of port {port}: {what}"));
        let mac = facts.mac.parse().map_err(bad)?;
        let mtu = config.mtu.or(facts.mtu).ok_or_else(|| bad("no MTU".to_owned()))?;
        let (namespace, pod) = attachment.require_pod()?;
        let ips: Vec<String> = facts.ips.iter().map(|network| network.ip().to_string()).collect();
        let mut ids = vec![
            (key::IFACE_ID, port.to_owned()),
            (key::ATTACHED_MAC, facts.mac.clone()),
            (key::SANDBOX, attachment.container_id.clone()),
            (key::IP, ips.join(" ")),
            (key::NETWORK, config.network.clone()),
            (key::NAMESPACE, namespace.to_owned()),
            (key::POD, pod.to_owned()),
            (key::NETNS, attachment.require_netns()?.display().to_string()),
            (key::IFNAME, attachment.ifname.clone()),
        ];
        let version = answer.iface_id_ver.as_ref().or(facts.uid.as_ref());
        if let Some(version) = version.or(attachment.uid.as_ref()) {
            ids.push((key::IFACE_ID_VER, version.clone()));
        }
        Ok(Self {
            host,
            ifname: &attachment.ifname,
            port,
            mac,
            mtu,
            bandwidth,
            answer,
            ids,
            alias: format!("{namespace}/{pod} {}", attachment.ifname),
            interface: Uuid::new_v4(),
        })
    }

    fn wanted(&self, userspace: bool) -> Wanted<'_> {
        Wanted {
            host: &self.host,
            ifname: self.ifname,
            mac: self.mac,
            mtu: self.mtu,
            ips: &self.answer.facts.ips,
            routes: link::routes(&self.answer.facts),
            bandwidth: self.bandwidth,
            userspace,
        }
    }

    fn result(&self, config: &Config, attachment: &Attachment) -> CniResult {
        let facts = &self.answer.facts;
        let gateway = |v4: bool| facts.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == v4);
        CniResult {
            interfaces: vec![
                Interface {
                    name: self.host.clone(),
                    mac: None,
                    mtu: Some(self.mtu.into()),
                    sandbox: None,
                },
                Interface {
                    name: self.ifname.to_owned(),
                    mac: Some(self.mac.to_string()),
                    mtu: Some(self.mtu.into()),
                    sandbox: attachment.netns.as_ref().map(|path| path.display().to_string()),
                },
            ],
            ips: facts
                .ips
                .iter()
                .map(|address| Ip {
                    address: *address,
                    gateway: gateway(address.is_ipv4()),
                    interface: Some(1),
                })
                .collect(),
            routes: link::routes(facts)
                .into_iter()
                .map(|(destination, gateway)| Route {
                    destination,
                    gateway: Some(gateway),
                })
                .collect(),
            dns: config.dns.clone(),
        }
    }

    fn connect(&self, config: &Config, deadline: Instant) -> Result<Ovs, OvsError> {
        connect(config, self.port, &self.host, deadline)
    }
}

fn connect(config: &Config, port: &str, host: &str, deadline: Instant) -> Result<Ovs, OvsError> {
    let relevant = [ovs::has_id(key::IFACE_ID, port), ovs::has_name(host)];
    Ovs::connect(config, &relevant, deadline)
}

/// A connection to Open vSwitch's database that may turn out to be of no use.
struct Early {
    ovs: Option<Ovs>,
    limit: Instant,
}

impl Early {
    /// Making the connection takes a millisecond. Later than this it would no longer tell what is there, and much
    /// later the server would have hung up on who does not answer its probes.
    const TIME: Duration = Duration::from_millis(100);

    fn connect(config: &Config, port: &str, host: &str) -> Self {
        let limit = Instant::now() + Self::TIME;
        // Why not is found out, and waited for, in its turn.
        let ovs = connect(config, port, host, limit).ok();
        Self { ovs, limit }
    }

    fn fresh(self, deadline: Instant) -> Option<Ovs> {
        let mut ovs = self.ovs.filter(|_| Instant::now() < self.limit)?;
        ovs.set_deadline(deadline);
        Some(ovs)
    }
}

fn attach(
    config: &Config,
    plan: &Plan<'_>,
    netns: &Netns,
    early: Option<Ovs>,
    deadline: Instant,
    trace: &Trace,
) -> Result<(), Failure> {
    let mut ovs = match early {
        Some(ovs) => ovs,
        None => plan.connect(config, deadline)?,
    };
    let userspace = ovs.datapath()? == USERSPACE;
    forget_earlier_attempt(&mut ovs, &plan.host)?;

    let wanted = plan.wanted(userspace);
    let mut rtnetlink = Rtnetlink::open()?;
    link::create(&mut rtnetlink, &wanted, netns)?;
    trace.step(Step::VethCreated);
    link::prepare_host_end(&mut rtnetlink, &wanted, &plan.alias)?;
    trace.step(Step::HostEndReady);

    // Plug before configuring the pod: ovn-controller works on the flows meanwhile.
    let mut ovs = retry_disconnected(Some(ovs), config, plan, deadline, |ovs| plug(ovs, plan))?;
    trace.step(Step::PortPlugged);
    netns.run(|| link::configure_pod(&wanted))??;
    trace.step(Step::PodConfigured);

    loop {
        match wait_installed(&mut ovs, plan) {
            Ok(()) => break,
            Err(Waiting::Failure(failure)) => return Err(failure),
            // The server was restarted: the row is on its disk.
            Err(Waiting::Disconnected) => {
                ovs = plan.connect(config, deadline)?;
            }
        }
    }
    trace.step(Step::FlowsInstalled);
    Ok(())
}

/// A port of this very attachment is of an ADD that was killed, or is repeated. ovs-vswitchd must let go of the old
/// device before a new one takes its name, or it would keep forwarding for the one that is gone.
fn forget_earlier_attempt(ovs: &mut Ovs, host: &str) -> Result<(), OvsError> {
    let earlier: Vec<Uuid> = ovs
        .interfaces()
        .filter(|(_, row)| row.get("name").as_str() == Some(host))
        .map(|(uuid, _)| uuid)
        .collect();
    if earlier.is_empty() {
        return Ok(());
    }
    ovs.unplug(&earlier)?;
    ovs.settle()
}

/// Adds the port, and removes those of the same interface in the pod's older sandboxes: two ports of one `iface-id` fight for
/// the binding.
fn plug(ovs: &mut Ovs, plan: &Plan<'_>) -> Result<(), OvsError> {
    // A transaction with an unknown outcome was made after all.
    if ovs.interface(plan.interface).is_some() {
        return Ok(());
    }
    let older: Vec<Uuid> = ovs
        .interfaces()
        .filter(|(_, row)| ovs::id(row, key::IFACE_ID) == Some(plan.port))
        .map(|(uuid, _)| uuid)
        .collect();
    let new = NewPort {
        interface: plan.interface,
        device: &plan.host,
        external_ids: &plan.ids,
        own_queueing: plan.bandwidth.ingress.is_some(),
    };
    ovs.plug(&new, &older)
}

/// Does something on a connection, and again on a new one if the connection breaks.
fn retry_disconnected(
    mut connected: Option<Ovs>,
    config: &Config,
    plan: &Plan<'_>,
    deadline: Instant,
    work: impl Fn(&mut Ovs) -> Result<(), OvsError>,
) -> Result<Ovs, OvsError> {
    loop {
        let result = match connected.take() {
            Some(ovs) => Ok(ovs),
            None => plan.connect(config, deadline),
        }
        .and_then(|mut ovs| work(&mut ovs).map(|()| ovs));
        match result {
            Err(error) if error.is_disconnect() && Instant::now() < deadline => {}
            other => return other,
        }
    }
}

enum Waiting {
    Disconnected,
    Failure(Failure),
}

fn wait_installed(ovs: &mut Ovs, plan: &Plan<'_>) -> Result<(), Waiting> {
    loop {
        let Some(row) = ovs.interface(plan.interface) else {
            return Err(Waiting::Failure(Failure::Overtaken));
        };
        if ovs::id(row, key::OVN_INSTALLED) == Some("true") {
            return Ok(());
        }
        let seen = if let Some(error) = row.get("error").as_str() {
            format!("Open vSwitch reports: {error}")
        } else if row.get("ofport").is_empty() {
            "ovs-vswitchd has not made the port yet; is it running?".to_owned()
        } else {
            "ovn-controller has not installed the port's flows".to_owned()
        };
        match ovs.wait_update() {
            Ok(true) => {}
            Ok(false) => return Err(Waiting::Failure(Failure::NotInstalled(seen))),
            Err(error) if error.is_disconnect() => return Err(Waiting::Disconnected),
            Err(error) => return Err(Waiting::Failure(error.into())),
        }
    }
}
