//! What runs in a pod: a small HTTP server that says who it is, and over UDP the same to who sends a path, and an echo of
//! anything else.
//!
//! | path | answer |
//! |---|---|
//! | `/` | a sentence about pod, node and client |
//! | `/name` | `namespace/pod` |
//! | `/probe` | the same, and so much more that it takes several full-size packets |
//! | `/hostname` | the pod's name |
//! | `/clientip` | the client's address and port, as the pod sees them |
//! | `/healthz` | `ok` |

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};

/// A client that says nothing for this long is let go.
const PATIENCE: Duration = Duration::from_secs(10);

/// Several full-size segments: a path that only carries small packets must not pass for a good one.
pub const PADDING: usize = 8192;

/// Who answers and where.
#[derive(Clone, Debug)]
pub struct Server {
    /// `namespace/pod`
    pub pod: String,
    /// Its node.
    pub node: String,
    /// Ports for HTTP.
    pub tcp: Vec<u16>,
    /// Ports of UDP.
    pub udp: Vec<u16>,
}

impl Server {
    /// Serves until killed; returns only if it cannot listen.
    pub fn run(&self) -> Result<()> {
        let listeners: Vec<_> = self
            .tcp
            .iter()
            .map(|port| listen(*port, TcpListener::bind))
            .collect::<Result<_>>()?;
        let sockets: Vec<_> = self
            .udp
            .iter()
            .map(|port| listen(*port, UdpSocket::bind))
            .collect::<Result<_>>()?;
        thread::scope(|scope| {
            for listener in &listeners {
                scope.spawn(move || {
                    for stream in listener.incoming().flatten() {
                        let server = self.clone();
                        // A client that goes away is no concern of ours.
                        thread::spawn(move || server.answer(&stream).ok());
                    }
                });
            }
            for socket in &sockets {
                scope.spawn(move || self.answer_datagrams(socket));
            }
        });
        Ok(())
    }

    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let client = canonical(stream.peer_addr()?);
        let mut lines = BufReader::new(stream).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        // The headers must be read: closing with unread data resets the connection.
        for line in lines {
            if line?.is_empty() {
                break;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or("/");
        let (status, body) = match self.body(path, client) {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", format!("no {path} here\n")),
        };
        write!(
            &mut &*stream,
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn answer_datagrams(&self, socket: &UdpSocket) {
        let mut buffer = vec![0; 65_536];
        loop {
            if let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let datagram = &buffer[..length];
                let path = std::str::from_utf8(datagram).ok();
                let body = path.and_then(|path| self.body(path, canonical(client)));
                // The client may be gone already.
                socket
                    .send_to(body.as_deref().map_or(datagram, str::as_bytes), client)
                    .ok();
            }
        }
    }

    fn body(&self, path: &str, client: SocketAddr) -> Option<String> {
        let hostname = self.pod.rsplit('/').next().unwrap_or_default();
        Some(match path {
            "/" => format!("pod {} on {} greets {}\n", self.pod, self.node, client.ip()),
            "/name" => format!("{}\n", self.pod),
            "/probe" => format!("{}\n{}\n", self.pod, "-".repeat(PADDING)),
            "/hostname" => format!("{hostname}\n"),
            "/clientip" => format!("{client}\n"),
            "/healthz" => "ok\n".into(),
            _ => return None,
        })
    }
}

/// Listens for both families where the kernel has both.
fn listen<T>(port: u16, bind: impl Fn(SocketAddr) -> std::io::Result<T>) -> Result<T> {
    bind((Ipv6Addr::UNSPECIFIED, port).into())
        .or_else(|e| match e.kind() {
            std::io::ErrorKind::AddrInUse => Err(e),
            _ => bind((Ipv4Addr::UNSPECIFIED, port).into()),
        })
        .map_err(Error::net(format!("listen on port {port}")))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_says_who_it_is() {
        let server = Server {
            pod: "shop/web-0".into(),
            node: "node-1".into(),
            tcp: vec![],
            udp: vec![],
        };
        let client = canonical("[::ffff:10.0.0.7]:1234".parse().unwrap());
        assert_eq!(server.body("/name", client).unwrap(), "shop/web-0\n");
        assert_eq!(server.body("/hostname", client).unwrap(), "web-0\n");
        assert_eq!(server.body("/clientip", client).unwrap(), "10.0.0.7:1234\n");
        assert_eq!(server.body("/other", client), None);
    }
}
