//! Flags as they are written.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Several hosts in network namespaces with real OVN, and Meridian on them.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Name of the lab; labs of different names do not know each other
    #[arg(long, global = true, default_value = "default", env = "MERIDIAN_LAB")]
    pub(crate) name: String,
    /// Folder of the lab [default: /run/meridian-lab/NAME]
    #[arg(long, global = true)]
    pub(crate) dir: Option<PathBuf>,
    /// Folder of Meridian's programs [default: beside this one]
    #[arg(long, global = true, env = "MERIDIAN_BIN_DIR")]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring the lab up, or start again what ended
    Up(Up),
    /// Take the lab down, whatever its state: nothing of it is left
    Down {
        /// Leave the logs in the lab's folder
        #[arg(long)]
        keep_logs: bool,
    },
    /// Show the lab's daemons and pods; fails if one does not run
    Status,
    /// Put manifests into the cluster and start their pods
    Apply {
        /// A file, or a folder of them
        #[arg(short, long = "filename", required = true)]
        filename: Vec<PathBuf>,
    },
    /// Delete objects, by manifest or by name (`delete pod web-0`)
    Delete {
        /// A file, or a folder of them
        #[arg(short, long = "filename", conflicts_with = "resource")]
        filename: Vec<PathBuf>,
        /// KIND NAME..., or KIND/NAME...
        #[arg(required_unless_present = "filename")]
        resource: Vec<String>,
        /// Namespace of objects given by name
        #[arg(short, long, default_value = "default")]
        namespace: String,
    },
    /// Set the number of a workload's pods (`scale deployment/web --replicas 5`)
    Scale {
        /// KIND/NAME
        resource: String,
        /// How many
        #[arg(long)]
        replicas: u32,
        /// Its namespace
        #[arg(short, long, default_value = "default")]
        namespace: String,
    },
    /// List objects (`get pods`), or show some (`get pod web-0 --json`)
    Get {
        /// KIND [NAME...]
        #[arg(required = true)]
        resource: Vec<String>,
        /// Only of this namespace
        #[arg(short, long)]
        namespace: Option<String>,
    },
    /// Send packets: every pod to every pod, every host to its pods, every pod to its host
    Ping,
    /// Run a command in a pod, on a host (`node-1`), on `central` or `fabric`
    Exec {
        /// POD, NAMESPACE/POD or host
        target: String,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Show logs (`translator`, `node-1/agent`, `agent`, `pod/web-0`)
    Logs {
        /// Component or pod; see `status`
        component: String,
        /// Last lines of each
        #[arg(short = 'n', long, default_value_t = 50)]
        lines: u32,
        /// Go on as they grow
        #[arg(short, long)]
        follow: bool,
    },
    /// Restart components (`translator`, `node-1/agent`, `node-1`, `all`)
    Restart {
        /// Component; see `status`
        component: String,
        /// With SIGKILL, as a crash would end them
        #[arg(long)]
        crash: bool,
    },
    /// End components with SIGKILL and leave them so; `up` starts them again
    Kill {
        /// Component; see `status`
        component: String,
    },
    /// Run kubectl as the administrator of the lab's Kubernetes (`kubectl -- get nodes`)
    Kubectl {
        /// kubectl's arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Add a host to the lab's Kubernetes, remove one, or cut its power for a moment
    Node {
        /// What to do
        #[command(subcommand)]
        action: Node,
    },
    /// The first process of a host
    #[command(hide = true)]
    Init {
        /// The host's layout
        layout: PathBuf,
    },
    /// A port of the machine that leads into a network of the lab's
    #[command(hide = true)]
    Forward(Forward),
    /// Starts a host's switch again when it crashes
    #[command(hide = true)]
    Supervise(Supervise),
    /// What runs in pods: HTTP and UDP that say who answers
    #[command(hide = true)]
    Serve(Serve),
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// How many hosts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=i64::from(meridian_lab::plan::MAX_HOSTS)))]
    pub(crate) hosts: u8,
    #[command(flatten)]
    pub(crate) families: Families,
    /// A real Kubernetes on the hosts; the first time, its parts are built
    #[arg(long, conflicts_with = "bare")]
    pub(crate) kubernetes: bool,
    /// Hosts, Open vSwitch and OVN only: no translator and no agents
    #[arg(long)]
    pub(crate) bare: bool,
    /// Datapath of Open vSwitch [default: the kernel's where it has one]
    #[arg(long, value_enum)]
    pub(crate) datapath: Option<Datapath>,
}

#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Families {
    /// IPv6 only, the tunnels included
    #[arg(long)]
    pub(crate) ipv6: bool,
    /// IPv4 and IPv6; the default with Kubernetes
    #[arg(long)]
    pub(crate) dual_stack: bool,
    /// IPv4 only; the default without Kubernetes
    #[arg(long)]
    pub(crate) ipv4: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Datapath {
    System,
    Netdev,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// Add a host
    Add {
        /// `node-4`
        #[arg(value_name = "NAME")]
        host: String,
    },
    /// Kill everything on a host at once and start it again; its disk stays
    Reboot {
        /// `node-2`
        #[arg(value_name = "NAME")]
        host: String,
    },
    /// Take a host away without a warning and delete its Node
    Remove {
        /// `node-2`
        #[arg(value_name = "NAME")]
        host: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Forward {
    #[arg(long)]
    pub(crate) listen: std::net::SocketAddr,
    #[arg(long)]
    pub(crate) netns: String,
    #[arg(long)]
    pub(crate) to: std::net::SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct Supervise {
    #[arg(long)]
    pub(crate) address: Vec<ipnetwork::IpNetwork>,
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[arg(long)]
    pub(crate) pod: String,
    #[arg(long)]
    pub(crate) node: String,
    #[arg(long)]
    pub(crate) tcp: Vec<u16>,
    #[arg(long)]
    pub(crate) udp: Vec<u16>,
}
