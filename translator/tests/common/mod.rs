//! What the tests of the translator share.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod api;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use meridian_model::{Cluster, Object};
use meridian_northbound::Input;
use ovsdb::testing::PATIENCE;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The program under test.
pub fn translator(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian-translator"));
    command.args(arguments).env_remove("KUBECONFIG");
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    translator(arguments).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// GET: status code and body, if anybody answers.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let code = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((code, body.to_owned()))
}

/// A running program; killed when dropped.
pub struct Daemon {
    child: Child,
    pub address: SocketAddr,
}

impl Daemon {
    /// Starts `run` with these flags and an address of its own.
    pub fn start(arguments: &[&str]) -> Self {
        let arguments = [&["run"], arguments].concat();
        Self::spawn(translator(&arguments))
    }

    /// Starts what becomes `run`, with an address of its own.
    pub fn spawn(mut command: Command) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        command.env("MERIDIAN_LISTEN", address.to_string());
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        Self { child, address }
    }

    /// GET: status code and body, if it answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.address, path)
    }

    pub fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|(code, _)| code == 200)
    }

    /// The value of a metric.
    pub fn metric(&self, name: &str) -> i64 {
        let (_, text) = self.get("/metrics").unwrap();
        let line = text
            .lines()
            .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Sends SIGTERM and returns the exit code and what was logged.
    pub fn terminate(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status.code(), log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a source has told, as a writer would keep it.
pub struct Told {
    inputs: mpsc::Receiver<Input>,
    pub cluster: Cluster,
    /// The doubts of the sources that are synced, by name.
    pub synced: Vec<(&'static str, Option<String>)>,
    /// How long anything may take.
    pub patience: Duration,
}

impl Told {
    pub fn new(inputs: mpsc::Receiver<Input>) -> Self {
        Self {
            inputs,
            cluster: Cluster::default(),
            synced: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// Listens until something is so.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let patience = self.patience;
        let told = self.within(patience, wanted).await;
        assert!(told, "{what}: not within {patience:?}: {:?}", self.pods());
    }

    /// Listens until something is so, if it is within this time.
    pub async fn within(&mut self, patience: Duration, wanted: impl Fn(&Self) -> bool) -> bool {
        let listen = async {
            while !wanted(self) {
                match self.inputs.recv().await.expect("the source goes on") {
                    Input::Event(event) => drop(self.cluster.apply(event)),
                    Input::Events(events) => events.into_iter().for_each(|event| drop(self.cluster.apply(event))),
                    Input::Synced { source, doubt } => {
                        self.synced.retain(|(name, _)| *name != source);
                        self.synced.push((source, doubt));
                    }
                }
            }
        };
        timeout(patience, listen).await.is_ok()
    }

    /// Whether the source has ended.
    pub fn is_over(&self) -> bool {
        self.inputs.is_closed()
    }

    /// Listens until all sources are synced.
    pub async fn until_synced(&mut self, sources: usize) {
        self.until("synced", |told| told.synced.len() == sources).await;
    }

    /// Everything there is, sorted.
    pub fn objects(&self) -> Vec<Object> {
        let cluster = &self.cluster;
        let nodes = cluster.nodes().map(|node| Object::from((**node).clone()));
        let namespaces = cluster
            .namespaces()
            .map(|namespace| Object::from((**namespace).clone()));
        let pods = cluster.pods().map(|pod| Object::from((**pod).clone()));
        let services = cluster.services().map(|service| Object::from((**service).clone()));
        let slices = cluster.endpoint_slices().map(|slice| Object::from((**slice).clone()));
        let cidrs = cluster.service_cidrs().map(|cidr| Object::from((**cidr).clone()));
        let pools = cluster.address_pools().map(|pool| Object::from((**pool).clone()));
        let policies = cluster.policies().map(|policy| Object::from((**policy).clone()));
        let vpcs = cluster.vpcs().map(|vpc| Object::from((**vpc).clone()));
        let subnets = cluster.subnets().map(|subnet| Object::from((**subnet).clone()));
        let mut objects: Vec<Object> = nodes
            .chain(namespaces)
            .chain(pods)
            .chain(services)
            .chain(slices)
            .chain(cidrs)
            .chain(pools)
            .chain(vpcs)
            .chain(subnets)
            .chain(policies)
            .collect();
        objects.sort_by_key(Object::key);
        objects
    }

    /// The pods, as `namespace/name on node`, sorted.
    pub fn pods(&self) -> Vec<String> {
        let describe = |pod: &std::sync::Arc<meridian_model::Pod>| {
            format!("{} on {}", pod.key(), pod.node.as_deref().unwrap_or("nothing"))
        };
        let mut pods: Vec<_> = self.cluster.pods().map(describe).collect();
        pods.sort();
        pods
    }
}

/// Polls until something is so.
pub async fn eventually(what: &str, mut wanted: impl FnMut() -> bool) {
    let poll = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while !wanted() {
            ticks.tick().await;
        }
    };
    assert!(timeout(PATIENCE, poll).await.is_ok(), "{what}: not within {PATIENCE:?}");
}
