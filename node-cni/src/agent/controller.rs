//! Whether ovn-controller lives, and has its Southbound database: asked of itself, on its control socket.
//!
//! Its chassis stays registered when it is killed, and nothing else in a database tells. The connection stays open, so
//! that its end is known at once.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;

/// The end of the process is an event; that it lost its database is not.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// For one that is starting, for which pods wait: it connects within milliseconds once it has been told where to.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// It answers between two rounds of its main loop, which may compute for seconds.
const ANSWER: Duration = Duration::from_secs(30);
const CONNECTED: &str = "connected";

/// What is known of ovn-controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    /// There is no control socket to ask. One that ends in good order takes its chassis along, which is seen elsewhere.
    Unknown,
    /// It left a socket on which nobody listens, or does not answer.
    Dead,
    /// It is without its database.
    Disconnected,
    Connected,
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Dead => "not running, or without an answer",
            Self::Disconnected => "not connected to the Southbound database",
            Self::Connected => CONNECTED,
        })
    }
}

/// Follows ovn-controller for ever. `folder` is where it has its control socket.
pub(super) async fn follow(folder: PathBuf, known: watch::Sender<Controller>) {
    let learn = |new: Controller| {
        known.send_if_modified(|current| std::mem::replace(current, new) != new);
    };
    loop {
        match connect(&folder).await {
            Err(absent) => learn(absent),
            Ok(stream) => {
                let mut stream = BufReader::new(stream);
                loop {
                    let state = match tokio::time::timeout(ANSWER, ask(&mut stream)).await {
                        Ok(Ok(state)) => state,
                        Ok(Err(_)) => break,
                        Err(_) => {
                            learn(Controller::Dead);
                            break;
                        }
                    };
                    learn(state);
                    let pause = if state == Controller::Connected {
                        ASK_AGAIN
                    } else {
                        LOOK_AGAIN
                    };
                    tokio::select! {
                        // It says nothing unasked: that there is something to read is the end.
                        _ = stream.fill_buf() => break,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                // Another may be there already.
                if let Err(absent) = connect(&folder).await {
                    learn(absent);
                }
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Finds the socket: its name has the process' id, and those of processes that were killed are still there.
async fn connect(folder: &Path) -> Result<UnixStream, Controller> {
    let mut absent = Controller::Unknown;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_prefix("ovn-controller.")?.strip_suffix(".ctl"));
        if id.is_some() {
            match UnixStream::connect(entry.path()).await {
                Ok(stream) => return Ok(stream),
                Err(_) => absent = Controller::Dead,
            }
        }
    }
    Err(absent)
}

#[derive(Deserialize)]
struct Answer {
    result: Option<String>,
}

async fn ask(stream: &mut BufReader<UnixStream>) -> io::Result<Controller> {
    stream
        .write_all(br#"{"id":0,"method":"connection-status","params":[]}"#)
        .await?;
    let mut received = Vec::new();
    loop {
        let bytes = stream.fill_buf().await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(bytes);
        let length = bytes.len();
        stream.consume(length);
        // Nothing but JSON itself tells where an answer ends.
        match serde_json::from_slice::<Answer>(&received) {
            Ok(answer) => {
                let connected = answer.result.is_some_and(|result| result.trim() == CONNECTED);
                return Ok(if connected {
                    Controller::Connected
                } else {
                    Controller::Disconnected
                });
            }
            Err(error) if error.is_eof() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixListener;

    use super::*;

    async fn serve(listener: &UnixListener, answer: &str) -> UnixStream {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 256];
        let length = stream.read(&mut request).await.unwrap();
        let request: serde_json::Value = serde_json::from_slice(&request[..length]).unwrap();
        assert_eq!(request["method"], "connection-status");
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn its_end_is_known_at_once_and_stale_sockets_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = |pid: u32| folder.path().join(format!("ovn-controller.{pid}.ctl"));
        let (known, mut seen) = watch::channel(Controller::Unknown);
        // A socket that nobody listens on.
        drop(UnixListener::bind(path(1)).unwrap());
        tokio::spawn(follow(folder.path().to_owned(), known));
        let mut next = async || {
            seen.changed().await.unwrap();
            *seen.borrow_and_update()
        };
        assert_eq!(next().await, Controller::Dead);
        let listener = UnixListener::bind(path(2)).unwrap();
        let stream = serve(&listener, r#"{"id":0,"result":"connected\n","error":null}"#).await;
        assert_eq!(next().await, Controller::Connected);
        drop((stream, listener));
        assert_eq!(next().await, Controller::Dead);
        let listener = UnixListener::bind(path(3)).unwrap();
        let _stream = serve(&listener, r#"{"id":0,"result":"not connected","error":null}"#).await;
        assert_eq!(next().await, Controller::Disconnected);
    }
}
