//! etcd and kube-apiserver as processes on loopback, with certificates of their own, to be asked, killed and robbed of
//! their data.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use meridian_lab::kubernetes::Distribution;
use ovsdb::testing::{Identity, Pki};
use serde_json::Value;
use tokio::time::{Instant, interval};

use super::reaper::Reaper;

/// How long anything may take. An API server starts in three seconds on a machine that has nothing else to do.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Of the API server.
const PORT: &str = "6443";

/// Who may do everything.
const ADMIN: &str = "admin-token";

/// What is asked, not what is said: enough to tell who did what.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
";

/// A running control plane. Its processes and its folder end with this process.
#[derive(Debug)]
pub struct ControlPlane {
    reaper: Reaper,
    distribution: Distribution,
    address: Ipv4Addr,
    pki: Pki,
    flags: Vec<String>,
    etcd: Option<Child>,
    api: Option<Child>,
}

/// How somebody identifies himself in a kubeconfig.
#[derive(Debug)]
pub enum Credentials<'a> {
    Token(&'a str),
    TokenFile(&'a Path),
    Certificate(&'a Identity),
    /// A program that prints an `ExecCredential`.
    Plugin(&'a Path),
}

impl ControlPlane {
    pub async fn start(distribution: Distribution) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let reaper = Reaper::new("control-plane-");
        let pki = reaper.folder().join("pki");
        fs::create_dir(&pki).unwrap();
        let mut plane = Self {
            pki: Pki::new(&pki),
            reaper,
            distribution,
            address: own_address(),
            flags: Vec::new(),
            etcd: None,
            api: None,
        };
        plane.prepare();
        plane.mend().await;
        plane
    }

    /// Whatever the last test has left of it, it works as it did in the beginning.
    pub async fn mend(&mut self) {
        if !self.flags.is_empty() || !is_running(self.api.as_mut()) {
            self.kill_api();
            self.flags.clear();
        }
        if !is_running(self.etcd.as_mut()) {
            self.kill_api();
            self.start_etcd();
        }
        if self.api.is_some() {
            self.resume_api();
        } else {
            self.start_api().await;
        }
    }

    /// Starts the API server anew, with more flags.
    pub async fn restart_api(&mut self, flags: &[&str]) {
        self.kill_api();
        self.flags = flags.iter().map(ToString::to_string).collect();
        self.start_api().await;
    }

    fn prepare(&self) {
        self.pki.issue("server", &[&format!("IP:{}", self.address)]);
        let write = |name: &str, text: &str| fs::write(self.path(name), text).unwrap();
        write("tokens.csv", &format!("{ADMIN},admin,1,\"system:masters\"\n"));
        write("audit.yaml", AUDIT_POLICY);
        let key = Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-out"])
            .arg(self.path("service-accounts.key"))
            .output()
            .unwrap();
        assert!(key.status.success(), "{}", String::from_utf8_lossy(&key.stderr));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.reaper.folder().join(name)
    }

    /// Where the API is.
    pub fn url(&self) -> String {
        format!("https://{}:{PORT}", self.address)
    }

    /// Host and port of the API, as a pod is told them.
    pub fn service(&self) -> (String, &'static str) {
        (self.address.to_string(), PORT)
    }

    /// The certificate of its authority.
    pub fn authority(&self) -> PathBuf {
        self.path("pki/ca.crt")
    }

    /// Where etcd is: host and port.
    pub fn etcd_address(&self) -> String {
        format!("{}:2379", self.address)
    }

    /// The authority of everything in here.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    pub fn start_etcd(&mut self) {
        let client = format!("http://{}", self.etcd_address());
        let peer = format!("http://{}:2380", self.address);
        let child = self.spawn(
            "etcd",
            &[
                format!("--data-dir={}", self.path("etcd").display()),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=default={peer}"),
                // Nobody pulls the plug here.
                "--unsafe-no-fsync".into(),
                "--log-level=warn".into(),
            ],
        );
        self.etcd = Some(child);
    }

    /// Starts the API server and waits until it is ready.
    pub async fn start_api(&mut self) {
        let pki = |name: &str| self.path("pki").join(name).display().to_string();
        let file = |name: &str| self.path(name).display().to_string();
        let mut flags = vec![
            format!("--etcd-servers=http://{}", self.etcd_address()),
            format!("--bind-address={}", self.address),
            format!("--secure-port={PORT}"),
            // A documentation address; nobody is to use it, and loopback is refused.
            "--advertise-address=192.0.2.1".into(),
            "--endpoint-reconciler-type=none".into(),
            "--authorization-mode=RBAC".into(),
            format!("--client-ca-file={}", pki("ca.crt")),
            format!("--tls-cert-file={}", pki("server.crt")),
            format!("--tls-private-key-file={}", pki("server.key")),
            "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112".into(),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
            format!("--service-account-key-file={}", file("service-accounts.key")),
            format!("--service-account-signing-key-file={}", file("service-accounts.key")),
            format!("--token-auth-file={}", file("tokens.csv")),
            format!("--audit-policy-file={}", file("audit.yaml")),
            format!("--audit-log-path={}", file("audit.log")),
            // There is no controller that would make the ServiceAccount of a pod.
            "--disable-admission-plugins=ServiceAccount".into(),
        ];
        flags.extend(self.flags.iter().cloned());
        self.api = Some(self.spawn("kube-apiserver", &flags));
        self.await_ready().await;
    }

    /// Waits until the API server is ready, which it is not without etcd.
    pub async fn await_ready(&mut self) {
        let client = self.admin().await;
        let deadline = Instant::now() + PATIENCE;
        let mut ticks = interval(Duration::from_millis(50));
        loop {
            ticks.tick().await;
            let request = axum::http::Request::get("/readyz").body(Vec::new()).unwrap();
            match client.request_text(request).await {
                Ok(text) if text.starts_with("ok") => return,
                answer => assert!(
                    Instant::now() < deadline,
                    "the API server is not ready within {PATIENCE:?}: {answer:?}\n{}",
                    self.log("kube-apiserver")
                ),
            }
            let api = self.api.as_mut().unwrap();
            if let Some(status) = api.try_wait().unwrap() {
                panic!("the API server ended with {status}:\n{}", self.log("kube-apiserver"));
            }
        }
    }

    /// `kill -9`.
    pub fn kill_api(&mut self) {
        end(self.api.take());
    }

    pub fn kill_etcd(&mut self) {
        end(self.etcd.take());
    }

    /// Stops the API server where it stands: connections stay open, and nothing is said.
    pub fn pause_api(&self) {
        self.signal_api("-STOP");
    }

    /// Undoes [`Self::pause_api`].
    pub fn resume_api(&self) {
        self.signal_api("-CONT");
    }

    fn signal_api(&self, signal: &str) {
        let pid = self.api.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Everything etcd knows, as a folder; etcd must not run.
    pub fn save_etcd(&self, name: &str) {
        copy(&self.path("etcd"), &self.path(name));
    }

    /// Puts a saved folder back, or nothing; etcd must not run.
    pub fn restore_etcd(&self, name: Option<&str>) {
        fs::remove_dir_all(self.path("etcd")).unwrap();
        if let Some(name) = name {
            copy(&self.path(name), &self.path("etcd"));
        }
    }

    /// A kubeconfig of somebody; its file is called after `name`.
    pub fn kubeconfig(&self, name: &str, credentials: &Credentials<'_>) -> PathBuf {
        self.kubeconfig_for(name, &self.url(), &self.authority(), credentials)
    }

    /// The same with another address or authority.
    pub fn kubeconfig_for(&self, name: &str, server: &str, authority: &Path, user: &Credentials<'_>) -> PathBuf {
        let user = match user {
            Credentials::Token(token) => serde_json::json!({"token": token}),
            Credentials::TokenFile(path) => serde_json::json!({"tokenFile": path}),
            Credentials::Certificate(identity) => serde_json::json!({
                "client-certificate": identity.certificate, "client-key": identity.key,
            }),
            Credentials::Plugin(path) => serde_json::json!({"exec": {
                "apiVersion": "client.authentication.k8s.io/v1", "command": path, "interactiveMode": "Never",
            }}),
        };
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": server, "certificate-authority": authority}}],
            "users": [{"name": "it", "user": user}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        });
        let path = self.path(&format!("{name}.kubeconfig"));
        fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// A client of one who may do everything.
    pub async fn admin(&self) -> Client {
        let path = self.kubeconfig("admin", &Credentials::Token(ADMIN));
        let file = Kubeconfig::read_from(path).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .unwrap();
        config.connect_timeout = Some(Duration::from_secs(5));
        Client::try_from(config).unwrap()
    }

    /// What somebody has asked of the API so far, oldest first: one entry per request.
    pub fn asked_by(&self, user: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path("audit.log")).unwrap();
        // Most lines are of others, and reading all of them as JSON would hold up whoever is being tested. The last one
        // may be half-written.
        let quoted = format!("{user:?}");
        let of_user = text.lines().filter(|line| line.contains(&quoted));
        let entries = of_user.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut asked: Vec<Value> = Vec::new();
        for entry in entries.filter(|entry| entry["user"]["username"] == user) {
            // A watch is told of when it begins and when it ends.
            if !asked.iter().any(|before| before["auditID"] == entry["auditID"]) {
                asked.push(entry);
            }
        }
        asked
    }

    fn spawn(&self, program: &str, flags: &[String]) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{program}.log")))
            .unwrap();
        Command::new(self.distribution.program(program))
            .args(flags)
            .current_dir(self.reaper.folder())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    fn log(&self, program: &str) -> String {
        let text = fs::read_to_string(self.path(&format!("{program}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

fn is_running(child: Option<&mut Child>) -> bool {
    child.is_some_and(|child| child.try_wait().unwrap().is_none())
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        // It may have ended already; `wait` tells either way.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// An address nobody else has: all of 127/8 is the host itself, so the process chooses the address, and no port has to be
/// guessed free.
fn own_address() -> Ipv4Addr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    // Apart from the addresses that others make of their process in the same way.
    Ipv4Addr::new(127, high | 0x80, low, 1)
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{} to {}", from.display(), to.display());
}
