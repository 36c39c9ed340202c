//! HTTP for those who ask how a service or this host is: listening on all addresses, and ending when nobody wants it any more.
//!
//! Whoever reaches the host may ask, pods included. Connections that say nothing must not take the agent's file descriptors, of
//! which it needs some for plugins and databases.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 128;
/// Connections of all ports together. A dozen load balancers that ask for hundreds of services do so within milliseconds each.
static PLACES: Semaphore = Semaphore::const_new(128);
/// For one question and its answer; load balancers themselves wait for 5 to 10 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a connection could not be accepted: out of file descriptors, most likely, and others must end first.
const RETRY: Duration = Duration::from_millis(100);

/// All addresses of both families.
pub(super) fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
}

/// Listens on an address; on `[::]` for IPv4, too, and for that alone where the host has no other.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match listen_on(address) {
        Err(error)
            if address == everywhere(address.port()) && error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) =>
        {
            listen_on(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        other => other,
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if address.is_ipv6() && address.ip().is_unspecified() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers until `end` is ready, one question a connection.
pub(super) async fn serve(listener: TcpListener, router: Router, end: impl Future<Output = ()>) {
    let mut end = pin!(end);
    loop {
        let accepted = tokio::select! {
            () = &mut end => return,
            accepted = accept(&listener) => accepted,
        };
        match accepted {
            Ok((place, stream)) => {
                let service = TowerToHyperService::new(router.clone());
                let exchange = http1::Builder::new()
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move {
                    // Who asks nothing, or does not want to hear the answer, is no news.
                    let _ = tokio::time::timeout(PATIENCE, exchange).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a question about services");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn accept(listener: &TcpListener) -> io::Result<(SemaphorePermit<'static>, TcpStream)> {
    let place = PLACES.acquire().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((place, stream))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_nothing_is_let_go() {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Router::new(), std::future::pending()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "closed");
    }
}
