//! One `ovsdb-server` process and its files.

use std::{
    fmt::Write as _,
    fs,
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{Identity, eventually, run, try_run};
use crate::Remote;

/// A database as the server was given it.
#[derive(Debug, Clone)]
struct Database {
    /// Empty for a file that exists already.
    schema: PathBuf,
    file: PathBuf,
}

/// What to serve and how; see [`OvsdbServer::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    schemas: Vec<PathBuf>,
    files: Vec<PathBuf>,
    identity: Option<Identity>,
}

impl Builder {
    /// Serves an empty database with this schema.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<PathBuf>) -> Self {
        self.schemas.push(schema.into());
        self
    }

    /// Listens on TLS too, and demands certificates from clients.
    #[must_use]
    pub fn tls(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Serves a database file that exists already.
    #[must_use]
    pub(super) fn file(mut self, file: impl Into<PathBuf>) -> Self {
        self.files.push(file.into());
        self
    }

    /// Creates the databases and starts the server; it accepts connections when this returns.
    pub fn start(self) -> OvsdbServer {
        let folder = tempfile::Builder::new()
            .prefix("ovsdb-")
            .tempdir()
            .expect("a temporary folder");
        let fresh = self.schemas.into_iter().enumerate().map(|(index, schema)| {
            let file = folder.path().join(format!("{index}.db"));
            Database { schema, file }
        });
        let existing = self.files.into_iter().map(|file| Database {
            schema: PathBuf::new(),
            file,
        });
        let databases = fresh.chain(existing).collect();
        let mut server = OvsdbServer {
            folder,
            databases,
            identity: self.identity,
            child: None,
            tcp: 0,
            ssl: 0,
        };
        server.create_missing();
        server.launch();
        server
    }
}

/// A running `ovsdb-server`. Dropping it kills the process and removes its folder.
#[derive(Debug)]
pub struct OvsdbServer {
    folder: TempDir,
    databases: Vec<Database>,
    identity: Option<Identity>,
    child: Option<Child>,
    /// Zero until the first start; the same port is asked for again after a restart.
    tcp: u16,
    ssl: u16,
}

impl OvsdbServer {
    /// Serves one empty database per schema on a unix socket and on TCP.
    pub fn start(schemas: &[&Path]) -> Self {
        schemas
            .iter()
            .fold(Self::builder(), |builder, schema| builder.schema(*schema))
            .start()
    }

    /// Serves what the builder says.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The folder with everything that belongs to this server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of the unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder().join("db.sock")
    }

    /// The unix socket.
    pub fn unix(&self) -> Remote {
        Remote::Unix(self.socket())
    }

    /// The TCP port, on 127.0.0.1.
    pub fn tcp(&self) -> Remote {
        Remote::Tcp("127.0.0.1".to_owned(), self.tcp)
    }

    /// The TLS port, on 127.0.0.1.
    pub fn ssl(&self) -> Remote {
        assert!(self.identity.is_some(), "the server was started without a certificate");
        Remote::Ssl("127.0.0.1".to_owned(), self.ssl)
    }

    /// Runs a command of the server, as in `["ovsdb-server/compact"]`, and returns its answer.
    pub fn appctl(&self, command: &[&str]) -> String {
        self.try_appctl(command)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log_tail()))
    }

    pub(super) fn try_appctl(&self, command: &[&str]) -> Result<String, String> {
        try_run(
            Command::new("ovs-appctl")
                .arg("-T")
                .arg("20")
                .arg("-t")
                .arg(self.control())
                .args(command),
        )
    }

    /// Runs `ovsdb-client` with a command, this server's socket, and more arguments: a second opinion.
    pub fn client(&self, command: &str, arguments: &[&str]) -> String {
        let remote = self.unix().to_string();
        run(Command::new("ovsdb-client")
            .args(["-vconsole:off", "-t", "20", command, &remote])
            .args(arguments))
    }

    /// Ends the process as `kill -9` does. The files stay.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGKILL also ends a stopped process.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills the process if it runs, and starts one with the same files and ports.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// Makes a transaction in the files of a server that was killed: something its clients could not follow.
    pub fn transact_offline(&self, transaction: &str) -> String {
        assert!(self.child.is_none(), "the server runs");
        let database = self.databases.first().expect("a database");
        run(Command::new("ovsdb-tool")
            .args(["-vconsole:off", "transact"])
            .arg(&database.file)
            .arg(transaction))
    }

    /// Replaces the databases by empty ones and starts again, as an operator does who gives up on a database.
    pub fn wipe(&mut self) {
        self.kill();
        for database in &self.databases {
            fs::remove_file(&database.file).expect("the database file");
        }
        self.create_missing();
        self.launch();
    }

    /// Stops the process with SIGSTOP: it neither reads nor answers, and its connections stay open.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Undoes [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("running").id().to_string();
        run(Command::new("kill").args(["-s", signal, &pid]));
    }

    /// The last lines the server logged.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn control(&self) -> PathBuf {
        self.folder().join("ctl")
    }

    fn log(&self) -> PathBuf {
        self.folder().join("log")
    }

    fn create_missing(&self) {
        for database in self.databases.iter().filter(|database| !database.file.exists()) {
            run(Command::new("ovsdb-tool")
                .arg("create")
                .arg(&database.file)
                .arg(&database.schema));
        }
    }

    fn launch(&mut self) {
        // A killed server leaves its sockets behind, and their presence is what we wait for.
        for leftover in ["db.sock", "ctl"] {
            let _ = fs::remove_file(self.folder().join(leftover));
        }
        let folder = self.folder.path();
        let log = fs::File::create(self.log()).expect("a log file");
        let mut command = Command::new("ovsdb-server");
        command
            .env("OVS_RUNDIR", folder)
            .current_dir(folder)
            .args(self.databases.iter().map(|database| &database.file))
            .arg(format!("--remote=punix:{}", self.socket().display()))
            .arg(format!("--remote=ptcp:{}:127.0.0.1", self.tcp))
            .arg(format!("--unixctl={}", self.control().display()))
            .args(["-vconsole:info", "-vsyslog:off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(identity) = &self.identity {
            if self.ssl != 0 {
                command.arg(format!("--remote=pssl:{}:127.0.0.1", self.ssl));
            }
            let mut file = |option: &str, path: &Path| {
                let mut argument = option.to_owned();
                write!(argument, "={}", path.display()).expect("writing to a string");
                command.arg(argument);
            };
            file("--private-key", &identity.key);
            file("--certificate", &identity.certificate);
            file("--ca-cert", &identity.authority);
        }
        self.child = Some(command.spawn().expect("ovsdb-server is installed"));
        self.await_start();
    }

    /// Waits for every listener: the server opens them one after the other, in no particular order.
    fn await_start(&mut self) {
        self.await_listener("the unix socket", |server| UnixStream::connect(server.socket()).ok());
        self.await_listener("the control socket", |server| {
            UnixStream::connect(server.control()).ok()
        });
        if self.tcp == 0 {
            self.tcp = self.await_listener("the TCP port", |server| server.logged_port(0));
        }
        self.await_listener("the TCP port", |server| {
            TcpStream::connect(("127.0.0.1", server.tcp)).ok()
        });
        if self.identity.is_some() && self.ssl == 0 {
            // Only now, because the log does not say which port is which.
            self.appctl(&["ovsdb-server/add-remote", "pssl:0:127.0.0.1"]);
            self.ssl = self.await_listener("the TLS port", |server| server.logged_port(1));
        }
        if self.ssl != 0 {
            self.await_listener("the TLS port", |server| {
                TcpStream::connect(("127.0.0.1", server.ssl)).ok()
            });
        }
    }

    fn await_listener<T>(&mut self, what: &str, probe: impl Fn(&Self) -> Option<T>) -> T {
        eventually(what, || {
            let child = self.child.as_mut().expect("just spawned");
            if let Ok(Some(status)) = child.try_wait() {
                panic!("ovsdb-server ended with {status}:\n{}", self.log_tail());
            }
            probe(self)
        })
    }

    /// The port the kernel chose for the nth listener, which the server only tells its log.
    fn logged_port(&self, listener: usize) -> Option<u16> {
        let log = fs::read_to_string(self.log()).ok()?;
        // The last line may be half-written.
        let lines = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        lines
            .filter_map(|line| line.split_once("listening on port ")?.1.parse().ok())
            .nth(listener)
    }
}

impl Drop for OvsdbServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln_log(self);
        }
        self.kill();
    }
}

/// A failed test shows what the server had to say.
#[expect(clippy::print_stderr, reason = "only in a failing test")]
fn eprintln_log(server: &OvsdbServer) {
    eprintln!(
        "ovsdb-server in {} logged last:\n{}",
        server.folder().display(),
        server.log_tail()
    );
}
