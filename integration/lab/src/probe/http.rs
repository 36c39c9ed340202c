//! The least of HTTP: one GET, one answer, one connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Error, Result};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, 200 if all is well.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// Asks for `path`, from the namespace the calling thread is in.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    let what = || format!("GET http://{address}{path}");
    let io = |e| Error::net(what())(e);
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).map_err(io)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(io)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(io)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(io)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(io)?;
    parse(&answer).ok_or_else(|| Error::net(what())(std::io::Error::other("the answer is no HTTP")))
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Answer {
        status: status.parse().ok()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer = parse(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nweb-0\n").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "web-0\n"));
        assert_eq!(parse(b"SSH-2.0-x"), None);
    }
}
