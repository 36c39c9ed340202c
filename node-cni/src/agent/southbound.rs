//! The Southbound database as one node sees it: its own ports, its own chassis, and the services of its cluster that
//! hosts have to do with.
//!
//! Reads only. What a Kubernetes node needs to know of a pod's port or a service, ovn-northd has copied here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meridian_api::hosts::HOSTS;
use meridian_api::name::egress_port;
use meridian_api::port::{self, PortFacts, PortFactsError, PortKind};
use meridian_api::service;
use ovsdb::{
    Condition, Datum, IndexSpec, Row, Session, SessionConfig, State, Subscription, TableMonitor, Transaction, Uuid,
};
use ovsdb_schemas::southbound::{DATABASE, chassis, load_balancer, port_binding};

use super::config::Config;
use super::off_link::PodPort;
use super::openflow::Connections;
use super::services::{Reader, Services, Told};
use crate::name;
use crate::protocol::{ConnectionStatus, PortAnswer, PortRequest};

const REQUESTED_CHASSIS: &str = "requested-chassis";
const IFACE_ID_VER: &str = "iface-id-ver";
const UDP: &str = "udp";

/// Why a port cannot be plugged, or is not up. For people: these texts end up in a pod's events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Blocked {
    #[error("no logical port {port} in the Southbound database yet")]
    NoPort { port: String },
    #[error("Southbound database unreachable for {seconds} s ({detail})")]
    Unreachable { seconds: u64, detail: String },
    #[error("port {port} is for chassis {chassis:?}, this is {node:?}")]
    OtherChassis {
        port: String,
        chassis: String,
        node: String,
    },
    #[error("port {port} is of another pod UID: it is for {found}, this is {asked}")]
    OtherUid { port: String, found: String, asked: String },
    #[error("port {port} is not Meridian's: {error}")]
    Foreign { port: String, error: PortFactsError },
    #[error("port {port} is a management port, not a pod's")]
    Management { port: String },
    #[error("no device of this node has the tunnel address {0}, so the MTU is unknown")]
    NoMtu(std::net::IpAddr),
    #[error("ovn-controller has not registered chassis {0:?} in the Southbound database; is it running?")]
    NoChassis(String),
    #[error("ovn-controller has not claimed port {port}")]
    Unclaimed { port: String },
    #[error("port {port} is claimed by another chassis")]
    Elsewhere { port: String },
    #[error("ovn-controller has claimed port {port} and is behind with its flows")]
    Behind { port: String },
}

/// A management port of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ManagementPort {
    pub(super) name: String,
    pub(super) facts: PortFacts,
}

/// The session with the Southbound database.
#[derive(Debug)]
pub(super) struct Southbound {
    session: Session,
    node: String,
    cluster_id: Option<String>,
    port_prefix: String,
    services: Mutex<Reader>,
    /// Since when the replica does not follow the server.
    lost: Mutex<Option<Instant>>,
}

impl Southbound {
    pub(super) fn connect(config: &Config) -> Self {
        let own = Condition::includes(
            port_binding::OPTIONS,
            Datum::map([(REQUESTED_CHASSIS, config.node.as_str())]),
        );
        // Without an id those of other clusters come along: that a key is absent is nothing to ask for.
        let kind = (port::KIND, service::KIND);
        let cluster = config.cluster_id.as_deref().map(|id| (port::CLUSTER, id));
        let services = Condition::includes(
            port_binding::EXTERNAL_IDS,
            Datum::map(std::iter::once(kind).chain(cluster)),
        );
        let mut session = SessionConfig::new(DATABASE, config.southbound.clone()).with_monitors([
            TableMonitor::new(port_binding::TABLE)
                .columns([
                    port_binding::LOGICAL_PORT,
                    port_binding::OPTIONS,
                    port_binding::EXTERNAL_IDS,
                    port_binding::CHASSIS,
                    port_binding::UP,
                ])
                // By the option, not by the column `requested_chassis`: that refers to the chassis' row, which only
                // exists once ovn-controller runs, and ports are created before.
                .condition(own)
                // One that holds is enough.
                .condition(services)
                .index(IndexSpec::column(port_binding::LOGICAL_PORT)),
            TableMonitor::new(chassis::TABLE)
                .columns([chassis::NAME])
                .condition(Condition::eq(chassis::NAME, config.node.as_str())),
            TableMonitor::new(load_balancer::TABLE)
                .columns([load_balancer::VIPS])
                .condition(Condition::eq(load_balancer::PROTOCOL, UDP)),
        ]);
        if let Some(tls) = &config.tls {
            session = session.with_tls(tls.clone());
        }
        Self {
            session: Session::spawn(session),
            node: config.node.clone(),
            cluster_id: config.cluster_id.clone(),
            port_prefix: config.port_prefix.clone(),
            services: Mutex::default(),
            lost: Mutex::new(Some(Instant::now())),
        }
    }

    pub(super) fn subscribe(&self) -> Subscription {
        self.session.subscribe()
    }

    pub(super) fn state(&self) -> tokio::sync::watch::Receiver<State> {
        self.session.state()
    }

    /// Keeps account of how long the database has been away. Call it whenever the state changes.
    pub(super) fn note_state(&self) {
        let ready = self.session.state().borrow().is_ready();
        let mut lost = self.lost.lock().expect("nothing panics while it holds this");
        if ready {
            *lost = None;
        } else if lost.is_none() {
            *lost = Some(Instant::now());
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.session.state().borrow().is_ready()
    }

    pub(super) fn connection(&self) -> ConnectionStatus {
        connection(&self.session)
    }

    /// Whether ovn-controller has registered this node.
    pub(super) fn chassis(&self) -> Option<Uuid> {
        let replica = self.session.replica();
        let (uuid, _) = replica.table(chassis::TABLE)?.iter().next()?;
        Some(uuid)
    }

    /// Number of this node's ports, and of those that ovn-controller has claimed.
    pub(super) fn counts(&self) -> (usize, usize) {
        let replica = self.session.replica();
        let Some(table) = replica.table(port_binding::TABLE) else {
            return (0, 0);
        };
        // Nobody plugs what tells a host that it is a gateway.
        let is_plugged = |row: &Row| !is_service(row) && !facts(row).is_ok_and(|facts| facts.kind == PortKind::Egress);
        let ports = || table.iter().filter(|(_, row)| is_plugged(row));
        let claimed = ports().filter(|(_, row)| !row.get(port_binding::CHASSIS).is_empty());
        (ports().count(), claimed.count())
    }

    /// The services of this node's cluster; the same value as long as nothing about them changes.
    pub(super) fn services(&self) -> Arc<Services> {
        let replica = self.session.replica();
        let rows = replica
            .table(port_binding::TABLE)
            .into_iter()
            .flat_map(ovsdb::TableReplica::iter)
            .filter(|(_, row)| is_service(row));
        let told = rows.filter_map(|(uuid, row)| {
            let ids = row.get(port_binding::EXTERNAL_IDS);
            (ids.get_str(port::CLUSTER) == self.cluster_id.as_deref()).then(|| Told {
                row: uuid,
                port: row.get(port_binding::LOGICAL_PORT).as_str().unwrap_or_default(),
                facts: ids.get_str(service::SERVICE),
                hosts: ids.get_str(HOSTS),
            })
        });
        let mut reader = self.services.lock().expect("nothing panics while it holds this");
        reader.read(told)
    }

    /// Where datagrams to services may go: to each backend of each frontend, in whichever load balancer.
    pub(super) fn datagrams(&self) -> BTreeSet<Connections> {
        let replica = self.session.replica();
        let rows = replica
            .table(load_balancer::TABLE)
            .into_iter()
            .flat_map(ovsdb::TableReplica::iter);
        let mut found = BTreeSet::new();
        for (_, row) in rows {
            for (to, backends) in row.get(load_balancer::VIPS).pairs() {
                let to = to.as_str().and_then(|to| to.parse().ok());
                let backends = backends.as_str().unwrap_or_default().split(',');
                let backends = backends.filter_map(|by| by.parse().ok());
                found.extend(
                    to.into_iter()
                        .flat_map(|to| backends.clone().map(move |by| Connections { to, by })),
                );
            }
        }
        found
    }

    /// This node's management ports, ordered by name.
    pub(super) fn management_ports(&self) -> Vec<ManagementPort> {
        let replica = self.session.replica();
        let rows = replica
            .table(port_binding::TABLE)
            .into_iter()
            .flat_map(ovsdb::TableReplica::iter);
        let mut ports: Vec<_> = rows
            .filter_map(|(_, row)| {
                let facts = facts(row).ok()?;
                let name = match facts.kind {
                    PortKind::Pod => return None,
                    PortKind::Management => row.get(port_binding::LOGICAL_PORT).as_str()?.to_owned(),
                    // That of another cluster has its own port.
                    PortKind::Egress => egress_port(&self.port_prefix),
                };
                Some(ManagementPort { name, facts })
            })
            .collect();
        ports.sort_by(|a, b| a.name.cmp(&b.name));
        ports
    }

    /// The ports of this node's pods.
    pub(super) fn pods(&self) -> Vec<PodPort> {
        let replica = self.session.replica();
        let rows = replica
            .table(port_binding::TABLE)
            .into_iter()
            .flat_map(ovsdb::TableReplica::iter);
        let pods = rows.filter_map(|(_, row)| {
            let facts = facts(row).ok().filter(|facts| facts.kind == PortKind::Pod)?;
            Some(PodPort {
                name: row.get(port_binding::LOGICAL_PORT).as_str()?.to_owned(),
                vpc: facts.vpc.map(|vpc| vpc.name),
                ips: facts.ips.iter().map(ipnetwork::IpNetwork::ip).collect(),
            })
        });
        pods.collect()
    }

    /// The ports of this node that are of further interfaces of a pod, ordered by name; `pod_port` is that of its first.
    pub(super) fn further_ports(&self, pod_port: &str) -> Vec<String> {
        let replica = self.session.replica();
        let rows = replica
            .table(port_binding::TABLE)
            .into_iter()
            .flat_map(ovsdb::TableReplica::iter);
        let names = rows.filter_map(|(_, row)| row.get(port_binding::LOGICAL_PORT).as_str());
        let mut ports: Vec<_> = names
            .filter(|name| *name != pod_port && name::is_interface_of(name, pod_port))
            .map(str::to_owned)
            .collect();
        ports.sort();
        ports
    }

    /// A pod's port, or why it cannot be plugged yet; `mtu` is for facts that have none.
    pub(super) fn pod_port(
        &self,
        request: &PortRequest,
        mtu: Result<u16, std::net::IpAddr>,
    ) -> Result<PortAnswer, Blocked> {
        // What the last snapshot has is good enough while the database is away: ports do not change much.
        let answer = self.with_port(&request.port, |row| Self::answer(row, request));
        let mut answer = answer.unwrap_or_else(|| Err(self.absent(&request.port)))?;
        if answer.facts.mtu.is_none() {
            answer.facts.mtu = Some(mtu.map_err(Blocked::NoMtu)?);
        }
        Ok(answer)
    }

    /// Asks the database for a port that is not among this node's: it may be another's.
    pub(super) async fn look_beyond(&self, request: &PortRequest) -> Option<Blocked> {
        let mut transaction = Transaction::new(DATABASE);
        transaction.select(
            port_binding::TABLE,
            Condition::eq(port_binding::LOGICAL_PORT, request.port.as_str()).into(),
            Some(&[port_binding::OPTIONS]),
        );
        let outcome = self.session.transact(transaction).await.ok()?;
        let row = outcome.results.first()?.rows.first()?;
        let chassis = row
            .get(port_binding::OPTIONS)?
            .get_str(REQUESTED_CHASSIS)
            .unwrap_or_default();
        (chassis != self.node).then(|| Blocked::OtherChassis {
            port: request.port.clone(),
            chassis: chassis.to_owned(),
            node: self.node.clone(),
        })
    }

    /// Why a port that is plugged is not up; `None` if this side sees nothing wrong.
    pub(super) fn why_not_up(&self, request: &PortRequest) -> Option<Blocked> {
        let own = self.chassis();
        let port = || request.port.clone();
        let found = self.with_port(&request.port, |row| {
            Self::answer(row, request)?;
            let own = own.ok_or_else(|| Blocked::NoChassis(self.node.clone()))?;
            let claimed = row
                .get(port_binding::CHASSIS)
                .atoms()
                .first()
                .and_then(ovsdb::Atom::as_uuid);
            match claimed {
                None => Err(Blocked::Unclaimed { port: port() }),
                Some(other) if other != own => Err(Blocked::Elsewhere { port: port() }),
                Some(_) if row.get(port_binding::UP).atoms() != [true.into()] => Err(Blocked::Behind { port: port() }),
                Some(_) => Ok(()),
            }
        });
        found.unwrap_or_else(|| Err(self.absent(&request.port))).err()
    }

    fn answer(row: &Row, request: &PortRequest) -> Result<PortAnswer, Blocked> {
        let port = || request.port.clone();
        let facts = facts(row).map_err(|error| Blocked::Foreign { port: port(), error })?;
        if facts.kind != PortKind::Pod {
            return Err(Blocked::Management { port: port() });
        }
        if let (Some(found), Some(asked)) = (&facts.uid, &request.uid)
            && found != asked
        {
            return Err(Blocked::OtherUid {
                port: port(),
                found: found.clone(),
                asked: asked.clone(),
            });
        }
        Ok(PortAnswer {
            iface_id_ver: row.get(port_binding::OPTIONS).get_str(IFACE_ID_VER).map(str::to_owned),
            facts,
        })
    }

    fn absent(&self, port: &str) -> Blocked {
        let lost = *self.lost.lock().expect("nothing panics while it holds this");
        match lost {
            Some(since) => Blocked::Unreachable {
                seconds: since.elapsed().max(Duration::from_secs(1)).as_secs(),
                detail: self.connection().detail,
            },
            None => Blocked::NoPort { port: port.to_owned() },
        }
    }

    /// Runs `read` on a port's row, under the replica's lock.
    fn with_port<T>(&self, port: &str, read: impl FnOnce(&Row) -> T) -> Option<T> {
        let replica = self.session.replica();
        let table = replica.table(port_binding::TABLE)?;
        let uuid = table.find(port_binding::LOGICAL_PORT, &port.into()).next()?;
        table.get(uuid).map(read)
    }
}

fn is_service(row: &Row) -> bool {
    row.get(port_binding::EXTERNAL_IDS).get_str(port::KIND) == Some(service::KIND)
}

fn facts(row: &Row) -> Result<PortFacts, PortFactsError> {
    let ids = row.get(port_binding::EXTERNAL_IDS);
    PortFacts::from_external_ids(|key| ids.get_str(key))
}

/// A session's state for people.
pub(super) fn connection(session: &Session) -> ConnectionStatus {
    let state = session.state();
    let state = state.borrow();
    let detail = match &*state {
        State::Disconnected { reason } => reason.clone(),
        State::Connecting { remote } => format!("connecting to {remote}"),
        State::Syncing { remote } => format!("fetching from {remote}"),
        State::Ready { remote, .. } => remote.to_string(),
        State::Closed => "closed".to_owned(),
    };
    ConnectionStatus {
        connected: state.is_ready(),
        detail,
    }
}
