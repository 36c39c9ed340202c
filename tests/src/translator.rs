//! `meridian-translator` as a process.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

use crate::poll::{DEADLINE, eventually, wait_exit};
use crate::programs::translator_binary;

/// A running translator. Dropping it ends the process; a failing test shows the end of its log.
#[derive(Debug)]
pub struct Translator {
    child: Child,
    listen: SocketAddr,
    folder: TempDir,
}

impl Translator {
    /// Starts `meridian-translator run` on a folder of manifests.
    pub fn start(northbound: &str, manifests: &Path, more: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("translator-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let log = File::create(folder.path().join("log")).expect("the folder is writable");
        let listen = own_address();
        let child = Command::new(translator_binary())
            .arg("run")
            .args(["--northbound", northbound])
            .arg("--manifests")
            .arg(manifests)
            .args(["--listen", &listen.to_string()])
            .args(more)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("the translator is executable");
        Self { child, listen, folder }
    }

    /// Waits until `/readyz` says that Northbound is as the cluster wants it.
    #[must_use]
    pub fn ready(mut self) -> Self {
        eventually("the translator is ready", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the translator ended with {status}:\n{}", self.log());
            }
            match self.get("/readyz")? {
                (200, _) => Ok(()),
                (status, body) => Err(format!("/readyz: {status} {body}")),
            }
        });
        self
    }

    /// GETs a page of its own server: status and body.
    pub fn get(&self, path: &str) -> Result<(u16, String), String> {
        let answer = self.http(path).map_err(|error| error.to_string())?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| format!("no HTTP: {answer}"))?;
        let status = head.split_whitespace().nth(1);
        let status = status.and_then(|status| status.parse().ok());
        Ok((status.ok_or(format!("no status: {head}"))?, body.to_owned()))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        // It may have ended already; `wait` tells either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops the process where it stands, as a stalled machine would; its connections stay open.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Undoes [`Self::pause`].
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub fn terminate(&mut self) {
        self.signal("TERM");
        let status = wait_exit(&mut self.child, "the translator ends when asked to");
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        crate::run("kill", ["-s", signal, &pid]).unwrap_or_else(|error| panic!("{error}"));
    }

    fn http(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.listen, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            show(&self.log());
        }
    }
}

#[expect(clippy::print_stderr, reason = "only in a failing test")]
fn show(log: &str) {
    let lines: Vec<&str> = log.lines().collect();
    let tail = &lines[lines.len().saturating_sub(40)..];
    eprintln!("the translator logged last:\n{}", tail.join("\n"));
}

/// An address no other translator of this test run listens on: all of 127/8 is the host itself, so
/// process and a counter choose the address, and no port has to be guessed free.
fn own_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, high, low, NEXT.fetch_add(1, Ordering::Relaxed));
    SocketAddr::from((address, 9470))
}
