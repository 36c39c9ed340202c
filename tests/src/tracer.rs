//! `ovn-trace` as a daemon: it reads the Southbound database once, and answers in a millisecond.

use std::cell::RefCell;
use std::io::{BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde::Deserialize as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Central;
use crate::poll::DEADLINE;
use crate::programs::run;

/// A running `ovn-trace`. Dropping it ends it.
#[derive(Debug)]
pub struct Tracer {
    folder: TempDir,
    connection: RefCell<Option<BufReader<UnixStream>>>,
}

impl Tracer {
    /// One that knows what the Southbound database says now.
    ///
    /// # Panics
    ///
    /// If `ovn-trace` cannot be started.
    pub fn start(central: &Central) -> Self {
        let folder = tempfile::Builder::new().prefix("tracer-").tempdir();
        let tracer = Self {
            folder: folder.expect("a temporary folder can be made"),
            connection: RefCell::default(),
        };
        let arguments = [
            format!("--db={}", central.remote()),
            format!("--unixctl={}", tracer.socket().display()),
            format!("--pidfile={}", tracer.folder.path().join("pid").display()),
            "--detach".to_owned(),
            "--no-chdir".to_owned(),
            "-vconsole:off".to_owned(),
            "-vsyslog:off".to_owned(),
        ];
        // As often as a packet can pass connection tracking.
        let new = ["--ct=new"; 8].map(str::to_owned);
        run("ovn-trace", arguments.iter().chain(&new)).unwrap_or_else(|error| panic!("{error}"));
        tracer
    }

    /// Where a packet comes out, of all the ports that its flows send it to: the first packet of a connection.
    ///
    /// # Panics
    ///
    /// If `ovn-trace` does not answer, or does not understand.
    pub fn outputs(&self, switch: &str, packet: &str) -> Vec<String> {
        let answer = self.ask("trace", &["--minimal", switch, packet]);
        let text = answer.unwrap_or_else(|error| panic!("{switch} {packet}: {error}"));
        let outputs = text.lines().filter_map(|line| {
            let rest = line.trim().strip_prefix("output(\"")?;
            rest.split_once('"').map(|(port, _)| port.to_owned())
        });
        outputs.collect()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("ctl")
    }

    /// As `ovs-appctl` does: JSON-RPC 1.0.
    fn ask(&self, method: &str, params: &[&str]) -> Result<String, String> {
        let mut connection = self.connection.borrow_mut();
        let connection = match &mut *connection {
            Some(connection) => connection,
            None => connection.insert(self.connect()?),
        };
        let request = json!({"id": 0, "method": method, "params": params});
        write!(connection.get_mut(), "{request}").map_err(|error| error.to_string())?;
        let answer = Value::deserialize(&mut serde_json::Deserializer::from_reader(connection));
        let answer = answer.map_err(|error| error.to_string())?;
        match &answer["error"] {
            Value::Null => Ok(answer["result"].as_str().unwrap_or_default().to_owned()),
            error => Err(error.to_string()),
        }
    }

    fn connect(&self) -> Result<BufReader<UnixStream>, String> {
        let stream = UnixStream::connect(self.socket()).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline is not zero");
        Ok(BufReader::new(stream))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if self.ask("exit", &[]).is_err()
            && let Ok(pid) = std::fs::read_to_string(self.folder.path().join("pid"))
        {
            // It may be gone already.
            let _ = run("kill", [pid.trim()]);
        }
    }
}
