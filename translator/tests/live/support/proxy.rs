//! A TCP proxy before the API server, to cut connections and to hold them up.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// Connections of earlier generations end.
    generation: u64,
    /// New connections are taken and wait.
    held: bool,
}

/// Forwards until dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// In front of `https://HOST:PORT`, at the same host: the certificate names it.
    pub async fn before(url: &str) -> Self {
        let target: SocketAddr = url.strip_prefix("https://").unwrap().parse().unwrap();
        let listener = TcpListener::bind((target.ip(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State {
            generation: 0,
            held: false,
        });
        let states = state.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, target, states.clone()));
            }
        });
        Self { address, state, task }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Cuts all connections; new ones are fine.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }

    /// Cuts all connections, and lets new ones wait.
    pub fn hold(&self) {
        self.state.send_modify(|state| {
            state.generation += 1;
            state.held = true;
        });
    }

    /// Lets go of those that wait.
    pub fn release(&self) {
        self.state.send_modify(|state| state.held = false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr, mut states: watch::Receiver<State>) {
    let Ok(State { generation, .. }) = states.wait_for(|state| !state.held).await.map(|state| *state) else {
        return;
    };
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = states.wait_for(|state| state.generation != generation) => {}
    }
}
