//! The plugin's side of the agent's socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::wait;
use crate::cni::{CniError, Code};
use crate::protocol::{Empty, NodeStatus, PortAnswer, PortRequest, Request, Response};

/// The agent answers from memory; this only bounds a stopped one.
const ONE_ANSWER: Duration = Duration::from_secs(3);

/// The node agent's socket.
#[derive(Debug)]
pub(super) struct Agent {
    socket: PathBuf,
}

impl Agent {
    pub(super) fn at(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Asks for a port's facts, if the agent is there to be asked, and does not wait for the answer.
    pub(super) fn ask(&self, request: PortRequest) -> Question<'_> {
        let request = Request::Port(request);
        let stream = UnixStream::connect(&self.socket).ok();
        Question {
            agent: self,
            asked: stream.map(|stream| Conversation::start(stream, &request)),
            request,
        }
    }

    /// Why a port that is plugged does not come up, if the agent can tell.
    pub(super) fn explain(&self, port: PortRequest) -> Option<String> {
        match self.once(&Request::Explain { explain: port }) {
            Ok(Response::Explained { reason }) => Some(reason),
            _ => None,
        }
    }

    /// The node's state.
    pub(super) fn status(&self) -> Result<NodeStatus, String> {
        let request = Request::Status { status: Empty {} };
        match self.once(&request) {
            Ok(Response::Status(status)) => Ok(*status),
            Ok(other) => Err(unexpected(&other).message),
            Err(error) => Err(format!(
                "the node agent does not answer on {}: {error}",
                self.socket.display()
            )),
        }
    }

    fn once(&self, request: &Request) -> Result<Response, String> {
        let stream = UnixStream::connect(&self.socket).map_err(|error| error.to_string())?;
        let mut conversation = Conversation::start(stream, request);
        conversation
            .next(Instant::now() + ONE_ANSWER)
            .map_err(|broken| match broken {
                Broken::Deadline => format!("no answer within {} s", ONE_ANSWER.as_secs()),
                Broken::Closed => "it closed the connection".to_owned(),
                Broken::Nonsense(error) => error.message,
            })
    }
}

/// A question for a port's facts.
pub(super) struct Question<'a> {
    agent: &'a Agent,
    request: Request,
    asked: Option<Conversation>,
}

impl Question<'_> {
    /// The facts, whenever they come; `heard` is told each reason for waiting. Survives an agent that is absent,
    /// starting, or restarted while we wait.
    pub(super) fn answer(mut self, deadline: Instant, mut heard: impl FnMut(&str)) -> Result<PortAnswer, CniError> {
        let socket = &self.agent.socket;
        let mut reason = String::new();
        loop {
            let mut conversation = match self.asked.take() {
                Some(conversation) => conversation,
                None => match wait::until_connected(socket, deadline, || UnixStream::connect(socket)) {
                    Ok(stream) => Conversation::start(stream, &self.request),
                    Err(error) => {
                        let absent = format!("the node agent does not answer on {}: {error}", socket.display());
                        return Err(late(&absent).details(reason));
                    }
                },
            };
            loop {
                match conversation.next(deadline) {
                    Ok(Response::Waiting { reason: now }) => {
                        heard(&now);
                        reason = now;
                    }
                    Ok(Response::Ready(answer)) => return Ok(*answer),
                    Ok(Response::Error { message }) => return Err(CniError::new(Code::InvalidConfig, message)),
                    Ok(other) => return Err(unexpected(&other)),
                    Err(Broken::Deadline) if reason.is_empty() => {
                        return Err(late("the node agent was asked and says nothing"));
                    }
                    Err(Broken::Deadline) => return Err(late(&reason)),
                    Err(Broken::Nonsense(error)) => return Err(error),
                    // The agent went away: wait for the next.
                    Err(Broken::Closed) => break,
                }
            }
        }
    }
}

enum Broken {
    Deadline,
    Closed,
    Nonsense(CniError),
}

struct Conversation {
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Conversation {
    fn start(mut stream: UnixStream, request: &Request) -> Self {
        let mut line = serde_json::to_vec(request).expect("requests have string keys only");
        line.push(b'\n');
        // A peer that is gone shows at the first read.
        let _ = stream.write_all(&line);
        Self {
            reader: BufReader::new(stream),
            line: Vec::new(),
        }
    }

    fn next(&mut self, deadline: Instant) -> Result<Response, Broken> {
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Err(Broken::Deadline);
            }
            let _ = self.reader.get_ref().set_read_timeout(Some(remaining));
            // What arrived of a line before the time limit stays in `line`.
            match self.reader.read_until(b'\n', &mut self.line) {
                Ok(0) => return Err(Broken::Closed),
                Ok(_) if self.line.ends_with(b"\n") => {
                    let response = serde_json::from_slice(&self.line).map_err(|error| {
                        let text = String::from_utf8_lossy(&self.line).trim_end().to_owned();
                        let message = format!("the node agent says what this plugin cannot read: {error}");
                        Broken::Nonsense(CniError::new(Code::Internal, message).details(text))
                    });
                    self.line.clear();
                    return response;
                }
                Ok(_) => return Err(Broken::Closed),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {}
                    _ => return Err(Broken::Closed),
                },
            }
        }
    }
}

fn late(reason: &str) -> CniError {
    CniError::new(Code::TryAgainLater, reason)
}

fn unexpected(response: &Response) -> CniError {
    let message = "the node agent answers another question; are its and the plugin's versions compatible?";
    CniError::new(Code::Internal, message).details(format!("{response:?}"))
}
