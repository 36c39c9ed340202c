//! etcd through its JSON gateway, behind the API server's back.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Debug)]
pub struct Etcd {
    address: String,
}

impl Etcd {
    /// At `HOST:PORT`.
    pub fn at(address: String) -> Self {
        Self { address }
    }

    pub async fn get(&self, key: &str) -> Vec<u8> {
        let answer = self
            .post("kv/range", &json!({"key": BASE64_STANDARD.encode(key)}))
            .await;
        let value = answer["kvs"][0]["value"].as_str();
        BASE64_STANDARD
            .decode(value.unwrap_or_else(|| panic!("no {key}: {answer}")))
            .unwrap()
    }

    pub async fn put(&self, key: &str, value: &[u8]) {
        let body = json!({"key": BASE64_STANDARD.encode(key), "value": BASE64_STANDARD.encode(value)});
        self.post("kv/put", &body).await;
    }

    /// Replaces bytes of a stored object, which must be as many as before: messages inside have lengths.
    pub async fn edit(&self, key: &str, from: &str, to: &str) {
        assert_eq!(from.len(), to.len());
        let mut value = self.get(key).await;
        let mut edits = 0;
        for at in 0..=value.len() - from.len() {
            if value[at..].starts_with(from.as_bytes()) {
                value[at..at + from.len()].copy_from_slice(to.as_bytes());
                edits += 1;
            }
        }
        assert!(edits > 0, "no {from} in {key}");
        self.put(key, &value).await;
    }

    /// Forgets the history up to now.
    pub async fn compact(&self) {
        let answer = self
            .post("kv/range", &json!({"key": BASE64_STANDARD.encode("x")}))
            .await;
        let revision = &answer["header"]["revision"];
        self.post("kv/compaction", &json!({"revision": revision, "physical": true}))
            .await;
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let body = body.to_string();
        let request = format!(
            "POST /v3/{path} HTTP/1.0\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.split(' ').nth(1) == Some("200"), "{answer}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}
