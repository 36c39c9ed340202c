//! The agent's configuration, checked.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, bail};
use meridian_api::{chassis, name};
use ovsdb::{Remote, TlsConfig};

use super::args::{CniLogLevel, DatapathArg, EncapArg, PortmapArg, Run, Socket, SouthboundArgs};
use super::southbound::ManagementPort;
use crate::name::management_device;
use crate::netlink;
use crate::plugin::USERSPACE;

/// Geneve over IPv4: outer IPv4 20, UDP 8, Geneve 8, OVN's option 8, inner Ethernet 14.
const GENEVE_OVER_IPV4: u16 = 20 + 8 + 8 + 8 + 14;
/// An IPv6 header is 20 bytes longer.
const IPV6_EXTRA: u16 = 20;
/// VXLAN has no options: outer IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14.
const VXLAN_OVER_IPV4: u16 = 20 + 8 + 8 + 14;
/// RFC 8926.
const GENEVE_PORT: u16 = 6081;
/// RFC 7348.
const VXLAN_PORT: u16 = 4789;

/// Where forwarding happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Datapath {
    System,
    Netdev,
}

impl Datapath {
    /// As `Bridge.datapath_type` and `ovn-bridge-datapath-type` say it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Netdev => USERSPACE,
        }
    }
}

/// Everything `run` needs.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) node: String,
    pub(super) southbound: Vec<Remote>,
    /// As given, which is how ovn-controller wants it.
    pub(super) southbound_text: String,
    pub(super) tls: Option<TlsConfig>,
    pub(super) encap_ip: IpAddr,
    pub(super) encap_type: &'static str,
    pub(super) ovs: Remote,
    pub(super) ovn_rundir: PathBuf,
    pub(super) bridge: String,
    pub(super) datapath: Datapath,
    /// The datapath was chosen by a person, and holds for a bridge that exists, too.
    pub(super) datapath_given: bool,
    pub(super) cluster_id: Option<String>,
    /// What stands before the cluster's port names.
    pub(super) port_prefix: String,
    /// By what the translator knows this chassis for the cluster's.
    pub(super) mark: String,
    pub(super) mtu: Option<u16>,
    pub(super) proxy_health: Option<SocketAddr>,
    pub(super) socket: PathBuf,
    pub(super) install: Option<Install>,
    pub(super) kubernetes: Option<Kubernetes>,
}

/// By what to reach Kubernetes' API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kubernetes {
    Kubeconfig(PathBuf),
    /// The service account of the pod that this program runs in.
    ServiceAccount,
}

/// What to install where.
#[derive(Debug, Clone)]
pub(super) struct Install {
    pub(super) bin_dir: PathBuf,
    pub(super) conf_dir: PathBuf,
    pub(super) plugin: PathBuf,
    /// Chain `portmap` if it is there.
    pub(super) portmap: bool,
    pub(super) log_file: Option<PathBuf>,
    pub(super) log_level: CniLogLevel,
}

impl SouthboundArgs {
    /// The remotes, and what encrypts the way there.
    pub(super) fn parse(self) -> anyhow::Result<(Vec<Remote>, Option<TlsConfig>)> {
        let Self {
            remotes,
            southbound_ca,
            southbound_certificate,
            southbound_key,
        } = self;
        let remotes = Remote::parse_list(&remotes).context("--southbound")?;
        if remotes.iter().any(|remote| matches!(remote, Remote::Ssl(..))) && southbound_ca.is_none() {
            bail!("--southbound has an ssl: remote and needs --southbound-ca");
        }
        let tls = southbound_ca.map(|authority| {
            let tls = TlsConfig::new(authority);
            match southbound_certificate.zip(southbound_key) {
                Some((certificate, key)) => tls.with_client(certificate, key),
                None => tls,
            }
        });
        Ok((remotes, tls))
    }
}

impl Config {
    pub(super) fn new(run: Run) -> anyhow::Result<Self> {
        let Run {
            southbound,
            node_name: node,
            encap_ip,
            encap_type,
            ovs,
            ovn_rundir,
            bridge,
            datapath,
            mtu,
            kubeconfig,
            proxy_health_listen,
            socket: Socket { socket },
            cluster_id,
            folders,
            cni_binary,
            cni_portmap,
            cni_log_file,
            cni_log_level,
            no_install,
            log: _,
            log_format: _,
        } = run;
        if node.is_empty() {
            bail!("--node-name is empty");
        }
        if let Some(id) = cluster_id.as_deref().filter(|id| !name::is_cluster_id(id)) {
            bail!("--cluster-id is {id:?}: it must be 1 to 63 characters of a-z, 0-9 and -, as the translator's");
        }
        let southbound_text = southbound.remotes.clone();
        let (southbound, tls) = southbound.parse()?;
        let ovs: Remote = ovs.parse().context("--ovs")?;
        let proxy_health = match proxy_health_listen.as_str() {
            "off" => None,
            address => {
                let parsed = address.parse();
                Some(parsed.with_context(|| format!("--proxy-health-listen {address:?} is no address and port"))?)
            }
        };
        let install = if no_install {
            None
        } else {
            Some(Install {
                bin_dir: folders.cni_bin_dir,
                conf_dir: folders.cni_conf_dir,
                plugin: match cni_binary {
                    Some(plugin) => plugin,
                    None => beside_this_program()?,
                },
                portmap: cni_portmap == PortmapArg::Auto,
                log_file: cni_log_file,
                log_level: cni_log_level,
            })
        };
        Ok(Self {
            node,
            southbound,
            southbound_text,
            tls,
            encap_ip,
            encap_type: match encap_type {
                EncapArg::Geneve => "geneve",
                EncapArg::Vxlan => "vxlan",
            },
            ovs,
            ovn_rundir,
            bridge,
            datapath_given: datapath != DatapathArg::Auto,
            port_prefix: name::prefix(cluster_id.as_deref()),
            mark: chassis::mark(cluster_id.as_deref()),
            datapath: if has_kernel_datapath(datapath)? {
                Datapath::System
            } else {
                Datapath::Netdev
            },
            cluster_id,
            mtu,
            proxy_health,
            socket,
            install,
            kubernetes: kubeconfig.map(Kubernetes::Kubeconfig).or_else(|| {
                // What the client library, too, tells a pod by.
                let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty());
                in_pod.then_some(Kubernetes::ServiceAccount)
            }),
        })
    }

    /// The host's device for a management port.
    pub(super) fn management_device(&self, port: &ManagementPort) -> String {
        let vpc = port.facts.vpc.as_ref().map(|vpc| vpc.name.as_str());
        management_device(&port.name, vpc, &self.port_prefix, &self.node)
    }

    /// Where the integration bridge is managed: beside Open vSwitch's database, if that is on this host.
    pub(super) fn switch(&self) -> Option<PathBuf> {
        match &self.ovs {
            Remote::Unix(socket) => Some(socket.with_file_name(format!("{}.mgmt", self.bridge))),
            Remote::Tcp(..) | Remote::Ssl(..) => None,
        }
    }

    /// Where other nodes' tunnels end on this one.
    pub(super) fn tunnel(&self) -> SocketAddr {
        let port = match self.encap_type {
            "vxlan" => VXLAN_PORT,
            _ => GENEVE_PORT,
        };
        SocketAddr::new(self.encap_ip, port)
    }

    /// What encapsulation takes of a packet on the wire.
    pub(super) fn encap_overhead(&self) -> u16 {
        let over_ipv4 = match self.encap_type {
            "vxlan" => VXLAN_OVER_IPV4,
            _ => GENEVE_OVER_IPV4,
        };
        over_ipv4 + if self.encap_ip.is_ipv6() { IPV6_EXTRA } else { 0 }
    }

    /// MTU of pods over a link.
    pub(super) fn pod_mtu(&self, link_mtu: Option<u32>) -> Option<u16> {
        let derived = link_mtu.and_then(|link| link.checked_sub(self.encap_overhead().into()));
        // Not more than a packet's length field can say, which the loopback device's 65536 would be.
        let derived = derived.map(|mtu| u16::try_from(mtu).unwrap_or(u16::MAX));
        self.mtu.or(derived)
    }
}

fn has_kernel_datapath(datapath: DatapathArg) -> anyhow::Result<bool> {
    match datapath {
        DatapathArg::System => Ok(true),
        DatapathArg::Netdev => Ok(false),
        DatapathArg::Auto => netlink::family_exists("ovs_datapath").context("look for the kernel's openvswitch"),
    }
}

fn beside_this_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("find this program")?;
    Ok(program.with_file_name("meridian-cni"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::agent::args::{Cli, Command};

    fn config(arguments: &[&str]) -> anyhow::Result<Config> {
        let common = ["meridian-node", "run", "--node-name", "n1", "--datapath", "netdev"];
        let cli = Cli::try_parse_from(common.iter().chain(arguments))?;
        match cli.command {
            Command::Run(run) => Config::new(*run),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn geneve_costs_58_bytes_over_ipv4_and_78_over_ipv6() {
        let v4 = config(&["--southbound", "tcp:10.0.0.1:6642", "--encap-ip", "10.0.0.2"]).unwrap();
        assert_eq!(v4.pod_mtu(Some(1500)), Some(1442));
        let v6 = config(&["--southbound", "tcp:[fd00::1]:6642", "--encap-ip", "fd00::2"]).unwrap();
        assert_eq!(v6.pod_mtu(Some(1500)), Some(1422));
    }

    #[test]
    fn a_given_mtu_needs_no_link() {
        let given = config(&["--southbound", "unix:/sb", "--encap-ip", "10.0.0.2", "--mtu", "1300"]).unwrap();
        assert_eq!(given.pod_mtu(None), Some(1300));
    }

    #[test]
    fn a_cluster_id_stands_before_port_names_as_the_translator_writes_them() {
        let common = ["--southbound", "unix:/sb", "--encap-ip", "10.0.0.2", "--cluster-id"];
        let east = config(&[&common[..], &["east"]].concat()).unwrap();
        assert_eq!(east.port_prefix, "east_");
        let error = config(&[&common[..], &["east_"]].concat()).unwrap_err();
        assert!(error.to_string().contains("--cluster-id is \"east_\""), "{error}");
    }

    #[test]
    fn tls_without_an_authority_is_refused() {
        let error = config(&["--southbound", "ssl:10.0.0.1:6642", "--encap-ip", "10.0.0.2"]).unwrap_err();
        assert!(error.to_string().contains("--southbound-ca"), "{error}");
    }
}
