//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  A node, with its name and address from the Downward API:
    meridian-node run --southbound ssl:10.0.0.2:6642,ssl:10.0.0.3:6642 --node-name $NODE_NAME --encap-ip $NODE_IP \\
      --southbound-ca /etc/ovn/ca.pem --southbound-certificate /etc/ovn/cert.pem --southbound-key /etc/ovn/key.pem
  A machine without the openvswitch kernel module:
    meridian-node run --southbound tcp:10.0.0.2:6642 --node-name n1 --encap-ip 10.0.0.11 --datapath netdev
  Why does a pod not start?
    meridian-node explain web/frontend-0
  What does this host do for a service?
    meridian-node explain service web/frontend
  Is the node ready for pods? (exits with 1 if not)
    meridian-node status
  Which packets did policies deny?
    tail -F /var/log/ovn/ovn-controller.log | meridian-node denied";

const DENIED_EXAMPLES: &str = "\
Examples:
  Which packets did policies deny on a node?
    kubectl -n meridian-system logs OPENVSWITCH-POD -c ovn-controller | kubectl -n meridian-system exec -i NODE-POD -- meridian-node denied
  As they come, on a machine where ovn-controller writes a file:
    tail -F /var/log/ovn/ovn-controller.log | meridian-node denied --southbound ssl:10.0.0.2:6642 --southbound-ca /etc/ovn/ca.pem";

/// Meridian's node agent: chassis settings, management ports, host routes and masquerade, and the CNI plugin's source of facts.
#[derive(Debug, Parser)]
#[command(name = "meridian-node", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the agent until SIGTERM or SIGINT.
    Run(Box<Run>),
    /// Print the running agent's state as JSON; exit with 1 if the node is not ready for pods.
    Status(Socket),
    /// Tell why a pod's port is not up, or what this host does for a service.
    Explain(Explain),
    /// Tell of packets that policies denied, as ovn-controller logs them, with pods instead of addresses.
    ///
    /// What is logged says the annotation `meridian.dev/policy-log` of namespaces, and of policies of the whole cluster.
    #[command(after_help = DENIED_EXAMPLES)]
    Denied(Denied),
    /// Remove the network configuration and the plugin, so that the runtime stops using Meridian.
    Uninstall(Folders),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Explain {
    #[command(subcommand)]
    pub(super) what: Option<Explained>,
    /// The pod, as `namespace/name`, of which all interfaces are told; or the name of a logical port.
    #[arg(required = true)]
    pub(super) pod: Option<String>,
    #[command(flatten)]
    pub(super) socket: Socket,
}

#[derive(Debug, Subcommand)]
pub(super) enum Explained {
    /// Tell what this host does for a service: under what it is reached, and where that leads.
    Service {
        /// The service, as `namespace/name`.
        service: String,
        #[command(flatten)]
        socket: Socket,
    },
}

#[derive(Debug, Args)]
pub(super) struct Socket {
    /// The agent's socket.
    #[arg(long, env = "MERIDIAN_SOCKET", default_value = "/run/meridian/node.sock")]
    pub(super) socket: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Folders {
    /// Where the runtime looks for CNI plugins.
    #[arg(long, env = "MERIDIAN_CNI_BIN_DIR", default_value = "/opt/cni/bin")]
    pub(super) cni_bin_dir: PathBuf,
    /// Where the runtime looks for CNI configurations.
    #[arg(long, env = "MERIDIAN_CNI_CONF_DIR", default_value = "/etc/cni/net.d")]
    pub(super) cni_conf_dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DatapathArg {
    /// `system` if the kernel has the openvswitch module, else `netdev`.
    Auto,
    /// The kernel's.
    System,
    /// Userspace.
    Netdev,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EncapArg {
    /// Geneve: the one OVN recommends, and the one that carries all its metadata.
    Geneve,
    /// VXLAN: only where hardware speaks nothing else; OVN then limits the number of networks and ports.
    Vxlan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PortmapArg {
    /// If it is in the plugin folder.
    Auto,
    /// Never: somebody else serves hostPort.
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CniLogLevel {
    /// Failures.
    Error,
    /// And each call with its outcome.
    Info,
    /// And each step with its time.
    Debug,
}

impl CniLogLevel {
    /// As the configuration has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// The Southbound database.
#[derive(Debug, Args)]
pub(super) struct SouthboundArgs {
    /// The Southbound database: remotes separated by commas (`tcp:host:port`, `ssl:host:port`, `unix:/path`).
    #[arg(long = "southbound", env = "MERIDIAN_SOUTHBOUND", value_name = "REMOTES")]
    pub(super) remotes: String,
    /// Authorities to trust for `ssl:` remotes, PEM.
    #[arg(long, env = "MERIDIAN_SOUTHBOUND_CA", value_name = "FILE")]
    pub(super) southbound_ca: Option<PathBuf>,
    /// Certificate to show, PEM.
    #[arg(
        long,
        env = "MERIDIAN_SOUTHBOUND_CERTIFICATE",
        value_name = "FILE",
        requires = "southbound_key"
    )]
    pub(super) southbound_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(
        long,
        env = "MERIDIAN_SOUTHBOUND_KEY",
        value_name = "FILE",
        requires = "southbound_certificate"
    )]
    pub(super) southbound_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Denied {
    /// What ovn-controller has logged: a file, or `-` for what is piped in.
    #[arg(default_value = "-", value_name = "FILE")]
    pub(super) log: PathBuf,
    /// Tell of what is let through, too, where that is logged.
    #[arg(long)]
    pub(super) all: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = OutputArg::Table)]
    pub(super) output: OutputArg,
    #[command(flatten)]
    pub(super) southbound: SouthboundArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputArg {
    /// For people: a line each.
    Table,
    /// For machines: an object in a line each.
    Json,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) southbound: SouthboundArgs,
    /// Name of the Kubernetes node; becomes the chassis' name and hostname.
    #[arg(long, env = "MERIDIAN_NODE_NAME", value_name = "NAME")]
    pub(super) node_name: String,
    /// This node's address for tunnels.
    #[arg(long, env = "MERIDIAN_ENCAP_IP", value_name = "IP")]
    pub(super) encap_ip: IpAddr,
    /// Tunnel encapsulation.
    #[arg(long, env = "MERIDIAN_ENCAP_TYPE", value_enum, default_value_t = EncapArg::Geneve)]
    pub(super) encap_type: EncapArg,
    /// Open vSwitch's database.
    #[arg(
        long,
        env = "MERIDIAN_OVS",
        default_value = "unix:/run/openvswitch/db.sock",
        value_name = "REMOTE"
    )]
    pub(super) ovs: String,
    /// Where ovn-controller has its control socket, by which the agent knows that it lives.
    #[arg(long, env = "OVN_RUNDIR", default_value = "/run/ovn", value_name = "FOLDER")]
    pub(super) ovn_rundir: PathBuf,
    /// The integration bridge; made if absent.
    #[arg(long, env = "MERIDIAN_BRIDGE", default_value = "br-int", value_name = "NAME")]
    pub(super) bridge: String,
    /// Datapath of the integration bridge, if the agent makes it.
    #[arg(long, env = "MERIDIAN_DATAPATH", value_enum, default_value_t = DatapathArg::Auto)]
    pub(super) datapath: DatapathArg,
    /// MTU of pods; by default that of the device with the tunnel address, less the encapsulation.
    #[arg(long, env = "MERIDIAN_MTU", value_name = "BYTES", value_parser = clap::value_parser!(u16).range(576..))]
    pub(super) mtu: Option<u16>,
    /// The cluster's id, if the translator has one: what tells clusters apart that share a Northbound database.
    #[arg(long, env = "MERIDIAN_CLUSTER_ID", value_name = "ID")]
    pub(super) cluster_id: Option<String>,
    /// For the node's condition `NetworkUnavailable`: the kubeconfig to write it with; by default, and only in a pod, that
    /// of the pod's service account. Nothing else needs Kubernetes.
    #[arg(long, env = "MERIDIAN_KUBECONFIG", value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Where to tell load balancers whether this node serves services, as kube-proxy does (`/healthz`, `/livez`): an
    /// address and port, or `off`.
    #[arg(
        long,
        env = "MERIDIAN_PROXY_HEALTH_LISTEN",
        default_value = "[::]:10256",
        value_name = "ADDRESS"
    )]
    pub(super) proxy_health_listen: String,
    #[command(flatten)]
    pub(super) socket: Socket,
    #[command(flatten)]
    pub(super) folders: Folders,
    /// The plugin to install; by default the `meridian-cni` beside this program.
    #[arg(long, env = "MERIDIAN_CNI_BINARY", value_name = "FILE")]
    pub(super) cni_binary: Option<PathBuf>,
    /// Chain the reference plugin `portmap` for hostPort.
    #[arg(long, env = "MERIDIAN_CNI_PORTMAP", value_enum, default_value_t = PortmapArg::Auto)]
    pub(super) cni_portmap: PortmapArg,
    /// Where the plugin logs its calls; nowhere if unset.
    #[arg(long, env = "MERIDIAN_CNI_LOG_FILE", value_name = "FILE")]
    pub(super) cni_log_file: Option<PathBuf>,
    /// How much the plugin logs: failures, calls, or steps with their times.
    #[arg(long, env = "MERIDIAN_CNI_LOG_LEVEL", value_enum, default_value_t = CniLogLevel::Info)]
    pub(super) cni_log_level: CniLogLevel,
    /// Install neither plugin nor configuration.
    #[arg(long, env = "MERIDIAN_NO_INSTALL")]
    pub(super) no_install: bool,
    /// What to log (`info`, `debug`, `meridian_node_cni=trace`).
    #[arg(long, env = "MERIDIAN_LOG", default_value = "info", value_name = "FILTER")]
    pub(super) log: String,
    /// How to log.
    #[arg(long, env = "MERIDIAN_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
}
