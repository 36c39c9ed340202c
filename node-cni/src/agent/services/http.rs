//! HTTP for those who ask how a service or this host is: listening on all addresses, and ending when nobody wants it any more.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::Router;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 128;

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

/// Answers until `end` is ready, and then no more to connections that are open.
pub(super) async fn serve(listener: TcpListener, router: Router, end: impl Future<Output = ()> + Send + 'static) {
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(end).await {
        tracing::warn!(%error, "HTTP");
    }
}
