//! A host's containerd and kubelet: their files, command lines and signs of readiness.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::control_plane::{self, DOMAIN};
use super::distribution::Distribution;
use super::kubeconfig::Kubeconfig;
use super::layout;
use super::pki::Subject;
use crate::command::Cmd;
use crate::component::Role;
use crate::error::{Error, Result};
use crate::host::{self, cgroup::Cgroup};
use crate::netns;
use crate::plan::{Host, Plan};
use crate::probe::http;
use crate::process::Identity;

/// Containerd's socket, on the host.
const RUNTIME: &str = "/run/containerd/containerd.sock";
/// Where kubelet answers for its health, on the host's loopback.
const KUBELET_HEALTH: &str = "127.0.0.1:10248";
/// The image of the process that holds a pod's namespaces.
const PAUSE: &str = "registry.k8s.io/pause";
/// The containerd namespace of kubelet's images and containers.
const NAMESPACE: &str = "k8s.io";
/// Plugins that every host has before any network comes, as Kubernetes' own packages bring them.
const PLUGINS: [&str; 3] = ["loopback", "portmap", "bandwidth"];
/// Where the distribution of the machine keeps them.
const PLUGIN_DIR: &str = "/usr/lib/cni";
/// The capability without which nobody may be made less likely to be killed for memory.
const CAP_SYS_RESOURCE: u32 = 24;

/// Where the host's agent writes its network configuration, as seen from the machine.
pub(crate) fn cni_conf_dir(plan: &Plan, host: &Host) -> PathBuf {
    layout::on_disk(plan, host, "/etc/cni").join("net.d")
}

/// Writes what containerd and kubelet need on the host's disk.
pub(crate) fn write_files(plan: &Plan, parts: &Distribution, host: &Host) -> Result<()> {
    for dir in layout::disk_folders(plan, host) {
        fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
    }
    let plugins = layout::on_disk(plan, host, "/opt/cni").join("bin");
    for dir in [&plugins, &cni_conf_dir(plan, host)] {
        fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
    }
    for plugin in PLUGINS {
        let from = Path::new(PLUGIN_DIR).join(plugin);
        fs::copy(&from, plugins.join(plugin)).map_err(Error::file("copy", &from))?;
    }
    let runtime = layout::on_disk(plan, host, "/etc/containerd").join("config.toml");
    fs::write(&runtime, containerd_config(&parts.image(PAUSE)?)).map_err(Error::file("write", &runtime))?;
    write_kubelet_files(plan, host)
}

fn write_kubelet_files(plan: &Plan, host: &Host) -> Result<()> {
    let dir = layout::on_disk(plan, host, "/etc/kubernetes");
    let ca = control_plane::authority(plan)?;
    let authority = ca.pem()?;
    let user = format!("system:node:{}", host.name);
    let client = ca.issue(&Subject {
        name: &user,
        group: Some("system:nodes"),
        hosts: Vec::new(),
    })?;
    let mut hosts: Vec<_> = plan.node_ips(host).iter().map(|net| net.ip().to_string()).collect();
    hosts.push(host.name.clone());
    let server = ca.issue(&Subject {
        name: &user,
        group: Some("system:nodes"),
        hosts,
    })?;
    server.write(&dir, "kubelet")?;
    let file = dir.join("ca.crt");
    fs::write(&file, &authority).map_err(Error::file("write", &file))?;
    Kubeconfig {
        server: &control_plane::api_url(plan),
        authority: &authority,
        context: &host.name,
        client: &client,
    }
    .write(&dir.join("kubelet.kubeconfig"))?;
    let file = dir.join("kubelet.json");
    let config = kubelet_config(plan, host);
    let text = serde_json::to_string_pretty(&config).expect("plain data");
    fs::write(&file, text).map_err(Error::file("write", &file))
}

fn kubelet_config(plan: &Plan, host: &Host) -> serde_json::Value {
    let services = plan.service_cidrs();
    let dns: Vec<_> = services.iter().filter_map(|net| net.iter().nth(10)).take(1).collect();
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": "/etc/kubernetes/ca.crt" },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": "/etc/kubernetes/kubelet.crt",
        "tlsPrivateKeyFile": "/etc/kubernetes/kubelet.key",
        "containerRuntimeEndpoint": format!("unix://{RUNTIME}"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup(plan, Some(host)).path(),
        "failCgroupV1": false,
        "failSwapOn": false,
        "clusterDNS": dns,
        "clusterDomain": DOMAIN,
        "resolvConf": "/etc/resolv.conf",
        // No kube-proxy, and no chains of kubelet's beside Meridian's own.
        "makeIPTablesUtilChains": false,
        // The hosts share one disk, whose fullness is nobody's fault here.
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "0%", "nodefs.inodesFree": "0%",
            "imagefs.available": "0%", "imagefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "oomScoreAdj": 0,
        "nodeStatusUpdateFrequency": "5s",
        "nodeStatusReportFrequency": "10s",
    })
}

fn containerd_config(pause: &str) -> String {
    format!(
        "version = 2\n\
         root = \"/var/lib/containerd\"\n\
         state = \"/run/containerd\"\n\
         [grpc]\n\
         address = \"{RUNTIME}\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\n\
         sandbox_image = \"{pause}\"\n\
         restrict_oom_score_adj = {}\n\
         [plugins.\"io.containerd.grpc.v1.cri\".cni]\n\
         bin_dir = \"/opt/cni/bin\"\n\
         conf_dir = \"/etc/cni/net.d\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n\
         snapshotter = \"overlayfs\"\n\
         default_runtime_name = \"runc\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n\
         runtime_type = \"io.containerd.runc.v2\"\n",
        !may_lower_oom_scores()
    )
}

fn may_lower_oom_scores() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    capabilities.is_some_and(|bits| bits & (1 << CAP_SYS_RESOURCE) != 0)
}

/// The cgroup of a host, or of the central one.
pub(crate) fn cgroup(plan: &Plan, host: Option<&Host>) -> Cgroup {
    Cgroup::new(&host.map_or_else(|| plan.central(), |host| plan.netns(&host.name)))
}

/// The command line of containerd or kubelet.
pub(crate) fn command(plan: &Plan, parts: &Distribution, host: &Host, role: Role) -> Vec<String> {
    match role {
        Role::Containerd => vec!["containerd".into(), "--config=/etc/containerd/config.toml".into()],
        Role::Kubelet => {
            let ips: Vec<_> = plan.node_ips(host).iter().map(|net| net.ip().to_string()).collect();
            vec![
                parts.program("kubelet").display().to_string(),
                "--config=/etc/kubernetes/kubelet.json".into(),
                "--kubeconfig=/etc/kubernetes/kubelet.kubeconfig".into(),
                format!("--hostname-override={}", host.name),
                format!("--node-ip={}", ips.join(",")),
                format!("--node-labels=topology.kubernetes.io/zone={}", host.zone()),
            ]
        }
        _ => unreachable!("{role:?} is none of a host's Kubernetes"),
    }
}

/// Whether it answers.
pub(crate) fn ready(plan: &Plan, host: &Host, init: Identity, role: Role) -> bool {
    match role {
        Role::Containerd => UnixStream::connect(host::outside(init, RUNTIME)).is_ok(),
        Role::Kubelet => {
            let address = KUBELET_HEALTH.parse().expect("a socket address");
            let netns = plan.netns(&host.name);
            netns::within(&netns, || http::get(address, "/healthz")).is_ok_and(|a| a.status == 200)
        }
        _ => unreachable!("{role:?} is none of a host's Kubernetes"),
    }
}

/// Gives containerd the images, unless the host's disk has them from before a reboot.
pub(crate) fn import_images(plan: &Plan, parts: &Distribution, host: &Host, init: Identity) -> Result<()> {
    let done = plan.disk(host).join("images-imported");
    if done.exists() {
        return Ok(());
    }
    for archive in parts.images()? {
        Cmd::new("ctr")
            .args(["--namespace", NAMESPACE, "images", "import"])
            .arg(&archive)
            .host(init)
            .run()?;
    }
    fs::write(&done, "").map_err(Error::file("write", &done))
}
