//! `explain`: its flags, and what is made of them.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use meridian_api::service::Protocol;
use meridian_compile::PathQuestion;
use meridian_model::{Key, PodKey, ServiceKey};
use meridian_northbound::Ownership;
use ovsdb::SessionConfig;

use super::args::{NetworkArgs, NorthboundArgs, OutputArg, SourceArgs};
use super::config::{Error, compile_config, service_key};
use super::{database, target};
use crate::source::Source;

const SERVICE_EXAMPLES: &str = "\
Examples:
  In the pod of the translator, where everything it needs is set:
    kubectl -n meridian-system exec deploy/meridian-translator -- meridian-translator explain service shop/web

  From manifests, without any database:
    meridian-translator explain service shop/web --manifests ./cluster --offline --output json";

const POD_EXAMPLES: &str = "\
Examples:
  In the pod of the translator, where everything it needs is set:
    kubectl -n meridian-system exec deploy/meridian-translator -- meridian-translator explain pod shop/web-0

  From manifests, without any database:
    meridian-translator explain pod shop/web-0 --manifests ./cluster --offline --output json";

const PATH_EXAMPLES: &str = "\
To whom:
  shop/db-0, shop/db-0:5432      a pod, by all of its addresses (also pod:shop/db-0)
  service:shop/web               a service, by its ClusterIPs and every port it has
  service:shop/web:80            by one port, which may also be a name: service:shop/web:http
  10.96.0.10, 10.96.0.10:53      an address, whosoever it is; of a ClusterIP alone all ports
  fd00:10:96::a, [fd00:10:96::a]:53
  node:node-1, node:node-1:30080 a host, by its InternalIPs
A name without a namespace is one in `default`. What has no port is a packet without one, such as a ping.

Examples:
  From pod to pod, in one VPC or not:
    meridian-translator explain path shop/web-0 to shop/db-0

  To the cluster's DNS, and to every port of a service:
    meridian-translator explain path shop/web-0 to 10.96.0.10:53 --protocol udp
    meridian-translator explain path shop/web-0 to service:shop/web

  Into the world, from manifests, without any database:
    meridian-translator explain path shop/web-0 to 192.0.2.1:443 --manifests ./cluster --offline";

const POLICY_EXAMPLES: &str = "\
Which policy:
  shop/web     a NetworkPolicy
  cnp:guard    a ClusterNetworkPolicy; anp:NAME an AdminNetworkPolicy, banp:NAME a BaselineAdminNetworkPolicy

Examples:
  In the pod of the translator, where everything it needs is set:
    kubectl -n meridian-system exec deploy/meridian-translator -- meridian-translator explain policy shop/web

  What a policy would come to, from manifests, without any database:
    meridian-translator explain policy cnp:guard --manifests ./cluster --offline --output json

Which policy lets through or stops what one pod sends another: meridian-translator explain path";

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Of what.
    #[command(subcommand)]
    pub subject: SubjectArgs,
}

/// What `explain` knows.
#[derive(Debug, Subcommand)]
pub enum SubjectArgs {
    /// Say under which addresses a service is reached, who answers where, by which rows, and why an endpoint is left out.
    #[command(visible_alias = "svc", alias = "services", after_help = SERVICE_EXAMPLES)]
    Service {
        /// Its namespace and name; a name alone is one in `default`.
        #[arg(value_name = "NAMESPACE/NAME")]
        name: String,
        /// From what it is told.
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Say in which VPC a pod is and why, what it has there, by which rows, and what keeps it from having a port.
    #[command(visible_alias = "po", alias = "pods", after_help = POD_EXAMPLES)]
    Pod {
        /// Its namespace and name; a name alone is one in `default`.
        #[arg(value_name = "NAMESPACE/NAME")]
        name: String,
        /// From what it is told.
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Say which pods a policy is about, and which pods, addresses and ports its rules come to.
    #[command(visible_alias = "netpol", alias = "policies", alias = "networkpolicy", after_help = POLICY_EXAMPLES)]
    Policy {
        /// Its namespace and name, or its kind and name: see below.
        #[arg(value_name = "POLICY")]
        name: String,
        /// From what it is told.
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Say what becomes of what a pod sends: which object, which row and which rule of a host carries or stops it.
    #[command(after_help = PATH_EXAMPLES)]
    Path {
        /// The pod that sends.
        #[arg(value_name = "NAMESPACE/POD")]
        from: String,
        /// The word `to`.
        #[arg(value_name = "to", value_parser = ["to"])]
        to: String,
        /// To whom: see below.
        #[arg(value_name = "TARGET")]
        target: String,
        /// By what it sends [default: tcp; of a service all that it has].
        #[arg(long)]
        protocol: Option<ProtocolArg>,
        /// From what it is told.
        #[command(flatten)]
        common: CommonArgs,
    },
}

/// What all of them need.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// Do not compare with the Northbound database, nor learn from it which addresses pods have.
    #[arg(long)]
    pub offline: bool,
    /// The cluster's addresses and name.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Where objects come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The Northbound database.
    #[command(flatten)]
    pub northbound: NorthboundArgs,
    /// How long to wait for the cluster, and then for the database, in seconds.
    #[arg(long, default_value_t = 30)]
    pub timeout: u64,
    /// How to print.
    #[arg(long, default_value = "table")]
    pub output: OutputArg,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolArg {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// `explain`.
#[derive(Debug)]
pub struct ExplainConfig {
    /// What is to be explained.
    pub subject: Subject,
    /// The cluster's networks.
    pub compile: meridian_compile::Config,
    /// Where objects come from.
    pub source: Source,
    /// The Northbound database, without a lock; none if it is not to be asked.
    pub session: Option<SessionConfig>,
    /// Which rows are ours.
    pub ownership: Ownership,
    /// How long to wait.
    pub timeout: Duration,
    /// How to print.
    pub output: OutputArg,
}

/// What is to be explained.
#[derive(Debug)]
pub enum Subject {
    /// A service.
    Service(ServiceKey),
    /// A pod.
    Pod(PodKey),
    /// A policy of any kind.
    Policy(Key),
    /// What becomes of what a pod sends.
    Path(PathQuestion),
}

impl TryFrom<ExplainArgs> for ExplainConfig {
    type Error = Error;

    fn try_from(args: ExplainArgs) -> Result<Self, Error> {
        let ExplainArgs { subject } = args;
        let (subject, common) = match subject {
            SubjectArgs::Service { name, common } => (Subject::Service(service_key(&name)), common),
            SubjectArgs::Pod { name, common } => (Subject::Pod(target::pod_key(&name)), common),
            SubjectArgs::Policy { name, common } => (Subject::Policy(target::policy_key(&name)), common),
            SubjectArgs::Path {
                from,
                // It is there for the reader, and clap has seen that it is `to`.
                to: _,
                target,
                protocol,
                common,
            } => {
                let (to, port) = target::target(&target)?;
                let question = PathQuestion {
                    from: target::pod_key(&from),
                    to,
                    protocol: protocol.map(Protocol::from),
                    port,
                };
                (Subject::Path(question), common)
            }
        };
        let CommonArgs {
            offline,
            network,
            source,
            northbound,
            timeout,
            output,
        } = common;
        let ownership = Ownership::new(network.cluster_id.as_deref());
        let (session, _) = database::northbound(northbound)?;
        Ok(Self {
            subject,
            compile: compile_config(network)?,
            source: source.into(),
            session: (!offline).then_some(session),
            ownership,
            timeout: Duration::from_secs(timeout),
            output,
        })
    }
}

impl From<ProtocolArg> for Protocol {
    fn from(protocol: ProtocolArg) -> Self {
        match protocol {
            ProtocolArg::Tcp => Self::Tcp,
            ProtocolArg::Udp => Self::Udp,
            ProtocolArg::Sctp => Self::Sctp,
        }
    }
}
