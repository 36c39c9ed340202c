//! The agent's unix socket: port facts, reasons, services, status.

use std::fs::{self, Permissions};
use std::io;
use std::mem::discriminant;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::announce::Announcer;
use super::services;
use super::southbound::{Blocked, Southbound};
use crate::name;
use crate::protocol::{NodeStatus, PortRequest, Request, Response};

/// A request is a line of some hundred bytes; a peer that sends more without a newline is no plugin.
const MAX_REQUEST: u64 = 64 * 1024;
/// How often a waiting request looks for its port on other chassis, which no notification tells of.
const LOOK_BEYOND: Duration = Duration::from_secs(2);

/// What the server answers from.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) southbound: Arc<Southbound>,
    /// Counts changes of the Southbound replica or of the node: whoever waits looks again.
    pub(super) changes: watch::Receiver<u64>,
    pub(super) mtu: watch::Receiver<Option<u16>>,
    pub(super) encap_ip: IpAddr,
    pub(super) node: String,
    /// What stands before the cluster's port names.
    pub(super) port_prefix: String,
    pub(super) status: watch::Receiver<NodeStatus>,
    /// The VPCs beside the default one that the host is in.
    pub(super) vpcs: watch::Receiver<services::Vpcs>,
    /// Addresses on the wire.
    pub(super) announcer: Arc<Announcer>,
}

impl Sources {
    fn port(&self, request: &PortRequest) -> Result<Response, Blocked> {
        let mtu = self.mtu.borrow().ok_or(self.encap_ip);
        let answer = self.southbound.pod_port(request, mtu)?;
        Ok(Response::Ready(Box::new(answer)))
    }
}

/// The socket; its file is removed with it, if it is still ours.
#[derive(Debug)]
pub(super) struct Server {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Server {
    /// Binds the socket. It appears under its name when it accepts already, and in place of a stale one.
    pub(super) fn bind(path: &Path) -> anyhow::Result<Self> {
        let folder = path.parent().context("the socket needs a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let bind = || -> io::Result<(StdListener, u64)> {
            match fs::remove_file(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = StdListener::bind(&temporary)?;
            fs::set_permissions(&temporary, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            let inode = fs::metadata(&temporary)?.ino();
            fs::rename(&temporary, path)?;
            Ok((listener, inode))
        };
        let (listener, inode) = bind().with_context(|| format!("bind {}", path.display()))?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            path: path.to_owned(),
            inode,
        })
    }

    /// Serves for ever.
    pub(super) async fn serve(&self, sources: Arc<Sources>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let sources = Arc::clone(&sources);
                    tokio::spawn(async move {
                        // A plugin that went away is no news.
                        if let Err(error) = converse(stream, &sources).await {
                            tracing::debug!(%error, "a conversation ended early");
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: others must end first.
                    tracing::error!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A successor may have put its own socket there.
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

async fn converse(stream: UnixStream, sources: &Sources) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader.take(MAX_REQUEST));
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).await?;
    let request = match serde_json::from_slice(&line) {
        Ok(request) => request,
        Err(error) => {
            let message = format!("not a request: {error}");
            return say(&mut writer, &Response::Error { message }).await;
        }
    };
    let peer = reader.into_inner().into_inner();
    match request {
        Request::Port(port) => serve_port(peer, &mut writer, sources, &port).await,
        Request::Explain { explain } => {
            let reason = match explain.port.split_once('/') {
                Some((namespace, pod)) => {
                    let port = name::pod_port(&sources.port_prefix, namespace, pod);
                    explain_pod(sources, PortRequest { port, ..explain }).await
                }
                None => explain_port(sources, &explain).await,
            };
            say(&mut writer, &Response::Explained { reason }).await
        }
        Request::ExplainService {
            explain_service: service,
        } => {
            let connection = sources.southbound.connection();
            let vpcs = sources.vpcs.borrow().clone();
            let mut reason = services::explain(&sources.southbound.services(), &sources.node, &vpcs, &service);
            if !connection.connected {
                reason.push_str("\nas of the last connection to the Southbound database: ");
                reason.push_str(&connection.detail);
            }
            say(&mut writer, &Response::Explained { reason }).await
        }
        Request::Status { status: _ } => {
            let mut status = sources.status.borrow().clone();
            // As they are now: what is on the wire changes without anything else of the node.
            status.services.announcements = sources.announcer.status();
            say(&mut writer, &Response::Status(Box::new(status))).await
        }
    }
}

async fn serve_port(
    mut peer: OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
    sources: &Sources,
    request: &PortRequest,
) -> io::Result<()> {
    let mut changes = sources.changes.clone();
    let mut recheck = tokio::time::interval(LOOK_BEYOND);
    let mut told = None;
    let mut beyond = None;
    let mut byte = [0];
    loop {
        // What changes from here on wakes the wait below.
        changes.mark_unchanged();
        let mut blocked = match sources.port(request) {
            Ok(ready) => {
                tracing::debug!(port = request.port, sandbox = request.sandbox, "port facts told");
                return say(writer, &ready).await;
            }
            Err(blocked) => blocked,
        };
        if let (Blocked::NoPort { .. }, Some(other)) = (&blocked, &beyond) {
            blocked = Blocked::clone(other);
        }
        if told.as_ref() != Some(&blocked) {
            let reason = blocked.to_string();
            // A reason that only counts seconds is told, but logged once.
            let kind = Some(discriminant(&blocked));
            if told.as_ref().map(discriminant) != kind {
                tracing::info!(port = request.port, sandbox = request.sandbox, reason, "a pod waits");
            }
            say(writer, &Response::Waiting { reason }).await?;
            told = Some(blocked);
        }
        tokio::select! {
            // The agent is ending, and the plugin will ask the next.
            open = changes.changed() => if open.is_err() { return Ok(()) },
            _ = recheck.tick() => beyond = sources.southbound.look_beyond(request).await,
            // The plugin says nothing more; that it can be read means that it has gone.
            _ = peer.read(&mut byte) => return Ok(()),
        }
    }
}

/// Of each of the pod's interfaces, a line.
async fn explain_pod(sources: &Sources, request: PortRequest) -> String {
    let further = sources.southbound.further_ports(&request.port);
    let mut lines = vec![explain_port(sources, &request).await];
    for port in further {
        let request = PortRequest {
            port,
            ..request.clone()
        };
        lines.push(explain_port(sources, &request).await);
    }
    lines.join("\n")
}

async fn explain_port(sources: &Sources, request: &PortRequest) -> String {
    match sources.southbound.why_not_up(request) {
        Some(blocked @ Blocked::NoPort { .. }) => sources
            .southbound
            .look_beyond(request)
            .await
            .unwrap_or(blocked)
            .to_string(),
        Some(blocked) => blocked.to_string(),
        None => format!("the Southbound database has port {} as up", request.port),
    }
}

async fn say(writer: &mut OwnedWriteHalf, response: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    writer.write_all(&line).await
}
