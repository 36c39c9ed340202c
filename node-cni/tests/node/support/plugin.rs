//! Calls of the plugin, as a runtime makes them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Host;
use super::pod::{NAMESPACE, NETWORK, Pod};

/// What the plugin logs in the course of an ADD, in this order.
pub(crate) const ADD_STEPS: [&str; 6] = [
    "facts-known",
    "veth-created",
    "host-end-ready",
    "port-plugged",
    "pod-configured",
    "flows-installed",
];

/// A call being prepared.
#[derive(Debug)]
pub(crate) struct Call {
    command: Command,
    config: Value,
}

/// What a call gave.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) success: bool,
    pub(crate) json: Value,
    pub(crate) took: Duration,
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    start: Instant,
}

impl Call {
    /// A call on a host, without an attachment.
    pub(crate) fn new(host: &Host, command: &str) -> Self {
        let mut process = Command::new("nsenter");
        process
            .arg(format!("--net=/run/netns/{}", host.name()))
            .arg(env!("CARGO_BIN_EXE_meridian-cni"));
        Self::with(process, host, command)
    }

    /// A call by somebody who is in the host's network namespace already, as a runtime is: no other program first.
    #[allow(dead_code, reason = "for the benchmark")]
    pub(crate) fn here(host: &Host, command: &str) -> Self {
        Self::with(Command::new(env!("CARGO_BIN_EXE_meridian-cni")), host, command)
    }

    fn with(mut process: Command, host: &Host, command: &str) -> Self {
        process
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("CNI_PATH", "/opt/cni/bin")
            .env("CNI_COMMAND", command);
        Self {
            command: process,
            config: json!({
                "cniVersion": "1.1.0",
                "name": NETWORK,
                "type": "meridian-cni",
                "ovsSocket": format!("unix:{}", host.path("db.sock")),
                "agentSocket": host.path("node.sock"),
                "addTimeout": 30,
                "timeout": 20,
                "logFile": host.path("plugin.log"),
                "logLevel": "debug",
            }),
        }
    }

    /// A call about a pod.
    pub(crate) fn on(host: &Host, command: &str, pod: &Pod) -> Self {
        Self::new(host, command).about(pod)
    }

    /// Makes it about a pod.
    pub(crate) fn about(mut self, pod: &Pod) -> Self {
        let args = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={};K8S_POD_UID={}",
            pod.name, pod.uid
        );
        self.command
            .env("CNI_CONTAINERID", &pod.container_id)
            .env("CNI_NETNS", pod.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn set(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// Stops for ever at a step.
    pub(crate) fn pausing_at(self, step: &str) -> Self {
        self.env("MERIDIAN_CNI_PAUSE_AT", step)
    }

    pub(crate) fn start(self) -> Running {
        let input = self.config.to_string();
        self.start_with_input(&input)
    }

    pub(crate) fn start_with_input(mut self, input: &str) -> Running {
        let start = Instant::now();
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A plugin that refuses its environment may not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Running { child, start }
    }

    pub(crate) fn run(self) -> Reply {
        self.start().finish()
    }

    /// Runs it and insists that it succeeds.
    pub(crate) fn succeed(self) -> Value {
        let reply = self.run();
        assert!(reply.success, "{}", reply.json);
        reply.json
    }

    /// Runs it and insists on an error of a code; yields its message and details.
    pub(crate) fn fail(self, code: u64) -> String {
        self.run().failed(code)
    }
}

impl Reply {
    pub(crate) fn failed(&self, code: u64) -> String {
        assert!(!self.success, "unexpected success: {}", self.json);
        assert_eq!(self.json["code"], json!(code), "{}", self.json);
        let details = self.json["details"].as_str().unwrap_or_default();
        format!("{} {details}", self.json["msg"].as_str().unwrap())
    }
}

impl Running {
    pub(crate) fn finish(mut self) -> Reply {
        let mut json = String::new();
        let mut reader = BufReader::new(self.child.stdout.take().unwrap());
        std::io::Read::read_to_string(&mut reader, &mut json).unwrap();
        let success = self.child.wait().unwrap().success();
        let took = self.start.elapsed();
        let json = match json.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")),
        };
        Reply { success, json, took }
    }

    /// Waits until it pauses, and kills it there with SIGKILL.
    pub(crate) fn kill_at_pause(mut self) {
        let mut line = String::new();
        let stderr = self.child.stderr.take().unwrap();
        BufReader::new(stderr).read_line(&mut line).unwrap();
        assert!(line.starts_with("paused "), "the plugin did not pause: {line:?}");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

/// Adds a pod and yields the result.
pub(crate) fn add(host: &Host, pod: &Pod) -> Value {
    Call::on(host, "ADD", pod).succeed()
}

/// Removes a pod.
pub(crate) fn del(host: &Host, pod: &Pod) {
    Call::on(host, "DEL", pod).succeed();
}
