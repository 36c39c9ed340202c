//! etcd, the API server, the controllers and the scheduler: their files, command lines and signs
//! of readiness. All live on the central host, where etcd is for the loopback only.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::Distribution;
use super::access;
use super::kubeconfig::Kubeconfig;
use super::pki::{self, Authority, Subject};
use crate::command::Cmd;
use crate::component::Role;
use crate::error::{Error, Result};
use crate::netns;
use crate::plan::Plan;
use crate::probe::http;

/// The port of the API on the central host.
pub(crate) const API_PORT: u16 = 6443;
/// Where etcd answers clients, on the central host's loopback.
const ETCD_CLIENTS: &str = "127.0.0.1:2379";
/// Where etcd would answer other members.
const ETCD_PEERS: &str = "127.0.0.1:2380";
/// The domain of the cluster's names.
pub(crate) const DOMAIN: &str = "cluster.local";

/// The folder of keys and certificates.
pub(crate) fn pki_dir(plan: &Plan) -> PathBuf {
    plan.kubernetes_dir().join("pki")
}

/// The API as hosts reach it: no service and no OVN is in between.
pub(crate) fn api_url(plan: &Plan) -> String {
    format!("https://{}:{API_PORT}", bracketed(api_address(plan)))
}

/// The central host's address the API is advertised with.
pub(crate) fn api_address(plan: &Plan) -> IpAddr {
    plan.central_ips()[0].ip()
}

/// Makes every key, certificate and kubeconfig of the control plane.
pub(crate) fn write_files(plan: &Plan) -> Result<()> {
    let dir = pki_dir(plan);
    fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
    let ca = Authority::create(&dir, "ca")?;
    let issue = |name, group| {
        ca.issue(&Subject {
            name,
            group,
            hosts: Vec::new(),
        })
    };
    ca.issue(&Subject {
        name: "kube-apiserver",
        group: None,
        hosts: api_names(plan),
    })?
    .write(&dir, "apiserver")?;
    issue("kube-apiserver-kubelet-client", Some("system:masters"))?.write(&dir, "apiserver-kubelet-client")?;
    Authority::create(&dir, "front-proxy-ca")?
        .issue(&Subject {
            name: "front-proxy-client",
            ..Subject::default()
        })?
        .write(&dir, "front-proxy-client")?;
    pki::write_signing_keys(&dir, "sa")?;
    let authority = ca.pem()?;
    for (program, user) in [
        ("controller-manager", "system:kube-controller-manager"),
        ("scheduler", "system:kube-scheduler"),
    ] {
        Kubeconfig {
            server: &api_url(plan),
            authority: &authority,
            context: program,
            client: &issue(user, None)?,
        }
        .write(&kubeconfig(plan, program))?;
    }
    access::write_files(plan, &authority, &issue("kubernetes-admin", Some("system:masters"))?)
}

fn kubeconfig(plan: &Plan, program: &str) -> PathBuf {
    plan.kubernetes_dir().join(format!("{program}.kubeconfig"))
}

/// By these the API may be called.
fn api_names(plan: &Plan) -> Vec<String> {
    let mut names: Vec<String> = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
    ]
    .map(str::to_owned)
    .into();
    names.push(format!("kubernetes.default.svc.{DOMAIN}"));
    names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    names.extend(plan.central_ips().iter().map(|net| net.ip().to_string()));
    // The first of each network is the API's own service.
    let services = plan.service_cidrs();
    names.extend(services.iter().filter_map(|net| Some(net.iter().nth(1)?.to_string())));
    names
}

/// The command line of one of the control plane's programs.
pub(crate) fn command(plan: &Plan, parts: &Distribution, role: Role) -> Vec<String> {
    match role {
        Role::Etcd => etcd(plan, parts),
        Role::Apiserver => apiserver(plan, parts),
        Role::ControllerManager => controller_manager(plan, parts),
        Role::Scheduler => {
            let mut command = with_kubeconfig(plan, parts, "scheduler");
            command.extend(["--bind-address=127.0.0.1", "--leader-elect=false"].map(str::to_owned));
            command
        }
        _ => unreachable!("{role:?} is no part of the control plane"),
    }
}

fn etcd(plan: &Plan, parts: &Distribution) -> Vec<String> {
    vec![
        parts.program("etcd").display().to_string(),
        format!("--data-dir={}", plan.kubernetes_dir().join("etcd").display()),
        format!("--listen-client-urls=http://{ETCD_CLIENTS}"),
        format!("--advertise-client-urls=http://{ETCD_CLIENTS}"),
        format!("--listen-peer-urls=http://{ETCD_PEERS}"),
        format!("--initial-advertise-peer-urls=http://{ETCD_PEERS}"),
        format!("--initial-cluster=default=http://{ETCD_PEERS}"),
        // A lab that loses its machine's power is built anew.
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]
}

fn apiserver(plan: &Plan, parts: &Distribution) -> Vec<String> {
    let any = if plan.options.families.v6() { "::" } else { "0.0.0.0" };
    let pki = |name: &str| pki_dir(plan).join(name).display().to_string();
    vec![
        parts.program("kube-apiserver").display().to_string(),
        format!("--etcd-servers=http://{ETCD_CLIENTS}"),
        format!("--bind-address={any}"),
        format!("--advertise-address={}", api_address(plan)),
        format!("--secure-port={API_PORT}"),
        format!("--service-cluster-ip-range={}", list(&plan.service_cidrs())),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--kubelet-certificate-authority={}", pki("ca.crt")),
        format!("--kubelet-client-certificate={}", pki("apiserver-kubelet-client.crt")),
        format!("--kubelet-client-key={}", pki("apiserver-kubelet-client.key")),
        "--kubelet-preferred-address-types=InternalIP".into(),
        format!("--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}"),
        format!("--service-account-key-file={}", pki("sa.pub")),
        format!("--service-account-signing-key-file={}", pki("sa.key")),
        format!("--requestheader-client-ca-file={}", pki("front-proxy-ca.crt")),
        "--requestheader-allowed-names=front-proxy-client".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        format!("--proxy-client-cert-file={}", pki("front-proxy-client.crt")),
        format!("--proxy-client-key-file={}", pki("front-proxy-client.key")),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--allow-privileged=true".into(),
        // Webhooks at their pods: the host of the API server is no node and knows no ClusterIP.
        "--enable-aggregator-routing=true".into(),
    ]
}

fn controller_manager(plan: &Plan, parts: &Distribution) -> Vec<String> {
    let pki = |name: &str| pki_dir(plan).join(name).display().to_string();
    let mut command = with_kubeconfig(plan, parts, "controller-manager");
    command.extend([
        "--bind-address=127.0.0.1".into(),
        "--leader-elect=false".into(),
        "--use-service-account-credentials=true".into(),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--service-account-private-key-file={}", pki("sa.key")),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
        "--allocate-node-cidrs=true".into(),
        format!("--cluster-cidr={}", list(&plan.cluster_cidrs())),
        format!("--service-cluster-ip-range={}", list(&plan.service_cidrs())),
    ]);
    let families = plan.options.families;
    if families.v4() && families.v6() {
        command.push("--node-cidr-mask-size-ipv4=24".into());
        command.push("--node-cidr-mask-size-ipv6=64".into());
    } else {
        command.push(format!("--node-cidr-mask-size={}", if families.v4() { 24 } else { 64 }));
    }
    command
}

fn with_kubeconfig(plan: &Plan, parts: &Distribution, program: &str) -> Vec<String> {
    let file = kubeconfig(plan, program).display().to_string();
    vec![
        parts.program(&format!("kube-{program}")).display().to_string(),
        format!("--kubeconfig={file}"),
        format!("--authentication-kubeconfig={file}"),
        format!("--authorization-kubeconfig={file}"),
    ]
}

/// Whether it answers.
pub(crate) fn ready(plan: &Plan, role: Role) -> bool {
    match role {
        Role::Etcd => {
            let address = ETCD_CLIENTS.parse().expect("a socket address");
            netns::within(&plan.central(), || http::get(address, "/health")).is_ok_and(|a| a.status == 200)
        }
        Role::Apiserver => healthy(
            plan,
            &format!("{}/readyz", api_url(plan)),
            &["--cacert", &ca_file(plan)],
        ),
        // Their certificates are made at each start, by themselves.
        Role::ControllerManager => healthy(plan, "https://127.0.0.1:10257/healthz", &["--insecure"]),
        Role::Scheduler => healthy(plan, "https://127.0.0.1:10259/healthz", &["--insecure"]),
        _ => unreachable!("{role:?} is no part of the control plane"),
    }
}

fn healthy(plan: &Plan, url: &str, trust: &[&str]) -> bool {
    Cmd::new("curl")
        .args(["--silent", "--fail", "--max-time", "5", "--noproxy", "*"])
        .args(trust)
        .arg(url)
        .netns(&plan.central())
        .run()
        .is_ok()
}

/// The certificate of the cluster's authority.
pub(crate) fn ca_file(plan: &Plan) -> String {
    pki_dir(plan).join("ca.crt").display().to_string()
}

/// As flags take several networks.
pub(crate) fn list(networks: &[ipnetwork::IpNetwork]) -> String {
    let texts: Vec<_> = networks.iter().map(ToString::to_string).collect();
    texts.join(",")
}

fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Opens the cluster's authority, to issue for a host.
pub(crate) fn authority(plan: &Plan) -> Result<Authority> {
    Authority::open(Path::new(&pki_dir(plan)), "ca")
}
