//! What a client sends, and what becomes of it.

#![allow(dead_code, reason = "each test uses its own part")]

use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// What answers or refuses does so at once; what takes longer than this is lost.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);
/// For who loses his patience only if something is really wrong, on a busy machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(4);

/// Of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Who answered, by namespace and name unless it is of namespace `default`, and as whom it saw the client.
    Answer { pod: String, seen: IpAddr },
    /// Nobody listens, said at once.
    Refused,
    /// Nothing came back.
    Lost,
    /// Anything else.
    Failed(String),
}

impl Outcome {
    /// The pod, or what happened instead.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Answer { pod, .. } => pod,
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Failed(why) => why,
        }
    }

    fn of(result: io::Result<String>) -> Self {
        match result {
            Ok(text) => Self::parse(&text).unwrap_or(Self::Failed(text)),
            Err(error) => match error.kind() {
                // The last, to a datagram: by the host's own rules.
                ErrorKind::ConnectionRefused | ErrorKind::PermissionDenied => Self::Refused,
                ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::Lost,
                _ => Self::Failed(error.to_string()),
            },
        }
    }

    /// `pod default/web-1 on node-1 greets 10.244.1.4`
    fn parse(text: &str) -> Option<Self> {
        let (who, seen) = text.trim().rsplit_once(" greets ")?;
        let pod = who.strip_prefix("pod ")?.split(' ').next()?;
        let pod = pod.strip_prefix("default/").unwrap_or(pod);
        Some(Self::Answer {
            pod: pod.to_owned(),
            seen: seen.parse().ok()?,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A connection of its own.
pub(crate) fn over_tcp(to: SocketAddr, patience: Duration) -> Outcome {
    Outcome::of(Conversation::begin(to, patience).and_then(Conversation::end))
}

/// A datagram from a port of its own, without a second try.
pub(crate) fn over_udp(to: SocketAddr, patience: Duration) -> Outcome {
    Outcome::of(Talker::new(to, patience).and_then(|talker| talker.say_once()))
}

/// A connection on which half a request is sent.
#[derive(Debug)]
pub(crate) struct Conversation(TcpStream);

impl Conversation {
    pub(crate) fn begin(to: SocketAddr, patience: Duration) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&to, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET / HTTP/1.1\r\n")?;
        Ok(Self(stream))
    }

    fn end(mut self) -> io::Result<String> {
        self.0.write_all(b"\r\n")?;
        let mut answer = String::new();
        self.0.read_to_string(&mut answer)?;
        Ok(answer
            .split_once("\r\n\r\n")
            .map_or(answer.clone(), |(_, body)| body.to_owned()))
    }

    /// Sends the other half.
    pub(crate) fn finish(self) -> Outcome {
        Outcome::of(self.end())
    }
}

/// A client that goes on sending from one port.
#[derive(Debug)]
pub(crate) struct Talker(UdpSocket);

impl Talker {
    pub(crate) fn new(to: SocketAddr, patience: Duration) -> io::Result<Self> {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_read_timeout(Some(patience))?;
        socket.connect(to)?;
        Ok(Self(socket))
    }

    fn say_once(&self) -> io::Result<String> {
        self.0.send(b"/")?;
        let mut buffer = [0; 256];
        let length = self.0.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    pub(crate) fn say(&self) -> Outcome {
        Outcome::of(self.say_once())
    }
}

/// Answers a request as a pod would, with enough that it takes several full-size packets.
pub(crate) fn serve(mut stream: TcpStream, name: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENT))?;
    let seen = stream.peer_addr()?.ip().to_canonical();
    let mut request = Vec::new();
    let mut buffer = [0; 512];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&buffer[..length]),
        }
    }
    let body = format!("pod default/{name} on {name} greets {seen}\n");
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
