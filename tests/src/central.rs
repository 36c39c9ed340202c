//! OVN central: one `ovsdb-server` with Northbound and Southbound, and a real `ovn-northd`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ovsdb::testing::OvsdbServer;
use serde_json::Value;

use crate::programs::run;

const NORTHBOUND_SCHEMA: &str = "/usr/share/ovn/ovn-nb.ovsschema";
const SOUTHBOUND_SCHEMA: &str = "/usr/share/ovn/ovn-sb.ovsschema";

/// What OVN's own tools may take; they poll by themselves.
const TOOL_TIMEOUT: &str = "--timeout=30";

/// A running OVN central. Dropping it ends its processes and removes its folder.
#[derive(Debug)]
pub struct Central {
    // Northd is ended before the server it is connected to.
    northd: Option<Child>,
    server: OvsdbServer,
}

impl Central {
    /// Northbound and Southbound, and northd between them.
    pub fn start() -> Self {
        let mut central = Self::databases();
        central.start_northd();
        central
    }

    /// Only the databases, where nothing looks at the Southbound side.
    pub fn databases() -> Self {
        let schemas = [Path::new(NORTHBOUND_SCHEMA), Path::new(SOUTHBOUND_SCHEMA)];
        Self {
            northd: None,
            server: OvsdbServer::start(&schemas),
        }
    }

    /// Only the databases, Northbound with the newest schema we know; no northd goes with it.
    pub fn newest_databases() -> Self {
        let newest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ovsdb-schemas/schemas/ovn-nb.ovsschema");
        let server = OvsdbServer::start(&[&newest, Path::new(SOUTHBOUND_SCHEMA)]);
        Self { northd: None, server }
    }

    /// The server of both databases, to kill, restart or wipe.
    pub fn server_mut(&mut self) -> &mut OvsdbServer {
        &mut self.server
    }

    /// Where both databases are served.
    pub fn remote(&self) -> String {
        self.server.unix().to_string()
    }

    /// `ovn-nbctl`; panics with what it complained of.
    pub fn nbctl(&self, args: &[&str]) -> String {
        self.tool("ovn-nbctl", args)
    }

    /// `ovn-sbctl`; panics with what it complained of.
    pub fn sbctl(&self, args: &[&str]) -> String {
        self.tool("ovn-sbctl", args)
    }

    /// The `external_ids` of a port's binding, as the Southbound database has them.
    pub fn binding_ids(&self, port: &str) -> BTreeMap<String, String> {
        let condition = format!("logical_port={port}");
        let table = self.sbctl(&[
            "--format=json",
            "--columns=external_ids",
            "find",
            "port_binding",
            &condition,
        ]);
        let table: Value = serde_json::from_str(&table).expect("ovn-sbctl answers in JSON");
        // One row, of one column, which is a map: ["map", [[key, value], ..]].
        let pairs = table["data"][0][0][1]
            .as_array()
            .unwrap_or_else(|| panic!("no binding of {port}: {table}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        pairs.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
    }

    /// Waits until northd has translated everything written so far.
    pub fn sync(&self) {
        assert!(self.northd.is_some(), "no northd to wait for");
        self.nbctl(&["--wait=sb", "sync"]);
    }

    /// What becomes of a packet: the externally visible steps (`output("x");`), one per line. Steps within others
    /// (`ct_lb_mark { … };`) stand on lines of their own.
    pub fn trace(&self, switch: &str, options: &[&str], packet: &str) -> Vec<String> {
        let db = format!("--db={}", self.remote());
        let before = [db.as_str(), "--minimal"];
        let arguments = before.iter().chain(options).chain([&switch, &packet]);
        let text = run("ovn-trace", arguments).unwrap_or_else(|error| panic!("{error}"));
        text.lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| line.trim_start().to_owned())
            .collect()
    }

    /// Every transaction ever committed to Northbound, oldest first.
    ///
    /// The file of a database that is not clustered is the log of its transactions, so nothing that
    /// was written can be missing here, whoever wrote it.
    pub fn transactions(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.server.folder().join("0.db"))
            .expect("the server keeps its first database here");
        // Each record is a header line and a line of JSON; the first one is the schema.
        text.lines()
            .filter(|line| line.starts_with('{'))
            .skip(1)
            .map(|line| serde_json::from_str(line).expect("a record is JSON"))
            .collect()
    }

    fn tool(&self, program: &str, args: &[&str]) -> String {
        let db = format!("--db={}", self.remote());
        let options = [db.as_str(), TOOL_TIMEOUT];
        run(program, options.iter().chain(args)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn start_northd(&mut self) {
        let folder = self.server.folder();
        let log = File::create(folder.join("northd.log")).expect("the server's folder is writable");
        let northd = Command::new("ovn-northd")
            .arg(format!("--ovnnb-db={}", self.remote()))
            .arg(format!("--ovnsb-db={}", self.remote()))
            .arg(format!("--unixctl={}", folder.join("northd.ctl").display()))
            .args(["-vconsole:info", "-vsyslog:off"])
            .env("OVN_RUNDIR", folder)
            .env("OVS_RUNDIR", folder)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("ovn-northd is installed (Debian package ovn-central)");
        self.northd = Some(northd);
    }
}

impl Drop for Central {
    fn drop(&mut self) {
        if let Some(mut northd) = self.northd.take() {
            // It has ended already, which is what we want, or there is nothing we could do.
            let _ = northd.kill();
            let _ = northd.wait();
        }
    }
}
