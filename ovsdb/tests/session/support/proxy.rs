//! A man in the middle: passes messages on until told otherwise.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ovsdb::{Remote, wire::Framer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::broadcast,
};

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
}

impl Proxy {
    pub(crate) fn before(server: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket(folder.path())).unwrap();
        let tricks = broadcast::Sender::new(16);
        let connections = Arc::new(AtomicUsize::new(0));
        let (to_connections, count) = (tricks.clone(), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(forward(client, server.clone(), to_connections.subscribe()));
            }
        });
        Self { folder, tricks, connections }
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote::Unix(socket(self.folder.path()))
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
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

async fn forward(mut client: UnixStream, server: PathBuf, mut tricks: broadcast::Receiver<Trick>) -> Option<()> {
    let mut server = UnixStream::connect(server).await.ok()?;
    let mut from_client = Vec::with_capacity(64 << 10);
    let mut from_server = Framer::default();
    loop {
        tokio::select! {
            read = client.read_buf(&mut from_client) => {
                if read.ok()? == 0 {
                    return None;
                }
                server.write_all(&from_client).await.ok()?;
                from_client.clear();
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
