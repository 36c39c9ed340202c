//! Makes a connection to a remote.

use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{SessionConfig, fault::Fault, transport::Transport};
use crate::{
    Remote,
    tls::{self, TlsError},
};

/// Connects within the configured time, handshake included.
pub(super) async fn connect(config: &SessionConfig, remote: &Remote) -> Result<Transport, Fault> {
    let limit = config.timing.connect_timeout;
    timeout(limit, dial(config, remote))
        .await
        .unwrap_or(Err(Fault::ConnectTimeout(limit)))
}

async fn dial(config: &SessionConfig, remote: &Remote) -> Result<Transport, Fault> {
    let stream: Box<dyn super::transport::Stream> = match remote {
        Remote::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(Fault::Connect)?),
        Remote::Tcp(host, port) => Box::new(tcp(host, *port).await?),
        Remote::Ssl(host, port) => {
            let tls = config.tls.as_ref().ok_or(TlsError::NotConfigured)?;
            Box::new(tls::connect(tls, host, tcp(host, *port).await?).await?)
        }
    };
    Ok(Transport::new(stream, config.max_message, config.timing.write_timeout))
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, Fault> {
    let socket = TcpStream::connect((host, port)).await.map_err(Fault::Connect)?;
    // Requests are small and somebody waits for the answer.
    socket.set_nodelay(true).map_err(Fault::Connect)?;
    Ok(socket)
}
