//! Raw flags, as clap reads them. Must not: check anything that needs more than one flag, nor be
//! seen past [`super::config`].

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnetwork::IpNetwork;

use super::explain::ExplainArgs;
use super::topology::TopologyArgs;
use crate::logging::LogFormat;

const EXAMPLES: &str = "\
Examples:
  Follow the cluster this pod runs in and write to a Northbound database of three:
    meridian-translator run --northbound tcp:10.0.0.1:6641,tcp:10.0.0.2:6641,tcp:10.0.0.3:6641

  Follow a folder of manifests:
    meridian-translator run --manifests ./cluster --northbound unix:/var/run/ovn/ovnnb_db.sock

  Show the rows a folder of manifests means, without any database; and those a live cluster means:
    meridian-translator render --manifests ./cluster
    meridian-translator render --kubeconfig admin.kubeconfig

  Show what would be written, and fail a pipeline when anything would (exit code 2):
    meridian-translator plan --manifests ./cluster --northbound tcp:127.0.0.1:6641

  Say who answers a service where, why a pod has no port, what a policy comes to, and what becomes of what a pod sends:
    meridian-translator explain service shop/web
    meridian-translator explain pod shop/web-0
    meridian-translator explain policy shop/web
    meridian-translator explain path shop/web-0 to service:shop/db:5432

  Draw the networks of a cluster:
    meridian-translator topology --file networks.html";

/// Kubernetes objects to OVN Northbound rows.
#[derive(Debug, Parser)]
#[command(name = "meridian-translator", version, about, after_help = EXAMPLES)]
pub struct CommandLine {
    /// How to log.
    #[command(flatten)]
    pub log: LogArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: CommandArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum CommandArgs {
    /// Keep the Northbound database as the cluster wants it, until stopped.
    Run(RunArgs),
    /// Print the rows that a cluster or a folder of manifests means; needs no database.
    Render(RenderArgs),
    /// Print what `run` would write now; writes nothing, takes no lock.
    ///
    /// Exit code 0: nothing differs. 2: something differs. 1: it could not be found out.
    Plan(PlanArgs),
    /// Say what becomes of a service, of a pod, of a policy, or of what a pod sends, and why.
    Explain(ExplainArgs),
    /// Draw VPCs, their routers and switches by node, pods and services, as a page for browsers.
    #[command(after_help = super::topology::EXAMPLES)]
    Topology(TopologyArgs),
    /// Print Meridian's custom resource definitions, for `kubectl apply --server-side -f -`.
    Crds,
}

/// Logging.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// How log lines look.
    #[arg(long, global = true, env = "MERIDIAN_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Which log lines are written: a level, or directives such as `info,ovsdb=debug`.
    #[arg(long, global = true, env = "MERIDIAN_LOG", default_value = "info")]
    pub log_level: String,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The cluster's addresses and name.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Where objects come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The Northbound database.
    #[command(flatten)]
    pub northbound: NorthboundArgs,
    /// Remotes of the Southbound database, with the same TLS files: to remove the chassis of nodes that are no more
    /// [default: they stay].
    #[arg(long, env = "MERIDIAN_SOUTHBOUND", value_name = "REMOTES")]
    pub southbound: Option<String>,
    /// Name of the OVSDB lock that makes one translator the writer
    /// [default: meridian_translator, followed by _ and the cluster id when there is one].
    #[arg(long, env = "MERIDIAN_LOCK_NAME")]
    pub lock_name: Option<String>,
    /// How many of its rows Meridian may delete at once: a number, a percentage such as `20%`, or
    /// `unlimited` [default: 20%, and never less than 50].
    ///
    /// More than that is taken for a mistake: everything else is written, the deletions wait, and
    /// the log and /readyz say so. Chassis are counted by themselves, and never less than 3.
    #[arg(long, env = "MERIDIAN_DELETION_BUDGET")]
    pub deletion_budget: Option<String>,
    /// Where /livez, /readyz, /metrics and /status are served.
    #[arg(long, env = "MERIDIAN_LISTEN", default_value = "127.0.0.1:9470")]
    pub listen: SocketAddr,
}

/// `render`.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// The cluster's addresses and name.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Where objects come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// How long to wait for the cluster, in seconds.
    #[arg(long, default_value_t = 30)]
    pub timeout: u64,
    /// How to print.
    #[arg(long, default_value = "table")]
    pub output: OutputArg,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The cluster's addresses and name.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Where objects come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The Northbound database.
    #[command(flatten)]
    pub northbound: NorthboundArgs,
    /// How long to wait for the database and the cluster, in seconds.
    #[arg(long, default_value_t = 30)]
    pub timeout: u64,
    /// How to print.
    #[arg(long, default_value = "table")]
    pub output: OutputArg,
}

/// How `render`, `plan` and `explain` print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputArg {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// The cluster's addresses and name.
#[derive(Debug, Args)]
pub struct NetworkArgs {
    /// Pod addresses of the default VPC; one per family, separated by commas.
    #[arg(
        long,
        env = "MERIDIAN_CLUSTER_CIDR",
        value_delimiter = ',',
        default_value = "10.244.0.0/16",
        value_name = "CIDR"
    )]
    pub cluster_cidr: Vec<IpNetwork>,
    /// Networks of ClusterIPs, which hosts reach through the default VPC, beside those that the cluster's ServiceCIDR
    /// objects tell; before Kubernetes 1.33 there are none.
    #[arg(long, env = "MERIDIAN_SERVICE_CIDR", value_delimiter = ',', value_name = "CIDR")]
    pub service_cidr: Vec<IpNetwork>,
    /// Services that pods of every VPC may use, beside those with the annotation meridian.dev/shared.
    #[arg(
        long,
        env = "MERIDIAN_SHARED_SERVICE",
        value_delimiter = ',',
        default_value = "default/kubernetes,kube-system/kube-dns",
        value_name = "NAMESPACE/NAME"
    )]
    pub shared_service: Vec<String>,
    /// Networks between VPCs and the nodes that are their gateways (`egress.mode: Gateway`); one per family, separated by
    /// commas. Nothing outside the cluster sees them, and no node may have an address of them.
    #[arg(
        long,
        env = "MERIDIAN_EGRESS_CIDR",
        value_delimiter = ',',
        default_value = "100.66.0.0/16,fd6d:6572:6964:6567::/64",
        value_name = "CIDR"
    )]
    pub egress_cidr: Vec<IpNetwork>,
    /// Ports of nodes that belong to services of type NodePort, as kube-apiserver has them.
    #[arg(
        long,
        env = "MERIDIAN_SERVICE_NODE_PORT_RANGE",
        value_name = "FIRST-LAST",
        default_value = "30000-32767",
        value_parser = port_range
    )]
    pub service_node_port_range: RangeInclusive<u16>,
    /// Tells clusters that share a Northbound database apart.
    #[arg(long, env = "MERIDIAN_CLUSTER_ID", value_name = "ID")]
    pub cluster_id: Option<String>,
    /// Prefix length of a node's IPv4 slice, for nodes without `spec.podCIDRs`.
    #[arg(long, env = "MERIDIAN_HOST_SLICE_V4", default_value_t = 24, value_parser = clap::value_parser!(u8).range(8..=29))]
    pub host_slice_v4: u8,
    /// Prefix length of a node's IPv6 slice, for nodes without `spec.podCIDRs`.
    #[arg(long, env = "MERIDIAN_HOST_SLICE_V6", default_value_t = 64, value_parser = clap::value_parser!(u8).range(16..=126))]
    pub host_slice_v6: u8,
    /// MTU of pods [default: what the uplink of their node leaves].
    #[arg(long, env = "MERIDIAN_MTU", value_name = "BYTES")]
    pub mtu: Option<u16>,
}

/// Where the cluster's objects come from. Without any flag: the cluster of KUBECONFIG, or else the one this pod runs in,
/// or else the one of the kubeconfig in the home folder.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Folder of manifests (*.yaml, *.yml, *.json; subfolders included) instead of a live cluster.
    #[arg(
        long,
        env = "MERIDIAN_MANIFESTS",
        value_name = "DIR",
        conflicts_with_all = ["kubeconfig", "context"]
    )]
    pub manifests: Option<PathBuf>,
    /// Kubeconfig file of a live cluster [default: KUBECONFIG, the pod's ServiceAccount, ~/.kube/config].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, env = "MERIDIAN_KUBE_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
}

/// The Northbound database.
#[derive(Debug, Args)]
pub struct NorthboundArgs {
    /// Remotes of the Northbound database, separated by commas (`unix:PATH`, `tcp:HOST:PORT`,
    /// `ssl:HOST:PORT`).
    #[arg(
        long,
        env = "MERIDIAN_NORTHBOUND",
        default_value = "unix:/var/run/ovn/ovnnb_db.sock",
        value_name = "REMOTES"
    )]
    pub northbound: String,
    /// Our private key, PEM, for `ssl:` remotes.
    #[arg(long, env = "MERIDIAN_TLS_PRIVATE_KEY", value_name = "FILE")]
    pub tls_private_key: Option<PathBuf>,
    /// Our certificate, PEM, for `ssl:` remotes.
    #[arg(long, env = "MERIDIAN_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// The authority that signed the servers' certificates, PEM, for `ssl:` remotes.
    #[arg(long, env = "MERIDIAN_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// What is checked of a server's certificate.
    #[arg(long, env = "MERIDIAN_TLS_VERIFY", default_value = "chain")]
    pub tls_verify: TlsVerifyArg,
}

/// What is checked of a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsVerifyArg {
    /// That the authority signed it, as OVS itself does; `ovs-pki` names no hosts.
    Chain,
    /// Also that it names the host.
    Hostname,
}

/// `30000-32767`.
fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let range = text.split_once('-').and_then(|(first, last)| {
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (0 < first && first <= last).then_some(first..=last)
    });
    range.ok_or_else(|| "write the first and the last port, as 30000-32767".to_owned())
}
