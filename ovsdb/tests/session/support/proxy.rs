//! A man in the middle: passes messages on until told otherwise.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ovsdb::{
    Remote,
    wire::{self, Framer, Message},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{broadcast, watch},
};

use super::within;

/// What to do to all connections.
#[derive(Debug, Clone)]
enum Trick {
    /// Sends this to the client, between two messages of the server.
    Inject(&'static str),
    /// Closes the connection.
    Cut,
}

/// Stands between a session and a server.
#[derive(Debug)]
pub(crate) struct Proxy {
    folder: TempDir,
    tricks: broadcast::Sender<Trick>,
    connections: Arc<AtomicUsize>,
    requests: watch::Sender<BTreeMap<String, usize>>,
}

impl Proxy {
    pub(crate) fn before(server: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket(folder.path())).unwrap();
        let tricks = broadcast::Sender::new(16);
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = watch::Sender::new(BTreeMap::new());
        let (to_connections, count, passed) = (tricks.clone(), Arc::clone(&connections), requests.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(forward(
                    client,
                    server.clone(),
                    to_connections.subscribe(),
                    passed.clone(),
                ));
            }
        });
        Self {
            folder,
            tricks,
            connections,
            requests,
        }
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote::Unix(socket(self.folder.path()))
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Waits until so many requests with this method have gone to the server.
    pub(crate) async fn requests(&self, method: &str, count: usize) {
        let mut passed = self.requests.subscribe();
        within(
            method,
            passed.wait_for(|passed| passed.get(method).is_some_and(|passed| *passed >= count)),
        )
        .await
        .unwrap();
    }

    pub(crate) fn inject(&self, bytes: &'static str) {
        self.tricks.send(Trick::Inject(bytes)).expect("a connection");
    }

    pub(crate) fn cut(&self) {
        self.tricks.send(Trick::Cut).expect("a connection");
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("proxy.sock")
}

async fn forward(
    mut client: UnixStream,
    server: PathBuf,
    mut tricks: broadcast::Receiver<Trick>,
    requests: watch::Sender<BTreeMap<String, usize>>,
) -> Option<()> {
    let mut server = UnixStream::connect(server).await.ok()?;
    let mut from_client = Framer::default();
    let mut from_server = Framer::default();
    loop {
        tokio::select! {
            read = client.read_buf(from_client.buffer()) => {
                if read.ok()? == 0 {
                    return None;
                }
                while let Some(frame) = from_client.next().unwrap() {
                    server.write_all(&frame).await.ok()?;
                    if let Ok(Message::Request { method, .. }) = wire::parse(&frame) {
                        requests.send_modify(|passed| *passed.entry(method.into_owned()).or_default() += 1);
                    }
                }
            }
            read = server.read_buf(from_server.buffer()) => {
                if read.ok()? == 0 {
                    return None;
                }
                while let Some(frame) = from_server.next().unwrap() {
                    client.write_all(&frame).await.ok()?;
                }
            }
            trick = tricks.recv() => match trick.ok()? {
                Trick::Inject(bytes) => client.write_all(bytes.as_bytes()).await.ok()?,
                Trick::Cut => return None,
            },
        }
    }
}
