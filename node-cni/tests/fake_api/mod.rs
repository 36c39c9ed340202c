//! A Kubernetes API that has one node and nothing else, and can be made to misbehave.

#![allow(dead_code, reason = "each program of tests uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

/// The API. It serves until the test's process ends.
#[derive(Debug, Clone)]
pub(crate) struct FakeApi {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    conditions: Vec<Value>,
    requests: Vec<Request>,
    /// Answers to give instead.
    failures: Vec<u16>,
}

impl State {
    fn set_condition(&mut self, condition: Value) {
        self.conditions.retain(|old| old["type"] != condition["type"]);
        self.conditions.push(condition);
    }
}

impl FakeApi {
    /// Serves on a listener; the node has a condition of somebody else.
    pub(crate) fn serve(listener: TcpListener) -> Self {
        let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady"});
        let api = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new(Mutex::new(State {
                conditions: vec![ready],
                requests: Vec::new(),
                failures: Vec::new(),
            })),
        };
        let serving = api.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                // A client that goes away ends its connection.
                std::thread::spawn(move || while serving.answer(stream.as_ref().unwrap()).is_some() {});
            }
        });
        api
    }

    /// A kubeconfig for it.
    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        })
        .to_string()
    }

    /// Answers the next requests with these statuses.
    pub(crate) fn fail_with(&self, statuses: &[u16]) {
        self.state.lock().unwrap().failures = statuses.iter().rev().copied().collect();
    }

    /// Puts a condition on the node, or in place of the one of the same type.
    pub(crate) fn set_condition(&self, condition: Value) {
        self.state.lock().unwrap().set_condition(condition);
    }

    /// A condition of the node.
    pub(crate) fn condition(&self, kind: &str) -> Option<Value> {
        let state = self.state.lock().unwrap();
        state
            .conditions
            .iter()
            .find(|condition| condition["type"] == kind)
            .cloned()
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    fn answer(&self, mut stream: &TcpStream) -> Option<()> {
        let request = receive(stream)?;
        let is_node = request.path.starts_with("/api/v1/nodes/n1/status");
        let mut state = self.state.lock().unwrap();
        state.requests.push(request.clone());
        // What is to fail must not have happened.
        if is_node && request.method == "PATCH" && state.failures.is_empty() {
            for condition in request.body["status"]["conditions"].as_array()? {
                state.set_condition(condition.clone());
            }
        }
        let (status, body) = match state.failures.pop() {
            Some(code) => (code, failure(code)),
            None if !is_node => (404, failure(404)),
            None => (
                200,
                json!({
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": {"name": "n1"},
                    "status": {"conditions": state.conditions},
                }),
            ),
        };
        drop(state);
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).ok()
    }
}

fn failure(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "made to fail", "reason": "X", "code": code})
}

fn receive(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut words = first.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut length, mut content_type) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "content-type" => value.clone_into(&mut content_type),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        content_type,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}
